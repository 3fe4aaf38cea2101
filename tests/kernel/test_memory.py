import ctypes
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from splitwire.memory import keep_freed_memory, return_large_blocks
from tests.e2e.processes import ROOT

#: Decodes six times, three images at a time, as three threads of a service do.
_SCRIPT = """if True:
    import io, sys, threading
    from pathlib import Path
    from PIL import Image
    from splitwire.memory import return_large_blocks
    if sys.argv[1] == "fixed":
        assert return_large_blocks()
    file = io.BytesIO()
    Image.new("RGBA", (4000, 4000)).save(file, "PNG")

    def decode():
        Image.open(io.BytesIO(file.getvalue())).convert("RGB")

    for _ in range(2):
        threads = [threading.Thread(target=decode) for _ in range(3)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    print(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0])"""


_STEPS = """
import numpy as np
from splitwire.memory import keep_freed_memory
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


glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")


@glibc
def test_what_large_images_took_is_given_back() -> None:
    kept, fixed = (
        int(
            subprocess.run(
                [sys.executable, "-c", _SCRIPT, how], cwd=ROOT, check=True, capture_output=True, text=True
            ).stdout
        )
        for how in ("by itself", "fixed")
    )
    assert fixed < 150_000
    assert fixed < kept


@glibc
def test_blocks_are_used_again_without_page_faults() -> None:
    found = subprocess.run(
        [sys.executable, "-c", _STEPS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(found.stdout) < 4096  # pages of one block; eight of them otherwise


@pytest.mark.parametrize("failure", [AttributeError, OSError, TypeError])
def test_another_c_library_does_as_it_does(failure: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_: object) -> SimpleNamespace:
        if failure is AttributeError:
            return SimpleNamespace()
        raise failure

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert not return_large_blocks()
    assert not keep_freed_memory()
