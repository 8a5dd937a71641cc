"""What the run directory says of the present: the generation under way and the fleet."""

import logging
import math
import time
from collections.abc import Sequence

from es.errors import RunDirectoryError
from es.protocol import Seen
from es.run_dir import EvaluationRecord, Fleet, GenerationRecord, Progress, RunDir, Worker, now
from master.collector import Arrival
from master.loop import Observer

PERIOD = 1.0  # s between writes

log = logging.getLogger("es.master")


class LatestWriter:
    """An observer that keeps ``progress.json`` and ``workers.json`` fresh and passes everything on.

    They are for looking at: a full disk costs them, not the run.
    """

    def __init__(self, run: RunDir, observer: Observer) -> None:
        self._run = run
        self._observer = observer
        self._generation = self._episodes = 0
        self._began = time.monotonic()
        self._write_at = 0.0
        self._written: Sequence[Seen] = ()
        self._silent = False

    def generation_started(self, generation: int, episodes: int) -> None:
        """Begin anew."""
        self._observer.generation_started(generation, episodes)
        self._generation, self._episodes = generation, episodes
        self._began = time.monotonic()

    def episodes_arrived(self, arrivals: Sequence[Arrival], fleet: Sequence[Seen]) -> None:
        """Write, if it is time."""
        self._observer.episodes_arrived(arrivals, fleet)
        if time.monotonic() < self._write_at:
            return
        self._write_at = time.monotonic() + PERIOD
        self._write(self._progress(arrivals))
        if fleet is not self._written:  # the collector looks for itself once a second
            self._written = fleet
            self._write(Fleet(workers=[_worker(seen) for seen in fleet], time=now()))

    def generation_finished(self, record: GenerationRecord) -> None:
        """Pass it on."""
        self._observer.generation_finished(record)

    def evaluation_finished(self, record: EvaluationRecord) -> None:
        """Pass it on."""
        self._observer.evaluation_finished(record)

    def _progress(self, arrivals: Sequence[Arrival]) -> Progress:
        episodes = [episode for arrival in arrivals for episode in arrival.outcome.episodes]
        returns = [episode.return_ for episode in episodes if not episode.failed]
        mean = math.fsum(returns) / len(returns) if returns else None
        return Progress(
            generation=self._generation,
            episodes=self._episodes,
            episodes_done=len(episodes),
            failed=len(episodes) - len(returns),
            return_mean=mean,
            return_max=max(returns, default=None),
            steps=sum(episode.length for episode in episodes),
            process_seconds=sum(arrival.process_seconds for arrival in arrivals),
            seconds=time.monotonic() - self._began,
            time=now(),
        )

    def _write(self, latest: Progress | Fleet) -> None:
        try:
            self._run.write_latest(latest)
        except RunDirectoryError as error:
            if not self._silent:
                log.warning("es watch and es workers will not know the present: %s", error)
            self._silent = True


def _worker(seen: Seen) -> Worker:
    report = seen.report
    return Worker(
        worker=report.worker,
        host=report.host,
        processes=report.processes,
        busy=report.busy,
        software=report.software,
        tasks=report.tasks,
        episodes=report.episodes,
        episodes_per_second=report.episodes_per_second,
        memory_mb=report.memory_mb,
        restarts=report.restarts,
        last_seen=seen.age,
        lost=seen.lost,
    )
