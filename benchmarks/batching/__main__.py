import sys

from benchmarks.batching.main import main

sys.exit(main())
