"""The run directory: the only thing that outlives a run, and all that inspection reads.

runs/NAME/experiment.toml          the experiment, every setting spelled out
runs/NAME/run.json                 RunInfo
runs/NAME/generations.jsonl        one GenerationRecord per line
runs/NAME/evaluations.jsonl        one EvaluationRecord per line
runs/NAME/checkpoints/00000010.npz state after 10 generations
runs/NAME/progress.json            Progress of the generation under way, about once a second
runs/NAME/workers.json             Fleet, about once a second
runs/NAME/worker.log               what the local worker said (es run only)
runs/NAME/lock                     locked by the master while it runs
"""

import fcntl
import importlib.resources
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TypeVar

import msgspec
from msgspec import Struct

from es import checkpoint, config
from es.checkpoint import MasterState
from es.errors import RunDirectoryError, RunNotFoundError, UsageError


class RunInfo(Struct, frozen=True, kw_only=True):
    """What identifies a run."""

    run_id: str
    """Names its keys in Redis; unique."""
    created: str
    """ISO 8601, UTC."""
    software: str
    """Version of this package that created it."""
    finished: bool = False
    """Whether its budget was spent."""


class GenerationRecord(Struct, frozen=True, kw_only=True):
    """What happened in one generation. Returns and lengths are of training episodes."""

    generation: int
    """Number of this update, from 1."""
    stage: str = ""
    """Name of the stage; empty without stages."""
    ramps: dict[str, float] = {}
    """What the ramps set in the training environment."""
    restarts: int = 0
    """Of the search, so far in this stage."""
    return_mean: float | None
    """Mean return of the episodes that did not fail."""
    return_std: float | None
    return_min: float | None
    return_max: float | None
    return_best: float | None
    """Largest return of any episode so far."""
    metrics: dict[str, float]
    """Means over the episodes of what the environment reports at their end, e.g. metres."""
    metrics_max: dict[str, float]
    """Largest values of the same."""
    length_mean: float
    """Environment steps."""
    length_min: int
    length_max: int
    episode_cap: int | None
    """Environment steps."""
    capped: float
    """Share of episodes that reached the cap."""
    episodes: int
    """In this generation."""
    episodes_total: int
    failed: int
    """Episodes that failed and ranked worst."""
    errors: dict[str, int]
    """What the failed ones raised, and how often."""
    steps: int
    """Environment steps in this generation."""
    steps_total: int
    steps_per_second: float
    """Environment steps per second of wall time, all workers together."""
    workers: int
    """Rollout processes that contributed."""
    simulator_seconds: float
    """Time inside the environment, all processes together."""
    process_seconds: float
    """Time from receiving a task to answering it, all processes together."""
    simulator_share: float
    """Share of those processes' wall time spent inside the environment, waiting for tasks included."""
    duplicates: int
    """Results that arrived twice and were dropped, so far."""
    rejected: int
    """Messages that made no sense and were skipped, so far."""
    gradient_norm: float
    parameter_norm: float
    update_ratio: float
    """Norm of the update over the norm of the parameters."""
    seconds: float
    """Wall time of this generation."""
    elapsed: float
    """Wall time of the run up to here, all sessions, s."""
    time: str
    """When it was complete; ISO 8601, UTC."""


class EvaluationRecord(Struct, frozen=True, kw_only=True):
    """Unperturbed episodes of the policy after a generation."""

    generation: int
    """After how many updates; 0 is the initial policy."""
    returns: list[float | None]
    """Return per episode; null where it failed."""
    return_mean: float | None
    return_std: float | None
    lengths: list[int]
    metrics: dict[str, float]
    """Means over the episodes of what the environment reports at their end."""
    failed: int
    training_physics: "PhysicsComparison | None" = None
    """The same episodes in the physics of training, where those are others."""
    time: str
    """ISO 8601, UTC."""


class PhysicsComparison(Struct, frozen=True, kw_only=True):
    """What the physics of training make of an evaluation's episodes.

    A policy that lives off the errors of a fast integrator does better there than where it is scored. Gaps
    are training physics minus scoring physics, over the episodes that failed in neither.
    """

    returns: list[float | None]
    """Return per episode; null where it failed."""
    lengths: list[int]
    metrics: dict[str, float]
    """Means over the episodes of what the environment reports at their end."""
    failed: int
    return_gap: float | None
    """Mean gap of the returns."""
    return_gap_largest: float | None
    """The gap that is largest in size."""
    metrics_gap: dict[str, float]
    """Mean gaps of the metrics, e.g. metres."""


class Progress(Struct, frozen=True, kw_only=True):
    """How far the generation under way is. Returns and steps are of the training episodes that are in."""

    generation: int
    episodes: int
    """Of the generation."""
    episodes_done: int
    failed: int
    return_mean: float | None
    return_max: float | None
    steps: int
    """Environment steps."""
    process_seconds: float
    """What these episodes took the rollout processes."""
    seconds: float
    """Since it began."""
    time: str
    """When this was written; ISO 8601, UTC."""


