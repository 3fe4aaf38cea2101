import sys

from benchmarks.post_training.main import main

sys.exit(main())
