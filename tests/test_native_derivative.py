"""The compiled twin's equations against OpenSim's, term by term, at random states."""

from typing import NamedTuple

import numpy as np
import pytest

from es.native.derivative import state_derivative
from es.native.model import Array, load_model
from es.native.parameters import Packed, hertz_stiffness, pack, parameters
from es.native.workspace import new_workspaces
from tests.native_oracle import OBSTACLE_STIFFNESS, OpenSimRunner

STATES = 2000
OBSTACLES = np.array([[0.3, 0.02, 0.1], [0.5, -0.01, 0.12], [1.0, 0.0, 0.1], [1.2, 0.03, 0.06]])


class Twin:
    """The twin's equations, called one state at a time."""

    def __init__(self) -> None:
        self.model = load_model()
        self.constants = parameters(self.model)
        self._parameters = pack(self.constants)
        self._workspaces = new_workspaces(self.constants)
        self._obstacles = np.column_stack([OBSTACLES, hertz_stiffness(OBSTACLE_STIFFNESS / OBSTACLES[:, 2])])

    def derivative(self, y: Array, excitations: Array) -> tuple[Array, Packed]:
        """Derivative of a state, and the terms it was made of."""
        rate = np.zeros(54)
        state_derivative(
            y,
            excitations,
            self.constants.max_force,
            self._obstacles,
            self._parameters,
            self._workspaces,
            rate,
        )
        return rate, self._workspaces[0]


class Samples(NamedTuple):
    """What OpenSim and the twin say about the same states; the first axis runs over them."""

    states: Array
    opensim: dict[str, Array]
    native: dict[str, Array]


def random_state(rng: np.random.Generator, twin: Twin) -> tuple[Array, Array]:
    """State and excitations: joints beyond limits, feet in ground and obstacles, fibres at their shortest."""
    low = np.array([-0.6, -0.3, 0.6, -0.8, -2.3, -0.9, -0.8, -2.3, -0.9])
    high = np.array([0.6, 1.5, 1.1, 2.3, 0.4, 0.6, 2.3, 0.4, 0.6])
    optimal = twin.model.muscles.optimal_fiber_length
    return (
        np.concatenate(
            [
                rng.uniform(low, high),
                rng.normal(0.0, 3.0, 9),
                rng.uniform(-0.02, 1.05, 18),
                optimal * rng.uniform(0.04, 1.6, 18),
            ]
        ),
        rng.uniform(0.0, 1.0, 18),
    )


@pytest.fixture(scope="module")
def twin() -> Twin:
    return Twin()


@pytest.fixture(scope="module")
def samples(twin: Twin) -> Samples:
    rng = np.random.default_rng(2017)
    runner = OpenSimRunner(OBSTACLES)
    states: list[Array] = []
    theirs: dict[str, list[Array]] = {k: [] for k in ("rate", "length", "tension", "limit", "foot")}
    ours: dict[str, list[Array]] = {k: [] for k in theirs}
    for _ in range(STATES):
        y, excitations = random_state(rng, twin)
        states.append(y)
        runner.set_state(y)
        runner.set_excitations(excitations)
        theirs["rate"].append(runner.derivative())
        theirs["length"].append(np.array([m.getLength(runner.state) for m in runner.muscles]))
        theirs["tension"].append(np.array([m.getActuation(runner.state) for m in runner.muscles]))
        theirs["limit"].append(runner.limit_torques())
        rate, terms = twin.derivative(y, excitations)
        ours["rate"].append(rate)
        ours["length"].append(terms["muscle_length"].copy())
        ours["tension"].append(terms["tendon_force"].copy())
        ours["limit"].append(terms["limit_torque"].copy())
        ours["foot"].append(terms["foot_wrench"][:, 1:].copy())
        # Reading the contact forces is what takes OpenSim longest.
        theirs["foot"].append(runner.foot_forces() if len(states) <= 300 else ours["foot"][-1])
    return Samples(
        np.array(states),
        {k: np.array(v) for k, v in theirs.items()},
        {k: np.array(v) for k, v in ours.items()},
    )


