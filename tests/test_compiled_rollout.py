"""Episodes in one compiled call against `es.rollout.rollout`, float by float."""

from typing import Any, get_args

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from hypothesis import given, settings
from hypothesis import strategies as st

from es import compiled_rollout, config
from es.envs import registry as envs
from es.native.physics import Integrator
from es.native.state import ACTIVATION, FIBER
from es.obs_norm import Normalizer
from es.policies import registry as policies
from es.rollout import Rollout, rollout

MUSCULAR = config.Squashed(bias=-2.0, floor=0.05)
POLICIES = [
    config.Linear(head=MUSCULAR),
    config.Linear(head=config.Clipped()),
    config.Linear(head=config.UniformBins(bins=3)),
    config.MLP(hidden=(7, 6), activation="elu", head=MUSCULAR),
    config.Symmetric(hidden=(), clock_hz=1.2, clock_harmonics=2, clock_learned=True, head=MUSCULAR),
    config.Symmetric(hidden=(9,), head=config.CustomBins(values=(0.05, 0.4, 1.0))),
]
LEARNED_CLOCK = {"clock_hz": 1.2, "clock_harmonics": 2, "clock_learned": True}
GAITS = [
    config.Symmetric(hidden=(), **LEARNED_CLOCK, clock_steered=True, head=MUSCULAR),
    config.Gait(reflexes="all", head=MUSCULAR),
    config.Gait(reflexes="balance", opening=0.3, head=MUSCULAR),
    config.Gait(residual=config.Residual(hidden=6), opening=0.2, head=MUSCULAR),
    config.Gait(residual=config.Residual(hidden=2), opening=0.2, strengths=(0.9, 1.1), head=MUSCULAR),
]


def native(**arguments: Any) -> envs.Env:
    return envs.make(
        config.Environment(id="es/LearningToRun-v0", arguments={"backend": "native", **arguments})
    )


def assert_equal(compiled: Rollout, plain: Rollout) -> None:
    assert compiled._replace(statistics=None, simulator_seconds=0) == plain._replace(
        statistics=None, simulator_seconds=0
    )
    assert (compiled.statistics is None) == (plain.statistics is None)
    if compiled.statistics and plain.statistics:
        assert compiled.statistics.n == plain.statistics.n
        np.testing.assert_array_equal(compiled.statistics.mean, plain.statistics.mean)
        np.testing.assert_array_equal(compiled.statistics.m2, plain.statistics.m2)


def both(env: envs.Env, policy: policies.Policy, theta: np.ndarray, **given: Any) -> tuple[Rollout, Rollout]:
    draws = [np.random.default_rng(5) if given.get("action_noise") else None for _ in range(2)]
    return (
        compiled_rollout.rollout(env, policy, theta, rng=draws[0], **given),
        rollout(env, policy.bind(theta), rng=draws[1], **given),
    )


@pytest.mark.parametrize("observation", ["41", "82", "gait"])
@pytest.mark.parametrize("integrator", get_args(Integrator))
@settings(max_examples=12)
@given(
    data=st.data(),
    seed=st.integers(0, 2**31 - 1),
    action_repeat=st.integers(1, 5),
    action_noise=st.sampled_from([0.0, 0.1]),
    collect=st.booleans(),
    normalized=st.booleans(),
    max_steps=st.integers(1, 150),
)
def test_episodes_are_equal_to_the_last_bit(
    observation, integrator, data, seed, action_repeat, action_noise, collect, normalized, max_steps
):
    rng = np.random.default_rng(seed)
    arguments = {
        "reward": data.draw(st.sampled_from(["original", "shaped", "weighted"])),
        "course": data.draw(st.sampled_from(["literal", "intended"])),
        "difficulty": data.draw(st.integers(0, 2)),
        "max_obstacles": data.draw(st.sampled_from([0, 3, 10])),
        "wall_speed": data.draw(st.sampled_from([0.0, 0.5])),
        "wall_grace": 0.3,
        "lowest_tilt": data.draw(st.sampled_from([-100.0, -0.2])),
        "highest_tilt": 0.3,
        "obstacle_drop": data.draw(st.sampled_from([0.0, 0.05])),
        "solid_drop": data.draw(st.sampled_from([0.0, 0.02])),
        "running_start": data.draw(st.sampled_from([0.0, 0.4])),
    }
    if arguments["reward"] == "weighted":
        arguments["reward_weights"] = {"low_swing": 3.0, "touch": 5.0}
    env = native(observation=observation, integrator=integrator, **arguments)
    settings = data.draw(st.sampled_from(POLICIES))
    if observation == "gait" and isinstance(settings, config.MLP | config.Linear):
        settings = data.draw(st.sampled_from(GAITS))
    policy = policies.make(settings, env, action_repeat=action_repeat)
    size = env.observation_space.shape[0]
    theta = data.draw(st.sampled_from([0.1, 1.0])) * rng.standard_normal(policy.num_params)
    normalizer = (
        Normalizer(rng.standard_normal(size), rng.uniform(0.1, 3.0, size), 5.0) if normalized else None
    )
    episodes = both(
        env,
        policy,
        theta,
        seed=seed,
        action_repeat=action_repeat,
        max_steps=max_steps,
        normalizer=normalizer,
        action_noise=action_noise,
        collect_statistics=collect,
    )
    assert_equal(*episodes)


