"""What a runner foresees is what happens, and it foresees nothing that it was not told."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from es.envs.gait_observation import NAMES_GAIT
from es.envs.learning_to_run import LearningToRun
from es.policies.foresight import Foresight
from es.policies.planner import JOINTS
from es.policies.policy import NetworkPolicy
from es.run_dir import RunDir
from tests.gaits import policy_of

REPEAT = 2
STEPS = 1000


@pytest.fixture(scope="module")
def fast_runner(tmp_path_factory) -> tuple[NetworkPolicy, np.ndarray]:
    run = RunDir.open(tmp_path_factory.mktemp("runs"), "fast-runner")
    gait = policy_of(run.experiment().policy)
    assert isinstance(gait, NetworkPolicy)
    return gait, run.load_checkpoint(0).parameters


def runner(backend: str, **arguments: object) -> LearningToRun:
    given = {"max_obstacles": 10, "integrator": "ros2_coarse", "accuracy": 0.02} | arguments
    return LearningToRun(backend=backend, **given)  # type: ignore[arg-type]  # options of several types


def follow(env: LearningToRun, foresight: Foresight, pushes: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """Act with these pushes; the last observation."""
    for push in pushes:
        foresight.observe(raw)
        action = foresight.act(push)
        for _ in range(REPEAT):
            raw = env.step(action)[0]
    foresight.observe(raw)
    return raw


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), before=st.integers(0, 60), length=st.integers(1, 40))
def test_it_comes_as_foreseen(fast_runner, seed, before, length):
    env = runner("native")
    rng = np.random.default_rng(seed)
    foresight = Foresight(*fast_runner, REPEAT, STEPS)
    raw = follow(env, foresight, 0.3 * rng.standard_normal((before, 18)), env.reset(seed=seed)[0])
    pushes = 0.3 * rng.standard_normal((length, 18))
    foreseen = foresight.ahead(pushes, length)
    known = len(foresight.obstacles)
    raw = follow(env, foresight, pushes, raw)
    if foreseen.fell or len(foresight.obstacles) > known:
        return
    # Each look begins with a step size of its own, so it is as near as the integrator is accurate.
    assert foreseen.metres == pytest.approx(raw[1], abs=5e-3)
    assert foreseen.left == pytest.approx(10.0 - 0.02 * (before + length))
    np.testing.assert_allclose(foreseen.activations, env.physics.activations(), atol=0.02)


def test_it_comes_so_in_opensim(fast_runner):
    env = runner("opensim", integrator="rkm", accuracy=1e-3)
    rng = np.random.default_rng(1)
    foresight = Foresight(*fast_runner, REPEAT, STEPS)
    raw = env.reset(seed=5)[0]
    for _ in range(4):
        raw = follow(env, foresight, 0.3 * rng.standard_normal((8, 18)), raw)
        pushes = 0.3 * rng.standard_normal((8, 18))
        foreseen = foresight.ahead(pushes, 8)
        raw = follow(env, foresight, pushes, raw)
        assert foreseen.metres == pytest.approx(raw[1], abs=5e-3)


@pytest.mark.parametrize(("joint", "name"), [(0, "hip_r"), (1, "knee_r"), (2, "ankle_r")])
def test_a_push_to_a_joint_turns_it(fast_runner, joint, name):
    env = runner("native")
    foresight = Foresight(*fast_runner, REPEAT, STEPS)
    follow(env, foresight, np.zeros((50, 18)), env.reset(seed=3)[0])  # into the first steps
    push = np.concatenate([JOINTS[joint], np.zeros(9)])
    there, back = (foresight.ahead(np.tile(by * push, (10, 1)), 10).values for by in (2.0, -2.0))
    angle = NAMES_GAIT.index(name)
    assert there[angle] > back[angle] + 0.05


def test_looking_changes_nothing(fast_runner):
    env = runner("native")
    one, other = (Foresight(*fast_runner, REPEAT, STEPS) for _ in range(2))
    raw = env.reset(seed=3)[0]
    one.observe(raw)
    other.observe(raw)
    for actions in (1, 30, 400):
        one.ahead(np.ones((3, 18)), actions)
    np.testing.assert_array_equal(one.act(np.zeros(18)), other.act(np.zeros(18)))
    assert one.ahead(np.zeros((0, 18)), 20).metres == other.ahead(np.zeros((0, 18)), 20).metres


def test_obstacles_behind_the_next_one_are_unknown(fast_runner):
    first, rest = (0.6, 0.0, 0.1), [(0.9, 0.1, 0.2), (1.5, 0.1, 0.2)]
    ends = []
    for obstacles, known in (([first], []), ([first, *rest], []), ([first, *rest], rest)):
        env = runner("native")
        foresight = Foresight(*fast_runner, REPEAT, STEPS, known)
        foresight.observe(env.reset(seed=3, options={"obstacles": obstacles})[0])
        ends.append(foresight.ahead(np.zeros((0, 18)), 120).metres)
    assert ends[0] == ends[1] != ends[2]


def test_the_end_of_the_time_is_foreseen(fast_runner):
    foresight = Foresight(*fast_runner, REPEAT, 50)
    foresight.observe(runner("native").reset(seed=3)[0])
    assert foresight.ahead(np.zeros((0, 18)), 24).left == pytest.approx(0.02)
    assert foresight.ahead(np.zeros((0, 18)), 100).left == 0.0
