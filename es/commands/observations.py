"""`es observations`: what a policy gets to see, one line and one histogram per value."""

from pathlib import Path
from typing import Any

import click
import gymnasium
import msgspec
import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from es import config, options
from es.checkpoint import MasterState
from es.commands.episodes import generation_option, load, run_episode, seed_option
from es.envs import registry as envs
from es.envs.registry import Env
from es.errors import EsError, UsageError
from es.run_dir import RunDir

Array = NDArray[np.float64]

SPIKY = 8.0
"""Standard deviations from the mean from which a value is called spiky; a normal one passes 5 in 10^6."""


class Observation(msgspec.Struct, frozen=True):
    """One entry of the observation over some episodes."""

    index: int
    name: str
    mean: float
    std: float
    min: float
    max: float
    note: str
    """"constant", "spiky" or ""."""


@click.command()
@click.argument("run_name", metavar="RUN")
@generation_option
@click.option("--episodes", type=click.IntRange(1), default=3, show_default=True, help="Episodes to watch.")
@seed_option
@click.option("-o", "--output", type=click.Path(path_type=Path), help="PNG file for histograms.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@options.runs_dir
def observations(
    run_name: str,
    generation: str,
    episodes: int,
    seed: int,
    output: Path | None,
    as_json: bool,
    runs_dir: Path,
) -> None:
    """Show mean, spread and range of everything the policy of RUN observes.

    Constant observations carry no information. Spiky ones are far from their mean now and then, which spoils
    their normalisation.
    """
    if output is not None and output.suffix != ".png":
        raise UsageError(f"{output}: expected a file that ends in .png")
    run = RunDir.open(runs_dir, run_name)
    state, experiment = load(run, generation), run.experiment()
    env = envs.make(config.at_stage(experiment, state.stage).environment)
    seen = watch(experiment, state, env, range(seed, seed + episodes))
    rows = describe(seen, names_of(env, seen.shape[1]))
    if output is not None:
        _plot(output, rows, seen)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(rows)).decode())
        return
    _print(Console(), f"{run.name}, generation {state.generation}: {len(seen)} observations", rows)


class _Notebook(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Remembers every observation."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self.seen: list[Array] = []

    def reset(self, **arguments: Any) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(**arguments)
        self.seen.append(np.array(observation, dtype=np.float64))
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, *rest = self.env.step(action)
        self.seen.append(np.array(observation, dtype=np.float64))
        return observation, *rest


def watch(experiment: config.Experiment, state: MasterState, env: Env, seeds: range) -> Array:
    """All observations of unperturbed episodes, as the environment gives them; shape (steps, size).

    Raises:
        EsError: an environment that never gave one.
    """
    notebook = _Notebook(env)
    for seed in seeds:
        episode = run_episode(notebook, experiment, state, seed)
        if not notebook.seen:
            raise EsError(f"{experiment.environment.id} gave no observation: {episode.error}")
    return np.stack(notebook.seen)


def names_of(env: Env, size: int) -> tuple[str, ...]:
    """The environment's own ``observation_names`` if they fit, else obs[0], obs[1], ..."""
    names = getattr(env.unwrapped, "observation_names", ())
    return tuple(names) if len(names) == size else tuple(f"obs[{i}]" for i in range(size))


def describe(seen: Array, names: tuple[str, ...]) -> list[Observation]:
    """Statistics of each column of ``seen``, shape (steps, size)."""
    mean, std, low, high = seen.mean(axis=0), seen.std(axis=0), seen.min(axis=0), seen.max(axis=0)
    farthest = np.maximum(high - mean, mean - low)
    constant = high - low <= 1e-9 * np.maximum(1, np.abs(mean))
    std = np.where(constant, 0.0, std)  # not the rounding error of the mean
    notes = np.where(constant, "constant", np.where(farthest > SPIKY * std, "spiky", ""))
    columns = zip(
        names, mean.tolist(), std.tolist(), low.tolist(), high.tolist(), notes.tolist(), strict=True
    )
    return [Observation(index, *values) for index, values in enumerate(columns)]


def _print(console: Console, title: str, rows: list[Observation]) -> None:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("#", "observation", "mean", "std", "min", "max", ""):
        table.add_column(heading, justify="left" if heading in ("observation", "") else "right", no_wrap=True)
    for row in rows:
        numbers = (f"{value:.4g}" for value in (row.mean, row.std, row.min, row.max))
        note = row.note
        if note == "spiky":
            farthest = max(row.max - row.mean, row.mean - row.min) / row.std
            note = f"spiky ({farthest:.0f} std)"
        table.add_row(str(row.index), row.name, *numbers, note, style="dim" if note == "constant" else None)
    console.print(table)
    notes = [row.note for row in rows]
    console.print(
        f"{len(rows)} observations, {notes.count('constant')} constant, {notes.count('spiky')} spiky",
        highlight=False,
    )


def _plot(path: Path, rows: list[Observation], seen: Array) -> None:
    """A histogram for each observation, counts on a logarithmic scale so that rare values show."""
    from matplotlib.figure import Figure  # takes a second; only here

    columns = min(7, len(rows))
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(2.1 * columns, 1.25 * lines + 0.3), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    colors = {"": "#3b5bdb", "constant": "#adb5bd", "spiky": "#e8590c"}
    for axes, row in zip(grid, rows, strict=False):
        color = colors[row.note]
        axes.hist(seen[:, row.index], bins=40, log=True, color=color)
        axes.set_title(f"{row.name}  {row.note}", fontsize=6.5, color=color if row.note else "#212529", pad=2)
        axes.tick_params(labelsize=5, length=2, pad=1, labelleft=False, left=False, which="both")
        axes.locator_params(axis="x", nbins=4)
        axes.spines[["top", "right", "left"]].set_visible(False)
    for axes in grid[len(rows) :]:
        axes.set_visible(False)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise EsError(f"{path}: cannot write: {error.strerror or error}") from error
