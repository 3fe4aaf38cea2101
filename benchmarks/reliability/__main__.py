import sys

from benchmarks.reliability.main import main

sys.exit(main())
