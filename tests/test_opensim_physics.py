import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from es.envs import opensim_physics
from es.envs.course import Course
from es.envs.learning_to_run import LearningToRun
from es.envs.opensim_physics import OpenSimPhysics
from es.errors import SimulationError, UsageError
from tests.benchmarks.memory import growth
from tests.golden_trajectories import COMPARABLE, ROOT, SHARED, load
from tests.reference_2017 import Reference2017

POSITIONS = [*range(3), *range(6, 12), 18, 19, *range(22, 36)]
RATES = [3, 4, 5, *range(12, 18), 20, 21]
DRAWN = [36, 37, 39, 40]
NO_OBSTACLES = np.empty((0, 3))
FULL_STRENGTH = np.ones(18)


def run_like(name, **options):
    """Observations and both rewards of the environment under a recording's course and actions."""
    golden = load(name)
    env = LearningToRun(
        difficulty=int(golden["difficulty"]),
        max_obstacles=int(golden["max_obstacles"]),
        course="intended" if "intended" in name else "literal",
        **options,
    )
    course = {"obstacles": golden["obstacles"]} if name.startswith("contact_") else None
    first, _ = env.reset(seed=int(golden["seed"]), options=course)
    observations, rewards = [first], []
    for action in golden["actions"]:
        observation, _, terminated, _, info = env.step(action)
        observations.append(observation)
        rewards.append((info["reward_original"], info["reward_shaped"]))
        if terminated or (len(rewards) == 100 and not golden["done"].any()):
            break
    return golden, np.array(observations), np.array(rewards), terminated


@pytest.mark.parametrize("name", COMPARABLE)
def test_motion_is_the_recorded_one_up_to_integration_error(name):
    golden, observations, rewards, fell = run_like(name)
    steps = min(len(observations), len(golden["obs"]), 101)
    difference = np.abs(observations[:steps] - golden["obs"][:steps])
    contact = name.startswith("contact_")
    bounds = [(1, 1e-15, 0), (2, 1e-4, 0.02), (51, 1e-2, 0.2), (101, 2e-2, 0.3)]
    if contact:
        bounds = [(1, 1e-15, 0), (2, 1e-4, 0.02), (61, 4.5e-2, 0.7)]
    for end, position, rate in bounds:
        assert difference[:end, POSITIONS].max() <= position
        assert difference[:end, RATES].max() <= rate
        assert difference[:end, 38].max() <= position
    assert not difference[:, DRAWN].any()

    recorded = np.column_stack([golden["reward_original"], golden["reward_shaped"]])
    np.testing.assert_allclose(rewards[: steps - 1], recorded[: steps - 1], rtol=0, atol=1e-3)

    if golden["done"].any():
        assert fell
        assert abs(len(rewards) - len(golden["done"])) <= 3
    else:
        assert not fell


def test_all_recordings_are_at_hand():
    if not SHARED.is_dir():
        pytest.skip(f"only the recordings in tests/golden were compared: there is no {SHARED}")
    assert len(COMPARABLE) >= 20


# Both models integrated a hundred times more tightly than in 2017, so that what differs is the model itself.
@pytest.mark.parametrize(
    ("name", "steps", "position", "rate"),
    [("contact_literal_r0.15", 40, 6e-4, 1e-2), ("d0_o3_s04_sin", 20, 5e-5, 2e-3)],
)
def test_the_lean_model_moves_as_the_one_built_like_2017(name, steps, position, rate):
    golden = load(name)
    course = Course(golden["obstacles"].reshape(-1, 3), FULL_STRENGTH)
    count = int(golden["max_obstacles"])
    reference = Reference2017(count, accuracy=1e-5)
    lean = LearningToRun(difficulty=int(golden["difficulty"]), max_obstacles=count, accuracy=1e-5)
    expected = [reference.reset(course)]
    observed = [lean.reset(options={"obstacles": course.obstacles, "strengths": [1, 1]})[0]]
    for action in golden["actions"][:steps]:
        expected.append(reference.step(action))
        observed.append(lean.step(action)[0])
    difference = np.abs(np.array(observed) - np.array(expected))
    assert difference[:, POSITIONS].max() <= position
    assert difference[:, RATES].max() <= rate
    assert difference[:, 38].max() <= position
    assert not difference[:, DRAWN].any()


def test_the_fast_integrator_stays_close_to_the_recorded_motion():
    golden, observations, _, _ = run_like("d2_o3_s03_uniform", integrator="see2")
    assert abs(len(observations) - len(golden["obs"])) <= 3
    assert np.abs(observations[:100] - golden["obs"][:100])[:, POSITIONS].max() <= 0.05


@pytest.mark.filterwarnings("ignore:.*Box observation space m.*imum value:UserWarning")
def test_gymnasium_accepts_the_environment_on_opensim():
    check_env(gymnasium.make("es/LearningToRun-v0").unwrapped)


def run(physics, seed, obstacles, steps=8):
    """Kinematics of a short random episode."""
    random = np.random.default_rng(seed)
    physics.reset(obstacles, random.uniform(0.5, 1, 18))
    trajectory = [physics.kinematics()]
    for _ in range(steps):
        physics.step(random.uniform(0, 1, 18))
        trajectory.append(physics.kinematics())
    return np.array(trajectory)


