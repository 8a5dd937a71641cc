import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from numpy.random import RandomState

import es.envs  # noqa: F401 - registers the ids
from es.envs.backends import BACKENDS
from es.envs.course import generate_course
from es.errors import SimulationError, UsageError

ACTION = np.full(18, 0.1)


class ScriptedPhysics:
    """The pelvis moves 0.01 m per step, sinks below the fall height at step 5 and breaks at step 8."""

    fall_step = 5
    break_step = 8

    def __init__(self, integrator, accuracy):
        self.options = integrator, accuracy

    def reset(self, obstacles, strengths, running=0.0):
        self.obstacles, self.strengths = obstacles.copy(), strengths.copy()
        self.steps = 0

    def step(self, excitations):
        if self.steps + 1 == self.break_step:
            raise SimulationError("scripted")
        self.excitations = excitations
        self.steps += 1

    def kinematics(self):
        values = np.zeros(36)
        values[[1, 24]] = 0.01 * self.steps
        values[2] = 0.6499 if self.steps >= self.fall_step else 0.65
        values[18:20] = 1.0
        return values

    def limit_torque_square_sum(self):
        return 1e8

    def activations(self):
        return np.full(18, 0.05)


@pytest.fixture
def make(monkeypatch):
    """Make the environment on scripted physics, without Gymnasium's wrappers; returns it and its physics."""
    monkeypatch.setitem(BACKENDS, "scripted", f"{__name__}:ScriptedPhysics")

    def make(**options):
        env = gymnasium.make("es/LearningToRun-v0", backend="scripted", **options).unwrapped
        return env, env._physics

    return make


@pytest.mark.filterwarnings("ignore:.*Box observation space m.*imum value:UserWarning")
@pytest.mark.parametrize("observation", ["41", "82"])
def test_gymnasium_accepts_the_environment(make, observation):
    env, _ = make(observation=observation)
    check_env(env)


def test_an_episode_ends_by_a_fall(make):
    env, _ = make()
    env.reset(seed=1)
    ends = [env.step(ACTION)[2:4] for _ in range(5)]
    assert ends == [(False, False)] * 4 + [(True, False)]


def test_a_pelvis_at_exactly_the_fall_height_has_not_fallen(make):
    env, _ = make()
    observation, _ = env.reset(seed=1)
    assert observation[2] == 0.65
    assert not env.step(ACTION)[4]["fell"]


def test_an_episode_is_truncated_after_max_steps(make):
    env, _ = make(max_steps=3)
    env.reset(seed=1)
    assert [env.step(ACTION)[2:4] for _ in range(3)] == [(False, False)] * 2 + [(False, True)]


def test_info_keeps_the_score_and_both_rewards(make):
    env, _ = make(reward="shaped")
    env.reset(seed=1)
    for _ in range(2):
        _, reward, _, _, info = env.step(ACTION)
    assert info["metres"] == pytest.approx(0.02)
    assert info["reward_original"] == pytest.approx(0.01 - 1e-3)
    assert info["score"] == pytest.approx(2 * (0.01 - 1e-3))
    assert info["reward_shaped"] == reward
    assert not info["fell"]
    assert not info["failed"]


def test_weights_come_from_the_arguments(make):
    env, _ = make(reward="weighted", reward_weights={"survive": 0.5, "ligaments": 0.0})
    env.reset(seed=1)
    _, reward, _, _, info = env.step(ACTION)
    assert reward == pytest.approx(info["reward_shaped"] - 0.01 + 0.5 + 1e-3)
    with pytest.raises(UsageError, match="reward_weights are velocity"):
        make(reward="weighted", reward_weights={"speed": 1.0})
    with pytest.raises(UsageError, match="reward_weights need reward = 'weighted', got 'shaped'"):
        make(reward="shaped", reward_weights={"survive": 0.5})


@pytest.mark.parametrize("observation", ["41", "82"])
def test_a_physics_failure_ends_the_episode_with_a_flag_and_no_reward(make, monkeypatch, observation):
    monkeypatch.setattr(ScriptedPhysics, "break_step", 3)
    env, _ = make(observation=observation)
    env.reset(seed=1)
    env.step(ACTION)
    last, *_, before = env.step(ACTION)
    observed, reward, terminated, truncated, info = env.step(ACTION)
    np.testing.assert_array_equal(observed, last)
    assert (reward, terminated, truncated) == (0.0, True, False)
    assert info["failed"]
    assert info["failure"] == "scripted"
    assert (info["metres"], info["score"]) == (before["metres"], before["score"])
    with pytest.raises(ResetNeeded):
        env.step(ACTION)
    env.reset()
    assert not env.step(ACTION)[4]["failed"]


def test_actions_are_clipped(make):
    env, physics = make()
    env.reset(seed=1)
    env.step(np.linspace(-1, 2, 18))
    assert physics.excitations.min() == 0
    assert physics.excitations.max() == 1


