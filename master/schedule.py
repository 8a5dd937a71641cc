"""What changes as training goes on: episode cap, population, ramps, stages. Pure functions."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from es import config
from es.errors import ExperimentError
from es.protocol import Episode

Signals = dict[str, float]
"""What conditions are about, by metric."""


def signals(episodes: Sequence[Episode], cap: int | None, ramps: Mapping[str, float]) -> Signals:
    """Means over a generation's training episodes; those that failed count in `failed` and `capped` only.

    ``ramps`` are values by argument, which conditions may be about as well.
    """
    sound = [episode for episode in episodes if not episode.failed]
    capped = 0.0 if cap is None else sum(e.length >= cap for e in episodes) / len(episodes)
    means = {"capped": capped, "failed": 1 - len(sound) / len(episodes)}
    if sound:
        means["return"] = float(np.mean([episode.return_ for episode in sound]))
        means["length"] = float(np.mean([episode.length for episode in sound]))
        for name in sorted(set.intersection(*(set(episode.metrics) for episode in sound))):
            means.setdefault(name, float(np.mean([episode.metrics[name] for episode in sound])))
    return {**ramps, **means}


def holds(condition: config.Condition, means: Signals) -> bool:
    """Whether it does; not in a generation all of whose episodes failed.

    Raises:
        ExperimentError: the environment does not report this metric.
    """
    if "return" not in means and condition.metric not in means:
        return False
    if condition.metric not in means:
        raise ExperimentError(
            f"metric = {condition.metric!r}: expected one of {', '.join(sorted(means))}: what the episodes "
            "report, and what ramps move"
        )
    value = means[condition.metric]
    if condition.at_least is not None:
        return value >= condition.at_least
    return condition.at_most is not None and value <= condition.at_most


def next_cap(rule: config.EpisodeCap | None, cap: int | None, capped: float) -> int | None:
    """The next generation's episode cap, when ``capped`` is the share of this one's that reached theirs.

    Salimans et al. 2017, section 4.1.
    """
    if rule is None or cap is None:
        return None
    return min(math.ceil(cap * rule.factor), rule.maximum) if capped >= rule.threshold else cap


def next_population(rule: config.Population, population: int, mean_length: float) -> int:
    """The next generation's policies, when this one's episodes took ``mean_length`` steps."""
    if rule.steps is None:
        return population
    pairs = math.ceil(rule.steps / (2 * rule.courses * max(mean_length, 1.0)))
    return min(max(2 * pairs, rule.size), rule.maximum)


def next_ramps(rules: Sequence[config.Ramp], values: Sequence[float], means: Signals) -> tuple[float, ...]:
    """Each ramp's next value."""
    return tuple(_next(rule, value, means) for rule, value in zip(rules, values, strict=True))


def _next(rule: config.Ramp, value: float, means: Signals) -> float:
    if holds(rule.when, means):
        value += rule.step
    elif rule.back_when is not None and holds(rule.back_when, means):
        value -= rule.step
    return min(max(value, min(rule.start, rule.limit)), max(rule.start, rule.limit))


def is_over(until: config.Until | None, generations: int, steps: int, means: Signals) -> bool:
    """Whether a stage ends that has lasted so many generations and environment steps."""
    if until is None:
        return False
    return (
        (until.generations is not None and generations >= until.generations)
        or (until.steps is not None and steps >= until.steps)
        or (until.when is not None and holds(until.when, means))
    )


def kept_ramps(
    old: Sequence[config.Ramp], values: Sequence[float], new: Sequence[config.Ramp]
) -> tuple[float, ...]:
    """Values at the start of a stage: those of ramps that are the same as in the stage before go on."""
    so_far = dict(zip(old, values, strict=True))
    return tuple(so_far.get(ramp, ramp.start) for ramp in new)


def check_metrics(experiment: config.Experiment, means: Signals) -> None:
    """Find out in the first generation, not after hours, that a later stage's condition makes no sense.

    Raises:
        ExperimentError: a condition is about a metric that the environment does not report.
    """
    ramps = [ramp for i in range(len(experiment.stage)) for ramp in config.at_stage(experiment, i).ramp]
    ends = [stage.until.when for stage in experiment.stage if stage.until and stage.until.when]
    ramps += experiment.ramp
    known = {ramp.argument: ramp.start for ramp in ramps} | means
    moves = [condition for ramp in ramps for condition in (ramp.when, ramp.back_when) if condition]
    for condition in [*ends, *moves]:
        holds(condition, known)
