"""From the outcomes of a generation to its record."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from es.checkpoint import MasterState
from es.protocol import Episode
from es.run_dir import EvaluationRecord, GenerationRecord, PhysicsComparison, now
from es.strategies.update import Update
from master.collector import Arrival

Statistic = Callable[[list[float]], Any]


def generation_record(
    generation: int,
    arrivals: Sequence[Arrival],
    update: Update,
    *,
    stage: str,
    before: MasterState,
    settings: dict[str, float],
    best_before: float | None,
    seconds: float,
    elapsed: float,
    duplicates: int,
    rejected: int,
) -> GenerationRecord:
    """Summarise a generation.

    Args:
        generation: its number, from 1.
        arrivals: all its training outcomes.
        update: what the strategy did with them.
        stage: name of the stage it belongs to; empty without stages.
        before: the state before it.
        settings: the ramps' values in it.
        best_before: largest return before this generation.
        seconds: its wall time.
        elapsed: the run's wall time, this generation included.
        duplicates: results dropped so far.
        rejected: messages skipped so far.
    """
    episodes = [episode for arrival in arrivals for episode in arrival.outcome.episodes]
    returns = [episode.return_ for episode in episodes if not episode.failed]
    lengths = [episode.length for episode in episodes]
    processes = {arrival.process for arrival in arrivals}
    values = _metric_values(episodes)
    simulated = sum(episode.simulator_seconds for episode in episodes)
    episode_cap = before.episode_cap
    capped = 0 if episode_cap is None else sum(length >= episode_cap for length in lengths)
    best = max([*returns, *([] if best_before is None else [best_before])], default=None)
    steps = sum(lengths)
    return GenerationRecord(
        generation=generation,
        stage=stage,
        ramps=settings,
        restarts=before.attempts.restarts,
        return_mean=_or_none(np.mean, returns),
        return_std=_or_none(np.std, returns),
        return_min=_or_none(np.min, returns),
        return_max=_or_none(np.max, returns),
        return_best=best,
        metrics=_summary(values, np.mean),
        metrics_max=_summary(values, np.max),
        length_mean=steps / len(episodes),
        length_min=min(lengths),
        length_max=max(lengths),
        episode_cap=episode_cap,
        capped=capped / len(episodes),
        episodes=len(episodes),
        episodes_total=before.episodes + len(episodes),
        failed=sum(episode.failed for episode in episodes),
        errors=dict(Counter(episode.error for episode in episodes if episode.error).most_common(5)),
        steps=steps,
        steps_total=before.steps + steps,
        steps_per_second=steps / seconds,
        workers=len(processes),
        simulator_seconds=simulated,
        process_seconds=sum(arrival.process_seconds for arrival in arrivals),
        simulator_share=min(1.0, simulated / (seconds * len(processes))),
        duplicates=duplicates,
        rejected=rejected,
        gradient_norm=update.gradient_norm,
        parameter_norm=update.parameter_norm,
        update_ratio=update.update_ratio,
        seconds=seconds,
        elapsed=elapsed,
        time=now(),
    )


def evaluation_record(generation: int, outcomes: Sequence[tuple[Episode, ...]]) -> EvaluationRecord:
    """Summarise the evaluation of the policy after ``generation`` updates.

    Args:
        generation: updates so far.
        outcomes: in order of index: each episode, and perhaps the same one in the physics of training.
    """
    episodes = [outcome[0] for outcome in outcomes]
    compared = [outcome[1] for outcome in outcomes if len(outcome) > 1]
    returns = [episode.return_ for episode in episodes if not episode.failed]
    return EvaluationRecord(
        generation=generation,
        returns=[None if episode.failed else episode.return_ for episode in episodes],
        return_mean=_or_none(np.mean, returns),
        return_std=_or_none(np.std, returns),
        lengths=[episode.length for episode in episodes],
        metrics=_metrics(episodes, np.mean),
        failed=sum(episode.failed for episode in episodes),
        training_physics=_comparison(episodes, compared) if len(compared) == len(episodes) else None,
        time=now(),
    )


def _comparison(scored: Sequence[Episode], training: Sequence[Episode]) -> PhysicsComparison:
    both = [(s, t) for s, t in zip(scored, training, strict=True) if not (s.failed or t.failed)]
    gaps = [t.return_ - s.return_ for s, t in both]
    there, here = _metrics([t for _, t in both], np.mean), _metrics([s for s, _ in both], np.mean)
    return PhysicsComparison(
        returns=[None if episode.failed else episode.return_ for episode in training],
        lengths=[episode.length for episode in training],
        metrics=_metrics(training, np.mean),
        failed=sum(episode.failed for episode in training),
        return_gap=_or_none(np.mean, gaps),
        return_gap_largest=max(gaps, key=abs, default=None),
        metrics_gap={name: there[name] - here[name] for name in there.keys() & here.keys()},
    )


def _or_none(statistic: Statistic, values: list[float]) -> float | None:
    return float(statistic(values)) if values else None


def _metrics(episodes: Iterable[Episode], statistic: Statistic) -> dict[str, float]:
    return _summary(_metric_values(episodes), statistic)


def _metric_values(episodes: Iterable[Episode]) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {}
    for episode in episodes:
        for name, value in episode.metrics.items():
            if math.isfinite(value):
                values.setdefault(name, []).append(value)
    return values


def _summary(values: dict[str, list[float]], statistic: Statistic) -> dict[str, float]:
    summary = {name: float(statistic(each)) for name, each in sorted(values.items())}
    return {name: value for name, value in summary.items() if math.isfinite(value)}
