"""What a person sees while training: a bar per generation on a terminal, a line per generation elsewhere."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from es.protocol import Seen
from es.run_dir import EvaluationRecord, GenerationRecord
from master.collector import Arrival


class TerminalObserver:
    """Prints progress; see ``master.loop.Observer``."""

    def __init__(self, console: Console, generations: int | None) -> None:
        self._console = console
        self._of = f"/{generations}" if generations else ""
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("episodes"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def generation_started(self, generation: int, episodes: int) -> None:
        """Begin a bar."""
        self._task = self._bar.add_task(f"generation {generation}{self._of}", total=episodes, note="")

    def episodes_arrived(self, arrivals: Sequence[Arrival], fleet: Sequence[Seen]) -> None:
        """Advance it."""
        if self._task is not None:
            done = sum(len(arrival.outcome.episodes) for arrival in arrivals)
            workers = sum(seen.report.processes for seen in fleet if not seen.lost)
            note = f"{workers} workers" if workers else "waiting for workers"
            self._bar.update(self._task, completed=done, note=note)

    def generation_finished(self, record: GenerationRecord) -> None:
        """Replace the bar by a line that stays."""
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        self._console.print(
            f"generation {record.generation}{self._of}{_stage(record)}: "
            f"return {_number(record.return_mean)}, "
            f"max {_number(record.return_max)}{_metres(record.metrics_max)}, "
            f"{record.steps_per_second:.0f} steps/s, {record.seconds:.1f} s",
            highlight=False,
            soft_wrap=True,
        )

    def evaluation_finished(self, record: EvaluationRecord) -> None:
        """Print its mean."""
        self._console.print(
            f"  evaluation after {record.generation}: return {_number(record.return_mean)}"
            f"{_metres(record.metrics)}, {len(record.returns)} episodes{_gap(record)}",
            highlight=False,
            soft_wrap=True,
        )


def _number(value: float | None) -> str:
    return "none (all failed)" if value is None else f"{value:.2f}"


def _stage(record: GenerationRecord) -> str:
    """Stage and ramps, where there are some."""
    ramps = [f"{name} {value:.4g}" for name, value in record.ramps.items()]
    parts = [*([record.stage] if record.stage else []), *ramps]
    return f" ({', '.join(parts)})" if parts else ""


def _gap(record: EvaluationRecord) -> str:
    compared = record.training_physics
    if compared is None or compared.return_gap is None:
        return ""
    metres = compared.metrics_gap.get("metres")
    return f"; in training's physics {compared.return_gap:+.2f}" + (
        "" if metres is None else f" ({metres:+.2f} m)"
    )


def _metres(metrics: dict[str, float]) -> str:
    return f" ({metrics['metres']:.2f} m)" if "metres" in metrics else ""
