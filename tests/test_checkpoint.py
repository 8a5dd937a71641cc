from pathlib import Path

import numpy as np
import pytest

from es import checkpoint, config
from es.checkpoint import Attempts, MasterState
from es.errors import RunDirectoryError
from es.obs_norm import ObservationStatistics
from es.strategies import openai_es

EXPERIMENT = config.load("lqr")


def state(generation: int = 7) -> MasterState:
    rng = np.random.default_rng(generation)
    return MasterState(
        generation=generation,
        search=openai_es.State(rng.random(5), np.array(3.0), rng.random(5), rng.random(5)),
        average=rng.random(5),
        statistics=ObservationStatistics(11, rng.random(2), rng.random(2)),
        stage=0,
        stage_began=(3, 200),
        ramps=(0.5, 1.5),
        episode_cap=None,
        population=64,
        attempts=Attempts(1, 2.5, 4, rng.random(5), rng.random(5), None),
        episodes=100,
        steps=12345,
        layer_sizes=(2, 1),
    )


def assert_equal(a: MasterState, b: MasterState) -> None:
    for left, right in zip(a.search, b.search, strict=True):
        np.testing.assert_array_equal(left, right)
    for left, right in zip(a.statistics, b.statistics, strict=True):
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(a.average, b.average)
    for name in ("origin", "best"):
        np.testing.assert_array_equal(getattr(a.attempts, name), getattr(b.attempts, name))
    attempts = a.attempts._replace(origin=b.attempts.origin, best=b.attempts.best)
    shared = {"search": b.search, "statistics": b.statistics, "average": b.average, "attempts": b.attempts}
    assert attempts == b.attempts
    assert a._replace(**shared) == b


def test_everything_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    checkpoint.save(path, EXPERIMENT, state())
    experiment, loaded = checkpoint.load(path)
    assert experiment == EXPERIMENT
    assert_equal(loaded, state())


def test_equal_states_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        checkpoint.save(tmp_path / name, EXPERIMENT, state())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("keep", [0, 10, 200, -1])
def test_a_damaged_file_is_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "x.npz"
    checkpoint.save(path, EXPERIMENT, state())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RunDirectoryError, match=r"x\.npz: not a readable checkpoint: ."):
        checkpoint.load(path)


def test_pickled_arrays_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, meta=np.array([{"code": "runs"}], dtype=object))
    with pytest.raises(RunDirectoryError, match="not a readable checkpoint"):
        checkpoint.load(path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.npz"
    checkpoint.save(path, EXPERIMENT, state(1))

    def full(file: object, **arrays: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(
        RunDirectoryError, match=r"x\.npz: cannot write the checkpoint: No space left on device"
    ):
        checkpoint.save(path, EXPERIMENT, state(2))
    assert_equal(checkpoint.load(path)[1], state(1))
    assert [each.name for each in tmp_path.iterdir()] == ["x.npz"]
