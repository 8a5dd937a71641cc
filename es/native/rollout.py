"""An episode of Learning to Run in one call, or a part: physics, observation, policy, reward and its end.

`es.rollout.rollout` with `es.envs.learning_to_run.LearningToRun` is the readable form and gives
the same floats.
"""

import math
from typing import NamedTuple

import numpy as np

from es.envs import obstacle_contact
from es.envs.rewards import SWING_HEIGHT
from es.native import observation, ros2, runge_kutta_merson
from es.native.compile import entry_point, rounded
from es.native.model import Array, Index, Mask
from es.native.network import Network, Opening, act, choose, clip, taken_over, to_bounds
from es.native.observe import kinematics, limit_torque_square_sum
from es.native.parameters import Packed

OK, PHYSICS_FAILED, NOT_A_NUMBER = range(3)
"""How an episode ended: as it should; the integrator gave up; the policy's action was no number."""

STEP_SECONDS = 0.01
_NOTHING_AHEAD = 100.0


class Simulation(NamedTuple):
    """The physics at the start of the episode, as `es.native.step.step` takes it."""

    y: Array
    max_force: Array
    obstacles: Array
    packed_parameters: Packed
    packed_workspaces: Packed
    implicit: bool
    step_size: float
    accuracy: float
    shortest: float
    coordinates: int


class Moment(NamedTuple):
    """Where an episode is, but for ``Simulation.y``; written in place."""

    step_size: Array
    """Shape (1,), which the integrator goes on with, s."""
    basic: Array
    """Shape (41,), the challenge's own observation."""
    values: Array
    """Shape (Rules.size,), the policy's."""
    memory: Array
    """Shape (observation.MEMORY,), what that is made of beside."""
    deepest: Array
    """Shape (k, 2), how deep each foot was in each obstacle."""
    shift: Array
    """Shape (1,), how far steering has moved the clock, cycles."""
    counts: Index
    """Shape (2,), environment steps and actions so far; 0 at the start, before the rest is filled."""


class Head(NamedTuple):
    """What makes actions of the network's outputs."""

    bottom: Array
    """Shape (18,); this and the following, see `es.native.network.squash`."""
    top: Array
    bounded: Mask
    bias: float
    gain: float
    clipped: bool
    """Whether outputs are clipped to bottom and top instead."""
    values: Array
    """Shape (18, bins): choose among these instead; no bins, squash or clip."""


class Normalization(NamedTuple):
    """See `es.obs_norm.Normalizer`; empty arrays for none."""

    mean: Array
    std: Array
    clip: float


class Course(NamedTuple):
    """What the runner is told of its course and its strengths."""

    obstacles: Array
    """Shape (k, 3): x, y, visible radius, m, as `es.envs.course.next_obstacle` searches them."""
    spheres: Array
    """The same, with the solid radius, as `es.envs.obstacle_contact.deepen` takes them."""
    strength_left: float
    strength_right: float
    mass: float
    """Of the runner, kg."""
    total_mass: float
    """With the obstacles, which count in the centre of mass."""
    moment_x: float
    """Sum of obstacle mass times position, kg m."""
    moment_y: float


class Rules(NamedTuple):
    """Observation, reward and end of the episode; see `es.envs.learning_to_run.LearningToRun`."""

    observation: int
    """A code of `es.native.observation`."""
    size: int
    """Of that observation."""
    original: bool
    """Whether the reward is the original one; otherwise it has the weights that follow."""
    velocity: float
    survive: float
    lean: float
    straight_knees: float
    ligaments: float
    low_swing: float
    touch: float
    fall_height: float
    wall_speed: float
    wall_grace: float
    lowest_tilt: float
    highest_tilt: float
    max_steps: int
    action_repeat: int
    action_noise: float


class Outcome(NamedTuple):
    """What is left of the episode; see `es.rollout.Rollout`. Sums are those of this call."""

    return_: float
    sign_return: float
    length: int
    """Environment steps since the start, the failed one included."""
    actions: int
    """Observations acted on since the start."""
    ending: int
    """OK, PHYSICS_FAILED or NOT_A_NUMBER."""
    done: bool
    """Whether the episode has ended; otherwise it can go on."""
    metres: float
    score: float
    touched: int
    fell: bool
    stopped: bool


