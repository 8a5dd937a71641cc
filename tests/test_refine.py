"""The policy gradient of a residual: what it weighs, what an action was worth, and which way is up."""

from concurrent.futures import ProcessPoolExecutor
from itertools import islice

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from es import config
from es.compiled_rollout import Episode
from es.envs import registry as envs
from es.policies import registry as policies
from es.policies.policy import Policy
from es.policies.residual import Residual
from es.run_dir import RunDir, shipped
from tests import checkpointed_run
from tests.gaits import HEAD
from tests.reproduction import critic, disturbed, refine
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


@pytest.fixture
def short_batches(monkeypatch):
    monkeypatch.setattr(refine, "EPISODES", 6)
    monkeypatch.setattr(refine, "BLOCK", 2)
    monkeypatch.setattr(refine, "WARM", 1)


@pytest.mark.parametrize("actions", [2, 5, 8])
def test_what_the_residual_weighs_moves_the_drives_as_its_weights_say(runner, actions):
    env, policy = runner
    rng = np.random.default_rng(1)
    theta = 0.2 * rng.standard_normal(policy.num_params)
    weights = 0.1 * rng.standard_normal(policy.num_params)
    weights[: -Residual(HIDDEN).num_params] = 0.0
    pushed, changed, free = (Episode(env, policy, theta, seed=1, action_repeat=2) for _ in range(3))
    for episode in (pushed, changed):
        episode.run(actions)
    now = disturbed.moment(pushed)
    weighed = Residual(HIDDEN).features(disturbed.inputs(now.values[None], np.array([now.cycles])))[0]
    change = weights[-Residual(HIDDEN).num_params :].reshape(9, -1)
    pushed.run(actions + 1, (weighed @ change.T).reshape(1, 18))
    changed.acting = policy.start(theta + weights, changed.moment.values)
    changed.run(actions + 1)
    np.testing.assert_allclose(pushed.state, changed.state, rtol=1e-9, atol=1e-9)
    free.run(actions + 1)
    assert not np.allclose(pushed.state, free.state, rtol=1e-3)


def test_the_way_up_is_the_slope_in_every_drive_and_as_long_as_asked():
    rng = np.random.default_rng(0)
    true = rng.standard_normal((4, 9))
    weighed = rng.standard_normal((5000, 4)) * [1.0, 3.0, 0.3, 1.0]
    disturbances = rng.standard_normal((5000, 9))
    gains = np.sum(disturbances * (weighed @ true), axis=1) + 5.0 * rng.standard_normal(5000)
    squares, products = weighed.T @ weighed, weighed.T @ (gains[:, None] * disturbances)
    way = refine.direction(squares, products, 5000.0, squares / 5000)
    moved, wanted = weighed @ way, weighed @ true
    assert np.sum(moved * wanted) / np.linalg.norm(moved) / np.linalg.norm(wanted) > 0.9
    assert np.mean(np.sum(moved**2, axis=1)) == pytest.approx(1.0)


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-50, 50)), min_size=1, max_size=30))
def test_whatever_was_foreseen_what_came_of_it_is_what_was_made(moments):
    rewards, values = np.array(moments).T
    to_come = np.cumsum(rewards[::-1])[::-1]
    np.testing.assert_allclose(disturbed.advantages(rewards, values, 1.0) + values, to_come, atol=1e-9)
    surprise = disturbed.advantages(rewards, values, 0.0) + values
    np.testing.assert_allclose(surprise, rewards + np.append(values[1:], 0.0), atol=1e-9)


@given(
    st.lists(st.tuples(st.floats(0, 30), st.floats(-0.3, 0.2)), max_size=6),
    st.lists(st.floats(-2, 32), min_size=1, max_size=6),
)
def test_the_critic_sees_how_far_and_how_high_the_next_obstacles_are(obstacles, positions):
    rows, n = np.array([(x, y, 0.1) for x, y in sorted(obstacles)]).reshape(-1, 3), len(positions)
    now = disturbed.Moment(np.zeros((n, 1)), np.zeros((n, 18)), np.array(positions), np.zeros(n), np.zeros(n))
    seen = disturbed.features(now, rows)
    for x, row in zip(positions, seen[:, -7:-1], strict=True):
        near = [each for each in rows if each[0] >= x - 0.5][:3]
        expected = [[min(center - x, 4.0), 10 * max(height + 0.1, 0.0)] for center, height, _ in near]
        expected += [[4.0, 0.0]] * (3 - len(near))
        np.testing.assert_allclose(row.reshape(2, 3).T, expected, atol=1e-12)


def lesson(rng: np.random.Generator) -> critic.Lesson:
    """An episode of a runner of 2 or 3 m/s, as the first feature says, who falls a second after the second
    one rises."""
    fast, falls_at = float(rng.integers(2)), rng.uniform(1.0, 20.0)
    end = min(falls_at, 10.0)
    seconds = np.arange(0.0, end, 0.1)
    danger = (seconds > falls_at - 1.0).astype(float)
    features = np.column_stack([np.full(len(seconds), fast), danger, rng.standard_normal(len(seconds))])
    return critic.Lesson(features, 10.0 - seconds, (2.0 + fast) * (end - seconds))


