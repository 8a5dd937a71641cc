import numpy as np
import pytest

from es.envs.rewards import original_reward, shaped_reward
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