@entry_point
def rollout(
    simulation: Simulation,
    course: Course,
    rules: Rules,
    network: Network,
    opening: Opening,
    head: Head,
    normalization: Normalization,
    noise: Array,
    seen: Array,
    moment: Moment,
    pushes: Array,
    last: int,
) -> Outcome:
    """Run an episode to its end, or until an action; ``simulation.y`` and ``moment`` go with it.

    Args:
        simulation: the physics, reset, or as the last call left it.
        course: what is told of the course.
        rules: of the task.
        network: the policy.
        opening: what acts at first.
        head: its head.
        normalization: of observations.
        noise: standard normal draws for each action, shape (actions, 18); no rows for none.
        seen: receives the raw observations acted on, shape (actions, size); no rows if nobody asks.
        moment: where the episode is.
        pushes: added to the network's outputs, shape (n, 18), for the next n actions.
        last: how many actions since the start to stop after, if it has not ended by then.
    """
    y, p, w = simulation.y, simulation.packed_parameters[0], simulation.packed_workspaces[0]
    inner = simulation.packed_workspaces[1]
    basic, values, memory, deepest = moment.basic, moment.values, moment.memory, moment.deepest
    previous, presented = np.empty(41), np.empty(rules.size)
    scratch = np.empty(2 * network.sizes.max())
    outputs = np.empty(network.sizes[len(network.sizes) - 1] * (2 if len(network.mirror) else 1))
    action = np.empty(18)
    total = sign_total = score = 0.0
    step_size = moment.step_size[0]
    steps, actions = moment.counts[0], moment.counts[1]
    first = actions
    ending, fell, stopped, done = OK, False, False, False

    if actions == 0:
        step_size = simulation.step_size
        observation.forget(rules.observation, memory)
        kinematics(y, p, w, basic)
        _complete(course, basic)
        observation.present(rules.observation, basic, memory, values)
    while not done and actions < last:
        if len(seen):
            seen[actions] = values
        _normalize(normalization, values, presented)
        if actions < opening.actions:
            act(opening.network, actions, moment.shift, presented, scratch, outputs)
        else:
            if actions == opening.actions:
                moment.shift[0] += _taken_over(network, opening)
            act(network, actions, moment.shift, presented, scratch, outputs)
        if actions - first < len(pushes):
            outputs += pushes[actions - first]
        if head.values.shape[1]:
            choose(outputs, head.values, action)
        elif head.clipped:
            clip(outputs, head.bottom, head.top, action)
        else:
            to_bounds(outputs, head.bottom, head.top, head.bounded, head.bias, head.gain, action)
        if not _to_excitations(action, noise, actions, rules.action_noise):
            ending, done = NOT_A_NUMBER, True
            break
        actions += 1
        for _ in range(rules.action_repeat):
            steps += 1
            if simulation.implicit:
                step_size = ros2.advance(
                    y,
                    action,
                    simulation.max_force,
                    simulation.obstacles,
                    p,
                    w,
                    inner,
                    STEP_SECONDS,
                    step_size,
                    simulation.accuracy,
                    simulation.shortest,
                )
                reached = step_size > 0.0
            else:
                reached = (
                    runge_kutta_merson.advance(
                        y,
                        action,
                        simulation.max_force,
                        simulation.obstacles,
                        p,
                        w,
                        STEP_SECONDS,
                        simulation.step_size,
                        simulation.accuracy,
                        simulation.coordinates,
                    )
                    > 0.0
                )
            if not reached:
                ending, done = PHYSICS_FAILED, True
                break
            previous[:] = basic
            kinematics(y, p, w, basic)
            _complete(course, basic)
            observation.present(rules.observation, basic, memory, values)
            deepened = _deepen(basic, course.spheres, deepest)
            original, reward = _rewards(rules, previous, basic, limit_torque_square_sum(y, p, w), deepened)
            score += original
            total += reward
            sign_total += np.sign(reward)
            fell, stopped = basic[2] < rules.fall_height, _is_stopped(rules, basic, steps)
            done = fell or stopped or steps >= rules.max_steps
            if done:
                break
    moment.step_size[0] = step_size
    moment.counts[0], moment.counts[1] = steps, actions
    touched = (deepest > obstacle_contact.MARGIN).sum()
    return Outcome(total, sign_total, steps, actions, ending, done, basic[1], score, touched, fell, stopped)


