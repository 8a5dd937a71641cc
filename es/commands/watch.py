"""`es watch`: a run directory as a live view."""

import math
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from es import config, options, tables
from es.run_dir import EvaluationRecord, Fleet, GenerationRecord, Progress, RunDir

RECENT = 10
"""Generations whose mean duration the estimate of the end goes by."""

LINES_BESIDES = 17
"""Of the screen, used by all but the two tables' rows."""


@click.command()
@click.argument("run_name", metavar="RUN")
@click.option(
    "--interval",
    type=click.FloatRange(0.1),
    default=1.0,
    show_default=True,
    help="Seconds between looks at the run directory.",
)
@options.runs_dir
def watch(run_name: str, interval: float, runs_dir: Path) -> None:
    """Watch RUN: progress, throughput, returns, workers, estimated end.

    Ends with the run; Ctrl-C ends it earlier and leaves the run alone. Where the output is no terminal, or
    the run has ended, it prints the state once.
    """
    run, console = RunDir.open(runs_dir, run_name), Console()
    pictures = look(run, console)
    if not console.is_terminal:
        console.print(next(pictures))
        return
    try:
        with Live(next(pictures), console=console, auto_refresh=False) as live:
            for picture in pictures:
                live.update(picture, refresh=True)
                time.sleep(interval)
    except KeyboardInterrupt:
        console.print(f"no longer watching {run.name}", highlight=False)


def look(run: RunDir, console: Console) -> Iterator[RenderableType]:
    """What is to be seen, again and again; the last time when the run has ended."""
    experiment = run.experiment()
    files = _Records(run)
    while True:
        status = run.status()  # first: whatever ends after this is seen in the next picture
        snapshot = Snapshot(status, *files.read(), run.progress(), run.fleet())
        yield render(run.name, experiment, snapshot, console)
        if status != "running":
            return


class _Records:
    """Records of a run, read again only when there are more of them."""

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._sizes: list[int] = []
        self._records: tuple[list[GenerationRecord], dict[int, EvaluationRecord]] = ([], {})

    def read(self) -> tuple[list[GenerationRecord], dict[int, EvaluationRecord]]:
        sizes = [path.stat().st_size for path in sorted(self._run.path.glob("*.jsonl"))]
        if sizes != self._sizes:
            self._sizes, self._records = sizes, (self._run.generations(), self._run.evaluations())
        return self._records


class Snapshot(NamedTuple):
    """A run at one moment."""

    status: str
    generations: Sequence[GenerationRecord]
    evaluations: dict[int, EvaluationRecord]
    progress: Progress | None
    fleet: Fleet | None

    @property
    def underway(self) -> Progress | None:
        """The generation that is being worked on, if one is."""
        complete = self.generations[-1].generation if self.generations else 0
        if self.status == "running" and self.progress and self.progress.generation > complete:
            return self.progress
        return None


