"""Episodes of Learning to Run on the compiled twin, each in one compiled call.

The result has the same floats as that of `es.rollout.rollout` with the same arguments, several times sooner.
An `Episode` can also stop on the way and go on.
"""

import time
from typing import Any, TypeGuard

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker
from numpy.typing import NDArray

from es.envs.learning_to_run import LearningToRun
from es.native import rollout as native
from es.native.physics import NativePhysics
from es.obs_norm import Normalizer, ObservationStatistics
from es.policies.compiled_head import CompiledHead, compiled_head
from es.policies.policy import NetworkPolicy, Policy
from es.rollout import Rollout, finite

Array = NDArray[np.float64]


def applies(policy: Policy, env: gymnasium.Env[Any, Any]) -> TypeGuard[NetworkPolicy]:
    """Whether this environment and this policy can run in one compiled call."""
    while isinstance(env, OrderEnforcing | PassiveEnvChecker):
        env = env.env
    return (
        type(env) is LearningToRun
        and isinstance(env.physics, NativePhysics)
        and isinstance(policy, NetworkPolicy)
        and isinstance(policy.head, CompiledHead)
    )


class Episode:
    """An episode that can stop and go on; arguments as for `es.rollout.rollout`, and ``theta``.

    ``rules`` are the task's, ``state``, shape (54,), is that of the physics (`es.native.state`), ``moment``
    whatever else changes on the way (``run(0)`` fills in its first observation), ``course`` what the runner
    is told of, ``acting`` the policy's network and its opening; ``seen`` has the raw observations acted on,
    if statistics are collected. The environment is reset and then let go: many episodes can be on their way
    at a time.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        policy: NetworkPolicy,
        theta: Array,
        *,
        seed: int,
        action_repeat: int = 1,
        max_steps: int | None = None,
        normalizer: Normalizer | None = None,
        action_noise: float = 0.0,
        rng: np.random.Generator | None = None,
        collect_statistics: bool = False,
    ) -> None:
        task: Any = env.unwrapped
        observation, _ = task.reset(seed=seed)
        rules = task.rules()._replace(action_repeat=action_repeat, action_noise=action_noise)
        if max_steps is not None:
            rules = rules._replace(max_steps=min(rules.max_steps, max_steps))
        self.rules = rules
        self._actions = -(-rules.max_steps // action_repeat)
        self._noise = (
            np.empty((0, 18)) if not action_noise or rng is None else rng.standard_normal((self._actions, 18))
        )
        self.seen = np.empty((self._actions if collect_statistics else 0, rules.size))
        self.acting = policy.start(theta, normalizer(observation) if normalizer else observation)
        head: Any = policy.head  # `applies` found it to be one of these
        self._head, self._normalization = compiled_head(head), _normalization(normalizer)
        self._simulation = task.physics.simulation()
        self.course: native.Course = task.told()
        self.moment = native.start(rules, len(self.course.spheres))
        self._ended = False

    def run(self, until: int | None = None, pushes: Array | None = None) -> native.Outcome:
        """Go on to the end, or until so many actions since the start are done.

        Args:
            until: this many; None for all.
            pushes: added to the outputs of the policy's network, before its head, for the next n actions,
                shape (n, 18), right leg first; none without it.

        Raises:
            ResetNeeded: the episode has ended.
        """
        if self._ended:
            raise ResetNeeded("the episode has ended; begin another one")
        outcome = native.Outcome(
            *native.rollout(
                self._simulation,
                self.course,
                self.rules,
                *self.acting,
                self._head,
                self._normalization,
                self._noise,
                self.seen,
                self.moment,
                np.empty((0, 18)) if pushes is None else pushes,
                self._actions if until is None else until,
            )
        )
        self._ended = outcome.done
        return outcome

    @property
    def state(self) -> Array:
        """Of the physics, shape (54,)."""
        state: Array = self._simulation.y
        return state


def rollout(
    env: gymnasium.Env[Any, Any], policy: NetworkPolicy, theta: Array, *, seed: int, **settings: Any
) -> Rollout:
    """Run one episode to its end; arguments as for `Episode`."""
    began = time.perf_counter()
    episode = Episode(env, policy, theta, seed=seed, **settings)
    outcome = episode.run()
    seconds = time.perf_counter() - began
    total = outcome.return_ if np.isfinite(outcome.return_) else float("nan")
    error = "ValueError: an action must not contain NaN" if outcome.ending == native.NOT_A_NUMBER else ""
    failed = outcome.ending != native.OK or bool(np.isnan(total))
    statistics = None
    if len(episode.seen) and not failed:
        statistics = finite(ObservationStatistics.of(episode.seen[: outcome.actions]))
    metrics = {"metres": outcome.metres}
    if outcome.length:
        broken = outcome.ending == native.PHYSICS_FAILED
        metrics |= {
            "score": outcome.score,
            "touched": float(outcome.touched),
            "fell": float(outcome.fell),
            "stopped": float(outcome.stopped),
            "survived": float(not (outcome.fell or outcome.stopped or broken)),
            "failed": float(broken),
        }
    return Rollout(total, outcome.sign_return, outcome.length, failed, error, metrics, statistics, seconds)


def _normalization(normalizer: Normalizer | None) -> native.Normalization:
    if normalizer is None:
        return native.Normalization(np.empty(0), np.empty(0), 0.0)
    return native.Normalization(normalizer.mean, normalizer.std, normalizer.clip)