def test_a_runner_among_obstacles_is_the_same_over_a_whole_episode():
    env = native(integrator="ros2", observation="82", reward="shaped", max_obstacles=10)
    policy = policies.make(POLICIES[0], env, action_repeat=1)
    theta = np.zeros(policy.num_params)  # stands for a while, leaning on the spheres under its toes
    compiled, plain = both(env, policy, theta, seed=3, collect_statistics=True)
    assert_equal(compiled, plain)
    assert compiled.length > 50


def test_what_is_not_a_number_fails_the_episode():
    env = native()
    policy = policies.make(POLICIES[0], env, action_repeat=1)
    theta = np.full(policy.num_params, np.nan)
    compiled, plain = both(env, policy, theta, seed=3, collect_statistics=True)
    assert compiled.failed
    assert plain.failed
    assert compiled.error
    assert plain.error.startswith(compiled.error)
    assert (compiled.length, compiled.return_, compiled.metrics) == (
        plain.length,
        plain.return_,
        plain.metrics,
    )


def test_physics_that_gives_up_is_reported_alike():
    env = native(integrator="ros2", accuracy=1e-14)  # what rounding alone exceeds
    policy = policies.make(POLICIES[0], env, action_repeat=1)
    compiled, plain = both(env, policy, np.zeros(policy.num_params), seed=3)
    assert plain.failed
    assert_equal(compiled, plain)


def test_it_applies_to_the_twin_alone():
    linear = config.Linear()
    for env, expected in [
        (native(), True),
        (envs.make(config.Environment(id="es/LQR-v0")), False),
        (envs.make(config.Environment(id="CartPole-v1")), False),
    ]:
        policy = policies.make(linear, env, action_repeat=1)
        assert compiled_rollout.applies(policy, env) is expected


def gait_episode(seed: int, scale: float) -> compiled_rollout.Episode:
    env = native(observation="gait", integrator="ros2", max_obstacles=10)
    policy = policies.make(GAITS[3], env, action_repeat=2)
    theta = scale * np.random.default_rng(seed).standard_normal(policy.num_params)
    return compiled_rollout.Episode(env, policy, theta, seed=seed, action_repeat=2)


@settings(max_examples=10)
@given(seed=st.integers(0, 2**31 - 1), stops=st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_an_episode_goes_on_from_where_it_stopped(seed, stops):
    whole, parts = gait_episode(seed, 0.3), gait_episode(seed, 0.3)
    expected = whole.run()
    for stop in sorted(stops):
        outcome = parts.run(stop)
        assert (outcome.done, outcome.actions) == (stop >= expected.actions, min(stop, expected.actions))
        if outcome.done:
            break
    else:
        outcome = parts.run()
    # Sums are those of the last part; the rest is the same to the last bit.
    assert outcome[2:6] + outcome[8:] == expected[2:6] + expected[8:]
    assert outcome.metres == expected.metres
    np.testing.assert_array_equal(parts.state, whole.state)


def test_an_episode_that_has_ended_does_not_go_on():
    episode = gait_episode(1, 0.3)
    episode.run()
    with pytest.raises(ResetNeeded, match="begin another one"):
        episode.run()


def test_a_push_is_added_to_the_drives_for_as_long_as_it_lasts():
    free, pushed = gait_episode(1, 0.0), gait_episode(1, 0.0)
    vasti = np.zeros((2, 18))
    vasti[:, 5] = 30.0  # of the right leg, fully on
    free.run(2)
    pushed.run(2, vasti)
    activations = [episode.state[ACTIVATION:FIBER] for episode in (free, pushed)]
    assert activations[1][5] > activations[0][5] + 0.5
    assert np.delete(activations[1], 5) == pytest.approx(np.delete(activations[0], 5), abs=0.05)
    before = activations[1][5]
    assert pushed.run(3, vasti[:0]).length == 6
    assert pushed.state[ACTIVATION:FIBER][5] < before
