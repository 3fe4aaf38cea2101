import sys

from benchmarks.accuracy.main import main

sys.exit(main())
