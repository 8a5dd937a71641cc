"""A runner that plans: the same plan each time, further than its gait, with parameters that go on from it."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from es import config
from es.envs import registry as envs
from es.envs.physics import MUSCLES
from es.errors import ExperimentError
from es.policies import registry as policies
from es.policies import worth
from es.policies.foresight import Ahead
from es.policies.planner import JOINTS, Planner
from es.policies.worth import Worth
from es.rollout import Rollout, rollout
from es.run_dir import RunDir
from tests.gaits import policy_of

SETTINGS = {"samples": 8, "best": 2, "ahead": 0.6, "hidden": 3}


def environment(**arguments: object) -> envs.Env:
    given = {"backend": "native", "integrator": "ros2_coarse", "accuracy": 0.02, "max_obstacles": 10}
    return envs.make(config.Environment(id="es/LearningToRun-v0", arguments=given | arguments))


def planner(env: envs.Env, gait: config.Gait, **settings: object) -> Planner:
    made = policies.make(config.Planner(gait=gait, **SETTINGS | settings), env, action_repeat=2)
    assert isinstance(made, Planner)
    return made


@pytest.fixture(scope="module")
def runner(tmp_path_factory) -> tuple[config.Gait, tuple[int, ...], np.ndarray]:
    """A gait, its sizes and its parameters."""
    run = RunDir.open(tmp_path_factory.mktemp("runs"), "fast-runner")
    gait = run.experiment().policy
    assert isinstance(gait, config.Gait)
    return gait, policy_of(gait).sizes, run.load_checkpoint(0).parameters


def run(env: envs.Env, policy: Planner, theta: np.ndarray, seed: int) -> Rollout:
    return rollout(env, policy.bind(theta), seed=seed, action_repeat=2)


def test_the_same_episode_has_the_same_plan(runner):
    gait, sizes, theta = runner
    env = environment(max_steps=60)
    policy = planner(env, gait)
    wide = policy.widen(theta, sizes, np.random.default_rng(1))
    one, other = (run(env, policy, wide, seed=4) for _ in range(2))
    assert one.metrics == other.metrics
    assert one.length == 60


def test_a_plan_brings_a_runner_further(runner):
    gait, sizes, theta = runner
    metres = []
    for settings in ({"spread": 1e-9}, {"samples": 24, "best": 4, "spread": 0.6}):
        env = environment(max_steps=200)
        policy = planner(env, gait, **settings)
        metres.append(run(env, policy, policy.widen(theta, sizes, np.random.default_rng(1)), seed=1).metrics)
    assert metres[1]["metres"] > metres[0]["metres"] + 0.3


def test_it_acts_as_its_gait_where_nothing_is_to_be_gained(runner):
    gait, sizes, theta = runner
    env, seeing = environment(max_steps=80), environment(max_steps=80, observation="gait")
    policy = planner(env, gait, spread=1e-12)
    planned = run(env, policy, policy.widen(theta, sizes, np.random.default_rng(1)), seed=2)
    alone = policies.make(gait, seeing, action_repeat=2)
    own = rollout(seeing, alone.bind(theta), seed=2, action_repeat=2)
    assert planned.metrics["metres"] == pytest.approx(own.metrics["metres"], abs=1e-6)


def test_the_plan_is_the_mean_of_the_best_tries(runner):
    gait, sizes, theta = runner
    env = environment()
    policy = planner(env, gait)
    wide = policy.widen(theta, sizes, np.random.default_rng(1))
    planning = policy.bind(wide)
    planning(env.reset(seed=3)[0])
    valued = Worth(wide[theta.size :], SETTINGS["hidden"])
    order = sorted(range(8), key=lambda i: -valued(planning.ends[i]))
    np.testing.assert_allclose(planning.plan, planning.tries[order[:2]].mean(axis=0))
    assert not planning.tries[1].any()


@pytest.mark.parametrize(("perturbed", "dimensions"), [("muscles", 9), ("joints", 3)])
def test_tries_push_muscles_or_joints(runner, perturbed, dimensions):
    gait, sizes, theta = runner
    env = environment()
    policy = planner(env, gait, perturbed=perturbed)
    planning = policy.bind(policy.widen(theta, sizes, np.random.default_rng(1)))
    planning(env.reset(seed=3)[0])
    legs = planning.tries.reshape(-1, 9)
    assert np.linalg.matrix_rank(legs) == dimensions
    assert np.linalg.matrix_rank(np.concatenate([legs, JOINTS])) == dimensions


def test_parameters_go_on_from_a_gait_and_from_a_planner(runner):
    gait, sizes, theta = runner
    policy = planner(environment(), gait)
    rng = np.random.default_rng(1)
    wide = policy.widen(theta, sizes, rng)
    np.testing.assert_array_equal(wide[: theta.size], theta)
    assert not wide[theta.size :].any()
    own = rng.standard_normal(policy.num_params)
    np.testing.assert_array_equal(policy.widen(own, policy.sizes, rng), own)
    assert policy.initial(rng).shape == (policy.num_params,)
    wider = planner(environment(), gait, hidden=4)
    with pytest.raises(ExperimentError, match="expected a gait or a planner of layers"):
        wider.widen(own, policy.sizes, rng)


def test_it_wants_the_41_values():
    with pytest.raises(ExperimentError, match="observation = '41', got es/LearningToRun-v0 with"):
        planner(environment(observation="gait"), config.Gait())
    with pytest.raises(ExperimentError, match="got CartPole-v1"):
        planner(envs.make(config.Environment(id="CartPole-v1")), config.Gait())


def test_more_best_tries_than_tries_are_refused():
    raw = {"kind": "planner", "gait": {"kind": "gait"}, "samples": 4, "best": 5}
    with pytest.raises(msgspec.ValidationError, match=r"policy.best = 5 is more than policy.samples = 4"):
        msgspec.convert(raw, config.Planner)


def test_normalized_observations_are_refused():
    raw = {
        "name": "x",
        "environment": {"id": "es/LearningToRun-v0"},
        "policy": {"kind": "planner", "gait": {"kind": "gait"}},
        "budget": {"generations": 1},
        "observation_normalization": {"enabled": True},
    }
    with pytest.raises(ExperimentError, match=r"expected observation_normalization\.enabled = false"):
        config.convert(raw, "x")


def there(rng: np.random.Generator, *, metres: float = 0.0, fell: bool = False, left: float = 5.0) -> Ahead:
    return Ahead(metres, fell, left, rng.random(worth.OBSERVED - MUSCLES), rng.random(MUSCLES), rng.random())


@given(hidden=st.integers(1, 6), seed=st.integers(0, 100), left=st.floats(0, 10))
def test_what_a_moment_is_worth_is_its_network_s_word(hidden, seed, left):
    rng = np.random.default_rng(seed)
    theta = 0.3 * rng.standard_normal(worth.count_params(hidden))
    moment = there(rng, metres=2.0, left=left)
    angle = 2 * np.pi * moment.phase
    clock = [np.sin(angle), np.cos(angle), np.sin(2 * angle), np.cos(2 * angle)]
    x, rest = np.concatenate([moment.values, moment.activations, clock]), theta
    for number, (inputs, units) in enumerate(zip(worth.sizes(hidden), worth.sizes(hidden)[1:], strict=False)):
        weights, biases, rest = np.split(rest, [inputs * units, (inputs + 1) * units])
        x = weights.reshape(units, inputs) @ x + biases
        x = np.tanh(x) if number < 2 else x
    later = np.clip(x[1], 0, 1) * worth.CRUISE * max(left - worth.SPAN, 0)
    expected = 2.0 + x[0] * min(left / worth.SPAN, 1) + later
    assert Worth(theta, hidden)(moment) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(seed=st.integers(0, 100), metres=st.floats(0, 30))
def test_a_fall_is_worth_less_than_the_way_to_it(seed, metres):
    rng = np.random.default_rng(seed)
    valued = Worth(rng.standard_normal(worth.count_params(2)), 2)
    assert valued(there(rng, metres=metres, fell=True)) == metres - worth.FALL
