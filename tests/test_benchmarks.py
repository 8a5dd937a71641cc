"""The benchmarks of the fleet run at all; what they measure is not judged here."""

from pathlib import Path

from tests.benchmarks import protocol, scale


def test_scale(tmp_path: Path) -> None:
    figures = scale.measure(scale.Scenario(4, 16, 10_000, seconds=0.3), generations=4, folder=tmp_path)
    assert figures.parameters == 9892
    assert 0 < figures.busy < figures.possible * 1.5
    assert 0 < figures.ideal < figures.seconds
    assert figures.traffic > 2 * 8 * figures.parameters
    assert len(scale.row(scale.Scenario(4, 16, 10_000), figures)) == len(scale.table().columns)


def test_protocol() -> None:
    measured = protocol.rates(rounds=1, results=40, pairs_per_task=10)
    assert list(measured) == ["2017", "ours, 1 pair per task", "ours, 10 pairs per task"]
    assert all(rate > 0 for rates in measured.values() for rate in rates)
