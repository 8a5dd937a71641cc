"""The steepness that the report speaks of is that of the gradient."""

import numpy as np
import pytest

from es import config
from es.run_dir import RunDir, shipped
from tests.reproduction.slope import groups, steepness


@pytest.mark.parametrize("length", [0.0, 2.0])
def test_steepness_is_the_squared_length_of_the_gradient_whatever_the_noise(length):
    rng = np.random.default_rng(0)
    pairs, n = 400, 50
    gradient = length * np.eye(n)[3]
    found = []
    for _ in range(200):
        perturbations = rng.standard_normal((pairs, n))
        found.append(steepness(perturbations, perturbations @ gradient + 3.0 * rng.standard_normal(pairs)))
    squares = np.array([each.square for each in found])
    assert abs(squares.mean() - length**2) < 4 * squares.std() / np.sqrt(200)
    if not length:  # the error is stated for a gradient of nothing
        assert squares.std() == pytest.approx(np.mean([each.error for each in found]), rel=0.2)


@pytest.mark.parametrize("runner", ["runner", "flat-runner", "fast-runner"])
def test_the_groups_are_all_numbers_of_a_runner(runner):
    run = RunDir.open(shipped(), runner)
    state = run.load_checkpoint(run.checkpoints()[-1])
    parts = [*groups(config.at_stage(run.experiment(), state.stage).policy).values()]
    assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
    assert parts[-1].stop == state.parameters.size
