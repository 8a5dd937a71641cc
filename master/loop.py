"""The training loop: publish -> collect -> update -> record."""

import logging
import time
from collections.abc import Sequence
from typing import Protocol

from es import config, perturbations
from es.checkpoint import MasterState
from es.errors import RunDirectoryError
from es.perturbations import Perturbations
from es.protocol import Seen
from es.run_dir import EvaluationRecord, GenerationRecord, RunDir
from master import metrics, update
from master.collector import Arrival, Collector
from master.evaluations import Evaluations

log = logging.getLogger("es.master")


class Observer(Protocol):
    """Somebody who watches the training."""

    def generation_started(self, generation: int, episodes: int) -> None:
        """Tasks are published."""

    def episodes_arrived(self, arrivals: Sequence[Arrival], fleet: Sequence[Seen]) -> None:
        """These training outcomes of the generation are in so far; this is the fleet."""

    def generation_finished(self, record: GenerationRecord) -> None:
        """The update is made and recorded."""

    def evaluation_finished(self, record: EvaluationRecord) -> None:
        """An evaluation is complete and recorded."""


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
    evaluations = Evaluations(run, experiment.evaluation, observer.evaluation_finished)
    run.save_checkpoint(experiment, state)
    saved = state.generation
    for generation in evaluations.overdue(state.generation):
        try:
            earlier = run.load_checkpoint(generation)
        except RunDirectoryError as error:
            log.warning("no evaluation after generation %d: %s", generation, error)
            continue
        collector.open(update.message(run_id, experiment, earlier), (), evaluations.start(generation))
    threads = perturbations.threads()
    following = state
    try:
        while not update.budget_spent(experiment, state, elapsed):
            began = time.monotonic()
            number = state.generation + 1
            stage = config.at_stage(experiment, state.stage)
            message = update.message(run_id, experiment, state)
            pairs = range(state.population // 2)
            collector.open(
                message,
                pairs=pairs,
                evaluations=evaluations.start(state.generation),
                pairs_per_task=stage.population.pairs_per_task,
            )
            observer.generation_started(number, update.episodes_per_generation(experiment, state))
            drawn = Perturbations(threads, experiment.seed, number, state.search.theta.size, len(pairs))
            arrivals: list[Arrival] = []
            # An evaluation has time until the end of the next generation, so that it never delays an update.
            while collector.missing(number, "train") or collector.missing(number - 1, "evaluate"):
                for arrival in collector.poll():
                    if arrival.kind == "train":
                        arrivals.append(arrival)
                    else:
                        evaluations.add(arrival)
                observer.episodes_arrived(arrivals, collector.fleet)
            arrivals.sort(key=lambda arrival: arrival.outcome.index)
            outcomes = [arrival.outcome for arrival in arrivals]
            following, norms = update.advance(experiment, state, outcomes, drawn)
            drawn.close()
            seconds = time.monotonic() - began
            elapsed += seconds
            record = metrics.generation_record(
                number,
                arrivals,
                norms,
                stage=experiment.stage[state.stage].name if experiment.stage else "",
                before=state,
                settings=message.arguments,
                best_before=best,
                seconds=seconds,
                elapsed=elapsed,
                duplicates=collector.duplicates,
                rejected=collector.rejected,
            )
            run.append(record)
            best, state = record.return_best, following
            if state.generation % experiment.checkpoint.every == 0:
                run.save_checkpoint(experiment, state)
                saved = state.generation
            observer.generation_finished(record)
        last = evaluations.start(state.generation, final=True)
        if last:
            collector.open(update.message(run_id, experiment, state), (), last)
        while collector.busy:
            for arrival in collector.poll():
                evaluations.add(arrival)
    finally:
        threads.shutdown(cancel_futures=True)
        if following is not state and any(r.generation == following.generation for r in run.generations()):
            state = following  # interrupted after its record was written
        if saved != state.generation:
            run.save_checkpoint(experiment, state)
    return state
