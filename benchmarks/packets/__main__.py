import sys

from benchmarks.packets.main import main

sys.exit(main())
