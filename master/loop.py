"""The training loop: publish -> collect -> update -> record."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from es import checkpoint, config, noise, protocol
from es.checkpoint import MasterState
from es.envs import registry as envs
from es.obs_norm import ObservationStatistics
from es.policies import registry as policies
from es.policies.mlp import MLP
from es.protocol import Episode, Generation, Outcome, Statistics
from es.run_dir import EvaluationRecord, GenerationRecord, RunDir
from es.strategies import openai_es
from master import metrics
from master.collector import Arrival, Collector


class Observer(Protocol):
    """Somebody who watches the training."""

    def generation_started(self, generation: int, episodes: int) -> None:
        """Tasks are published."""

    def episodes_done(self, done: int, workers: int) -> None:
        """So many of the generation's episodes are in; so many rollout processes are at work."""

    def generation_finished(self, record: GenerationRecord) -> None:
        """The update is made and recorded."""

    def evaluation_finished(self, record: EvaluationRecord) -> None:
        """An evaluation is complete and recorded."""


def build_policy(experiment: config.Experiment) -> MLP:
    """The policy that the workers run.

    Raises:
        ExperimentError: the environment cannot be built, or the policy does not fit it.
    """
    env = envs.make(experiment.environment)
    try:
        return policies.make(experiment.policy, env)
    finally:
        env.close()


def initial_state(experiment: config.Experiment, policy: MLP) -> MasterState:
    """Random parameters, or those of the warm start.

    Raises:
        ExperimentError: the warm start's network does not fit.
        RunDirectoryError: its checkpoint cannot be read.
    """
    rng = noise.generator(noise.Stream.INITIAL_PARAMETERS, experiment.seed)
    statistics = ObservationStatistics.empty(policy.sizes[0])
    if experiment.warm_start:
        _, source = checkpoint.load(Path(experiment.warm_start.checkpoint))
        theta = policy.widen(source.search.theta, source.layer_sizes, rng)
        if source.layer_sizes[0] == policy.sizes[0]:
            statistics = source.statistics
    else:
        theta = policy.initial(rng)
    cap = experiment.episode_cap
    return MasterState(
        generation=0,
        search=openai_es.init(experiment.strategy, theta),
        statistics=statistics,
        episode_cap=cap.start if cap else None,
        episodes=0,
        steps=0,
        layer_sizes=policy.sizes,
    )


def budget_spent(experiment: config.Experiment, state: MasterState, elapsed: float) -> bool:
    """Whether another generation would exceed the budget, ``elapsed`` seconds into the run."""
    budget = experiment.budget
    return (
        (budget.generations is not None and state.generation >= budget.generations)
        or (budget.episodes is not None and state.episodes + experiment.population.size > budget.episodes)
        or (budget.steps is not None and state.steps >= budget.steps)
        or (budget.hours is not None and elapsed >= 3600 * budget.hours)
    )


