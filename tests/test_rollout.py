from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from es.obs_norm import Normalizer
from es.rollout import rollout


class Counter(gymnasium.Env[Any, Any]):
    """Observes the step number; rewards 2 on even and -1 on odd steps; ends after ``length``."""

    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = spaces.Box(0.0, 1.0, (2,), np.float64)

    def __init__(
        self, length: int = 10, *, raise_at: int = -1, reward_at: dict[int, float] | None = None
    ) -> None:
        self.length, self.raise_at, self.reward_at = length, raise_at, reward_at or {}
        self.steps = 0
        self.actions: list[Any] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.steps, self.actions, self.seed = 0, [], seed
        return np.array([0.0]), {}

    def step(self, action: Any) -> Any:
        if self.steps == self.raise_at:
            raise RuntimeError("the simulator\nfell over")
        reward = self.reward_at.get(self.steps, -1.0 if self.steps % 2 else 2.0)
        self.steps += 1
        self.actions.append(action)
        info = {"metres": self.steps / 2, "fell": self.steps > 3, "text": "ignored", "reward_x": 1.0}
        return np.array([float(self.steps)]), reward, self.steps >= self.length, False, info


def still(observation: np.ndarray) -> np.ndarray:
    return np.array([0.5, 0.5])


def test_an_episode_is_summed_up() -> None:
    env = Counter(5)
    episode = rollout(env, still, seed=7)
    assert (episode.return_, episode.sign_return, episode.length) == (4.0, 1.0, 5)
    assert (episode.failed, episode.error, env.seed) == (False, "", 7)
    assert episode.metrics == {"metres": 2.5, "fell": 1.0}
    assert episode.statistics is None
    assert episode.simulator_seconds > 0


def test_actions_are_repeated_and_observations_in_between_not_acted_on() -> None:
    seen: list[float] = []

    def act(observation: np.ndarray) -> np.ndarray:
        seen.append(float(observation[0]))
        return np.full(2, len(seen) / 10)

    env = Counter(10)
    rollout(env, act, seed=0, action_repeat=4)
    assert seen == [0.0, 4.0, 8.0]
    assert [action[0] for action in env.actions] == [0.1] * 4 + [0.2] * 4 + [0.3] * 2


def test_the_cap_counts_environment_steps() -> None:
    assert rollout(Counter(100), still, seed=0, action_repeat=4, max_steps=10).length == 10


def test_statistics_are_of_the_raw_observations_acted_on() -> None:
    normalizer = Normalizer(np.array([100.0]), np.array([10.0]), 5.0)
    episode = rollout(
        Counter(10), still, seed=0, action_repeat=5, normalizer=normalizer, collect_statistics=True
    )
    assert episode.statistics is not None
    assert (episode.statistics.n, episode.statistics.mean[0]) == (2, 2.5)


def test_the_policy_sees_normalised_observations() -> None:
    seen = []
    normalizer = Normalizer(np.array([1.0]), np.array([2.0]), 5.0)
    rollout(Counter(3), lambda x: seen.append(x[0]) or np.zeros(2), seed=0, normalizer=normalizer)
    assert seen == [-0.5, 0.0, 0.5]


def test_noisy_actions_stay_inside_the_space() -> None:
    env = Counter(200)
    rollout(env, still, seed=0, action_noise=0.5, rng=np.random.default_rng(0))
    actions = np.array(env.actions)
    assert actions.std() > 0.2
    assert all(env.action_space.contains(action) for action in actions)


def test_an_exception_ends_the_episode_and_is_reported_in_one_line() -> None:
    episode = rollout(Counter(10, raise_at=4), still, seed=0)
    assert episode.failed
    assert episode.error == "RuntimeError: the simulator fell over"
    assert (episode.length, episode.metrics["metres"]) == (4, 2.0)


def test_observations_that_are_no_numbers_do_not_reach_the_statistics() -> None:
    env = Counter(3)
    env.reset = lambda **_: (np.array([np.nan]), {})  # type: ignore[method-assign]  # one bad observation
    assert rollout(env, still, seed=0, collect_statistics=True).statistics is None


def test_strange_infos_do_no_harm() -> None:
    env = Counter(3)
    step = env.step
    env.step = lambda action: (*step(action)[:4], {7: 1.0, "huge": 10**400, "metres": 2.0})  # type: ignore[method-assign]  # a foreign info
    episode = rollout(env, still, seed=0)
    assert episode.failed
    assert "OverflowError" in episode.error


@pytest.mark.parametrize("reward", [float("nan"), float("inf")])
def test_a_reward_that_is_no_number_fails_the_episode(reward: float) -> None:
    episode = rollout(Counter(5, reward_at={2: reward}), still, seed=0)
    assert episode.failed
    assert np.isnan(episode.return_)
