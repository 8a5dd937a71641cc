import numpy as np
import pytest

from es.envs.observations import RelativeObservation, add_obstacle_masses
from tests.golden_trajectories import CHAINS, EPISODES, load


@pytest.mark.parametrize("name", EPISODES)
def test_82_values_are_the_recorded_ones(name):
    golden = load(name)
    relative = RelativeObservation()
    relative.reset()
    values = np.array([relative(observation) for observation in golden["obs"]])
    np.testing.assert_allclose(values[:-1], golden["obs82"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(values[-1], golden["obs82_last"], rtol=0, atol=1e-12)


def replay(chain, relative):
    starts = set(chain["episode_start"].tolist())
    values = []
    for i, observation in enumerate(chain["obs"]):
        if i in starts:
            relative.reset()
        values.append(relative(observation))
    return np.array(values)


@pytest.mark.parametrize("name", CHAINS)
def test_carry_over_repeats_the_original_between_episodes(name):
    chain = load(name)
    np.testing.assert_allclose(
        replay(chain, RelativeObservation(carry_over=True)), chain["obs82"], rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("name", CHAINS)
def test_reset_forgets_the_episode_before(name):
    chain = load(name)
    second = int(chain["episode_start"][1])
    fresh = RelativeObservation()
    alone = np.array([fresh(observation) for observation in chain["obs"][second:]])
    np.testing.assert_array_equal(replay(chain, RelativeObservation())[second:], alone)


def test_observation_given_is_left_alone():
    observation = load(EPISODES[0])["obs"][1]
    before = observation.copy()
    relative = RelativeObservation()
    relative(observation)
    relative(observation)
    np.testing.assert_array_equal(observation, before)


def test_obstacles_pull_the_center_of_mass_towards_them():
    kinematics = np.zeros(36)
    kinematics[18:22] = 0.5, 1.0, 2.0, -1.0
    spheres = np.array([[10.0, 0.0, 0.1], [20.0, 0.0, 0.1]])
    result = add_obstacle_masses(kinematics, spheres)
    assert result[18] == pytest.approx((79.6646 * 0.5 + 1e-4 * 30) / (79.6646 + 2e-4), abs=1e-15)
    assert result[20] == pytest.approx(2.0 * 79.6646 / (79.6646 + 2e-4), abs=1e-15)
    changed = np.flatnonzero(result != kinematics)
    assert changed.tolist() == [18, 19, 20, 21]


def test_without_obstacles_the_center_of_mass_stays():
    kinematics = np.arange(36.0)
    np.testing.assert_allclose(add_obstacle_masses(kinematics, np.empty((0, 3))), kinematics, rtol=1e-15)
