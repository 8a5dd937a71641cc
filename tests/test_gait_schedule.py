"""A gait with numbers of its own for several strengths: which act when, and what it goes on from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from es import config
from es.envs import registry as envs
from es.envs.gait_observation import NAMES_GAIT
from es.errors import ExperimentError
from es.policies import registry as policies

HEAD = config.Squashed(bias=-2.0, floor=0.05)
RIGHT, LEFT = NAMES_GAIT.index("strength_r"), NAMES_GAIT.index("strength_l")
BOTH = config.Schedule(right=(0.8, 0.9, 1.2), left=(1.1,))


def make(
    schedule: config.Schedule | None = None,
    *,
    hidden: int | None = 2,
    opening: float = 0.1,
    reflexes: config.Reflexes = "none",
) -> policies.Policy:
    arguments = {"backend": "native", "observation": "gait"}
    env = envs.make(config.Environment(id="es/LearningToRun-v0", arguments=arguments))
    residual = None if hidden is None else config.Residual(hidden=hidden)
    settings = config.Gait(
        head=HEAD, reflexes=reflexes, opening=opening, residual=residual, schedule=schedule
    )
    return policies.make(settings, env, action_repeat=2)


def observed(rng: np.random.Generator, right: float, left: float) -> np.ndarray:
    observation = rng.standard_normal(len(NAMES_GAIT))
    observation[[RIGHT, LEFT]] = 5 * (right - 1), 5 * (left - 1)
    return observation


strengths = st.floats(0.5, 1.5)


@given(strengths, strengths, st.sampled_from([None, 2]), st.sampled_from([0.0, 0.1]))
def test_numbers_are_interpolated_by_the_strengths_that_an_episode_begins_with(right, left, hidden, opening):
    rng = np.random.default_rng(0)
    plain = make(hidden=hidden, opening=opening)
    scheduled = make(BOTH, hidden=hidden, opening=opening)
    n = (scheduled.num_params - plain.num_params) // 4
    mean, added = rng.standard_normal(plain.num_params), rng.standard_normal((4, n))
    there = mean.copy()
    nothing = np.zeros(n)
    for strength, knots, sets in (
        (right, [0.8, 0.9, 1.0, 1.2], [added[0], added[1], nothing, added[2]]),
        (left, [1.0, 1.1], [nothing, added[3]]),
    ):
        there[:n] += [np.interp(strength, knots, numbers) for numbers in np.transpose(sets)]
    first, second = plain.bind(there), scheduled.bind(np.concatenate([mean, added.ravel()]))
    observations = [
        observed(rng, right, left),
        *rng.standard_normal((8, len(NAMES_GAIT))),
    ]  # the first counts
    for observation in observations:
        np.testing.assert_allclose(second(observation), first(observation), atol=1e-9)


def test_the_residual_is_the_same_for_all_strengths():
    plain, scheduled = make(hidden=2, opening=0.0), make(BOTH, hidden=2, opening=0.0)
    assert scheduled.num_params == plain.num_params + 4 * make(hidden=None, opening=0.0).num_params


@given(st.sampled_from([None, 3]), st.sampled_from([0.0, 0.1]), strengths)
def test_it_goes_on_from_a_gait_without_and_from_itself(hidden, opening, strength):
    rng = np.random.default_rng(0)
    narrow = make(hidden=hidden, opening=opening)
    plain, scheduled = make(hidden=5, reflexes="all"), make(BOTH, hidden=5, reflexes="all")
    theta = rng.standard_normal(narrow.num_params)
    wider = scheduled.widen(theta, narrow.sizes, rng)
    first, second = plain.bind(plain.widen(theta, narrow.sizes, rng)), scheduled.bind(wider)
    for _ in range(8):
        observation = observed(rng, strength, strength)
        np.testing.assert_allclose(second(observation), first(observation), atol=1e-9)
    np.testing.assert_array_equal(scheduled.widen(wider, scheduled.sizes, rng), wider)


def test_other_strengths_are_not_taken_for_its_own():
    few = make(config.Schedule(right=(0.9,)))
    with pytest.raises(ExperimentError, match=r"warm_start\.checkpoint: expected a gait"):
        few.widen(np.zeros(make(BOTH).num_params), few.sizes, np.random.default_rng(0))


@pytest.mark.parametrize("given", [(0.9, 0.8), (0.9, 0.9), (0.9, 1.0)])
def test_strengths_ascend_and_leave_out_the_mean(given):
    for side in ("right", "left"):
        with pytest.raises(
            ValueError, match=f"expected `{side}` in ascending order, without the mean, 1, got"
        ):
            config.Schedule(**{side: given})


def test_a_schedule_of_nothing_is_one_line():
    with pytest.raises(ExperimentError, match="expected strengths in `right`, `left` or both"):
        config.load("learning-to-run", ["policy.schedule={}"])


def test_normalized_observations_do_not_tell_a_strength():
    changes = ["policy.schedule={right=[0.9]}", "observation_normalization.enabled=true"]
    with pytest.raises(ExperimentError, match=r"policy\.schedule: expected observation_normalization"):
        config.load("learning-to-run", changes)
