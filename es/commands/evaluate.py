"""`es evaluate`: unperturbed episodes of a checkpoint, on this machine."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import click
import msgspec
import numpy as np
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from es import config, options, tables
from es.checkpoint import MasterState
from es.envs import registry as envs
from es.errors import RunNotFoundError, UsageError
from es.obs_norm import Normalizer
from es.policies import registry as policies
from es.rollout import Rollout, rollout
from es.run_dir import RunDir


@click.command()
@click.argument("run_name", metavar="RUN")
@click.option(
    "--generation", default="latest", show_default=True, help="latest, best (by its evaluations) or a number."
)
@click.option("--episodes", type=click.IntRange(1), default=10, show_default=True, help="Episodes to run.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=1,
    show_default=True,
    help="Episode i is reset with seed + i.",
)
@click.option("--workers", type=click.IntRange(1), help="Processes. [default: one per core]")
@click.option("--json", "as_json", is_flag=True, help="Print the episodes as a JSON list.")
@options.runs_dir
def evaluate(
    run_name: str,
    generation: str,
    episodes: int,
    seed: int,
    workers: int | None,
    as_json: bool,
    runs_dir: Path,
) -> None:
    """Run the policy of RUN without noise and print what every episode reached."""
    run = RunDir.open(runs_dir, run_name)
    state = run.load_checkpoint(_choose(run, generation))
    seeds = range(seed, seed + episodes)
    processes = min(episodes, workers or os.cpu_count() or 1)
    rollouts = run_episodes(run.experiment(), state, seeds, processes)
    if as_json:
        done = [{"seed": seed, **_row(episode)} for seed, episode in zip(seeds, rollouts, strict=True)]
        click.echo(msgspec.json.format(msgspec.json.encode(done)).decode())
        return
    console = Console()
    quiet = not console.is_terminal
    bar = track(
        rollouts, total=episodes, description="episodes", transient=True, disable=quiet, console=console
    )
    _print(console, f"{run.name}, generation {state.generation}", seeds, list(bar))


def run_episodes(
    experiment: config.Experiment, state: MasterState, seeds: range, processes: int
) -> Iterator[Rollout]:
    """Unperturbed episodes of a state, in the order of ``seeds``, in that many processes."""
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        yield from pool.map(run_episode, *zip(*((experiment, state, seed) for seed in seeds), strict=True))


def run_episode(experiment: config.Experiment, state: MasterState, seed: int) -> Rollout:
    """One unperturbed episode, without an episode cap."""
    env = envs.make(config.evaluation_environment(experiment))
    policy = policies.make(experiment.policy, env)
    settings, statistics = experiment.observation_normalization, state.statistics
    normalize = settings.enabled and statistics.n > 0
    return rollout(
        env,
        policy.bind(state.search.theta),
        seed=seed,
        action_repeat=experiment.environment.action_repeat,
        normalizer=Normalizer(statistics.mean, statistics.std(settings.std_floor), settings.clip)
        if normalize
        else None,
    )


def _choose(run: RunDir, generation: str) -> int:
    there = run.checkpoints()
    if generation == "latest":
        return there[-1] if there else 0
    if generation == "best":
        scores = {
            number: record.return_mean
            for number, record in run.evaluations().items()
            if number in there and record.return_mean is not None
        }
        if not scores:
            raise RunNotFoundError(
                f"{run.name}: no evaluated generation has a checkpoint; try --generation latest"
            )
        return max(scores, key=lambda number: (scores[number], number))
    if not generation.isdigit():
        raise UsageError(f"--generation {generation}: expected latest, best or a number")
    return int(generation)


def _row(episode: Rollout) -> dict[str, object]:
    return {
        "return": episode.return_,
        "length": episode.length,
        "failed": episode.failed,
        "error": episode.error,
        **episode.metrics,
    }


def _print(console: Console, title: str, seeds: range, episodes: list[Rollout]) -> None:
    metres = all("metres" in episode.metrics for episode in episodes)
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("seed", "return", *(["metres", "fell"] if metres else []), "steps", "failed"):
        table.add_column(heading, justify="right")
    for seed, episode in zip(seeds, episodes, strict=True):
        fell = "fell" if episode.metrics.get("fell") else ""
        distance = [f"{episode.metrics['metres']:.2f}", fell] if metres else []
        failed = episode.error or ("failed" if episode.failed else "")
        table.add_row(str(seed), tables.number(episode.return_), *distance, str(episode.length), failed)
    console.print(table)
    scored = [episode for episode in episodes if not episode.failed]
    if scored:
        if metres:
            _print_spread(console, "metres", [episode.metrics["metres"] for episode in scored])
        _print_spread(console, "return", [episode.return_ for episode in scored])
    if metres:
        falls = sum(bool(episode.metrics.get("fell")) for episode in episodes)
        console.print(f"falls   {falls} of {len(episodes)}", highlight=False)
    if len(scored) < len(episodes):
        console.print(f"failed  {len(episodes) - len(scored)} of {len(episodes)}", highlight=False)


def _print_spread(console: Console, name: str, values: list[float]) -> None:
    spread = (
        f"mean {np.mean(values):.3f}  std {np.std(values):.3f}  min {min(values):.3f}  max {max(values):.3f}"
    )
    console.print(f"{name}  {spread}", highlight=False)