class Worker(Struct, frozen=True, kw_only=True):
    """One host's worker, as the master knows it."""

    worker: str
    """Unique in the fleet."""
    host: str
    processes: int
    """Rollout processes."""
    busy: int
    """How many of them have a task."""
    software: str
    """Version of this package."""
    tasks: int
    """Completed since it joined."""
    episodes: int
    """In those."""
    episodes_per_second: float
    """Over the last 30 s."""
    memory_mb: float
    """Resident memory of its rollout processes."""
    restarts: int
    """Rollout processes that had to be replaced."""
    last_seen: float
    """Seconds before ``Fleet.time``."""
    lost: bool
    """Silent for too long: its tasks are run elsewhere."""


class Fleet(Struct, frozen=True, kw_only=True):
    """The workers of a run; those that left are not among them."""

    workers: list[Worker]
    time: str
    """When this was written; ISO 8601, UTC."""


R = TypeVar("R", GenerationRecord, EvaluationRecord)
L = TypeVar("L", Progress, Fleet)


def now() -> str:
    """The time as records carry it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class RunDir:
    """One run's directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.worker_log = path / "worker.log"
        self._progress = path / "progress.json"
        self._workers = path / "workers.json"
        self._generations = path / "generations.jsonl"
        self._evaluations = path / "evaluations.jsonl"
        self._checkpoints = path / "checkpoints"

    @classmethod
    def create(cls, runs_dir: Path, experiment: config.Experiment, name: str | None, software: str) -> Self:
        """Make a new directory: ``name``, or the experiment's name and the next free number.

        Raises:
            UsageError: there is a run of that name already.
            RunDirectoryError: it cannot be written.
        """
        if name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
            raise UsageError(f"--name {name!r}: expected letters, digits, dot, dash and underscore")
        with _writing(runs_dir):
            runs_dir.mkdir(parents=True, exist_ok=True)
            run = cls(_claim(runs_dir, experiment.name, name))
            run._checkpoints.mkdir()
            run.write_experiment(experiment)
            run_id = f"{run.name}-{os.urandom(4).hex()}"
            run.write_info(RunInfo(run_id=run_id, created=now(), software=software))
        return run

    @classmethod
    def open(cls, runs_dir: Path, run: str) -> Self:
        """An existing run, by name or path, or one that comes with the package, by name.

        Raises:
            RunNotFoundError: there is none.
        """
        for path in (runs_dir / run, Path(run), shipped() / run):
            if (path / "run.json").is_file():
                return cls(path)
        known = ", ".join(each.name for each in all_runs(runs_dir)[-5:])
        raise RunNotFoundError(
            f"{run}: no such run in {runs_dir}"
            + (f"; the latest are {known}" if known else ", which has no runs")
        )

    def info(self) -> RunInfo:
        """What identifies this run."""
        path = self.path / "run.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=RunInfo)
        except (OSError, msgspec.DecodeError) as error:
            raise RunDirectoryError(f"{path}: not readable: {error}") from error

    def write_info(self, info: RunInfo) -> None:
        """Replace it."""
        self._replace(self.path / "run.json", msgspec.json.format(msgspec.json.encode(info)) + b"\n")

    def experiment(self) -> config.Experiment:
        """The experiment as it runs."""
        return config.load(self.path / "experiment.toml")

    def write_experiment(self, experiment: config.Experiment) -> None:
        """Replace it."""
        self._replace(self.path / "experiment.toml", config.to_toml(experiment).encode())

    def generations(self) -> list[GenerationRecord]:
        """All generation records, oldest first."""
        return _read(self._generations, GenerationRecord)

    def evaluations(self) -> dict[int, EvaluationRecord]:
        """All evaluation records by generation."""
        return {record.generation: record for record in _read(self._evaluations, EvaluationRecord)}

    def progress(self) -> Progress | None:
        """Of the generation that is or was under way last; None if there was none yet."""
        return _read_latest(self._progress, Progress)

    def fleet(self) -> Fleet | None:
        """The workers as they are or were last; None if nobody asked for any yet."""
        return _read_latest(self._workers, Fleet)

    def write_latest(self, latest: Progress | Fleet) -> None:
        """Replace what is known of the present.

        Raises:
            RunDirectoryError: the disk is full or the directory not writable.
        """
        path = self._progress if isinstance(latest, Progress) else self._workers
        self._replace(path, msgspec.json.encode(latest) + b"\n")

    def append(self, record: GenerationRecord | EvaluationRecord) -> None:
        """Add a line to the right file.

        Raises:
            RunDirectoryError: the disk is full or the directory not writable.
        """
        path = self._generations if isinstance(record, GenerationRecord) else self._evaluations
        line = msgspec.json.encode(record)
        msgspec.json.decode(line, type=type(record))  # what cannot be read back would lose the run
        with _writing(path), path.open("ab") as file:
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def forget_after(self, generation: int) -> None:
        """Drop the records of later generations, which a resumed run is about to repeat."""
        for path, records in (
            (self._generations, _read(self._generations, GenerationRecord)),
            (self._evaluations, _read(self._evaluations, EvaluationRecord)),
        ):
            kept = [record for record in records if record.generation <= generation]
            self._replace(path, b"".join(msgspec.json.encode(record) + b"\n" for record in kept))

    def save_checkpoint(self, experiment: config.Experiment, state: MasterState) -> None:
        """Write the state after ``state.generation`` generations."""
        checkpoint.save(self.checkpoint_path(state.generation), experiment, state)

    def load_checkpoint(self, generation: int) -> MasterState:
        """The state after this many generations.

        Raises:
            RunNotFoundError: there is no such checkpoint.
        """
        path = self.checkpoint_path(generation)
        if not path.is_file():
            there = ", ".join(str(number) for number in self.checkpoints()[-10:]) or "none"
            raise RunNotFoundError(
                f"{self.name}: no checkpoint of generation {generation}; there are {there}"
            )
        return checkpoint.load(path)[1]

    def checkpoints(self) -> list[int]:
        """Generations that have a checkpoint, ascending."""
        return sorted(int(path.stem) for path in self._checkpoints.glob("*.npz") if path.stem.isdigit())

    def latest_readable(self) -> MasterState:
        """The newest state that can be read; a damaged file costs only the generations since the one before.

        Raises:
            RunDirectoryError: there is none.
        """
        reason = "no checkpoint"
        for generation in reversed(self.checkpoints()):
            try:
                return self.load_checkpoint(generation)
            except RunDirectoryError as error:
                reason = str(error)
        raise RunDirectoryError(f"{self.path}: nothing to resume from: {reason}")

    def export(self, destination: Path, generation: int, records: int) -> Self:
        """Copy what is worth handing on: one checkpoint, a curve of so many generations, all evaluations.

        Raises:
            UsageError: the destination exists.
            RunNotFoundError: there is no such checkpoint.
        """
        state = self.load_checkpoint(generation)
        with _writing(destination):
            try:
                destination.mkdir(parents=True)
            except FileExistsError:
                raise UsageError(f"{destination} exists already; choose another place") from None
            copy = type(self)(destination)
            copy._checkpoints.mkdir()
        experiment = self.experiment()
        copy.write_experiment(experiment)
        copy.save_checkpoint(experiment, state)
        history = [record for record in self.generations() if record.generation <= generation]
        step = max(1, -(-generation // records))
        evaluations = self.evaluations()
        # By generation, not by record: the first part of the curve may be a thinned one already.
        last_of = {(generation - record.generation) // step: record.generation for record in history}
        kept = {*last_of.values(), *evaluations}  # evaluations are plotted at their generations' records
        for record in history:
            if record.generation in kept:
                copy.append(record)
        for evaluation in evaluations.values():
            if evaluation.generation <= generation:
                copy.append(evaluation)
        copy.write_info(msgspec.structs.replace(self.info(), finished=True))
        return copy

    def status(self) -> str:
        """``running``, ``finished`` or ``stopped``."""
        if self._locked():
            return "running"
        return "finished" if self.info().finished else "stopped"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for one master.

        Raises:
            UsageError: another master works on it.
        """
        with _writing(self.path):
            file = (self.path / "lock").open("ab")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(f"{self.name}: another master is working on this run") from None
            yield

    def _locked(self) -> bool:
        try:
            with (self.path / "lock").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def checkpoint_path(self, generation: int) -> Path:
        """Where the state after this many generations is, or would be."""
        return self._checkpoints / f"{generation:08d}.npz"

    def _replace(self, path: Path, content: bytes) -> None:
        temporary = path.with_name(path.name + ".tmp")
        with _writing(path):
            temporary.write_bytes(content)
            temporary.replace(path)


def shipped() -> Path:
    """Where the package keeps trained runs; read only."""
    return Path(str(importlib.resources.files("es") / "trained"))


def all_runs(runs_dir: Path) -> list[RunDir]:
    """All runs in a directory, oldest first."""
    runs = [RunDir(path.parent) for path in runs_dir.glob("*/run.json")]
    return sorted(runs, key=lambda run: (run.info().created, run.name))


def _claim(runs_dir: Path, experiment_name: str, name: str | None) -> Path:
    number = 1
    while True:
        path = runs_dir / (name or f"{experiment_name}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            if name is not None:
                raise UsageError(
                    f"--name {name}: {path} exists already; choose another or resume it"
                ) from None
            number += 1
        else:
            return path


def _read(path: Path, record: type[R]) -> list[R]:
    """Records of a file that may not exist yet and whose last line may be half written."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunDirectoryError(f"{path}: not readable: {error.strerror}") from error
    decoder = msgspec.json.Decoder(record)
    records = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            records.append(decoder.decode(line))
        except msgspec.DecodeError as error:
            raise RunDirectoryError(f"{path}: line {number} is not a {record.__name__}: {error}") from error
    return records


def _read_latest(path: Path, kind: type[L]) -> L | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise RunDirectoryError(f"{path}: not readable: {error}") from error


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(
            f"{error.filename or path}: cannot write: {error.strerror or error}"
        ) from error