STEPPING_STONE = np.array([[0.1, -0.02, 0.1], [3.0, 0.0, 0.1]])


@pytest.mark.parametrize("integrator", ["rkm", "see2"])
def test_an_episode_depends_on_nothing_before_it(integrator):
    fresh = run(OpenSimPhysics(integrator), 1, STEPPING_STONE)
    used = OpenSimPhysics(integrator)
    run(used, 2, NO_OBSTACLES, steps=3)
    run(used, 3, STEPPING_STONE + np.array([0.05, 0.01, 0.1]), steps=3)
    np.testing.assert_array_equal(run(used, 1, STEPPING_STONE), fresh)


def test_two_runners_in_one_process_do_not_disturb_each_other():
    alone = run(OpenSimPhysics(), 1, NO_OBSTACLES, steps=4)[-1]
    first, second = OpenSimPhysics(), OpenSimPhysics()
    random = np.random.default_rng(1)
    first.reset(NO_OBSTACLES, random.uniform(0.5, 1, 18))
    second.reset(STEPPING_STONE, FULL_STRENGTH)
    for _ in range(4):
        first.step(random.uniform(0, 1, 18))
        second.step(FULL_STRENGTH)
    np.testing.assert_array_equal(first.kinematics(), alone)


def test_another_process_computes_the_same_bits():
    script = (
        "import numpy as np, sys; from tests.test_opensim_physics import *;"
        "sys.stdout.buffer.write(run(OpenSimPhysics(), 1, STEPPING_STONE).tobytes())"
    )
    other = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True)
    assert other.stdout == run(OpenSimPhysics(), 1, STEPPING_STONE).tobytes()


def test_the_stepping_stone_matters_and_its_size_too():
    tall = STEPPING_STONE + np.array([0, 0, 0.02])
    motions = [run(OpenSimPhysics(), 1, obstacles)[-1] for obstacles in (NO_OBSTACLES, STEPPING_STONE, tall)]
    assert np.abs(motions[0] - motions[1]).max() > 1e-3
    assert np.abs(motions[1] - motions[2]).max() > 1e-3


def test_an_integrator_that_cannot_advance_is_a_simulation_error_of_one_line():
    physics = OpenSimPhysics()
    physics.reset(NO_OBSTACLES, FULL_STRENGTH)
    with pytest.raises(SimulationError, match=r"could not integrate to 0\.01 s.*Unable to advance") as caught:
        physics.step(np.full(18, np.nan))
    assert "\n" not in str(caught.value)


def test_an_early_return_is_a_simulation_error():
    physics = OpenSimPhysics()
    physics.reset(NO_OBSTACLES, FULL_STRENGTH)
    physics._manager.setIntegratorFinalTime(0.005)
    with pytest.raises(SimulationError, match=r"stopped at 0\.005000 s"):
        physics.step(FULL_STRENGTH)


def test_a_state_with_nan_is_a_simulation_error():
    physics = OpenSimPhysics()
    physics.reset(NO_OBSTACLES, np.full(18, np.nan))
    with pytest.raises(SimulationError, match="NaN"):
        physics.step(FULL_STRENGTH)


def test_physics_works_again_after_a_failure():
    physics = OpenSimPhysics()
    physics.reset(NO_OBSTACLES, FULL_STRENGTH)
    with pytest.raises(SimulationError):
        physics.step(np.full(18, np.nan))
    np.testing.assert_array_equal(
        run(physics, 1, STEPPING_STONE, 2), run(OpenSimPhysics(), 1, STEPPING_STONE, 2)
    )


def test_resets_and_steps_do_not_leak():
    # The bound is 20 MB for 200 resets; tests.benchmarks.memory measures those, with 20,000 steps.
    env = LearningToRun(max_obstacles=10, integrator="see2")
    assert growth(env, resets=40, steps=3) < 4e6


def test_kinematics_are_a_copy():
    physics = OpenSimPhysics()
    physics.reset(NO_OBSTACLES, FULL_STRENGTH)
    physics.kinematics()[:] = 0
    assert physics.kinematics()[2] == 0.91


def test_nothing_is_written_or_printed(tmp_path):
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r});"
        "from es.envs.learning_to_run import LearningToRun;"
        "env = LearningToRun(); env.reset(seed=1); env.step(env.action_space.sample())"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
    assert list(tmp_path.iterdir()) == []


def test_importing_the_environments_does_not_import_opensim():
    script = "import sys, es.envs; sys.exit('opensim' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


@pytest.mark.parametrize("options", [{"integrator": "euler"}, {"accuracy": 0.0}, {"accuracy": float("nan")}])
def test_bad_integration_options_are_refused(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        OpenSimPhysics(**options)


def test_another_model_file_is_refused(monkeypatch):
    monkeypatch.setattr(opensim_physics, "MODEL_FILE", "gait9dof18musc_20170320.osim")
    with pytest.raises(UsageError, match="SHA-256"):
        OpenSimPhysics()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(opensim_physics, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"install osim-rl==3\.0\.11"):
        OpenSimPhysics()
