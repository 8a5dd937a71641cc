import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from es import compiled_rollout, config
from es.envs import registry as envs
from es.envs.gait_observation import NAMES_GAIT, GaitObservation
from es.envs.observations import NAMES_41, mirror
from es.errors import ExperimentError, UsageError
from es.policies import human_running
from es.policies import registry as policies
from es.policies.gait_weights import NUM_PARAMS, NUM_REFLEXES, OVER, REFLEXES, SETTINGS, SIZES, settings

HEAD = config.Squashed(bias=-2.0, floor=0.05)
finite = st.floats(-1e3, 1e3)


def runner(observation: str = "gait", **arguments: object) -> envs.Env:
    given = {"backend": "native", "integrator": "ros2", "observation": observation, **arguments}
    return envs.make(config.Environment(id="es/LearningToRun-v0", arguments=given))


def observe(**values: float) -> np.ndarray:
    observation = np.zeros(41)
    observation[NAMES_41.index("obstacle_dx")] = 100.0
    for name, value in values.items():
        observation[NAMES_41.index(name)] = value
    return observation


def named(values: np.ndarray) -> dict[str, float]:
    return dict(zip(NAMES_GAIT, values.tolist(), strict=True))


@given(st.lists(npst.arrays(np.float64, 41, elements=finite), min_size=1, max_size=4))
def test_what_is_seen_of_a_mirrored_motion_is_mirrored(motion):
    observe_motion, observe_image = GaitObservation(), GaitObservation()
    for observation in motion:
        expected = observe_motion(observation)[mirror(NAMES_GAIT)]
        np.testing.assert_array_equal(observe_image(observation[mirror(NAMES_41)]), expected)


def test_an_obstacle_is_seen_from_the_pelvis_and_from_each_foot():
    seen = named(
        GaitObservation()(
            observe(
                pelvis_x=3.0,
                obstacle_dx=0.4,
                obstacle_y=0.02,
                obstacle_radius=0.3,
                toes_r_x=3.3,
                toes_l_x=2.0,
            )
        )
    )
    assert seen["obstacle_1"] == pytest.approx(1.2)  # (0.02 + 0.1) * 10, exactly 0.4 ahead
    assert seen["obstacle_3"] == 0.0
    assert seen["foot_obstacle_1_r"] == pytest.approx(1.2)  # 0.1 ahead of the toes
    assert seen["foot_obstacle_1_l"] == 0.0


def test_the_obstacle_passed_last_is_remembered():
    observation = GaitObservation()
    observation(observe(pelvis_x=1.0, obstacle_dx=0.1, obstacle_y=0.02, obstacle_radius=0.1))
    seen = named(observation(observe(pelvis_x=1.3, toes_l_x=1.0)))  # nothing ahead any more
    assert seen["foot_obstacle_1_l"] == pytest.approx(1.2)
    observation.reset()
    assert named(observation(observe(pelvis_x=1.3, toes_l_x=1.0)))["foot_obstacle_1_l"] == 0.0


def test_stance_is_a_foot_on_the_ground():
    seen = named(
        GaitObservation()(observe(pelvis_vx=2.0, toes_r_y=-0.01, talus_r_y=0.03, toes_l_y=0.1, talus_l_y=0.2))
    )
    assert (seen["stance_r"], seen["stance_vx_r"]) == (1.0, 2.0)
    assert (seen["stance_l"], seen["stance_vx_l"]) == (0.0, 0.0)


def test_a_foot_on_the_ground_tells_both_legs_how_far_the_obstacle_is():
    seen = named(
        GaitObservation()(
            observe(
                obstacle_dx=1.0,
                obstacle_y=0.0,
                obstacle_radius=0.1,
                toes_r_x=0.25,
                toes_l_y=0.2,
                talus_l_y=0.24,
            )
        )
    )
    assert seen["step_obstacle_3_r"] == pytest.approx(1.0)  # the right toes stand 0.75 before it
    assert seen["reach_obstacle_3_l"] == pytest.approx(1.0)  # while the left foot swings
    assert seen["step_obstacle_3_l"] == seen["reach_obstacle_3_r"] == 0.0


