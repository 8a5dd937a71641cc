"""Run directories as tables."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from es.run_dir import EvaluationRecord, Fleet, GenerationRecord, RunDir, Worker

WIDE = 110
"""Columns of text from which the tables show everything."""

STALE = 5.0
"""Seconds after which what was written about the present is past."""


def generations(console: Console, run: RunDir, last: int | None = None) -> None:
    """Print the generations of a run, the ``last`` ones only if given."""
    records = run.generations()
    if not records:
        console.print(f"{run.name} ({run.status()}): no generation is complete yet", highlight=False)
        return
    wide = console.width >= WIDE
    table = generations_table(records, run.evaluations(), last, wide=wide)
    table.title, table.title_justify = f"{run.name} ({run.status()})", "left"
    console.print(table)
    hidden = 0 if last is None else max(0, len(records) - last)
    if hidden:
        console.print(f"({hidden} earlier generations: es generations {run.name})", highlight=False)


def generations_table(
    records: Sequence[GenerationRecord],
    evaluations: Mapping[int, EvaluationRecord],
    last: int | None,
    *,
    wide: bool,
) -> Table:
    """A line per generation, the ``last`` ones only if given; more columns if ``wide``."""
    metres = any("metres" in record.metrics for record in records)
    gap = any(evaluation.training_physics for evaluation in evaluations.values())
    stages = any(record.stage for record in records)
    rows = [
        _generation_row(
            record, evaluations.get(record.generation), metres=metres, gap=gap, stages=stages, wide=wide
        )
        for record in (records if last is None else records[-last:])
    ]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in rows[0] if rows else ():
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row.values())
    return table


def _generation_row(
    record: GenerationRecord,
    evaluation: EvaluationRecord | None,
    *,
    metres: bool,
    gap: bool,
    stages: bool,
    wide: bool,
) -> dict[str, str]:
    row = {
        "gen": str(record.generation),
        **({"stage": record.stage} if stages else {}),
        "return": number(record.return_mean),
        "max": number(record.return_max),
        "eval": number(evaluation.return_mean) if evaluation else "",
    }
    if gap:
        compared = evaluation and evaluation.training_physics
        row["gap"] = number(compared.return_gap if compared else None)
    if metres:
        row["metres"] = number(record.metrics.get("metres"))
        row["far"] = number(record.metrics_max.get("metres"))
    roomy = wide or not stages  # 80 columns do not hold everything
    if roomy:
        row["length"] = f"{record.length_mean:.0f}"
    if wide:
        row["±"] = number(record.return_std)
        row["episodes"] = str(record.episodes_total)
        row["steps"] = str(record.steps_total)
        row["workers"] = str(record.workers)
        row["update"] = f"{record.update_ratio:.2g}"
    if roomy:
        row["steps/s"] = f"{record.steps_per_second:.0f}"
        row["sim"] = f"{record.simulator_share:.0%}"
    row["time"] = duration(record.elapsed)
    return row


def runs(console: Console, found: list[RunDir]) -> None:
    """Print a line per run."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("run", "status", "gen", "eval", "steps", "time", "created (UTC)"):
        table.add_column(heading, justify="left" if heading in ("run", "status") else "right", no_wrap=True)
    for run in found:
        records, evaluations = run.generations(), run.evaluations()
        latest = records[-1] if records else None
        evaluation = evaluations[max(evaluations)] if evaluations else None
        table.add_row(
            run.name,
            run.status(),
            str(latest.generation if latest else 0),
            number(evaluation.return_mean if evaluation else None),
            str(latest.steps_total if latest else 0),
            duration(latest.elapsed if latest else 0.0),
            run.info().created[:16].replace("T", " "),
        )
    console.print(table)


def workers(fleet: Fleet, most: int | None = None) -> Table:
    """A line per worker, lost ones last, ``most`` lines at most if given; the sums below are over all."""
    rows = sorted(fleet.workers, key=lambda worker: (worker.lost, worker.host, worker.worker))
    alive = [worker for worker in rows if not worker.lost]
    lost = len(rows) - len(alive)
    sums = {
        "host": f"{len(alive)} worker{'' if len(alive) == 1 else 's'}",
        "processes": str(sum(worker.processes for worker in alive)),
        "version": "",
        "tasks": str(sum(worker.tasks for worker in rows)),
        "episodes/s": f"{sum(worker.episodes_per_second for worker in alive):.1f}",
        "memory": _memory(sum(worker.memory_mb for worker in alive)),
        "last seen": f"{lost} lost" if lost else "",
        "restarts": str(sum(worker.restarts for worker in rows)),
    }
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, show_footer=True)
    for heading, total in sums.items():
        left = heading in ("host", "version")
        table.add_column(heading, total, justify="left" if left else "right", no_wrap=True)
    shown = rows if most is None or len(rows) <= most else rows[: most - 1]
    for worker in shown:
        table.add_row(*_worker_cells(worker), style="red" if worker.lost else None)
    if len(shown) < len(rows):
        table.add_row(f"and {len(rows) - len(shown)} more", style="dim")
    return table


def _worker_cells(worker: Worker) -> list[Text]:
    cells = (
        worker.host,
        str(worker.processes),
        worker.software,
        str(worker.tasks),
        "-" if worker.lost else f"{worker.episodes_per_second:.1f}",
        _memory(worker.memory_mb),
        f"lost {duration(worker.last_seen)}" if worker.lost else f"{worker.last_seen:.0f} s ago",
        str(worker.restarts),
    )
    return [Text(cell) for cell in cells]  # not markup: a host chooses its own name


def _memory(megabytes: float) -> str:
    return f"{megabytes / 1024:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"


def age(time: str) -> str:
    """How long ago something was written, given the ``time`` in it."""
    seconds = max(0.0, (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds())
    return f"as of {duration(seconds)} ago" if seconds >= STALE else "as of now"


def fields(console: Console, title: str, values: dict[str, Any]) -> None:
    """Print names and values below a title."""
    table = Table(title=title, title_justify="left", show_header=False, box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(name, Text(_text(value)))  # not markup: it may be a foreign error message
    console.print(table)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    if isinstance(value, list):
        return " ".join(_text(each) for each in value)
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def number(value: float | None) -> str:
    """Two decimals, none for large numbers; a dash if there is none."""
    if value is None:
        return "-"
    return f"{value:.2f}" if abs(value) < 1000 else f"{value:.0f}"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, without leading zeros."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
