import sys

from benchmarks.quantization_lr.main import main

sys.exit(main())
