import sys

from benchmarks.boundaries.main import main

sys.exit(main())
