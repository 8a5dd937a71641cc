"""The complete state of a master, in one file.

A checkpoint is an npz archive: the arrays, and under ``meta`` a JSON text with everything else, experiment
included. It holds no wall time and no host name, so equal runs write equal bytes.
"""

import json
import os
import zipfile
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from es import config
from es.errors import ExperimentError, RunDirectoryError
from es.obs_norm import ObservationStatistics
from es.strategies import registry as strategies

FORMAT = 1


class MasterState(NamedTuple):
    """Where a run stands between two generations."""

    generation: int
    """Updates made."""
    search: strategies.State
    """The search distribution and its optimiser."""
    statistics: ObservationStatistics
    """Of the observations sampled so far."""
    episode_cap: int | None
    """Environment steps after which training episodes are cut; None leaves their end to the environment."""
    episodes: int
    """Training episodes so far."""
    steps: int
    """Environment steps in training so far."""
    layer_sizes: tuple[int, ...]
    """Of the policy: observation, hidden layers, outputs."""


def save(path: Path, experiment: config.Experiment, state: MasterState) -> None:
    """Write a checkpoint, all of it or nothing.

    Raises:
        RunDirectoryError: the disk is full or the directory not writable; an older file is still there.
    """
    meta = {
        "format": FORMAT,
        "experiment": msgspec.to_builtins(experiment),
        "generation": state.generation,
        "statistics_n": state.statistics.n,
        "episode_cap": state.episode_cap,
        "episodes": state.episodes,
        "steps": state.steps,
        "layer_sizes": state.layer_sizes,
    }
    arrays = {f"search.{name}": array for name, array in state.search._asdict().items()}
    arrays["statistics.mean"], arrays["statistics.m2"] = state.statistics.mean, state.statistics.m2
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
            search = {
                name.removeprefix("search."): archive[name] for name in archive if name.startswith("search.")
            }
            statistics = ObservationStatistics(
                meta["statistics_n"], archive["statistics.mean"], archive["statistics.m2"]
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise RunDirectoryError(f"{path}: not a readable checkpoint: {reason}") from error
    try:
        experiment = config.convert(meta["experiment"], str(path))
    except ExperimentError as error:
        raise RunDirectoryError(f"{error} (is the checkpoint from another version?)") from error
    try:
        restored = strategies.restored(experiment.strategy, search)
    except KeyError as error:
        raise RunDirectoryError(f"{path}: not a readable checkpoint: {error}") from error
    state = MasterState(
        generation=meta["generation"],
        search=restored,
        statistics=statistics,
        episode_cap=meta["episode_cap"],
        episodes=meta["episodes"],
        steps=meta["steps"],
        layer_sizes=tuple(meta["layer_sizes"]),
    )
    return experiment, state