def test_samples_reach_every_corner(samples: Samples, twin: Twin) -> None:
    """The agreement below means something only if the states are hard ones."""
    muscles = samples.states[:, 36:] <= twin.constants.min_length
    assert muscles.any(axis=0).sum() >= 10, "fibres at their shortest"
    assert (samples.opensim["limit"] != 0.0).any(axis=0).all(), "every joint at its limit"
    assert (samples.opensim["foot"][:300] != 0.0).any(axis=2).sum() > 100, (
        "feet on the ground or on obstacles"
    )


def test_muscle_lengths(samples: Samples) -> None:
    np.testing.assert_allclose(samples.native["length"], samples.opensim["length"], rtol=0, atol=1e-13)


def test_moment_arms(samples: Samples, twin: Twin) -> None:
    runner = OpenSimRunner()
    for y in samples.states[:100]:
        runner.set_state(y)
        _, terms = twin.derivative(y, np.zeros(18))
        np.testing.assert_allclose(-terms["moment_arm"], runner.moment_arms(), rtol=0, atol=1e-10)


def test_tendon_forces(samples: Samples) -> None:
    np.testing.assert_allclose(samples.native["tension"], samples.opensim["tension"], rtol=1e-10, atol=1e-8)


def test_activation_rates(samples: Samples) -> None:
    ours, theirs = samples.native["rate"][:, 18:36], samples.opensim["rate"][:, 18:36]
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_fiber_velocities(samples: Samples) -> None:
    ours, theirs = samples.native["rate"][:, 36:], samples.opensim["rate"][:, 36:]
    np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-12)


def test_joint_limits(samples: Samples) -> None:
    np.testing.assert_allclose(samples.native["limit"], samples.opensim["limit"], rtol=1e-12, atol=1e-9)


def test_contact_forces(samples: Samples) -> None:
    ours, theirs = samples.native["foot"][:300], samples.opensim["foot"][:300]
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-7)


def test_accelerations(samples: Samples) -> None:
    ours, theirs = samples.native["rate"][:, 9:18], samples.opensim["rate"][:, 9:18]
    largest = np.abs(theirs).max(axis=1, keepdims=True)
    assert np.abs(ours - theirs).max() > 0.0, "two independent programs never agree to the last bit"
    assert (np.abs(ours - theirs) / largest).max() < 1e-10


@pytest.mark.parametrize(
    ("partial", "output", "entry"),
    [
        ("tendon_by_fiber", "tension", 36),
        ("speed_by_fiber", "speed", 36),
        ("speed_by_activation", "speed", 18),
        ("activation_rate_by_activation", "activation", 18),
        ("limit_stiffness", "limit", 3),
        ("limit_damping", "limit", 12),
    ],
)
def test_partial_derivatives(samples: Samples, twin: Twin, partial: str, output: str, entry: int) -> None:
    """What ROS2 takes for derivatives agrees with finite differences, but where a curve has a corner."""

    def outputs(y: Array, excitations: Array) -> Array:
        rate, terms = twin.derivative(y, excitations)
        return {
            "tension": terms["tendon_force"].copy(),
            "speed": rate[36:],
            "activation": rate[18:36],
            "limit": terms["limit_torque"].ravel().copy(),
        }[output]

    agreeing = []
    for y in samples.states[:40]:
        excitations = np.full(18, 0.3)
        expected = twin.derivative(y, excitations)[1][partial].ravel().copy()
        step = 1e-7
        shift = np.zeros(54)
        shift[entry : entry + len(expected)] = step
        difference = (outputs(y + shift, excitations) - outputs(y - shift, excitations)) / (2.0 * step)
        agreeing.append(
            np.isclose(difference, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max() + 1e-6)
        )
    assert np.mean(agreeing) > 0.995


def test_ground_stiffness_is_a_derivative(twin: Twin) -> None:
    """Pushing the pelvis down pushes the standing feet into the ground."""
    y = twin.constants.default_state.copy()
    y[1] = -2.0  # away from the obstacles
    _, terms = twin.derivative(y, np.zeros(18))
    expected = terms["foot_stiffness"][:, 2, 2].copy()
    lower, higher = y.copy(), y.copy()
    lower[2] -= 1e-7
    higher[2] += 1e-7
    up = twin.derivative(higher, np.zeros(18))[1]["foot_wrench"][:, 2].copy()
    down = twin.derivative(lower, np.zeros(18))[1]["foot_wrench"][:, 2].copy()
    np.testing.assert_allclose((up - down) / 2e-7, expected, rtol=1e-5)
    assert (expected < -1e4).all()
