"""`es export`: a trained policy to hand on."""

from pathlib import Path

import click

from es import options
from es.commands.episodes import choose, generation_option
from es.run_dir import RunDir

RECORDS = 200
"""Points of the curve that come along."""


@click.command()
@click.argument("run_name", metavar="RUN")
@click.argument("destination", type=click.Path(path_type=Path))
@generation_option
@options.runs_dir
def export(run_name: str, destination: Path, generation: str, runs_dir: Path) -> None:
    """Copy one policy of RUN to DESTINATION, with its experiment and its curve.

    The copy is a run directory like any other, of some kilobytes: `es evaluate DESTINATION` works.
    """
    run = RunDir.open(runs_dir, run_name)
    copy = run.export(destination, choose(run, generation), RECORDS)
    size = sum(path.stat().st_size for path in copy.path.rglob("*") if path.is_file())
    click.echo(f"{copy.path}: generation {copy.checkpoints()[0]} of {run.name}, {size / 1e3:.0f} kB")
