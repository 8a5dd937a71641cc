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
    """Of the raw observations the policy acted on, if asked for."""
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
        error = f"{type(exception).__name__}: {' '.join(str(exception).split())}"
    return Rollout(
        return_=total if np.isfinite(total) else float("nan"),
        sign_return=sign_total,
        length=steps,
        failed=bool(error or info.get("failed", False) or not np.isfinite(total)),
        error=error,
        metrics=_numbers(info),
        statistics=ObservationStatistics.of(np.stack(seen)) if seen else None,
        simulator_seconds=simulator_seconds,
    )


def _numbers(info: dict[str, Any]) -> dict[str, float]:
    return {
        key: float(value)
        for key, value in info.items()
        if isinstance(value, bool | int | float | np.bool_ | np.integer | np.floating)
        and not key.startswith("reward_")
    }
