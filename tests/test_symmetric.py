import itertools

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import es.envs  # noqa: F401 - registers the ids
from es import config
from es.envs.backends import BACKENDS
from es.envs.observations import NAMES_41, NAMES_82, RelativeObservation, mirror
from es.errors import ExperimentError
from es.obs_norm import ObservationStatistics, normalizer
from es.policies import heads, registry
from es.policies.mlp import MLP
from es.policies.symmetric import NO_CLOCK, Clock, Symmetric

MUSCLES = spaces.Box(0.0, 1.0, (18,), np.float64)
NAMES = {41: NAMES_41, 82: NAMES_82}
finite = st.floats(-1e3, 1e3)


def symmetric(size: int = 41, clock: Clock = NO_CLOCK, hidden=(5,), head=config.Squashed()) -> Symmetric:  # noqa: B008  (frozen)
    return Symmetric(mirror(NAMES[size]), hidden, "tanh", heads.make(head, MUSCLES), clock)


def swapped(action: np.ndarray) -> np.ndarray:
    return np.concatenate([action[9:], action[:9]])


@pytest.mark.parametrize("size", [41, 82])
@given(
    data=st.data(),
    seed=st.integers(0, 2**31),
    hidden=st.lists(st.integers(1, 9), max_size=2),
    head=st.sampled_from([config.Squashed(gain=3.0), config.UniformBins(bins=3)]),
)
def test_mirrored_observations_give_mirrored_actions(size, data, seed, hidden, head):
    observation = data.draw(npst.arrays(np.float64, size, elements=finite))
    policy = symmetric(size, hidden=tuple(hidden), head=head)
    act = policy.bind(np.random.default_rng(seed).standard_normal(policy.num_params))
    image = observation[mirror(NAMES[size])]
    np.testing.assert_array_equal(act(image), swapped(act(observation)))


@pytest.mark.parametrize("names", [NAMES_41, NAMES_82])
def test_the_mirror_exchanges_legs_and_nothing_else(names):
    indices = mirror(names)
    np.testing.assert_array_equal(indices[indices], np.arange(len(names)))
    assert names[indices[names.index("hip_r")]] == "hip_l"
    assert names[indices[names.index("talus_l_y")]] == "talus_r_y"
    unpaired = {name for i, name in enumerate(names) if indices[i] == i}
    assert all({"l", "r"}.isdisjoint(name.split("_")) for name in unpaired)
    assert {"pelvis_tilt", "torso_y"} < unpaired


@given(st.lists(npst.arrays(np.float64, 41, elements=finite), min_size=1, max_size=4))
def test_the_82_values_of_a_mirrored_motion_are_the_mirrored_82_values(motion):
    relative, image = RelativeObservation(), RelativeObservation()
    for observation in motion:
        expected = relative(observation)[mirror(NAMES_82)]
        np.testing.assert_array_equal(image(observation[mirror(NAMES_41)]), expected)


def test_each_leg_sees_its_own_values_and_the_others():
    policy = symmetric(hidden=())
    theta = np.zeros(policy.num_params)
    vasti, own, opposite = 5, NAMES_41.index("knee_r"), NAMES_41.index("knee_l")
    weights = theta[: 9 * 41].reshape(9, 41)
    weights[vasti, own], weights[vasti, opposite] = 1.0, -0.25
    observation = np.zeros(41)
    observation[own] = 2.0
    action = policy.bind(theta)(observation)
    sigmoid = 1 / (1 + np.exp(-np.array([2.0, -0.5])))
    np.testing.assert_allclose(action[[5, 14]], sigmoid)
    np.testing.assert_array_equal(np.delete(action, [5, 14]), 0.5)


@pytest.mark.parametrize("harmonics", [1, 2, 3])
def test_the_clock_shifts_the_left_leg_by_half_a_cycle_and_starts_with_each_episode(harmonics):
    policy = symmetric(clock=Clock(1 / 8, harmonics))
    theta = np.random.default_rng(3).standard_normal(policy.num_params)
    standing = np.zeros(41)
    episodes = []
    for _ in range(2):
        act = policy.bind(theta)
        episodes.append(np.stack([act(standing) for _ in range(16)]))
    first, second = episodes
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first[8:], first[:8], atol=1e-12)
    np.testing.assert_allclose(first[4:12, 9:], first[:8, :9], atol=1e-12)
    assert np.abs(first[1:8] - first[0]).max() > 0.01


