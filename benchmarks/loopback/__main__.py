import sys

from benchmarks.loopback.main import main

sys.exit(main())
