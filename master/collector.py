"""What is published and not yet answered: complete sets, first answer wins, nothing lost."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from es import protocol
from es.errors import ProtocolError, RedisUnavailableError, WorkersLostError
from es.protocol import (
    Announcement,
    Episode,
    Generation,
    Kind,
    MasterClient,
    Outcome,
    Result,
    Seen,
    Task,
)

POLL = 0.5  # s
CHECK = 1.0  # s between looks at keys and workers
REPUBLICATIONS = 3  # without any progress in between

log = logging.getLogger("es.master")


class Arrival(NamedTuple):
    """An outcome that was still missing."""

    generation: int
    kind: Kind
    outcome: Outcome
    process: str
    process_seconds: float
    """Of the whole result, on its first outcome; 0 on the others."""


class Collector:
    """Publishes work and hands out each of its outcomes exactly once, in whatever order they arrive.

    If Redis vanishes, it waits for it to come back and publishes whatever is still missing again.
    """

    def __init__(
        self,
        client: MasterClient,
        announcement: Announcement,
        *,
        observation_size: int,
        patience: float,
        supervise: Callable[[], None],
    ) -> None:
        """Announce the run.

        Args:
            client: of this run.
            announcement: of this run.
            observation_size: length of the statistics' arrays.
            patience: seconds without Redis, or without any worker, after which to give up.
            supervise: called about once a second; raises if there is no point in waiting.

        Raises:
            RedisUnavailableError: Redis did not answer for ``patience`` seconds.
        """
        self.duplicates = 0
        self.fleet: list[Seen] = []
        """Workers that reported lately, those that fell silent included."""
        self._client = client
        self._announcement = announcement
        self._observation_size = observation_size
        self._patience = patience
        self._supervise = supervise
        self._generations: dict[int, Generation] = {}
        self._missing: dict[tuple[int, Kind], set[int]] = {}
        self._chunks: dict[Kind, int] = {"train": 1, "evaluate": 1}
        self._check_at = 0.0
        self._unanswered = False
        self._republications = 0
        self._rejected_here = 0
        self._rejected_by_workers = 0
        self._seen_at = time.monotonic()
        self._patiently(lambda: client.announce(announcement))

    def open(
        self,
        generation: Generation,
        pairs: Sequence[int],
        evaluations: Sequence[int],
        pairs_per_task: int = 1,
    ) -> None:
        """Publish a generation's pairs and, behind them, its evaluation episodes."""
        number = generation.generation
        self._generations[number] = generation
        self._chunks["train"] = pairs_per_task
        self._missing[number, "train"] = set(pairs)
        self._missing[number, "evaluate"] = set(evaluations)
        try:
            self._client.publish(generation, self._tasks(number))
        except RedisUnavailableError as error:
            self._recover(error)

    def missing(self, generation: int, kind: Kind) -> int:
        """How many outcomes of this generation have not arrived; 0 if it is not open."""
        return len(self._missing.get((generation, kind), ()))

    @property
    def rejected(self) -> int:
        """Messages that made no sense and were skipped, by the workers or here."""
        return self._rejected_here + self._rejected_by_workers

    @property
    def busy(self) -> bool:
        """Whether anything is published and not answered."""
        return bool(self._generations)

    def poll(self) -> list[Arrival]:
        """New outcomes, waiting up to half a second for the first.

        Raises:
            RedisUnavailableError: Redis was away for too long.
            WorkersLostError: there were no workers for too long.
            ProtocolError: workers answer, but never what they should.
        """
        try:
            if time.monotonic() > self._check_at:
                self._check()
            results, errors = self._client.receive(POLL)
        except RedisUnavailableError as unavailable:
            self._recover(unavailable)
            return []
        arrivals = []
        for result in results:
            try:
                arrivals.extend(self._accept(result))
            except ProtocolError as error:
                errors.append(error)
        for reason in errors:
            log.warning("skipped a result: %s", reason)
        self._rejected_here += len(errors)
        if arrivals:
            self._republications = 0
        for number in [g for g in self._generations if not self._still_open(g)]:
            self._close(number)
        if self._unanswered and not results and not errors:
            self._publish_refused()
        self._unanswered = False
        return arrivals

    def _publish_refused(self) -> None:
        """No task is open and no result under way, yet some are missing: their answers were refused."""
        if self._republications == REPUBLICATIONS:
            raise ProtocolError(
                f"the answers to some tasks were refused {REPUBLICATIONS} times; the warnings above say why. "
                "Expected workers of the same software"
            )
        self._republications += 1
        try:
            self._publish_missing()
        except RedisUnavailableError as error:
            self._recover(error)

    def _publish_missing(self) -> None:
        for number, generation in self._generations.items():
            self._client.publish(generation, self._tasks(number))

    def _check(self) -> None:
        self._check_at = time.monotonic() + CHECK
        self._supervise()
        if not self._client.keep_alive(list(self._generations)):
            raise RedisUnavailableError("Redis lost the run's keys; was it restarted?")
        self._unanswered = self.busy and self._client.open_tasks() == 0
        self.fleet = self._client.workers()
        self._rejected_by_workers = self._client.rejected()
        if any(not seen.lost for seen in self.fleet):
            self._seen_at = time.monotonic()
        elif time.monotonic() - self._seen_at > self._patience:
            raise WorkersLostError(
                f"no worker for {self._patience:g} s; start some with `es worker --redis ...`"
            )

    def _recover(self, error: RedisUnavailableError) -> None:
        """Begin anew in a Redis that may have lost everything: duplicates are harmless, gaps are not."""
        log.warning("%s; publishing again what is missing", error)

        def publish_all() -> None:
            self._supervise()
            self._client.announce(self._announcement)
            self._publish_missing()

        self._patiently(publish_all)

    def _patiently(self, action: Callable[[], None]) -> None:
        protocol.patiently(action, self._patience)

    def _tasks(self, number: int) -> list[Task]:
        run_id = self._announcement.run_id
        tasks = []
        kinds: tuple[Kind, ...] = ("train", "evaluate")
        for kind in kinds:  # in this order: evaluations fill the tail of a generation
            indices, size = sorted(self._missing[number, kind]), self._chunks[kind]
            tasks += [
                Task(run_id, number, kind, tuple(indices[start : start + size]))
                for start in range(0, len(indices), size)
            ]
        return tasks

    def _accept(self, result: Result) -> list[Arrival]:
        """The outcomes that were missing; everything is checked before anything is taken."""
        if result.run_id != self._announcement.run_id:
            raise ProtocolError(f"expected run {self._announcement.run_id}, got {result.run_id}")
        generation = self._generations.get(result.generation)
        if generation is None:  # it is complete: somebody else was sooner
            self.duplicates += len(result.outcomes)
            return []
        expected = (generation.episodes_per_pair,) if result.kind == "train" else (1, 2)
        for outcome in result.outcomes:
            if len(outcome.episodes) not in expected:
                raise ProtocolError(f"expected {expected[-1]} episodes, got {len(outcome.episodes)}")
            for episode in outcome.episodes:
                self._check_episode(episode)
        missing = self._missing[result.generation, result.kind]
        arrivals: list[Arrival] = []
        for outcome in result.outcomes:
            if outcome.index not in missing:
                self.duplicates += 1
                continue
            missing.discard(outcome.index)
            seconds = 0.0 if arrivals else result.process_seconds
            arrivals.append(Arrival(result.generation, result.kind, outcome, result.process, seconds))
        return arrivals

    def _check_episode(self, episode: Episode) -> None:
        if not (episode.failed or (math.isfinite(episode.return_) and math.isfinite(episode.sign_return))):
            raise ProtocolError(f"expected a finite return, got {episode.return_}, {episode.sign_return}")
        if episode.statistics:
            mean = protocol.unpack(episode.statistics.mean, self._observation_size)
            m2 = protocol.unpack(episode.statistics.m2, self._observation_size)
            if not (np.isfinite(mean).all() and np.isfinite(m2).all() and (m2 >= 0).all()):
                raise ProtocolError("expected finite observation statistics")

    def _still_open(self, number: int) -> bool:
        return bool(self._missing[number, "train"] or self._missing[number, "evaluate"])

    def _close(self, number: int) -> None:
        del self._generations[number], self._missing[number, "train"], self._missing[number, "evaluate"]
        try:
            self._client.forget(number)
        except RedisUnavailableError as error:
            log.debug("the key of generation %d will expire by itself: %s", number, error)