def test_the_critic_foresees_falls_and_tells_fast_from_slow():
    rng = np.random.default_rng(0)
    lessons = [lesson(rng) for _ in range(300)]
    learned = critic.learn(critic.begin(lessons[0], rng), lessons, rng, epochs=20)

    def worth(fast: float, danger: float, left: float) -> float:
        return float(critic.value(learned, np.array([[fast, danger, 0.0]]), np.array([left]))[0])

    assert worth(0.0, 1.0, 7.0) < 0.3 * worth(0.0, 0.0, 7.0)
    assert worth(1.0, 0.0, 1.0) - worth(0.0, 0.0, 1.0) == pytest.approx(1.0, abs=0.4)
    assert worth(1.0, 0.0, 2.0) == pytest.approx(2 * worth(1.0, 0.0, 1.0))


def test_it_gives_the_same_parameters_on_any_number_of_processes_and_leaves_the_gait_alone(
    runner, short_batches
):
    _, policy = runner
    theta, found = np.zeros(policy.num_params), []
    for processes in (1, 2):
        with ProcessPoolExecutor(processes) as pool:
            batches = refine.refine(ENVIRONMENT, GAIT, theta, refine.Settings(), pool)
            found.append([*islice(batches, 3)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one.theta, other.theta)
    first, _, last = found[0]
    np.testing.assert_array_equal(first.theta, theta)
    assert np.abs(last.theta).max() > 0.0
    part = groups(GAIT)["residual"]
    np.testing.assert_array_equal(np.delete(last.theta, np.arange(part.start, part.stop)), 0.0)
    assert first.steps < last.steps
    np.testing.assert_allclose(last.average, 0.9 * found[0][1].average + 0.1 * last.theta)


def test_a_fall_can_cost_more_than_the_way_that_is_not_made(runner):
    _, policy = runner
    theta = np.zeros(policy.num_params)  # falls
    free, dear = (
        disturbed.experience(disturbed.Task(ENVIRONMENT, GAIT, theta, 0.4, fall, None, (3,)))
        for fall in (0.0, 6.0)
    )
    assert free.survived == dear.survived == (False,)
    assert free.metres == dear.metres
    np.testing.assert_allclose(free.lesson.metres - dear.lesson.metres, 6.0)


def refined(run: str, destination: str, *arguments: str) -> str:
    result = CliRunner().invoke(
        refine.main, [run, destination, "--minutes", "1e-6", *arguments], catch_exceptions=False
    )
    return result.output


def test_what_it_writes_is_a_run_with_another_residual(tmp_path, short_batches, monkeypatch):
    monkeypatch.setattr(refine, "WARM", 0)
    output = refined("fast-runner", str(tmp_path / "refined"))
    assert output.startswith("batch 1: ")
    runs = [RunDir.open(shipped(), "fast-runner"), RunDir.open(tmp_path, "refined")]
    before, after = (run.load_checkpoint(0).parameters for run in runs)
    residual = groups(config.at_stage(runs[1].experiment(), 0).policy)["residual"]
    changed = np.flatnonzero(before != after)
    assert set(changed.tolist()) <= set(range(residual.start, residual.stop))
    assert len(changed) > 1000
    assert runs[1].experiment() == runs[0].experiment()


def test_a_runner_without_residual_gets_one(tmp_path, short_batches):
    refined("runner", str(tmp_path / "refined"), "--hidden", "5")
    run, source = RunDir.open(tmp_path, "refined"), RunDir.open(shipped(), "runner")
    experiment = run.experiment()
    assert experiment.policy.residual == config.Residual(hidden=5)
    assert experiment.environment == config.at_stage(source.experiment(), 5).environment
    gait = source.latest_readable().parameters
    expected = np.concatenate([gait, np.zeros(Residual(5).num_params)])
    np.testing.assert_array_equal(run.load_checkpoint(0).parameters, expected)  # only the critic has learned


def test_what_is_no_gait_is_refused(tmp_path):
    checkpointed_run.create(tmp_path, "walker", {"id": "es/LQR-v0"})
    arguments = ["walker", str(tmp_path / "refined"), "--runs-dir", str(tmp_path)]
    result = CliRunner().invoke(refine.main, arguments)
    assert result.exit_code == 1
    assert "expected a policy of kind 'gait', got " in result.output
    assert not (tmp_path / "refined").exists()


def test_a_place_that_is_taken_is_refused_in_one_line(tmp_path):
    (tmp_path / "refined").mkdir()
    result = CliRunner().invoke(refine.main, ["runner", str(tmp_path / "refined")])
    assert result.exit_code == 2
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1