def train(
    run: RunDir, experiment: config.Experiment, state: MasterState, collector: Collector, observer: Observer
) -> MasterState:
    """Train from ``state`` until the budget is spent; all that is worth keeping is in ``run`` afterwards.

    Whatever exception interrupts it, the state after the last complete generation is on disk.
    """
    run_id = run.info().run_id
    history = run.generations()
    elapsed = history[-1].elapsed if history else 0.0
    best = history[-1].return_best if history else None
    evaluations = Evaluations(run, experiment.evaluation, observer)
    run.save_checkpoint(experiment, state)
    saved = state.generation
    for generation in evaluations.overdue(state.generation):
        earlier = run.load_checkpoint(generation)
        collector.open(message(run_id, experiment, earlier), (), evaluations.start(generation))
    try:
        while not budget_spent(experiment, state, elapsed):
            began = time.monotonic()
            number = state.generation + 1
            collector.open(
                message(run_id, experiment, state),
                pairs=range(experiment.population.size // 2),
                evaluations=evaluations.start(state.generation),
                pairs_per_task=experiment.population.pairs_per_task,
            )
            observer.generation_started(number, experiment.population.size)
            arrivals: list[Arrival] = []
            # An evaluation has time until the end of the next generation, so that it never delays an update.
            while collector.missing(number, "train") or collector.missing(number - 1, "evaluate"):
                for arrival in collector.poll():
                    if arrival.kind == "train":
                        arrivals.append(arrival)
                    else:
                        evaluations.add(arrival)
                observer.episodes_done(2 * len(arrivals), sum(each.processes for each in collector.workers))
            arrivals.sort(key=lambda arrival: arrival.outcome.index)
            new_state, update = advance(experiment, state, [arrival.outcome for arrival in arrivals])
            seconds = time.monotonic() - began
            elapsed += seconds
            record = metrics.generation_record(
                number,
                arrivals,
                update,
                best_before=best,
                episode_cap=state.episode_cap,
                episodes_before=state.episodes,
                steps_before=state.steps,
                seconds=seconds,
                elapsed=elapsed,
                duplicates=collector.duplicates,
                rejected=collector.rejected,
            )
            run.append(record)
            best, state = record.return_best, new_state
            if state.generation % experiment.checkpoint.every == 0:
                run.save_checkpoint(experiment, state)
                saved = state.generation
            observer.generation_finished(record)
        last = evaluations.start(state.generation, final=True)
        if last:
            collector.open(message(run_id, experiment, state), (), last)
        while collector.busy:
            for arrival in collector.poll():
                evaluations.add(arrival)
    finally:
        if saved != state.generation:
            run.save_checkpoint(experiment, state)
    return state


def message(run_id: str, experiment: config.Experiment, state: MasterState) -> Generation:
    """What the workers need to know to run the generation after ``state``."""
    centre, scale = openai_es.ask(experiment.strategy, state.search)
    normalization, statistics = experiment.observation_normalization, state.statistics
    normalize = normalization.enabled and statistics.n > 0
    return Generation(
        run_id=run_id,
        generation=state.generation + 1,
        centre=protocol.pack(centre),
        scale=protocol.pack(scale),
        observation_mean=protocol.pack(statistics.mean) if normalize else b"",
        observation_std=protocol.pack(statistics.std(normalization.std_floor)) if normalize else b"",
        episode_cap=state.episode_cap,
    )


def advance(
    experiment: config.Experiment, state: MasterState, outcomes: Sequence[Outcome]
) -> tuple[MasterState, openai_es.Update]:
    """The state after a generation.

    Args:
        experiment: its settings.
        state: the state before.
        outcomes: of all pairs, in order of index: floating-point sums depend on the order of their terms.
    """
    pairs = [outcome.episodes for outcome in outcomes]
    episodes = [episode for pair in pairs for episode in pair]
    nan = float("nan")
    returns = np.array([[nan if e.failed else e.return_ for e in pair] for pair in pairs])
    sign_returns = np.array([[nan if e.failed else e.sign_return for e in pair] for pair in pairs])
    number, dim = state.generation + 1, state.search.theta.size
    search, update = openai_es.tell(
        experiment.strategy,
        state.search,
        returns,
        sign_returns,
        lambda pair: noise.perturbation(experiment.seed, number, pair, dim),
    )
    statistics = state.statistics
    for episode in episodes:
        if episode.statistics:
            statistics = statistics.merge(_from_message(episode.statistics, statistics.mean.size))
    new_state = MasterState(
        generation=number,
        search=search,
        statistics=statistics,
        episode_cap=next_cap(experiment.episode_cap, state.episode_cap, [e.length for e in episodes]),
        episodes=state.episodes + len(episodes),
        steps=state.steps + sum(episode.length for episode in episodes),
        layer_sizes=state.layer_sizes,
    )
    return new_state, update


def next_cap(rule: config.EpisodeCap | None, cap: int | None, lengths: Sequence[int]) -> int | None:
    """The episode cap for the next generation (Salimans et al. 2017, section 4.1)."""
    if rule is None or cap is None:
        return None
    reached = sum(length >= cap for length in lengths) / len(lengths)
    return min(math.ceil(cap * rule.factor), rule.maximum) if reached >= rule.threshold else cap


def _from_message(statistics: Statistics, size: int) -> ObservationStatistics:
    return ObservationStatistics(
        statistics.n, protocol.unpack(statistics.mean, size), protocol.unpack(statistics.m2, size)
    )


class Evaluations:
    """Which evaluations are due, and the episodes of those under way."""

    def __init__(self, run: RunDir, settings: config.Evaluation, observer: Observer) -> None:
        self._run = run
        self._settings = settings
        self._observer = observer
        self._recorded = set(run.evaluations())
        self._episodes: dict[int, dict[int, Episode]] = {}

    def start(self, generation: int, *, final: bool = False) -> Sequence[int]:
        """The evaluation episodes to run with the policy after ``generation`` updates, if they are due."""
        if not self._due(generation, final=final):
            return ()
        self._episodes[generation] = {}
        return range(self._settings.episodes)

    def overdue(self, generation: int) -> list[int]:
        """Evaluations before ``generation`` that an interruption lost and a checkpoint allows to repeat."""
        return [g for g in self._run.checkpoints() if g < generation and self._due(g, final=False)]

    def _due(self, generation: int, *, final: bool) -> bool:
        every = self._settings.every
        wanted = every > 0 and (final or generation % every == 0)
        return wanted and generation not in self._recorded and generation not in self._episodes

    def add(self, arrival: Arrival) -> None:
        """Take an episode; the last one of its evaluation completes the record."""
        generation = arrival.generation - 1  # the centre of a generation is the policy after the one before
        episodes = self._episodes[generation]
        episodes[arrival.outcome.index] = arrival.outcome.episodes[0]
        if len(episodes) == self._settings.episodes:
            record = metrics.evaluation_record(generation, [episodes[index] for index in sorted(episodes)])
            self._run.append(record)
            self._recorded.add(generation)
            del self._episodes[generation]
            self._observer.evaluation_finished(record)
