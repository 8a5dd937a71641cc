"""The policies' forward pass, for Python and for the compiled rollout alike.

One order of summation and one tanh, our own, so that an action has the same bits on every processor with
fused multiply-adds and whether an episode runs in Python or in one compiled call.
"""

import math
from typing import NamedTuple

from es.native.compile import entry_point, rounded
from es.native.exponential import exponential
from es.native.model import Array, Index, Mask

TANH, RELU, ELU, LRELU = range(4)
"""Codes of the hidden layers' activations."""

SLOWER, FASTER = 0.8, 2.0
"""Bounds of what steering adds to the clock's speed, as a share of it."""


class Network(NamedTuple):
    """A policy up to its head, with parameters, as ``outputs`` takes it."""

    theta: Array
    """Each layer's weights (outputs x inputs, row-major) and biases, first layer first."""
    sizes: Index
    """Units per layer, shape (layers + 1,); the first counts the observation and the clock."""
    activation: int
    """Of the hidden layers, one of the codes."""
    mirror: Index
    """Empty, or indices that exchange left and right in the observation: then the network is applied
    twice, to the observation and to its mirror image."""
    cycles: float
    """How far the clock turns from one action to the next."""
    harmonics: int
    """Of the clock that are appended to the observation, each as sine and cosine."""
    steering: Array
    """What hurries the clock: per input of ``steered_by`` the weights of its right minus its left value,
    times sine and cosine of the phase; empty for an even clock."""
    steered_by: Index
    """Observations of the right leg, shape (steering size / 2,)."""
    skip: Array
    """Skip connection: weights from the inputs straight to the outputs, shape (outputs x inputs,), row-major;
    or empty."""


class Opening(NamedTuple):
    """What acts at the start of an episode in a network's place."""

    network: Network
    """Of the same sizes."""
    actions: int
    """How many actions are its; 0 for none."""
    turn: float
    """How far the clock is turned on where the other takes over, cycles."""


def no_opening(network: Network) -> Opening:
    """For a policy that acts alike from its first action on."""
    return Opening(network, 0, 0.0)


def taken_over(network: Network, opening: Opening) -> float:
    """By how much the clock's shift changes where a network takes over: it goes on, but for ``turn``."""
    return opening.actions * (opening.network.cycles - network.cycles) + opening.turn


def cycles(network: Network, opening: Opening, actions: int, shift: float) -> float:
    """The phase of the clock after so many actions, before the next one; see ``outputs`` for ``shift``."""
    if actions < opening.actions:
        return actions * opening.network.cycles + shift
    if actions == opening.actions:
        shift += taken_over(network, opening)
    return actions * network.cycles + shift


@entry_point
def outputs(
    theta: Array,
    sizes: Index,
    activation: int,
    mirror: Index,
    cycles: float,
    harmonics: int,
    steering: Array,
    steered_by: Index,
    skip: Array,
    action: int,
    shift: Array,
    observation: Array,
    scratch: Array,
    out: Array,
) -> None:
    """Write the outputs of a network for an observation.

    Args:
        theta: this and the following, see ``Network``.
        sizes: see there.
        activation: see there.
        mirror: see there.
        cycles: see there.
        harmonics: see there.
        steering: see there.
        steered_by: see there.
        skip: see there.
        action: number of this action in the episode, which tells the clock.
        shift: shape (1,), how far steering has moved the clock, cycles; 0 at first, moved on here.
        observation: shape (sizes[0] - 2 harmonics,).
        scratch: shape (2 max(sizes),).
        out: shape (sizes[-1],), or twice that with a mirror: the right leg's outputs, then the left leg's.
    """
    network = Network(theta, sizes, activation, mirror, cycles, harmonics, steering, steered_by, skip)
    act(network, action, shift, observation, scratch, out)


@entry_point
def squash(
    x: Array, bottom: Array, top: Array, bounded: Mask, bias: float, gain: float, action: Array
) -> None:
    """Write bottom + (top - bottom) sigmoid(gain (x + bias)) where bounded, x elsewhere; all of one shape."""
    to_bounds(x, bottom, top, bounded, bias, gain, action)


