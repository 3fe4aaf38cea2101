from benchmarks.trainer import main as benchmark
from tests.trainer.networks import make_dataset


def test_times_every_step_of_every_variant() -> None:
    arguments = ["--steps", "2", "--warm-up", "1", "--batch-size", "8", "--width", "0.1", "--chunks", "2"]
    options = benchmark._parser().parse_args(arguments)
    seconds = benchmark.measure(make_dataset(), options)
    assert set(seconds) == set(benchmark.VARIANTS)
    assert all(len(times) == 2 and min(times) > 0 for times in seconds.values())


def test_ratios_are_of_medians() -> None:
    seconds = {name: [1.0, 2.0, 9.0] for name in benchmark.VARIANTS} | {"plain loop": [1.0, 1.0, 5.0]}
    line = next(line for line in benchmark.report(seconds, 100).splitlines() if line.startswith("GPipe, 4"))
    assert line.split()[-4:] == ["2000", "200", "2.000", "1.000"]
