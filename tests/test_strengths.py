"""A gait with numbers of its own for several strengths: which act when, and what it goes on from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from es import config
from es.envs.gait_observation import NAMES_GAIT
from es.errors import ExperimentError
from es.policies.policy import Policy
from tests.gaits import HEAD, policy_of

RIGHT = NAMES_GAIT.index("strength_r")


def make(
    *strengths: float, hidden: int | None = 2, opening: float = 0.1, reflexes: config.Reflexes = "none"
) -> Policy:
    settings = config.Gait(
        head=HEAD,
        reflexes=reflexes,
        opening=opening,
        residual=None if hidden is None else config.Residual(hidden=hidden),
        strengths=strengths,
    )
    return policy_of(settings)


@given(st.floats(0.5, 1.5), st.sampled_from([None, 2]), st.sampled_from([0.0, 0.1]))
def test_numbers_are_interpolated_by_the_strength_that_an_episode_begins_with(strength, hidden, opening):
    rng = np.random.default_rng(0)
    plain = make(hidden=hidden, opening=opening)
    scheduled = make(0.8, 0.9, 1.2, hidden=hidden, opening=opening)
    n = plain.num_settings
    mean, others = rng.standard_normal(plain.num_params), rng.standard_normal((3, n))
    sets = np.array([others[0], others[1], mean[:n], others[2]])
    there = mean.copy()
    there[:n] = [np.interp(strength, [0.8, 0.9, 1.0, 1.2], numbers) for numbers in sets.T]
    observations = rng.standard_normal((9, len(NAMES_GAIT)))
    observations[0, RIGHT] = 5 * (strength - 1)  # later observations do not count
    first, second = plain.bind(there), scheduled.bind(np.concatenate([mean, others.ravel()]))
    for observation in observations:
        np.testing.assert_allclose(second(observation), first(observation), atol=1e-9)


@given(st.sampled_from([None, 3]), st.sampled_from([0.0, 0.1]), st.floats(0.5, 1.5))
def test_it_goes_on_from_a_gait_without(hidden, opening, strength):
    rng = np.random.default_rng(0)
    narrow = make(hidden=hidden, opening=opening)
    plain, scheduled = make(hidden=5, reflexes="all"), make(0.9, hidden=5, reflexes="all")
    theta = rng.standard_normal(narrow.num_params)
    first = plain.bind(plain.widen(theta, narrow.sizes, rng))
    second = scheduled.bind(scheduled.widen(theta, narrow.sizes, rng))
    for _ in range(8):
        observation = rng.standard_normal(len(NAMES_GAIT))
        observation[RIGHT] = 5 * (strength - 1)
        np.testing.assert_allclose(second(observation), first(observation), atol=1e-9)


def test_it_begins_alike_for_each_strength_and_goes_on_from_itself():
    rng = np.random.default_rng(0)
    scheduled = make(0.8, 0.9)
    start = scheduled.initial(rng)
    n = make().num_settings
    np.testing.assert_array_equal(start[-n:], start[:n])
    np.testing.assert_array_equal(start[-2 * n : -n], start[:n])
    theta = rng.standard_normal(scheduled.num_params)
    np.testing.assert_array_equal(scheduled.widen(theta, scheduled.sizes, rng), theta)


@pytest.mark.parametrize("opening", [0.0, 0.1])
@pytest.mark.parametrize(
    ("before", "now"), [((0.8, 0.9), (0.9,)), ((0.9,), (0.8, 0.9)), ((0.9,), ()), ((0.8, 0.9, 1.1), ())]
)
def test_other_strengths_are_not_taken_for_its_own_nor_for_reflexes(before, now, opening):
    old, new = make(*before, opening=opening), make(*now, opening=opening, reflexes="all")
    with pytest.raises(ExperimentError, match=r"warm_start\.checkpoint: expected a gait"):
        new.widen(np.zeros(old.num_params), old.sizes, np.random.default_rng(0))


@pytest.mark.parametrize("strengths", [(0.9, 0.8), (0.9, 0.9), (0.9, 1.0)])
def test_strengths_ascend_and_leave_out_the_mean(strengths):
    with pytest.raises(
        ValueError, match=r"expected `strengths` in ascending order, without the mean, 1, got"
    ):
        config.Gait(strengths=strengths)


def test_normalized_observations_do_not_tell_a_strength():
    with pytest.raises(ExperimentError, match=r"policy\.strengths: expected observation_normalization"):
        config.load("learning-to-run", ["policy.strengths=[0.9]", "observation_normalization.enabled=true"])