def linear(*, steered: bool) -> config.Symmetric:
    return config.Symmetric(
        hidden=(), clock_hz=1.3, clock_harmonics=2, clock_learned=True, clock_steered=steered, head=HEAD
    )


@given(
    data=st.data(),
    successor=st.sampled_from([config.Gait(head=HEAD, reflexes="all"), linear(steered=True)]),
    reflexes=st.sampled_from(["none", "balance", "all"]),
)
def test_a_wider_policy_goes_on_from_a_gait(data, successor, reflexes):
    env = runner()
    gait = policies.make(config.Gait(head=HEAD, reflexes=reflexes), env, action_repeat=2)
    theta = data.draw(npst.arrays(np.float64, gait.num_params, elements=st.floats(-3, 3)))
    if reflexes == "none" and isinstance(successor, config.Gait):
        theta[OVER] = 0.0  # the next test's
    other = policies.make(successor, env, action_repeat=2)
    rng = np.random.default_rng(0)
    first, second = gait.bind(theta), other.bind(other.widen(theta, gait.sizes, rng))
    for _ in range(3):
        observation = rng.standard_normal(len(NAMES_GAIT))
        np.testing.assert_array_equal(first(observation), second(observation))


def test_what_chance_made_of_obstacles_on_flat_ground_is_forgotten_when_reflexes_begin():
    env, rng = runner(), np.random.default_rng(0)
    reflexes = policies.make(config.Gait(head=HEAD, reflexes="all"), env, action_repeat=2)
    theta = np.ones(NUM_PARAMS)
    wider = reflexes.widen(theta, SIZES, rng)
    assert (wider[:NUM_PARAMS] == 1.0).sum() == NUM_PARAMS - wider[OVER].size
    assert not wider[OVER].any()
    np.testing.assert_array_equal(reflexes.widen(wider + 1, SIZES, rng), wider + 1)


def test_reflexes_that_balance_heed_no_obstacle():
    env, rng = runner(), np.random.default_rng(0)
    balance = policies.make(config.Gait(head=HEAD, reflexes="balance"), env, action_repeat=2)
    theta = balance.widen(rng.standard_normal(NUM_PARAMS), SIZES, rng)
    assert theta.size == balance.num_params == 96
    theta += rng.standard_normal(96)
    observation = rng.standard_normal(len(NAMES_GAIT))
    elsewhere = np.where(["obstacle" in name for name in NAMES_GAIT], 1.0, observation)
    np.testing.assert_array_equal(balance.bind(theta)(observation), balance.bind(theta)(elsewhere))


def test_a_policy_without_steering_goes_on_from_a_gait_that_does_not_steer():
    env, rng = runner(), np.random.default_rng(0)
    even = policies.make(linear(steered=False), env, action_repeat=2)
    for theta in (np.ones(NUM_PARAMS), np.concatenate([np.ones(NUM_PARAMS), np.zeros(NUM_REFLEXES)])):
        assert even.widen(theta, SIZES, rng).size == even.num_params
    with pytest.raises(ExperimentError, match=r"set policy\.clock_steered"):
        even.widen(np.ones(NUM_PARAMS + NUM_REFLEXES), SIZES, rng)


def test_legs_that_steer_the_clock_change_its_pace():
    gait = policies.make(config.Gait(head=HEAD, reflexes="all"), runner(), action_repeat=2)
    names = [setting.name for setting in SETTINGS + REFLEXES]
    theta = np.zeros(gait.num_params)
    theta[names.index("hip_sin1")] = 1.0
    even = gait.bind(theta.copy())
    theta[names.index("clock_cos_stance_r")] = 1.0
    steered = gait.bind(theta)
    standing_on_one_leg = np.zeros(len(NAMES_GAIT))
    standing_on_one_leg[NAMES_GAIT.index("stance_r")] = 1.0
    first, second = ((even(standing_on_one_leg), steered(standing_on_one_leg)) for _ in range(2))
    np.testing.assert_array_equal(*first)  # the phase is 0 for both
    assert not np.array_equal(*second)


def test_parameters_are_distances_from_typical_settings():
    typical = settings(np.zeros(NUM_PARAMS))
    assert typical == {s.name: s.typical for s in SETTINGS + REFLEXES}
    faster = np.zeros(NUM_PARAMS)
    faster[0] = 1.0
    assert settings(faster)["clock"] == pytest.approx(np.exp(0.2))


