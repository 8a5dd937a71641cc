"""The agent: one per host. Owns the Redis connection and the leases, and keeps N rollout processes busy.

One thread fetches tasks for all rollout processes that are free, so that a host of 36 asks once a second, not
36 times, when there is nothing to do. One thread per rollout process has tasks computed and delivers results.
The main thread keeps the leases fresh, gives signs of life and notices the end of the run.
"""

import logging
import os
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import TypeVar

from msgspec import Struct

from es import noise, protocol
from es.errors import EsError, JoinRefusedError, NoRunError, ProtocolError, RedisUnavailableError
from es.protocol import Announcement, Lease, WorkerClient
from worker.pool import CannotStartError, Limits, ProcessLostError, RolloutProcess, limit_threads
from worker.process import Answer, Work

T = TypeVar("T")

FETCH_SECONDS = 1.0
GUILTY_ATTEMPTS = 3
ATTEMPTS = 10

log = logging.getLogger("es.worker")


class Settings(Struct, frozen=True, kw_only=True):
    """How a worker behaves."""

    processes: int
    """Rollout processes."""
    run_id: str | None = None
    """Serve this run only and leave when it is over; None: whichever run is current, one after the other."""
    wait_seconds: float = 60.0
    """How long to wait for a run, and for Redis when it does not answer."""
    drain_seconds: float = 20.0
    """How long tasks may go on after SIGTERM before they are given back."""
    limits: Limits = Limits()


def software_version() -> str:
    """What master and worker have to agree on."""
    return version("opensim-es")


def check_join(announcement: Announcement) -> None:
    """Refuse to work for a master whose answers we would not reproduce.

    Raises:
        JoinRefusedError: another version of this package, or numpy draws other numbers.
    """
    ours = software_version()
    if announcement.software != ours:
        raise JoinRefusedError(
            f"run {announcement.run_id} needs version {announcement.software}, this worker is {ours}; "
            "install the same version on master and workers"
        )
    fingerprint = noise.fingerprint()
    if announcement.fingerprint != fingerprint:
        raise JoinRefusedError(
            f"run {announcement.run_id} draws noise with fingerprint {announcement.fingerprint}, this worker "
            f"{fingerprint}; install the master's numpy version"
        )


def serve(client: WorkerClient, worker: str, settings: Settings, stop: threading.Event) -> int:
    """Work for one run after the other until told to stop or nobody needs us any more.

    Args:
        client: connected as ``worker``.
        worker: this agent's id, unique in the fleet.
        settings: how to behave.
        stop: set it to drain: running tasks are finished or given back.

    Returns:
        Tasks completed.

    Raises:
        NoRunError: no run showed up within ``settings.wait_seconds``, and none had before.
        RedisUnavailableError: Redis did not answer for as long.
        JoinRefusedError: this software would not give the answers the master expects.
        CannotStartError: the run's environment cannot be built here.
    """
    limit_threads()
    completed, served = 0, False
    while not stop.is_set():
        announcement = _wait_for_run(client, settings, stop)
        if announcement is None:
            if served or stop.is_set():
                break
            wanted = f"run {settings.run_id}" if settings.run_id else "run"
            raise NoRunError(
                f"no {wanted} published after {settings.wait_seconds:g} s; is the master running?"
            )
        check_join(announcement)
        log.info("joined run %s with %d processes", announcement.run_id, settings.processes)
        served = True
        completed += _Shift(client, worker, settings, announcement, stop).work()
        log.info("left run %s", announcement.run_id)
    return completed


def _wait_for_run(client: WorkerClient, settings: Settings, stop: threading.Event) -> Announcement | None:
    deadline = time.monotonic() + settings.wait_seconds
    while not stop.is_set():
        try:
            announcement = protocol.patiently(
                lambda: client.find_run(settings.run_id), settings.wait_seconds, stop.wait
            )
        except ProtocolError as error:
            raise JoinRefusedError(f"the run is from another version: {error}") from error
        if announcement is not None and not announcement.finished:
            return announcement
        if (announcement is not None and settings.run_id) or time.monotonic() > deadline:
            return None
        stop.wait(0.2)
    return None


