from benchmarks.packing.main import main

main()
