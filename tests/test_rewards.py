import numpy as np
import pytest

from es.envs.rewards import (
    SHAPED,
    checked_weights,
    ligament_penalty,
    low_swing,
    original_reward,
    shaped_reward,
    weighted_reward,
)
from es.errors import UsageError
from tests.golden_trajectories import EPISODES, load


@pytest.mark.parametrize("name", EPISODES)
def test_rewards_are_the_recorded_ones(name):
    golden = load(name)
    obs, limits = golden["obs"], golden["ligament_sq_sum"].tolist()
    original = [original_reward(*pair) for pair in zip(obs[:-1], obs[1:], limits, strict=True)]
    shaped = [shaped_reward(*pair) for pair in zip(obs[1:], limits, strict=True)]
    np.testing.assert_allclose(original, golden["reward_original"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(shaped, golden["reward_shaped"], rtol=0, atol=1e-12)


def test_standing_upright_earns_the_living_bonus():
    assert shaped_reward(np.zeros(41), 0.0) == pytest.approx(0.01)


@pytest.mark.parametrize(("index", "value"), [(22, -0.2), (7, 0.2), (10, 0.2)])
def test_leaning_back_and_straight_knees_cost(index, value):
    observation = np.zeros(41)
    observation[index] = value
    assert shaped_reward(observation, 0.0) < 0.01


def test_over_extended_joints_cost_in_both_rewards():
    observation = np.zeros(41)
    assert original_reward(observation, observation, 1e8) == pytest.approx(-1e-3)
    assert shaped_reward(observation, 1e8) == pytest.approx(0.01 - 1e-3)


def test_default_weights_give_the_shaped_reward_to_the_last_bit():
    golden = load(EPISODES[0])
    for after, limits in zip(golden["obs"][1:], golden["ligament_sq_sum"].tolist(), strict=True):
        knees = 0.02 * (max(0.0, float(after[7]) - 0.1) + max(0.0, float(after[10]) - 0.1))
        lean = 0.1 * min(0.0, float(after[22] - after[1]))
        expected = 0.01 * float(after[4]) + 0.01 + lean - knees - ligament_penalty(limits)
        assert shaped_reward(after, limits) == expected
        assert weighted_reward(after, after, limits, 0.1, checked_weights({})) == expected


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("velocity", 0.01 * 3.0),
        ("survive", 1.0),
        ("lean", -0.5),
        ("straight_knees", -(0.2 + 0.4)),
        ("ligaments", -1e-3),
        ("low_swing", -(0.3 * (0.2 - 0.06) + 0.1 * (0.2 - 0.01))),
        ("touch", -0.07),
    ],
)
def test_each_weight_multiplies_its_own_term(term, expected):
    before, after = np.zeros(41), np.zeros(41)
    after[[1, 4, 7, 10, 22]] = 2.0, 3.0, 0.3, 0.5, 1.5
    after[[28, 29, 33]] = 0.3, 0.5, 0.1  # the left foot moves forward, its heel 0.06 m high
    after[[30, 31, 35]] = 0.1, 0.01, 0.2
    nothing = dict.fromkeys(SHAPED._fields, 0.0)
    assert weighted_reward(before, after, 1e8, 0.07, checked_weights(nothing)) == 0.0
    weighted = weighted_reward(before, after, 1e8, 0.07, checked_weights(nothing | {term: 2}))
    assert weighted == pytest.approx(2 * expected)


def test_feet_that_pass_high_or_go_back_cost_nothing():
    before, after = np.zeros(41), np.zeros(41)
    after[[28, 29, 33]] = 0.3, 0.25, 0.25
    after[[30, 31, 35]] = -0.1, 0.0, 0.0
    assert low_swing(before, after) == 0.0


def test_wrong_weights_are_one_line():
    with pytest.raises(UsageError, match=r"^reward_weights are velocity, survive, .*, got 'speed'$"):
        checked_weights({"speed": 1.0})
    with pytest.raises(UsageError, match=r"^reward_weights must be a table of weights, got 3$"):
        checked_weights(3)
    for value in (float("nan"), float("inf"), "1", True):
        with pytest.raises(UsageError, match=r"^reward_weights\.lean must be a finite number, got"):
            checked_weights({"lean": value})
