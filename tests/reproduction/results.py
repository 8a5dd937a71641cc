"""From finished runs to RESULTS.md."""

import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import numpy as np

from es.run_dir import RunDir
from tests.reproduction.tasks import TASKS, Task

CURVE_POINTS = 8


class Result(NamedTuple):
    """One finished and scored run."""

    seed: int
    score: float
    """Mean return of unperturbed episodes of the last policy."""
    steps: int
    """Environment steps in training."""
    seconds: float
    """Wall time of training."""
    curve: list[tuple[int, float]]
    """Environment steps and mean return of each evaluation during training."""


def result(run: RunDir, seed: int, scores: Sequence[float]) -> Result:
    """Read a finished run, whose last policy had these returns."""
    generations = run.generations()
    steps = {0: 0} | {record.generation: record.steps_total for record in generations}
    curve = [
        (steps[generation], record.return_mean)
        for generation, record in sorted(run.evaluations().items())
        if record.return_mean is not None
    ]
    return Result(seed, statistics.mean(scores), generations[-1].steps_total, generations[-1].elapsed, curve)


def markdown(results: dict[str, list[Result]], episodes: int) -> str:
    """The whole page; ``results`` by name of the task, ``episodes`` per score."""
    lines = [
        "# Known tasks",
        "",
        "Published results, trained through `es run` with the settings that the sources publish (by CMA-ES:",
        "our own): `make reproduce`, or `python -m tests.reproduction TASK --seeds N` for one.",
        f"A score is the mean return of {episodes} unperturbed episodes of the last policy, not of the best",
        "one on the way. Experiments are the `.toml` files beside this page. Where the authors clip actions,",
        "ours pass a tanh; linear policies have biases.",
        "",
        f"{_packages()}, CPython {platform.python_version()},",
        f"{os.cpu_count()} cores shared with other work, which wall times show and scores do not.",
        "",
        "| task | strategy | target | median | mean | std | reached | seeds | steps | wall time | command |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    done = [(task, results[task.name]) for task in TASKS if results.get(task.name)]
    lines += [_row(task, runs) for task, runs in done]
    waiting = [task.name for task in TASKS if not results.get(task.name)]
    if waiting:
        lines += ["", f"Not run yet: {', '.join(waiting)}."]
    for task, runs in done:
        lines += ["", f"## {task.environment}, {task.strategy}", "", f"{task.source}."]
        lines += ["", *_seeds(runs), "", *_curve(runs)]
    return "\n".join(lines) + "\n"


def _row(task: Task, runs: list[Result]) -> str:
    scores = [run.score for run in runs]
    median = statistics.median(scores)
    seeds = len(runs)
    cells = (
        *(task.environment, task.strategy, f"{task.target:g}", f"{median:.1f}"),
        *(f"{statistics.mean(scores):.1f}", f"{statistics.pstdev(scores):.1f}"),
        *("yes" if median >= task.target else "**no**", str(seeds)),
        *(_millions(max(run.steps for run in runs)), _minutes(statistics.mean(run.seconds for run in runs))),
        f"`python -m tests.reproduction {task.name} --seeds {seeds}`",
    )
    return f"| {' | '.join(cells)} |"


def _seeds(runs: list[Result]) -> list[str]:
    return [f"Scores by seed: {', '.join(f'{run.score:.1f} (seed {run.seed})' for run in runs)}."]


def _curve(runs: list[Result]) -> list[str]:
    """Evaluations during training, at equal distances of steps."""
    end = min(run.curve[-1][0] for run in runs if run.curve)
    marks = [round(end * i / CURVE_POINTS) for i in range(CURVE_POINTS + 1)]
    at = [[float(np.interp(mark, *zip(*run.curve, strict=True))) for mark in marks] for run in runs]
    rows = {"median": np.median(at, axis=0), "worst": np.min(at, axis=0), "best": np.max(at, axis=0)}
    return [
        f"| steps | {' | '.join(_millions(mark) for mark in marks)} |",
        f"|---|{'---|' * len(marks)}",
        *(f"| {name} | {' | '.join(f'{value:.0f}' for value in row)} |" for name, row in rows.items()),
    ]


def _millions(steps: int) -> str:
    return f"{steps / 1e6:.2f} M" if steps >= 10**6 else f"{steps / 1e3:.0f} k"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"


def _packages() -> str:
    names = ("opensim-es", "gymnasium", "numpy", "mujoco", "box2d")
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def write(path: Path, page: str) -> None:
    """Replace the page, all of it or nothing."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(path)
