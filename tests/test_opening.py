"""A gait with an opening: whose parameters act when, and what it goes on from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from es import config
from es.envs.gait_observation import NAMES_GAIT
from es.errors import ExperimentError
from es.policies.opening import OpenedGait
from es.policies.policy import Policy
from tests.gaits import HEAD, policy_of


def make(reflexes: config.Reflexes, opening: float) -> Policy:
    return policy_of(config.Gait(head=HEAD, reflexes=reflexes, opening=opening))


def test_the_opening_acts_for_its_seconds_and_then_the_gait_with_a_clock_that_goes_on():
    gait, opened = make("none", 0.0), make("none", 0.1)  # five actions of two steps
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, gait.num_params))
    other[0] = one[0]  # one speed of the clock, so that the gait alone is as far as it was before
    observations = rng.standard_normal((9, len(NAMES_GAIT)))
    alone = [[act(each) for each in observations] for act in (gait.bind(one), gait.bind(other))]
    act = opened.bind(np.concatenate([one, [0.0], other]))
    both = [act(each) for each in observations]
    np.testing.assert_array_equal(both[:5], alone[1][:5])
    np.testing.assert_array_equal(both[5:], alone[0][5:])


def test_the_clock_is_turned_on_and_keeps_its_phase_whatever_the_speeds():
    gait, opened = make("none", 0.0), make("none", 0.1)
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, gait.num_params))
    observation = rng.standard_normal(len(NAMES_GAIT))
    whole_turn, no_turn = (opened.bind(np.concatenate([one, [turn], other])) for turn in (1.0, 0.0))
    for _ in range(8):
        np.testing.assert_allclose(whole_turn(observation), no_turn(observation), atol=1e-9)
    slow, fast = one.copy(), one.copy()
    slow[0], fast[0] = -3.0, 0.0
    # The sixth action finds the phase of the slow clock's five; a turn makes up for what that is behind.
    behind = 5 * 1.3 * 0.02 * (1.0 - np.exp(-0.6))
    act, turned = (opened.bind(np.concatenate([fast, [turn], slow])) for turn in (0.0, behind))
    alone = gait.bind(fast)
    for _ in range(5):
        act(observation), turned(observation), alone(observation)
    own = alone(observation)
    assert np.abs(act(observation) - own).max() > 1e-3
    np.testing.assert_allclose(turned(observation), own, atol=1e-9)


@given(st.sampled_from(["none", "balance", "all"]), st.booleans())
def test_it_goes_on_from_gaits_of_fewer_reflexes_with_and_without_an_opening(reflexes, had_one):
    narrow, wide = make(reflexes, 0.1 if had_one else 0.0), make("all", 0.1)
    rng = np.random.default_rng(0)
    theta = rng.standard_normal(narrow.num_params)
    if reflexes == "none":  # what heeds obstacles is forgotten
        theta[39:48] = theta[-9:] = 0.0
    first, second = narrow.bind(theta), wide.bind(wide.widen(theta, narrow.sizes, rng))
    for _ in range(8):
        observation = rng.standard_normal(len(NAMES_GAIT))
        np.testing.assert_allclose(first(observation), second(observation), atol=1e-9)


def test_none_is_a_plain_gait_and_nothing_else_goes_on_from_it():
    assert not isinstance(make("all", 0.0), OpenedGait)
    opened, plain = make("balance", 0.1), make("all", 0.0)
    assert opened.num_params == plain.num_params == 193  # told apart by their sizes
    rng = np.random.default_rng(0)
    with pytest.raises(ExperimentError, match=r"warm_start\.checkpoint: expected a gait policy"):
        plain.widen(np.zeros(193), opened.sizes, rng)
    with pytest.raises(ExperimentError, match=r"warm_start\.checkpoint: expected a gait policy"):
        opened.widen(np.zeros(5), (3, 2), rng)
