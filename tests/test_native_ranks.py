"""The twin ranks policies as OpenSim does; ``python -m tests.benchmarks.ranks --write`` kept its returns."""

import numpy as np
import pytest

from tests.benchmarks.ranks import COUNT, GOLDEN, cases, rank_correlation, returns


@pytest.fixture(scope="module")
def opensim() -> np.ndarray:
    return np.load(GOLDEN)


def test_the_kept_returns_are_still_those_of_opensim(opensim: np.ndarray) -> None:
    short = [84, 55, 45]  # they fall soon
    made = cases()
    again = returns([made[i] for i in short], "opensim", "rkm", 1e-3)
    np.testing.assert_allclose(again, opensim[short], rtol=0, atol=1e-3)


def test_the_same_steps_give_the_same_ranks(opensim: np.ndarray) -> None:
    twin = returns(cases(), "native", "rkm", 1e-3, locked_joints=False)
    assert len(twin) == COUNT
    assert np.isfinite(twin).all()
    assert rank_correlation(opensim, twin) > 0.99
    assert np.median(np.abs(opensim - twin)) < 1e-3


@pytest.mark.parametrize(("integrator", "accuracy"), [("rkm", 1e-3), ("ros2", 1e-2)])
def test_other_steps_change_what_hangs_by_a_hair(
    opensim: np.ndarray, integrator: str, accuracy: float
) -> None:
    """A policy or two of the hundred clear an obstacle or not by luck, in OpenSim too; all others agree."""
    twin = returns(cases(), "native", integrator, accuracy)
    lucky = np.argsort(np.abs(opensim - twin))[-3:]
    others = np.setdiff1d(np.arange(COUNT), lucky)
    assert rank_correlation(opensim, twin) > 0.95
    assert rank_correlation(opensim[others], twin[others]) > 0.99
