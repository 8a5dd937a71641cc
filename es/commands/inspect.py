"""`es runs`, `es generations`, `es workers` and `es show`: what the run directory says."""

import csv
import sys
from pathlib import Path

import click
import msgspec
from rich.console import Console

from es import options, tables
from es.errors import RunNotFoundError, UsageError
from es.run_dir import GenerationRecord, RunDir, all_runs


@click.command()
@options.runs_dir
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def runs(runs_dir: Path, as_json: bool) -> None:
    """List the runs, oldest first."""
    found = all_runs(runs_dir)
    if as_json:
        rows = [
            {"name": run.name, "status": run.status(), "path": str(run.path)}
            | msgspec.to_builtins(run.info())
            for run in found
        ]
        click.echo(_json(rows))
    elif found:
        tables.runs(Console(), found)
    else:
        click.echo(f"no runs in {runs_dir} yet; start one with `es run quickstart`")


@click.command()
@click.argument("run_name", metavar="RUN")
@click.option("--last", type=click.IntRange(1), help="Only the last so many.")
@click.option("--json", "as_json", is_flag=True, help="Print the records as a JSON list.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the records as CSV.")
@options.runs_dir
def generations(run_name: str, last: int | None, as_json: bool, as_csv: bool, runs_dir: Path) -> None:
    """Show the generations of RUN, a name or a path; also while it is training."""
    if as_json and as_csv:
        raise UsageError("--json and --csv: expected one of them")
    run = RunDir.open(runs_dir, run_name)
    if not (as_json or as_csv):
        tables.generations(Console(), run, last)
        return
    evaluations = run.evaluations()
    rows = [
        msgspec.to_builtins(record)
        | {
            "evaluation_return_mean": evaluations[record.generation].return_mean
            if record.generation in evaluations
            else None
        }
        for record in run.generations()[-(last or 0) :]
    ]
    if as_json:
        click.echo(_json(rows))
        return
    flat = [{name: _cell(value) for name, value in row.items()} for row in rows]
    names = [*GenerationRecord.__struct_fields__, "evaluation_return_mean"]
    writer = csv.DictWriter(sys.stdout, names)
    writer.writeheader()
    writer.writerows(flat)


@click.command()
@click.argument("run_name", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@options.runs_dir
def workers(run_name: str, as_json: bool, runs_dir: Path) -> None:
    """Show the workers of RUN, one line per `es worker`: as they are, or were when it ended.

    A worker that has been silent for some seconds is lost: its tasks are run elsewhere.
    """
    run = RunDir.open(runs_dir, run_name)
    fleet = run.fleet()
    if as_json:
        click.echo(_json({"status": run.status(), "fleet": fleet}))
    elif fleet is None or not fleet.workers:
        click.echo(f"{run.name} ({run.status()}): no worker has been seen yet")
    else:
        console = Console()
        console.print(f"{run.name} ({run.status()}), {tables.age(fleet.time)}\n", highlight=False)
        console.print(tables.workers(fleet))


@click.command()
@click.argument("run_name", metavar="RUN")
@click.argument("generation", type=click.IntRange(0))
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@options.runs_dir
def show(run_name: str, generation: int, as_json: bool, runs_dir: Path) -> None:
    """Show everything about one GENERATION of RUN: its record, its evaluation and its checkpoint."""
    run = RunDir.open(runs_dir, run_name)
    records = {record.generation: record for record in run.generations()}
    record, evaluation = records.get(generation), run.evaluations().get(generation)
    has_checkpoint = generation in run.checkpoints()
    if record is None and evaluation is None and not has_checkpoint:
        if not (records or run.checkpoints()):
            raise RunNotFoundError(f"{run.name}: nothing is recorded yet")
        raise RunNotFoundError(
            f"{run.name}: no generation {generation}; there are 0 to {max(records, default=0)}"
        )
    parts = {
        "generation": msgspec.to_builtins(record),
        "evaluation": msgspec.to_builtins(evaluation),
        "checkpoint": _checkpoint(run, generation) if has_checkpoint else None,
    }
    if as_json:
        click.echo(_json(parts))
        return
    console = Console()
    for title, values in parts.items():
        if values:
            tables.fields(console, f"{title} {generation}", values)


def _checkpoint(run: RunDir, generation: int) -> dict[str, object]:
    state = run.load_checkpoint(generation)
    return {
        "file": str(run.checkpoint_path(generation)),
        "parameters": state.search.theta.size,
        "layer_sizes": list(state.layer_sizes),
        "observations_in_statistics": state.statistics.n,
        "stage": state.stage,
        "population": state.population,
        "episode_cap": state.episode_cap,
        "episodes": state.episodes,
        "steps": state.steps,
    }


def _cell(value: object) -> object:
    return msgspec.json.encode(value).decode() if isinstance(value, dict) else value


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value)).decode()
