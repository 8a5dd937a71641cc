"""The complete state of a master, in one file.

A checkpoint is an npz archive: the arrays, and under ``meta`` a JSON text with everything else, experiment
included. It holds no wall time and no host name, so equal runs write equal bytes.
"""

import json
import os
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from es import config
from es.errors import ExperimentError, RunDirectoryError
from es.obs_norm import ObservationStatistics
from es.strategies import registry as strategies
from es.strategies.registry import State

FORMAT = 2

Array = NDArray[np.float64]


class Attempts(NamedTuple):
    """What an experiment that restarts has to remember, since its stage began."""

    restarts: int
    """So far."""
    record: float | None
    """Best mean return of a generation since the last start."""
    record_at: int
    """The generation of the record, or of the last start."""
    origin: Array
    """Where the search started, shape (dim,); (0,) where nothing restarts."""
    best: Array
    """The centre of the generation with the best mean return of all, likewise."""
    best_return: float | None
    """That return."""


class MasterState(NamedTuple):
    """Where a run stands between two generations."""

    generation: int
    """Updates made."""
    search: State
    """The search distribution and its optimiser."""
    average: Array
    """Exponential average of the centre, shape (dim,); (0,) if none is kept."""
    statistics: ObservationStatistics
    """Of the observations sampled so far."""
    stage: int
    """Number of the stage of the next generation, from 0."""
    stage_began: tuple[int, int]
    """Generations and environment steps before it."""
    ramps: tuple[float, ...]
    """Values of the stage's ramps."""
    episode_cap: int | None
    """Environment steps after which training episodes are cut; None leaves their end to the environment."""
    population: int
    """Perturbed policies of the next generation."""
    attempts: Attempts
    """What restarts go by."""
    episodes: int
    """Training episodes so far."""
    steps: int
    """Environment steps in training so far."""
    layer_sizes: tuple[int, ...]
    """Of the policy: observation, hidden layers, outputs."""

    @property
    def parameters(self) -> Array:
        """The policy to judge the run by, shape (dim,): the average of the centre if one is kept."""
        return self.average if self.average.size else self.search.theta


def save(path: Path, experiment: config.Experiment, state: MasterState) -> None:
    """Write a checkpoint, all of it or nothing.

    Raises:
        RunDirectoryError: the disk is full or the directory not writable; an older file is still there.
    """
    arrays = {f"search.{name}": array for name, array in state.search._asdict().items()}
    arrays |= {f"statistics.{name}": array for name, array in _arrays(state.statistics).items()}
    arrays |= {f"attempts.{name}": array for name, array in _arrays(state.attempts).items()}
    arrays |= _arrays(state)
    meta = {
        "format": FORMAT,
        "experiment": msgspec.to_builtins(experiment),
        "statistics": _numbers(state.statistics),
        "attempts": _numbers(state.attempts),
        "state": _numbers(state),
    }
    text = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, meta=text, **arrays)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunDirectoryError(f"{path}: cannot write the checkpoint: {error.strerror or error}") from error


def load(path: Path) -> tuple[config.Experiment, MasterState]:
    """Read a checkpoint.

    Raises:
        RunDirectoryError: it is not readable as one.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            meta = json.loads(archive["meta"].tobytes())
            if meta["format"] != FORMAT:
                raise RunDirectoryError(f"{path}: expected checkpoint format {FORMAT}, got {meta['format']}")
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from error
    try:
        experiment = config.convert(meta["experiment"], str(path))
    except ExperimentError as error:
        raise RunDirectoryError(f"{error} (is the checkpoint from another version?)") from error
    try:
        return experiment, _state(experiment, meta, arrays)
    except (IndexError, KeyError, TypeError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> RunDirectoryError:
    reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    return RunDirectoryError(f"{path}: not a readable checkpoint: {reason}")


def _state(experiment: config.Experiment, meta: dict[str, Any], arrays: dict[str, Array]) -> MasterState:
    numbers: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in meta["state"].items()
    }
    strategy = config.at_stage(experiment, numbers["stage"]).strategy
    statistics: dict[str, Any] = meta["statistics"] | _below("statistics.", arrays)
    attempts: dict[str, Any] = meta["attempts"] | _below("attempts.", arrays)
    return MasterState(
        search=strategies.restore(strategy, _below("search.", arrays)),
        statistics=ObservationStatistics(**statistics),
        attempts=Attempts(**attempts),
        average=arrays["average"],
        **numbers,
    )


def _below(prefix: str, arrays: dict[str, Array]) -> dict[str, Array]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _arrays(values: NamedTuple) -> dict[str, Array]:
    return {name: value for name, value in values._asdict().items() if isinstance(value, np.ndarray)}


def _numbers(values: NamedTuple) -> dict[str, Any]:
    return {
        name: value
        for name, value in values._asdict().items()
        if value is None or (isinstance(value, int | float | tuple) and not hasattr(value, "_asdict"))
    }
