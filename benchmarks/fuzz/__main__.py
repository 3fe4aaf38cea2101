import sys

from benchmarks.fuzz.main import main

sys.exit(main())
