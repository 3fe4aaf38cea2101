"""Every benchmark says where and how it ran."""

import json
from pathlib import Path

import numpy as np

from benchmarks.environment import Environment
from benchmarks.results import write_results


def test_it_names_the_command_as_one_can_type_it() -> None:
    environment = Environment.read("benchmarks.loopback", ["--images", "a cat.jpg"])
    assert environment.command == "python -m benchmarks.loopback --images 'a cat.jpg'"


def test_it_says_what_decides_speed() -> None:
    environment = Environment.read("benchmarks.loopback", [])
    assert environment.processor
    assert environment.cores >= 1
    assert environment.libraries["numpy"] == np.__version__
    assert all(text in str(environment) for text in (environment.processor, environment.python, "numpy"))


def test_results_are_json_lines_with_the_environment_first(tmp_path: Path) -> None:
    environment = Environment.read("benchmarks.loopback", [])
    write_results(tmp_path / "out.jsonl", environment, [{"record": "a", "n": 1}, {"record": "b"}])
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert lines[0] == {"record": "environment", **environment.to_json()}
    assert lines[1:] == [{"record": "a", "n": 1}, {"record": "b"}]
