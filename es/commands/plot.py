"""`es plot`: learning curves of one or several runs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import click

from es import options
from es.errors import EsError, UsageError
from es.run_dir import EvaluationRecord, GenerationRecord, RunDir

AXES: dict[str, tuple[str, Callable[[list[GenerationRecord]], list[float]]]] = {
    "steps": ("environment steps", lambda records: [float(record.steps_total) for record in records]),
    "hours": ("hours", lambda records: [record.elapsed / 3600 for record in records]),
    "core-hours": ("core-hours", lambda records: _core_hours(records)),
    "generations": ("generations", lambda records: [float(record.generation) for record in records]),
}
"""What a curve can run over: its label, and its values after each generation."""


class Curve(NamedTuple):
    """One run over an axis; all lists but the last three have a value per generation."""

    name: str
    x: list[float]
    mean: list[float | None]
    """Of the training episodes."""
    best: list[float | None]
    """The largest of each generation."""
    stages: list[tuple[float, str]]
    """Where each stage begins, and its name."""
    evaluated_x: list[float]
    evaluated: list[float]
    """Means of the evaluations, where there are some."""


@click.command()
@click.argument("run_names", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="File to write: .png, .svg or .pdf.",
)
@click.option(
    "--x",
    "axis",
    type=click.Choice(list(AXES)),
    default="steps",
    show_default=True,
    help="What to plot over.",
)
@click.option(
    "--y",
    "metric",
    metavar="METRIC",
    help="`return`, or a metric of the environment. [default: metres where there are some, else return]",
)
@options.runs_dir
def plot(run_names: tuple[str, ...], output: Path, axis: str, metric: str | None, runs_dir: Path) -> None:
    """Draw learning curves of one or several RUNs: mean and best of training, and the evaluations."""
    if output.suffix not in (".png", ".svg", ".pdf"):
        raise UsageError(f"{output}: expected a file that ends in .png, .svg or .pdf")
    runs = [RunDir.open(runs_dir, name) for name in run_names]
    records = [run.generations() for run in runs]
    if metric is None:
        metric = "metres" if all(each and "metres" in each[-1].metrics for each in records) else "return"
    curves = [
        curve(run.name, each, run.evaluations(), axis, metric)
        for run, each in zip(runs, records, strict=True)
    ]
    draw(output, curves, AXES[axis][0], metric)
    click.echo(f"{output}: {metric} over {AXES[axis][0]} of {', '.join(run.name for run in runs)}")


def curve(
    name: str,
    records: list[GenerationRecord],
    evaluations: dict[int, EvaluationRecord],
    axis: str,
    metric: str,
) -> Curve:
    """The curve of a run.

    Raises:
        UsageError: it has no generation yet, or does not know this metric.
    """
    if not records:
        raise UsageError(f"{name}: no generation is complete yet")
    known = {"return"}.union(*(record.metrics for record in records))
    if metric not in known:
        raise UsageError(f"--y {metric}: expected one of {', '.join(sorted(known))}, which {name} recorded")
    x = AXES[axis][1](records)
    after = {0: 0.0} | {record.generation: value for record, value in zip(records, x, strict=True)}
    begins = [i for i, record in enumerate(records) if i == 0 or record.stage != records[i - 1].stage]
    scored = {
        after[generation]: value
        for generation, record in sorted(evaluations.items())
        if generation in after and (value := _value(record, metric)) is not None
    }
    return Curve(
        name=name,
        x=x,
        mean=[_value(record, metric) for record in records],
        best=[
            record.return_max if metric == "return" else record.metrics_max.get(metric) for record in records
        ],
        stages=[(x[i - 1] if i else 0.0, records[i].stage) for i in begins if records[i].stage],
        evaluated_x=list(scored),
        evaluated=list(scored.values()),
    )


def draw(path: Path, curves: Sequence[Curve], x_label: str, y_label: str) -> None:
    """Write the picture.

    Raises:
        EsError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # takes a second; only here

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    gaps = float("nan")
    for i, each in enumerate(curves):
        color = f"C{i}"
        mean = [gaps if value is None else value for value in each.mean]
        best = [gaps if value is None else value for value in each.best]
        axes.plot(each.x, best, color=color, alpha=0.3, linewidth=0.8, label=f"{each.name}: best of training")
        axes.plot(each.x, mean, color=color, linewidth=1.2, label=f"{each.name}: mean of training")
        if each.evaluated:
            axes.plot(
                each.evaluated_x,
                each.evaluated,
                color=color,
                marker="o",
                markersize=4,
                linewidth=1.8,
                markeredgecolor="black",
                label=f"{each.name}: evaluation",
            )
        for start, stage in each.stages:
            axes.axvline(start, color=color, alpha=0.4, linewidth=0.8, linestyle=":")
            axes.annotate(
                stage,
                (start, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(2, -3),
                textcoords="offset points",
                rotation=90,
                va="top",
                fontsize=7,
                color=color,
            )
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise EsError(f"{path}: cannot write: {error.strerror or error}") from error


def _core_hours(records: list[GenerationRecord]) -> list[float]:
    """Time that rollout processes were there for, h, whether they worked or waited."""
    total, hours = 0.0, []
    for record in records:
        total += record.seconds * record.workers / 3600
        hours.append(total)
    return hours


def _value(record: GenerationRecord | EvaluationRecord, metric: str) -> float | None:
    return record.return_mean if metric == "return" else record.metrics.get(metric)
