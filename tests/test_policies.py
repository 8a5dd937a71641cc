from typing import get_args

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from es import config
from es.errors import ExperimentError
from es.policies import heads
from es.policies.mlp import MLP, layers
from es.policies.registry import make

ACTIVATIONS = get_args(config.Activation)
BOX = spaces.Box(np.array([0.0, -2.0]), np.array([1.0, 3.0]), dtype=np.float64)
outputs = npst.arrays(np.float64, 2, elements=st.floats(-1e300, 1e300))


@given(outputs, st.floats(1e-3, 1e3), st.floats(-10, 10), st.floats(0, 0.9))
def test_squashed_actions_lie_inside_the_bounds_and_above_the_floor(
    x: np.ndarray, gain: float, bias: float, floor: float
) -> None:
    action = heads.make(config.Squashed(gain=gain, bias=bias, floor=floor), BOX)(x)
    assert BOX.contains(action)
    assert np.all(action >= BOX.low + floor * (BOX.high - BOX.low))


def test_squashing_is_the_sigmoid() -> None:
    head = heads.make(config.Squashed(gain=2.0, bias=-0.1, floor=0.2), BOX)
    z = 2.0 * (np.array([0.7, -0.3]) - 0.1)
    np.testing.assert_allclose(
        head(np.array([0.7, -0.3])), [0.2, -1.0] + np.array([0.8, 4.0]) / (1 + np.exp(-z))
    )


def test_unbounded_actions_pass_through() -> None:
    unbounded = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    np.testing.assert_array_equal(
        heads.make(config.Squashed(), unbounded)(np.array([1e9, -3.0])), [1e9, -3.0]
    )
    half = spaces.Box(0.0, np.inf, (2,), np.float64)
    with pytest.raises(ExperimentError, match="bounded on both sides or on none"):
        heads.make(config.Squashed(), half)


@given(npst.arrays(np.float64, 2, elements=st.floats()))
def test_clipped_actions_are_the_outputs_within_the_bounds(x: np.ndarray) -> None:
    action = heads.make(config.Clipped(), BOX)(x)
    inside = (x >= BOX.low) & (x <= BOX.high)
    np.testing.assert_array_equal(action[inside], x[inside])
    np.testing.assert_array_equal(np.isnan(action), np.isnan(x))
    assert BOX.contains(np.nan_to_num(action))


def test_uniform_bins_choose_among_equally_spaced_values() -> None:
    head = heads.make(config.UniformBins(bins=6), BOX)
    assert head.size == 12
    x = np.zeros(12)
    x[5], x[6 + 2] = 1.0, 1.0
    np.testing.assert_allclose(head(x), [1.0, 0.0])


def test_custom_bins_choose_among_the_given_values() -> None:
    head = heads.make(config.CustomBins(values=(0.0, 0.25, 1.0)), BOX)
    np.testing.assert_array_equal(head(np.array([0, 9, 0, 0, 0, 9.0])), [0.25, 1.0])
    with pytest.raises(ExperimentError, match=r"expected values in \[0, 1\]"):
        heads.make(config.CustomBins(values=(0.0, 2.0)), BOX)


def test_discrete_actions_are_the_argmax() -> None:
    head = heads.make(config.Squashed(), spaces.Discrete(3, start=5))
    assert head(np.array([0.1, 0.3, 0.2])) == 6
    with pytest.raises(ExperimentError, match="is discrete already"):
        heads.make(config.UniformBins(), spaces.Discrete(3))
    with pytest.raises(ExperimentError, match="expected a flat Box or Discrete action space"):
        heads.make(config.Squashed(), spaces.MultiBinary(3))


def head_for(n: int) -> heads.Head:
    return heads.make(config.Squashed(), spaces.Box(0.0, 1.0, (n,), np.float64))


@given(st.integers(0, 2**31), st.sampled_from(ACTIVATIONS), st.lists(st.integers(1, 20), max_size=3))
def test_initial_actions_start_near_the_middle(
    seed: int, activation: config.Activation, hidden: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    policy = MLP(7, tuple(hidden), activation, head_for(4))
    action = policy.bind(policy.initial(rng))(rng.standard_normal(7))
    np.testing.assert_allclose(action, 0.5, atol=0.1)


def by_hand(theta: np.ndarray, sizes: tuple[int, ...], activation: str, x: np.ndarray) -> np.ndarray:
    """The outputs of a network, by numpy."""
    activate = {
        "tanh": np.tanh,
        "relu": lambda z: np.maximum(z, 0.0),
        "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0.0))),
        "lrelu": lambda z: np.where(z > 0, z, 0.01 * z),
    }[activation]
    *hidden, (last, bias) = layers(sizes, theta)
    for weights, biases in hidden:
        x = activate(weights @ x + biases)
    return last @ x + bias


@given(
    st.integers(0, 2**31),
    st.sampled_from(ACTIVATIONS),
    st.lists(st.integers(1, 9), max_size=3),
    st.integers(1, 9),
    st.floats(1e-3, 1e3),
)
def test_the_forward_pass_is_that_of_numpy(
    seed: int, activation: config.Activation, hidden: list[int], size: int, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    unbounded = spaces.Box(-np.inf, np.inf, (5,), np.float64)
    policy = MLP(size, tuple(hidden), activation, heads.make(config.Squashed(), unbounded))
    theta, x = rng.standard_normal(policy.num_params), spread * rng.standard_normal(size)
    expected = by_hand(theta, policy.sizes, activation, x)
    np.testing.assert_allclose(policy.bind(theta)(x), expected, rtol=1e-12, atol=1e-12 * spread)
    assert policy.num_params == sum(w.size + b.size for w, b in layers(policy.sizes, theta))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_what_is_not_a_number_stays_so(activation: config.Activation) -> None:
    policy = MLP(2, (3,), activation, head_for(1))
    assert np.isnan(policy.bind(np.ones(policy.num_params))(np.array([np.nan, 1.0]))).all()


@given(st.integers(0, 2**31))
def test_a_widened_network_acts_like_the_narrow_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    narrow, wide = MLP(3, (4, 5), "tanh", head_for(2)), MLP(6, (8, 5), "tanh", head_for(2))
    theta = rng.standard_normal(narrow.num_params)
    x = rng.standard_normal(6)
    widened = wide.widen(theta, narrow.sizes, rng)
    np.testing.assert_allclose(wide.bind(widened)(x), narrow.bind(theta)(x[:3]), atol=1e-12)


def test_only_narrower_networks_can_be_widened() -> None:
    wide = MLP(3, (8,), "tanh", head_for(2))
    for sizes in ((3, 9, 2), (3, 2), (3, 8, 3), (4, 8, 2)):
        with pytest.raises(ExperimentError, match="nowhere wider"):
            wide.widen(np.zeros(100), sizes, np.random.default_rng(0))


def test_policies_are_made_for_an_environment() -> None:
    env = gymnasium.make("CartPole-v1")
    assert make(config.Linear(), env, action_repeat=1).sizes == (4, 2)
    assert make(config.MLP(hidden=(16,)), env, action_repeat=1).sizes == (4, 16, 2)


def test_a_search_may_begin_at_zero() -> None:
    policy = make(config.MLP(initial="zero"), gymnasium.make("CartPole-v1"), action_repeat=1)
    assert not policy.initial(np.random.default_rng(1)).any()
