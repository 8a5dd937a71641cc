"""One episode of one policy in one environment."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from es.obs_norm import Normalizer, ObservationStatistics

Array = NDArray[np.float64]


class Rollout(NamedTuple):
    """What is left of an episode."""

    return_: float
    """Sum of rewards; NaN if a reward was not finite."""
    sign_return: float
    """Sum of sign(reward)."""
    length: int
    """Environment steps."""
    failed: bool
    """The environment raised, said so (``info["failed"]``), or a reward was not finite."""
    error: str
    """What it raised, in one line; empty if nothing."""
    metrics: dict[str, float]
    """The numbers in the last step's ``info``, e.g. metres; not its ``reward_...``, which are of one step."""
    statistics: ObservationStatistics | None
    """Of the raw observations the policy acted on, if asked for and if the episode did not fail."""
    simulator_seconds: float
    """Time spent inside the environment's reset and step."""


def rollout(
    env: gymnasium.Env[Any, Any],
    act: Callable[[Array], Any],
    *,
    seed: int,
    action_repeat: int = 1,
    max_steps: int | None = None,
    normalizer: Normalizer | None = None,
    action_noise: float = 0.0,
    rng: np.random.Generator | None = None,
    collect_statistics: bool = False,
) -> Rollout:
    """Run one episode from ``env.reset(seed=seed)`` to its end.

    Args:
        env: with flat observations.
        act: observation (normalised, if there is a normaliser) to action.
        seed: of the environment, in [0, 2**31).
        action_repeat: environment steps per action.
        max_steps: environment steps after which the episode is cut; None leaves the end to the environment.
        normalizer: applied to observations before ``act``.
        action_noise: standard deviation of noise on continuous actions, which are then clipped to the bounds.
        rng: draws that noise.
        collect_statistics: whether to return observation statistics.

    An exception of the environment ends the episode as failed; it never ends the caller.
    """
    total, sign_total, steps = 0.0, 0.0, 0
    seen: list[Array] = []
    info: dict[str, Any] = {}
    error = ""
    box = env.action_space if isinstance(env.action_space, spaces.Box) and action_noise and rng else None
    clock = time.perf_counter
    began = clock()
    simulator_seconds = 0.0
    try:
        raw, info = env.reset(seed=seed)
        simulator_seconds += clock() - began
        done = False
        while not done:
            observation = np.asarray(raw, dtype=np.float64)
            if collect_statistics:
                seen.append(observation)
            action = act(normalizer(observation) if normalizer else observation)
            if box is not None and rng is not None:
                noisy = action + action_noise * rng.standard_normal(box.shape)
                action = np.clip(noisy, box.low, box.high)
            for _ in range(action_repeat):
                began = clock()
                raw, reward, terminated, truncated, info = env.step(action)
                simulator_seconds += clock() - began
                total += float(reward)
                sign_total += float(np.sign(float(reward)))
                steps += 1
                done = bool(terminated or truncated or steps == max_steps)
                if done:
                    break
    except Exception as exception:  # noqa: BLE001  (whatever a foreign simulator raises ends this episode only)
        error = _one_line(exception)
    if not np.isfinite(total):
        total = float("nan")
    statistics, metrics = None, {}
    try:
        failed = bool(error or info.get("failed", False) or np.isnan(total))
        metrics = _numbers(info)
        if seen and not failed:
            statistics = finite(ObservationStatistics.of(np.stack(seen)))
    except Exception as exception:  # noqa: BLE001  (nor does what it leaves behind end the caller)
        failed, error = True, error or _one_line(exception)
    return Rollout(total, sign_total, steps, failed, error, metrics, statistics, simulator_seconds)


def _one_line(exception: Exception) -> str:
    return f"{type(exception).__name__}: {' '.join(str(exception).split())}"


def finite(statistics: ObservationStatistics) -> ObservationStatistics | None:
    """The statistics; None if a single NaN or infinity would spoil all that is merged with it."""
    return statistics if np.isfinite([statistics.mean, statistics.m2]).all() else None


def _numbers(info: dict[str, Any]) -> dict[str, float]:
    return {
        key: float(value)
        for key, value in info.items()
        if isinstance(value, bool | int | float | np.bool_ | np.integer | np.floating)
        and isinstance(key, str)
        and not key.startswith("reward_")
    }