class _Shift:
    """The work for one run, from joining to leaving."""

    def __init__(
        self,
        client: WorkerClient,
        worker: str,
        settings: Settings,
        announcement: Announcement,
        stop: threading.Event,
    ) -> None:
        self._client = client
        self._worker = worker
        self._settings = settings
        self._announcement = announcement
        self._run_id = announcement.run_id
        self._stop = stop
        self._over = threading.Event()
        self._given_up = threading.Event()
        self._lock = threading.Lock()
        self._fetching = threading.Lock()
        self._leases: dict[int, Lease] = {}
        self._processes: dict[int, RolloutProcess] = {}
        self._generations: dict[int, protocol.Generation] = {}
        self._free = threading.Semaphore(settings.processes)
        """Rollout processes without a task."""
        self._waiting: queue.SimpleQueue[Lease | None] = queue.SimpleQueue()
        """Tasks on their way to one of them; None ends it."""
        self._completed = 0
        self._episodes = 0
        self._rate = Rate(protocol.RATE_SECONDS)
        self._restarts = 0
        self._error: Exception | None = None

    def work(self) -> int:
        slots = [
            threading.Thread(
                target=self._guarded, args=(self._serve_slot, slot), name=f"slot-{slot}", daemon=True
            )
            for slot in range(self._settings.processes)
        ]
        fetcher = threading.Thread(target=self._guarded, args=(self._fetch,), name="fetcher", daemon=True)
        for thread in (*slots, fetcher):
            thread.start()
        drain_until = None
        while any(thread.is_alive() for thread in slots):
            self._give_signs_of_life()
            if self._stop.is_set():
                drain_until = drain_until or time.monotonic() + self._settings.drain_seconds
                if time.monotonic() > drain_until and not self._given_up.is_set():
                    log.info("giving back %d unfinished tasks", len(self._leases))
                    self._given_up.set()
                    with self._lock:
                        for process in self._processes.values():
                            process.kill()
            waits_until = time.monotonic() + protocol.LEASE_REFRESH
            for thread in slots:
                thread.join(timeout=max(0.0, waits_until - time.monotonic()))
        try:
            self._client.leave(self._run_id)
        except EsError as error:
            log.debug("could not sign off: %s", error)
        if self._error and not (self._stop.is_set() and isinstance(self._error, RedisUnavailableError)):
            raise self._error
        return self._completed

    def _leaving(self) -> bool:
        return self._stop.is_set() or self._over.is_set()

    def _give_signs_of_life(self) -> None:
        """Refresh leases and report; what fails now is tried again in a second."""
        with self._lock:
            leases = list(self._leases.values())
            memory = sum(process.memory_mb for process in self._processes.values())
        try:
            self._client.refresh(leases)
            self._client.report(
                self._run_id,
                protocol.WorkerReport(
                    worker=self._worker,
                    host=socket.gethostname(),
                    processes=self._settings.processes,
                    busy=len(leases),
                    software=software_version(),
                    tasks=self._completed,
                    episodes=self._episodes,
                    episodes_per_second=self._rate.of(self._episodes, time.monotonic()),
                    restarts=self._restarts,
                    memory_mb=memory,
                    seen=0.0,
                ),
            )
            announcement = self._client.find_run(self._run_id)
        except RedisUnavailableError as error:
            log.debug("no sign of life: %s", error)
        except EsError as error:
            self._fail(error)
        else:
            # None: Redis was restarted, and the master will announce the run again. Another one: it is over,
            # or a master with other settings has resumed it, and we have to join anew.
            if announcement not in (None, self._announcement):
                self._over.set()

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error
        self._over.set()

    def _guarded(self, serve: Callable[..., None], *arguments: int) -> None:
        try:
            serve(*arguments)
        except Exception as error:  # noqa: BLE001  (a thread's exception must reach the main thread)
            self._fail(error)

    def _fetch(self) -> None:
        """Fetch tasks for the free slots until the run is over or we are told to stop; then end the slots."""
        try:
            idle_since = time.monotonic()
            while not self._leaving():
                if not self._free.acquire(timeout=FETCH_SECONDS):
                    continue
                free = 1
                while self._free.acquire(blocking=False):
                    free += 1
                leases, errors = self._patiently(
                    partial(self._client.fetch, self._run_id, FETCH_SECONDS, free)
                )
                for lease in leases:
                    self._waiting.put(lease)
                for _ in range(free - len(leases)):
                    self._free.release()
                for error in errors:
                    log.warning("skipped a message that is no task: %s", error)
                if leases or errors:
                    idle_since = time.monotonic()
                elif not self._run_lives(idle_since):
                    return
        finally:
            for _ in range(self._settings.processes):
                self._waiting.put(None)

    def _serve_slot(self, slot: int) -> None:
        """Compute and deliver one task after the other."""
        try:
            while (lease := self._waiting.get()) is not None:
                with self._lock:
                    self._leases[slot] = lease
                try:
                    self._do(slot, lease)
                finally:
                    with self._lock:
                        del self._leases[slot]
                self._free.release()
        finally:
            with self._lock:
                process = self._processes.pop(slot, None)
            if process:
                process.close()

    def _run_lives(self, idle_since: float) -> bool:
        """Whether there may be more to do here: not if the run is over, or another one wants us now.

        A master that is away has ``wait_seconds`` to come back.
        """
        announcement = self._patiently(lambda: self._client.find_run(self._settings.run_id))
        if announcement is not None:
            return announcement == self._announcement
        self._stop.wait(0.1)  # without a stream to block on, fetching returns at once
        return time.monotonic() - idle_since < self._settings.wait_seconds

    def _do(self, slot: int, lease: Lease) -> None:
        generation = self._generation_of(lease)
        if generation is None:  # over and done with: a task that was given to two workers
            self._patiently(lambda: self._client.drop(lease))
            return
        answer = self._compute(slot, lease.task, generation)
        if answer is None:
            try:
                self._client.give_back([lease])
            except RedisUnavailableError as error:
                log.debug("the lease will expire by itself: %s", error)
            return
        result = protocol.Result(
            run_id=self._run_id,
            generation=lease.task.generation,
            kind=lease.task.kind,
            outcomes=answer.outcomes,
            process=f"{self._worker}/{slot}",
            process_seconds=answer.process_seconds,
        )
        self._patiently(lambda: self._client.complete(lease, result))
        with self._lock:
            self._completed += 1
            self._episodes += sum(len(outcome.episodes) for outcome in answer.outcomes)

    def _generation_of(self, lease: Lease) -> protocol.Generation | None:
        """The task's generation, fetched once for all processes of this host."""
        wanted = lease.task.generation
        with self._fetching:
            generation = self._generations.get(wanted)
            if generation is None:
                generation = self._patiently(lambda: self._client.generation(self._run_id, wanted))
            if generation is not None:
                # Two: the evaluations of the one before fill the tail.
                kept = sorted({wanted, *self._generations})[-2:]
                self._generations = {g: self._generations.get(g, generation) for g in kept}
            return generation

    def _compute(self, slot: int, task: protocol.Task, generation: protocol.Generation) -> Answer | None:
        """The answer; None if we were told to stop before there was one."""
        guilty = deaths = 0
        while not self._given_up.is_set():
            process = self._process(slot)
            if process is None or self._given_up.is_set():
                break
            try:
                return process.run(Work(task, generation if process.needs(task.generation) else None))
            except ProcessLostError as error:
                self._remove(slot)
                if self._given_up.is_set():
                    break
                log.warning("rollout process %d was replaced: %s", slot, error)
                guilty += error.guilty
                deaths += 1
                if guilty >= GUILTY_ATTEMPTS:
                    return Answer(_failed_outcomes(task, generation, f"rollout process {error}"))
                if deaths >= ATTEMPTS:  # somebody else kills them; the task is not to blame
                    raise CannotStartError(
                        f"{ATTEMPTS} rollout processes in a row were lost: {error}"
                    ) from error
        return None

    def _process(self, slot: int) -> RolloutProcess | None:
        """A process that is ready; None if we were told to stop before it was."""
        process = self._processes.get(slot)
        if process is not None and process.worn_out:
            log.info("rollout process %d is replaced at %.0f MB", slot, process.memory_mb)
            self._remove(slot)
            process = None
        return process or self._start(slot)

    def _remove(self, slot: int) -> None:
        with self._lock:
            process = self._processes.pop(slot)
            self._restarts += 1
        process.close()

    def _start(self, slot: int) -> RolloutProcess | None:
        experiment, limits = self._announcement.experiment, self._settings.limits
        guilty = deaths = 0
        while not self._given_up.is_set():
            try:
                process = RolloutProcess(experiment, limits, f"es-rollout-{slot}", self._given_up.is_set)
            except ProcessLostError as error:
                guilty += error.guilty
                deaths += 1
                if guilty == GUILTY_ATTEMPTS or deaths == ATTEMPTS:
                    raise CannotStartError(f"rollout processes die while starting: {error}") from error
            else:
                with self._lock:
                    self._processes[slot] = process
                return process
        return None

    def _patiently(self, action: Callable[[], T]) -> T:
        return protocol.patiently(action, self._settings.wait_seconds, self._pause)

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise RedisUnavailableError("told to stop while Redis does not answer")


class Rate:
    """How fast a count grew over the last ``seconds``."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._past: deque[tuple[float, int]] = deque()

    def of(self, count: int, now: float) -> float:
        """Per second, at the time ``now``; 0 the first time."""
        while len(self._past) > 1 and self._past[1][0] <= now - self._seconds:
            self._past.popleft()
        self._past.append((now, count))
        then, before = self._past[0]
        elapsed = now - then
        return (count - before) / elapsed if elapsed > 0 else 0.0


def _failed_outcomes(
    task: protocol.Task, generation: protocol.Generation, error: str
) -> tuple[protocol.Outcome, ...]:
    nan = float("nan")
    episode = protocol.Episode(nan, nan, 0, True, error, {}, None, 0.0)
    count = generation.episodes_per_pair if task.kind == "train" else 1
    return tuple(protocol.Outcome(index, (episode,) * count) for index in task.indices)


def worker_id() -> str:
    """Unique in the fleet: host, process and when it started."""
    return f"{socket.gethostname()}-{os.getpid()}-{time.time_ns() % 10**9}"
