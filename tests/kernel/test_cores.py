import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitwire.cores import usable_cores

HAS = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1

linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the machine's cores are all there is")


@linux
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0, 1.5, 3.0, 100.0])
def test_a_container_has_what_it_is_given(tmp_path: Path, share: float) -> None:
    quota = tmp_path / "cpu.max"
    quota.write_text(f"{round(share * 100_000)} 100000\n")
    assert usable_cores(quota) == min(HAS, math.ceil(share))


@linux
@pytest.mark.parametrize("text", ["max 100000\n", "", "100000", "1 2 3", "a b", "100000 0", "-1 100000"])
def test_what_is_no_quota_limits_nothing(tmp_path: Path, text: str) -> None:
    quota = tmp_path / "cpu.max"
    quota.write_text(text)
    assert usable_cores(quota) == (1 if text.startswith("-") else HAS)


@given(text=st.text(max_size=30))
def test_whatever_is_there_a_core_is_left(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    quota = tmp_path_factory.mktemp("quota") / "cpu.max"
    quota.write_text(text, encoding="utf-8", errors="replace")
    assert 1 <= usable_cores(quota) <= HAS


def test_without_a_container_there_are_those_that_it_may_run_on(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "absent") == HAS


@linux
def test_services_that_are_kept_to_one_core_count_one() -> None:
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from pathlib import Path\n"
        "from cloud.config import CloudConfig\n"
        "from edge.config import EdgeConfig\n"
        "print(CloudConfig(Path()).workers, EdgeConfig(Path()).max_concurrency)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["1", "2"]
