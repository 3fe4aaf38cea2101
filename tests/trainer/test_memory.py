import platform
import subprocess
import sys

import pytest

PROGRAM = """
import numpy as np
from trainer.memory import keep_freed_memory
assert keep_freed_memory()
def faults():
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def step():
    np.ones(16 << 20, np.uint8)
step()
before = faults()
for _ in range(8):
    step()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_blocks_are_used_again_without_page_faults() -> None:
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert int(found.stdout) < 4096  # pages of one block; eight of them otherwise
