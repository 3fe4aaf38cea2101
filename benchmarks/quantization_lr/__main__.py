import sys

from benchmarks.trainer.main import main

sys.exit(main())