@rounded
def act(network: Network, action: int, shift: Array, observation: Array, scratch: Array, out: Array) -> None:
    """See ``outputs``."""
    sizes, mirror = network.sizes, network.mirror
    size, last = len(observation), sizes[len(sizes) - 1]
    phase = (action * network.cycles + shift[0]) % 1.0
    for side in range(2 if len(mirror) else 1):
        for i in range(size):
            scratch[i] = observation[mirror[i]] if side else observation[i]
        for k in range(network.harmonics):
            # The left leg's clock is half a cycle ahead, which turns the sign of odd harmonics.
            sign = -1.0 if side == 1 and k % 2 == 0 else 1.0
            angle = 2.0 * math.pi * (k + 1) * phase
            scratch[size + 2 * k] = sign * math.sin(angle)
            scratch[size + 2 * k + 1] = sign * math.cos(angle)
        for i in range(last):  # before the layers, which overwrite the inputs
            out[side * last + i] = _skipped(network.skip, i * sizes[0], sizes[0], scratch)
        _forward(network.theta, sizes, network.activation, scratch)
        end = (len(sizes) - 1) % 2 * (len(scratch) // 2)
        for i in range(last):
            out[side * last + i] += scratch[end + i]
    if len(network.steering):
        shift[0] += network.cycles * _hurry(network, 2.0 * math.pi * phase, observation)


@rounded
def _skipped(skip: Array, first: int, size: int, inputs: Array) -> float:
    """An output's part from the skip connection, or 0; ``first`` is the index of its first weight."""
    total = 0.0
    if len(skip):
        for i in range(size):
            total += skip[first + i] * inputs[i]
    return total


@rounded
def _hurry(network: Network, angle: float, observation: Array) -> float:
    """By what share of its speed the clock runs faster, -SLOWER to FASTER."""
    total = 0.0
    for j in range(len(network.steered_by)):
        right = network.steered_by[j]
        # Both the difference and the waves change sign when left and right change roles.
        wave = network.steering[2 * j] * math.sin(angle) + network.steering[2 * j + 1] * math.cos(angle)
        total += (observation[right] - observation[network.mirror[right]]) * wave
    return min(max(total, -SLOWER), FASTER)


@rounded
def _forward(theta: Array, sizes: Index, activation: int, scratch: Array) -> None:
    """Apply the layers to the first half of ``scratch``; the halves take turns as input and output."""
    half = len(scratch) // 2
    start, here, there = 0, 0, half
    for layer in range(len(sizes) - 1):
        inputs, units = sizes[layer], sizes[layer + 1]
        biases = start + units * inputs
        # Four sums at a time: a processor adds them in parallel, each still in the order of its inputs.
        for unit in range(0, units - units % 4, 4):
            row = start + unit * inputs
            a = b = c = d = 0.0
            for i in range(inputs):
                x = scratch[here + i]
                a += theta[row + i] * x
                b += theta[row + inputs + i] * x
                c += theta[row + 2 * inputs + i] * x
                d += theta[row + 3 * inputs + i] * x
            scratch[there + unit] = a + theta[biases + unit]
            scratch[there + unit + 1] = b + theta[biases + unit + 1]
            scratch[there + unit + 2] = c + theta[biases + unit + 2]
            scratch[there + unit + 3] = d + theta[biases + unit + 3]
        for unit in range(units - units % 4, units):
            a = 0.0
            for i in range(inputs):
                a += theta[start + unit * inputs + i] * scratch[here + i]
            scratch[there + unit] = a + theta[biases + unit]
        if layer < len(sizes) - 2:
            for unit in range(units):
                scratch[there + unit] = _activate(activation, scratch[there + unit])
        start = biases + units
        here, there = there, here


@rounded
def _activate(activation: int, x: float) -> float:
    if x != x:  # NaN, which the exponential would turn into a number
        return x
    if activation == TANH:
        decay = exponential(-2.0 * abs(x))
        return math.copysign((1.0 - decay) / (1.0 + decay), x)
    if activation == RELU:
        return max(x, 0.0)
    if activation == ELU:
        return x if x > 0.0 else exponential(x) - 1.0
    return x if x > 0.0 else 0.01 * x


@rounded
def to_bounds(
    x: Array, bottom: Array, top: Array, bounded: Mask, bias: float, gain: float, action: Array
) -> None:
    """See ``squash``."""
    for i in range(len(x)):
        if bounded[i] and x[i] == x[i]:  # NaN passes through: the exponential would turn it into a number
            share = 1.0 / (1.0 + exponential(-gain * (x[i] + bias)))
            # Rounding may step over a bound by one unit in the last place.
            action[i] = min(max(bottom[i] + (top[i] - bottom[i]) * share, bottom[i]), top[i])
        else:
            action[i] = x[i]


@rounded
def clip(x: Array, low: Array, high: Array, action: Array) -> None:
    """Write min(max(x, low), high); NaN passes through."""
    for i in range(len(x)):
        action[i] = min(max(x[i], low[i]), high[i]) if x[i] == x[i] else x[i]


@rounded
def choose(x: Array, values: Array, action: Array) -> None:
    """Write per row of ``values``, shape (dimensions, bins), the value whose output is largest."""
    bins = values.shape[1]
    for i in range(len(values)):
        best = 0
        for k in range(1, bins):
            if x[i * bins + k] > x[i * bins + best]:
                best = k
        action[i] = values[i, best]