def test_normalization_by_what_both_legs_saw_keeps_the_symmetry():
    rng = np.random.default_rng(0)
    statistics = ObservationStatistics.of(rng.normal(3.0, 2.0, (50, 41)))
    seen = registry.seen(config.Symmetric(), statistics)
    indices = mirror(NAMES_41)
    np.testing.assert_array_equal(seen.mean, seen.mean[indices])
    np.testing.assert_array_equal(seen.m2, seen.m2[indices])
    image = ObservationStatistics(statistics.n, statistics.mean[indices], statistics.m2[indices])
    merged = statistics.merge(image)
    assert seen.n == merged.n
    np.testing.assert_allclose(seen.mean, merged.mean)
    np.testing.assert_allclose(seen.m2, merged.m2)
    normalize = normalizer(config.ObservationNormalization(), seen)
    observation = rng.normal(3.0, 2.0, 41)
    np.testing.assert_array_equal(normalize(observation)[indices], normalize(observation[indices]))
    assert registry.seen(config.Linear(), statistics) is statistics


def test_the_clocks_speed_can_be_a_parameter():
    rng = np.random.default_rng(3)
    given, learned = symmetric(clock=Clock(0.1)), symmetric(clock=Clock(0.05, learned=True))
    theta = rng.standard_normal(given.num_params)
    acts = given.bind(theta), learned.bind(np.concatenate([[np.log(2.0)], theta]))
    for _ in range(12):
        observation = rng.standard_normal(41)
        np.testing.assert_allclose(*(act(observation) for act in acts), atol=1e-9)


CLOCKS = [NO_CLOCK, Clock(0.1), Clock(0.1, 2), Clock(0.1, 3, learned=True)]


@pytest.mark.parametrize(("before", "after"), [*itertools.combinations_with_replacement(CLOCKS, 2)])
def test_a_widened_policy_acts_like_the_narrow_one(before, after):
    rng = np.random.default_rng(1)
    narrow, wide = symmetric(clock=before), symmetric(clock=after, hidden=(8,))
    theta = rng.standard_normal(narrow.num_params)
    if before.learned:
        theta[0] = 0.2
    old, new = narrow.bind(theta), wide.bind(wide.widen(theta, narrow.sizes, rng))
    for _ in range(3):
        observation = rng.standard_normal(41)
        np.testing.assert_allclose(new(observation), old(observation), atol=1e-12)


def test_new_observations_are_ignored_at_first_and_the_clock_is_not():
    rng = np.random.default_rng(1)
    narrow = Symmetric(np.array([1, 0, 2]), (5,), "tanh", heads.make(config.Squashed(), MUSCLES), Clock(0.1))
    wide = Symmetric(np.array([1, 0, 2, 4, 3]), (6,), "tanh", narrow.head, Clock(0.1, 2, learned=True))
    theta = rng.standard_normal(narrow.num_params)
    old, new = narrow.bind(theta), wide.bind(wide.widen(theta, narrow.sizes, rng))
    for _ in range(3):
        observation = rng.standard_normal(5)
        np.testing.assert_allclose(new(observation), old(observation[:3]), atol=1e-12)


def test_other_policies_and_observations_cannot_be_widened():
    rng = np.random.default_rng(1)
    plain = MLP(41, (5,), "tanh", heads.make(config.Squashed(), MUSCLES))
    clocked, other = symmetric(clock=Clock(0.1)), symmetric(82)
    for policy, source in ((symmetric(), plain), (symmetric(), clocked), (symmetric(), other)):
        with pytest.raises(ExperimentError, match=r"^warm_start\.checkpoint: expected"):
            policy.widen(source.initial(rng), source.sizes, rng)


@pytest.mark.parametrize("observation", ["41", "82"])
def test_it_is_made_for_learning_to_run(monkeypatch, observation):
    monkeypatch.setitem(BACKENDS, "scripted", "tests.test_learning_to_run:ScriptedPhysics")
    env = gymnasium.make("es/LearningToRun-v0", backend="scripted", observation=observation)
    policy = registry.make(config.Symmetric(hidden=(), clock_hz=1.25), env, action_repeat=4)
    size = int(observation)
    assert policy.sizes == (size, 9)
    act = policy.bind(np.random.default_rng(0).standard_normal(policy.num_params))
    actions = [act(np.zeros(size)) for _ in range(21)]
    np.testing.assert_allclose(actions[20], actions[0])  # 20 actions of 4 steps of 0.01 s last 1/1.25 s
    assert MUSCLES.contains(actions[1])


def test_it_is_made_for_nothing_else():
    for name in ("CartPole-v1", "es/LQR-v0"):
        with pytest.raises(
            ExperimentError, match=f"'symmetric': expected es/LearningToRun-v0, .* got {name}"
        ):
            registry.make(config.Symmetric(), gymnasium.make(name), action_repeat=1)