def render(name: str, experiment: config.Experiment, snapshot: Snapshot, console: Console) -> RenderableType:
    """One picture."""
    progress, fleet = snapshot.underway, snapshot.fleet
    parts: list[RenderableType] = [Text.assemble((name, "bold"), f" ({snapshot.status})"), ""]
    parts.append(_bars(experiment, snapshot))
    parts.append(_facts(experiment, snapshot))
    room = max(4, console.height - LINES_BESIDES)
    if snapshot.generations:
        wide = console.width >= tables.WIDE
        parts.append(
            tables.generations_table(snapshot.generations, snapshot.evaluations, room // 2, wide=wide)
        )
    if fleet and fleet.workers:
        parts.append(tables.workers(fleet, most=room - room // 2))
    elif progress:
        parts += ["", "waiting for workers"]
    return Group(*parts)


def _bars(experiment: config.Experiment, snapshot: Snapshot) -> Table:
    bars = Table.grid(padding=(0, 2))
    bars.add_column(width=12)
    bars.add_column(width=30)
    bars.add_column()
    spent = spent_share(experiment, snapshot.generations)
    of = experiment.budget.generations
    done = snapshot.generations[-1].generation if snapshot.generations else 0
    said = f"{done} of {of} generations" if of else f"{done} generations"
    bars.add_row("run", ProgressBar(total=1.0, completed=spent), f"{said}, {spent:.0%}")
    progress = snapshot.underway
    if progress:
        bars.add_row(
            f"generation {progress.generation}",
            ProgressBar(total=progress.episodes, completed=progress.episodes_done),
            f"{progress.episodes_done} of {progress.episodes} episodes, {tables.duration(progress.seconds)}",
        )
    return bars


def _facts(experiment: config.Experiment, snapshot: Snapshot) -> Table:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(width=12, style="dim")
    facts.add_column()
    progress, records = snapshot.underway, snapshot.generations
    if progress:
        failed = f", {progress.failed} failed" if progress.failed else ""
        facts.add_row("returns", f"{_returns(progress)} so far{failed}")
        facts.add_row("throughput", _throughput(progress.steps, progress.episodes_done, progress.seconds))
        facts.add_row("utilisation", _utilisation(snapshot.fleet))
    elif records:
        last = records[-1]
        facts.add_row(
            "returns", f"mean {tables.number(last.return_mean)}, max {tables.number(last.return_max)}"
        )
        facts.add_row("throughput", _throughput(last.steps, last.episodes, last.seconds))
    if records and records[-1].return_best is not None:
        facts.add_row("best", tables.number(records[-1].return_best))
    if records:
        facts.add_row("elapsed", tables.duration(records[-1].elapsed + (progress.seconds if progress else 0)))
    if snapshot.status == "running":
        facts.add_row("end", _end(remaining_seconds(experiment, records, progress)))
    return facts


def _returns(source: Progress | GenerationRecord) -> str:
    return f"mean {tables.number(source.return_mean)}, max {tables.number(source.return_max)}"


def _throughput(steps: int, episodes: int, seconds: float) -> str:
    if not seconds:
        return "-"
    return f"{steps / seconds:,.0f} steps/s, {episodes / seconds:,.1f} episodes/s"


def _utilisation(fleet: Fleet | None) -> str:
    alive = [worker for worker in fleet.workers if not worker.lost] if fleet else []
    processes, busy = sum(w.processes for w in alive), sum(w.busy for w in alive)
    return f"{busy / processes:.0%}, {busy} of {processes} rollout processes are busy" if processes else "-"


def _end(seconds: float | None) -> str:
    if seconds is None or not math.isfinite(seconds):
        return "not known yet"
    try:
        moment = datetime.now(UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return "not in sight"
    return f"in about {tables.duration(seconds)}, {moment:%Y-%m-%d %H:%M} UTC"


def spent_share(experiment: config.Experiment, records: Sequence[GenerationRecord]) -> float:
    """How much of the budget is used up, from 0 to 1; of its limits, the one that is nearest."""
    if not records:
        return 0.0
    budget, last = experiment.budget, records[-1]
    used: list[tuple[float, float | None]] = [
        (last.generation, budget.generations),
        (last.episodes_total, budget.episodes),
        (last.steps_total, budget.steps),
        (last.elapsed, None if budget.hours is None else 3600 * budget.hours),
    ]
    return min(1.0, max(amount / limit for amount, limit in used if limit))


def remaining_seconds(
    experiment: config.Experiment, records: Sequence[GenerationRecord], progress: Progress | None
) -> float | None:
    """Until the budget is spent if generations go on as the last RECENT did; None before the first."""
    if not records:
        return None
    recent = records[-RECENT:]
    before = spent_share(experiment, records[: -len(recent)])
    share = (spent_share(experiment, records) - before) / len(recent)
    if share <= 0:
        return None
    mean = sum(record.seconds for record in recent) / len(recent)
    left = (1.0 - spent_share(experiment, records)) / share * mean
    return max(0.0, left - (progress.seconds if progress else 0.0))
