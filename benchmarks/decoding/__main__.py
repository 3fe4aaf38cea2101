import sys

from benchmarks.decoding.main import main

sys.exit(main())
