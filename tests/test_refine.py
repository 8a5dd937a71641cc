"""The policy gradient of a residual: what it weighs, what it is worth, and which way is up."""

from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from click.testing import CliRunner

from es import config
from es.compiled_rollout import Episode
from es.envs import registry as envs
from es.policies import registry as policies
from es.policies.policy import Policy
from es.policies.residual import Residual
from es.run_dir import RunDir, shipped
from tests.gaits import HEAD
from tests.reproduction import critic, pushes, refine
from tests.reproduction.gait_run import groups

HIDDEN = 3
ENVIRONMENT = config.Environment(
    id="es/LearningToRun-v0",
    arguments={"backend": "native", "observation": "gait", "integrator": "ros2", "max_obstacles": 10},
    action_repeat=2,
)
GAIT = config.Gait(head=HEAD, opening=0.1, residual=config.Residual(hidden=HIDDEN))


@pytest.fixture(scope="module")
def runner() -> tuple[envs.Env, Policy]:
    env = envs.make(ENVIRONMENT)
    return env, policies.make(GAIT, env, action_repeat=2)


@pytest.mark.parametrize("actions", [2, 5, 8])
def test_what_the_residual_weighs_moves_the_drives_as_its_weights_say(runner, actions):
    env, policy = runner
    rng = np.random.default_rng(1)
    theta = 0.2 * rng.standard_normal(policy.num_params)
    weights = 0.1 * rng.standard_normal(policy.num_params)
    weights[: -Residual(HIDDEN).num_params] = 0.0
    moment = Episode(env, policy, theta, seed=1, action_repeat=2)
    first = moment.moment.values.copy()
    moment.run(actions)
    pushed, changed = moment.copy(), moment.copy()
    weighed = Residual(HIDDEN).features(pushes.inputs(moment))
    change = weights[-Residual(HIDDEN).num_params :].reshape(9, -1)
    pushed.run(actions + 1, (weighed @ change.T).reshape(1, 18))
    changed.acting = policy.start(theta + weights, first)
    changed.run(actions + 1)
    np.testing.assert_allclose(pushed.state, changed.state, rtol=1e-9, atol=1e-9)
    assert not np.allclose(pushed.state, moment.state, rtol=1e-3)


def test_least_squares_find_the_way_up():
    rng = np.random.default_rng(0)
    true = rng.standard_normal((9, 4))
    gradient = refine.Gradient(4)
    for _ in range(4):
        pairs = []
        for _ in range(500):
            weighed, push = rng.standard_normal((2, 4)), rng.standard_normal(18)
            half = 0.1 * float(np.sum(push.reshape(2, 9) * (weighed @ true.T))) + rng.standard_normal()
            pairs.append(pushes.Push(weighed, push, half, 0))
        gradient.absorb(pairs)
    way = gradient.direction(pairs)
    cosine = way @ true.ravel() / np.linalg.norm(way) / np.linalg.norm(true)
    assert cosine > 0.9
    moved = [np.sum((each.weighed @ way.reshape(9, 4).T) ** 2) for each in pairs]
    assert np.mean(moved) == pytest.approx(1.0)


def episode_of(rng: np.random.Generator) -> critic.Trace:
    """A runner of 2 or 3 m/s, as the first feature says, who falls a second after the second one rises."""
    fast, falls_at = float(rng.integers(2)), rng.uniform(1.0, 20.0)
    end = min(falls_at, 10.0)
    seconds = np.arange(0.1, end, 0.1)
    danger = (seconds > falls_at - 1.0).astype(float)
    features = np.column_stack([np.full(len(seconds), fast), danger, rng.standard_normal(len(seconds))])
    speed = 2.0 + fast
    return critic.Trace(features, seconds, speed * seconds, end, speed * end, falls_at > 10.0)


def worth(learned: critic.Critic, fast: float, danger: float, seconds: float) -> float:
    return float(critic.value(learned, np.array([[fast, danger, 0.0]]), np.array([seconds]), episode=10.0)[0])


def test_the_critic_foresees_falls_and_tells_fast_from_slow():
    rng = np.random.default_rng(0)
    learned = critic.fit([episode_of(rng) for _ in range(300)], rng, episode=10.0, epochs=6, rate=2e-3)
    assert worth(learned, 0.0, 1.0, 3.0) < 0.3 * worth(learned, 0.0, 0.0, 3.0)
    faster = worth(learned, 1.0, 0.0, 3.0) - worth(learned, 0.0, 0.0, 3.0)
    assert faster == pytest.approx(critic.HORIZON, abs=0.8)
    assert worth(learned, 1.0, 0.0, 10.0) == 0.0


def test_a_critic_is_calibrated_to_runners_that_fall_less():
    rng = np.random.default_rng(0)
    episodes = [episode_of(rng) for _ in range(200)]
    learned = critic.fit(episodes, rng, episode=10.0, epochs=3, rate=2e-3)
    same = critic.calibrated(learned, episodes, episode=10.0)
    steady = [each for each in episodes if each.survived]
    fewer = critic.calibrated(learned, [*episodes, *3 * steady], episode=10.0)
    assert fewer.offset < same.offset
    assert worth(fewer, 0.0, 0.0, 3.0) > worth(same, 0.0, 0.0, 3.0)


def test_it_gives_the_same_parameters_again_and_leaves_the_gait_alone(runner, monkeypatch):
    monkeypatch.setattr(refine, "EPISODES", 2)
    monkeypatch.setattr(pushes, "PAIRS", 4)
    _, policy = runner
    theta = np.zeros(policy.num_params)
    part = slice(policy.num_params - Residual(HIDDEN).num_params, policy.num_params)
    gait, found = pushes.Runner(ENVIRONMENT, GAIT, 0.05), []
    for _ in range(2):
        with ProcessPoolExecutor(2) as pool:
            batches = refine.refine(gait, theta, part, refine.Settings(lesson=16), pool)
            found.append([next(batches) for _ in range(2)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one.theta, other.theta)
    last = found[0][-1]
    assert np.abs(last.theta[part]).max() > 0.0
    np.testing.assert_array_equal(np.delete(last.theta, np.arange(part.start, part.stop)), 0.0)
    assert found[0][0].steps < last.steps


def test_what_it_writes_is_a_run_with_another_residual(tmp_path, monkeypatch):
    monkeypatch.setattr(refine, "EPISODES", 2)
    monkeypatch.setattr(pushes, "PAIRS", 4)
    arguments = ["fast-runner", str(tmp_path / "refined"), "--minutes", "1e-6", "--lesson", "8"]
    result = CliRunner().invoke(refine.main, [*arguments, "--solid-drop", "0.5"], catch_exceptions=False)
    assert result.output.startswith("batch 1: ")
    runs = [RunDir.open(shipped(), "fast-runner"), RunDir.open(tmp_path, "refined")]
    before, after = (run.load_checkpoint(0).parameters for run in runs)
    residual = groups(config.at_stage(runs[1].experiment(), 0).policy)["residual"]
    changed = np.flatnonzero(before != after)
    assert set(changed.tolist()) <= set(range(residual.start, residual.stop))
    assert len(changed) > 1000
    # What was another task while it was refined is the same task again.
    assert runs[1].experiment() == runs[0].experiment()


def test_a_runner_without_residual_is_refused(tmp_path):
    result = CliRunner().invoke(refine.main, ["runner", str(tmp_path / "refined")])
    assert result.exit_code == 1
    assert "expected a gait with policy.residual, got one without" in result.output
    assert not (tmp_path / "refined").exists()
