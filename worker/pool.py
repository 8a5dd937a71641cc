"""Rollout processes as the agent sees them: start, ask, watch, replace."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import msgspec
import psutil
from msgspec import Struct

from es.errors import EsError
from worker import process
from worker.process import Answer, Work

# A rollout process is one core's work; a BLAS that starts threads of its own only gets in the way.
SINGLE_THREADED = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}

POLL = 0.5  # s between looks at a working process


class Limits(Struct, frozen=True, kw_only=True):
    """When a rollout process is replaced."""

    memory_mb: float = 2000.0
    """Resident memory; OpenSim processes are known to leak."""
    episodes: int = 0
    """Episodes after which a fresh process takes over, at the end of a task; 0 means never."""
    task_seconds: float = 900.0
    """A task that takes longer counts as hung."""


class CannotStartError(EsError):
    """The experiment cannot be run on this host; another process would not do better."""


class ProcessLostError(EsError):
    """A rollout process died, hung or grew too large; its task has to run again.

    ``guilty`` tells whether the task may be the cause: not if somebody killed the process from outside.
    """

    def __init__(self, message: str, *, guilty: bool) -> None:
        super().__init__(message)
        self.guilty = guilty


def limit_threads() -> None:
    """Make all processes started from now on single-threaded."""
    os.environ.update(SINGLE_THREADED)


class RolloutProcess:
    """One single-threaded process with an environment in it.

    Raises:
        CannotStartError: the environment cannot be built here.
        ProcessLostError: it died while starting.
    """

    def __init__(
        self,
        experiment_json: bytes,
        limits: Limits,
        name: str,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        """Start it.

        Args:
            experiment_json: the experiment.
            limits: when it counts as hung, bloated or worn out.
            name: shown in process lists.
            cancelled: asked twice a second while we wait for it; True ends it.
        """
        context = multiprocessing.get_context("spawn")
        self._limits = limits
        self._cancelled = cancelled
        self._pipe, child = context.Pipe()
        self._process = context.Process(target=process.main, args=(child, experiment_json), name=name)
        self._process.start()
        child.close()
        self._generation = -1
        self._episodes = 0
        try:
            error = self._receive().error
        except ProcessLostError:
            self.close()
            raise
        if error:
            self.close()
            raise CannotStartError(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid or 0

    @property
    def memory_mb(self) -> float:
        """Resident memory; 0 once it is gone."""
        try:
            return float(psutil.Process(self.pid).memory_info().rss) / 2**20
        except psutil.Error:
            return 0.0

    @property
    def worn_out(self) -> bool:
        """Whether it has reached a limit and should be replaced before its next task."""
        limits = self._limits
        return self.memory_mb > limits.memory_mb or 0 < limits.episodes <= self._episodes

    def needs(self, generation: int) -> bool:
        """Whether it lacks this generation's parameters."""
        return self._generation != generation

    def run(self, work: Work) -> Answer:
        """Let it do a task.

        Raises:
            ProcessLostError: it died, hung or outgrew its memory; it is gone then.
            CannotStartError: the message does not fit the experiment.
        """
        # A frozen process blocks a long message in the pipe before _receive looks at the clock.
        last_resort = threading.Timer(self._limits.task_seconds + 2 * POLL, self._process.kill)
        last_resort.start()
        try:
            try:
                self._pipe.send_bytes(msgspec.msgpack.encode(work))
            except OSError:
                self._raise_death()
            self._generation = work.task.generation
            answer = self._receive()
        finally:
            last_resort.cancel()
        if answer.error:
            self.close()
            raise CannotStartError(answer.error)
        self._episodes += sum(len(outcome.episodes) for outcome in answer.outcomes)
        return answer

    def _receive(self) -> Answer:
        waited = 0.0
        while not self._pipe.poll(POLL):
            waited += POLL
            if self._cancelled():
                self.kill()
                raise ProcessLostError("was told to stop", guilty=False)
            if waited > self._limits.task_seconds:
                self.kill()
                raise ProcessLostError(f"hung for {self._limits.task_seconds:g} s", guilty=True)
            memory = self.memory_mb
            if memory > self._limits.memory_mb:
                self.kill()
                raise ProcessLostError(
                    f"grew to {memory:.0f} MB (limit {self._limits.memory_mb:.0f})", guilty=True
                )
        try:
            return msgspec.msgpack.decode(self._pipe.recv_bytes(), type=Answer)
        except (EOFError, OSError):
            self._raise_death()
            raise  # not reached: tells the type checker so

    def _raise_death(self) -> None:
        self._process.join(timeout=5)
        self.close()
        code = self._process.exitcode
        if code is not None and code < 0:
            outside = -code in (signal.SIGKILL, signal.SIGTERM)
            raise ProcessLostError(f"killed by {signal.Signals(-code).name}", guilty=not outside)
        raise ProcessLostError(f"exited with code {code}", guilty=True)

    def kill(self) -> None:
        """End it now, whatever it does; its pipe reads as closed from then on."""
        self._process.kill()

    def close(self) -> None:
        """End it and free what it holds."""
        self._pipe.close()
        self._process.kill()
        self._process.join()