@pytest.mark.parametrize("action", [np.full(18, np.nan), np.zeros(17), np.zeros((1, 18))])
def test_bad_actions_are_refused(make, action):
    env, _ = make()
    env.reset(seed=1)
    with pytest.raises(ValueError, match="an action"):
        env.step(action)


def test_a_step_before_the_first_reset_is_refused(make):
    env, _ = make()
    with pytest.raises(ResetNeeded):
        env.step(ACTION)


def test_a_seed_gives_the_course_of_2017_and_the_stream_goes_on(make):
    env, physics = make(max_obstacles=10)
    stream = RandomState(7)
    for seed in (7, None, None):
        env.reset(seed=seed)
        course = generate_course(stream, 2, 10)
        np.testing.assert_array_equal(physics.obstacles[:, :2], course.obstacles[:, :2])
        np.testing.assert_array_equal(physics.strengths, course.strengths)


def test_the_global_numpy_stream_is_neither_used_nor_moved(make):
    before = np.random.get_state()[1].tolist()  # noqa: NPY002 - this is the global stream
    env, _ = make()
    env.reset(seed=3)
    env.reset()
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_options_set_obstacles_and_strengths(make):
    env, physics = make(max_obstacles=2)
    options = {"obstacles": [[3.0, 0.0, 0.2], [1.0, 0.05, 0.3]], "strengths": [0.7, 0.8]}
    observation, _ = env.reset(seed=1, options=options)
    assert physics.obstacles.tolist() == [[1.0, 0.05, 0.1], [3.0, 0.0, 0.1]]
    assert physics.strengths[[3, 11]].tolist() == [0.7, 0.8]
    assert observation[36:41].tolist() == [0.8, 0.7, 1.0, 0.05, 0.3]


def test_an_empty_list_of_obstacles_clears_the_course(make):
    env, physics = make(max_obstacles=0)
    observation, _ = env.reset(seed=1, options={"obstacles": []})
    assert physics.obstacles.shape == (0, 3)
    assert observation[38:41].tolist() == [100, 0, 0]


def test_an_intended_course_is_as_solid_as_it_looks(make):
    env, physics = make(course="intended")
    env.reset(seed=1, options={"obstacles": [[1.0, 0.0, 0.3]]})
    assert physics.obstacles.tolist() == [[1.0, 0.0, 0.3]]


def test_flat_ground_has_the_spheres_of_2017_parked_below_the_start(make):
    env, physics = make(difficulty=0, max_obstacles=3)
    observation, _ = env.reset(seed=1)
    assert physics.obstacles.tolist() == [[0, -0.1, 0.1]] * 3
    assert observation[38:41].tolist() == [100, 0, 0]


@pytest.mark.parametrize(
    "options",
    [
        {"obstacle": []},
        {"obstacles": [[1.0, 0.0, 0.0]]},
        {"obstacles": [[np.nan, 0.0, 0.1]]},
        {"obstacles": [[1.0, 0.1]]},
        {"strengths": [0.0, 1.0]},
        {"strengths": [1.0]},
        {"strengths": []},
        {"strengths": ["strong", 1.0]},
    ],
)
def test_bad_reset_options_are_refused(make, options):
    env, _ = make()
    with pytest.raises(UsageError):
        env.reset(options=options)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("difficulty", 3),
        ("difficulty", 1.5),
        ("max_obstacles", -1),
        ("max_obstacles", 21),
        ("max_steps", 0),
        ("observation", "40"),
        ("reward", "sparse"),
        ("course", "flat"),
        ("backend", "mujoco"),
    ],
)
def test_unknown_options_are_refused_by_name(make, option, value):
    with pytest.raises(UsageError, match=option):
        gymnasium.make("es/LearningToRun-v0", **{"backend": "scripted", option: value})


def test_a_seed_outside_the_legacy_range_is_refused(make):
    env, _ = make()
    with pytest.raises(UsageError, match="seed"):
        env.reset(seed=2**32)


def test_a_backend_that_cannot_be_imported_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(BACKENDS, "absent", "no_such_module_here:Physics")
    with pytest.raises(UsageError, match="'absent' cannot be imported"):
        gymnasium.make("es/LearningToRun-v0", backend="absent")


def test_the_82_values_start_afresh_each_episode(make):
    env, _ = make(observation="82")
    first, _ = env.reset(seed=5)
    env.step(ACTION)
    again, _ = env.reset(seed=5)
    np.testing.assert_array_equal(first, again)


def test_stable_baselines3_accepts_it() -> None:
    reason = "stable-baselines3 is not installed: it brings torch, gigabytes for this test alone"
    checker = pytest.importorskip("stable_baselines3.common.env_checker", reason=reason)
    checker.check_env(gymnasium.make("es/LearningToRun-v0").unwrapped, warn=False)
