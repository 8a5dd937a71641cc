"""The steepness that the report speaks of is that of the gradient."""

import click
import numpy as np
import pytest

from es import config
from es.run_dir import RunDir, shipped
from tests.reproduction.gait_run import groups, open_gait
from tests.reproduction.slope import steepness
from tests.test_checkpoint import state


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


@pytest.mark.parametrize("runner", ["runner", "steady-runner", "flat-runner", "fast-runner"])
def test_the_groups_are_all_numbers_of_a_runner(runner):
    gait = open_gait(shipped(), runner)
    parts = [*groups(gait.policy).values()]
    assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
    assert parts[-1].stop == gait.state.parameters.size


def test_a_run_of_another_policy_is_refused(runs_dir):
    experiment = config.load("lqr")
    RunDir.create(runs_dir, experiment, "toy", "1.0").save_checkpoint(experiment, state())
    with pytest.raises(click.ClickException, match="toy: expected a policy of kind 'gait', got 'linear'"):
        open_gait(runs_dir, "toy")