def test_a_gait_needs_its_observation_and_its_own_parameters():
    with pytest.raises(ExperimentError, match=r"observation = 'gait', got 41 other values"):
        policies.make(config.Gait(), runner("41"), action_repeat=1)
    gait = policies.make(config.Gait(), runner(), action_repeat=1)
    expected = rf"at most {NUM_PARAMS} parameters in layers \[85, 9\], got 3 in \[1, 2\]"
    with pytest.raises(ExperimentError, match=expected):
        gait.widen(np.zeros(3), (1, 2), np.random.default_rng(0))


def test_limits_of_training_end_episodes_and_lower_obstacles():
    env = runner(difficulty=1)
    task = env.unwrapped
    policy = policies.make(config.Gait(head=HEAD), env, action_repeat=2)
    free = compiled_rollout.rollout(env, policy, np.zeros(NUM_PARAMS), seed=1)
    task.configure(wall_speed=5.0, wall_grace=0.2)
    caught = compiled_rollout.rollout(env, policy, np.zeros(NUM_PARAMS), seed=1)
    assert caught.length < free.length
    assert (caught.metrics["stopped"], caught.metrics["fell"]) == (1.0, 0.0)
    before = env.reset(seed=1)[0]
    task.configure(obstacle_drop=0.2)
    after = env.reset(seed=1)[0]
    assert not np.array_equal(before, after)
    with pytest.raises(UsageError, match="expected an option of LearningToRun, got 'walls'"):
        task.configure(walls=1.0)
    with pytest.raises(UsageError, match="wall_speed must be a finite number, got nan"):
        task.configure(wall_speed=float("nan"))
    with pytest.raises(UsageError, match=r"running_start must lie between 0 and 1, got 1\.5"):
        task.configure(running_start=1.5)
    with pytest.raises(UsageError, match=r"running_start must lie between 0 and 1, got -0\.1"):
        task.configure(running_start=-0.1)


def test_human_running_bends_the_knee_most_in_the_swing_of_a_foot_that_has_left_the_ground():
    start = human_running.parameters(0.0)
    s = settings(start)
    phases = np.arange(100) / 100

    def target(joint: str) -> np.ndarray:
        waves = [s[f"{joint}_sin{k}"] * np.sin(2 * np.pi * k * phases) for k in (1, 2)]
        waves += [s[f"{joint}_cos{k}"] * np.cos(2 * np.pi * k * phases) for k in (1, 2)]
        return np.degrees(s[f"{joint}_offset"] + sum(waves))

    assert 0.6 < phases[target("knee").argmin()] < 0.8
    assert -115 < target("knee").min() < -85
    assert 0.7 < phases[target("hip").argmax()] < 0.95
    assert 0.3 < phases[target("ankle").argmin()] < 0.5


@given(phase=st.floats(0, 1))
def test_a_run_that_begins_elsewhere_in_the_stride_has_the_same_strides(phase):
    here, there = settings(human_running.parameters(0.0)), settings(human_running.parameters(phase))
    for joint in ("hip", "knee", "ankle"):
        assert there[f"{joint}_offset"] == pytest.approx(here[f"{joint}_offset"])
        for k in (1, 2):
            size = [math.hypot(each[f"{joint}_sin{k}"], each[f"{joint}_cos{k}"]) for each in (here, there)]
            assert size[1] == pytest.approx(size[0])


def test_a_gait_that_starts_running_begins_at_a_moment_the_seed_decides_or_in_mid_stride():
    gait = policies.make(config.Gait(head=HEAD, reflexes="all", start="running"), runner(), action_repeat=2)
    first, again, other = (gait.initial(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.size == NUM_PARAMS + NUM_REFLEXES
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1
    settings = config.Gait(head=HEAD, reflexes="all", start="mid_stride")
    fixed = policies.make(settings, runner(), action_repeat=2)
    first_fixed, other_fixed = (fixed.initial(np.random.default_rng(seed)) for seed in (1, 2))
    np.testing.assert_array_equal(first_fixed, other_fixed)