def start(rules: Rules, spheres: int) -> Moment:
    """The start of an episode among so many obstacles."""
    return Moment(
        step_size=np.zeros(1),
        basic=np.empty(41),
        values=np.empty(rules.size),
        memory=np.empty(observation.MEMORY),
        deepest=np.zeros((spheres, 2)),
        shift=np.zeros(1),
        counts=np.zeros(2, dtype=np.int64),
    )


_deepen = rounded(obstacle_contact.deepen)
_taken_over = rounded(taken_over)


@rounded
def _complete(course: Course, basic: Array) -> None:
    """Make 41 values of the 36; see `es.envs.observations.add_obstacle_masses` and ``next_obstacle``."""
    basic[18] = (course.mass * basic[18] + course.moment_x) / course.total_mass
    basic[19] = (course.mass * basic[19] + course.moment_y) / course.total_mass
    basic[20] *= course.mass / course.total_mass
    basic[21] *= course.mass / course.total_mass
    basic[36], basic[37] = course.strength_left, course.strength_right
    basic[38], basic[39], basic[40] = _NOTHING_AHEAD, 0.0, 0.0
    for i in range(len(course.obstacles)):
        x, radius = course.obstacles[i, 0], course.obstacles[i, 2]
        if x + radius >= basic[1]:
            basic[38], basic[39], basic[40] = x - basic[1], course.obstacles[i, 1], radius
            break


@rounded
def _normalize(normalization: Normalization, values: Array, out: Array) -> None:
    if not len(normalization.mean):
        out[:] = values
        return
    limit = normalization.clip
    for i in range(len(values)):
        value = (values[i] - normalization.mean[i]) / normalization.std[i]
        out[i] = min(max(value, -limit), limit)


@rounded
def _to_excitations(action: Array, noise: Array, number: int, spread: float) -> bool:
    """Add noise and clip to [0, 1]; False if there is a NaN."""
    for i in range(18):
        if len(noise):
            action[i] += spread * noise[number, i]
        if math.isnan(action[i]):
            return False
        action[i] = min(max(action[i], 0.0), 1.0)
    return True


@rounded
def _rewards(
    rules: Rules, before: Array, after: Array, limit_torque_squares: float, deepened: float
) -> tuple[float, float]:
    """The original reward and the one in force; see `es.envs.rewards`."""
    penalty = 1e-7 * math.sqrt(limit_torque_squares)
    original = (after[1] - before[1]) - penalty
    if rules.original:
        return original, original
    forward = rules.velocity * (STEP_SECONDS * after[4])
    lean_back = rules.lean * min(0.0, after[22] - after[1])
    knees = rules.straight_knees * (max(0.0, after[7] - 0.1) + max(0.0, after[10] - 0.1))
    reward = forward + rules.survive + lean_back - knees - rules.ligaments * penalty
    if rules.low_swing != 0.0:
        reward -= rules.low_swing * _low_swing(before, after)
    return original, reward - rules.touch * deepened


@rounded
def _low_swing(before: Array, after: Array) -> float:
    """See `es.envs.rewards.low_swing`."""
    area = 0.0
    for side in range(0, 4, 2):
        height = min(after[29 + side], after[33 + side] - 0.04)
        forward = after[28 + side] - before[28 + side]
        area += max(0.0, forward) * max(0.0, SWING_HEIGHT - height)
    return area


@rounded
def _is_stopped(rules: Rules, basic: Array, steps: int) -> bool:
    if basic[0] < rules.lowest_tilt or basic[0] > rules.highest_tilt:
        return True
    return rules.wall_speed > 0.0 and basic[1] < rules.wall_speed * (steps * STEP_SECONDS - rules.wall_grace)
