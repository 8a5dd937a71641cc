"""`es evaluate`: unperturbed episodes of a checkpoint, on this machine."""

import functools
import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, get_context
from pathlib import Path

import click
import msgspec
import numpy as np
from rich.console import Console
from rich.progress import track

from es import config, grading, options, tables
from es.checkpoint import MasterState
from es.commands.episodes import generation_option, load, run_episode, seed_option
from es.envs import registry as envs
from es.grading import PROTOCOLS, Protocol
from es.rollout import Rollout
from es.run_dir import RunDir


@click.command()
@click.argument("run_name", metavar="RUN")
@generation_option
@click.option(
    "--protocol",
    "round",
    type=click.Choice(list(PROTOCOLS)),
    help="Grade by the rules of that round of the 2017 challenge.",
)
@click.option(
    "--episodes",
    type=click.IntRange(1),
    help="Episodes to run. [default: 10, or as many as the protocol has]",
)
@seed_option
@click.option("--workers", type=click.IntRange(1), help="Processes. [default: one per core]")
@click.option("--json", "as_json", is_flag=True, help="Print the episodes as a JSON list.")
@options.runs_dir
def evaluate(
    run_name: str,
    generation: str,
    round: str | None,
    episodes: int | None,
    seed: int,
    workers: int | None,
    as_json: bool,
    runs_dir: Path,
) -> None:
    """Run the policy of RUN without noise and print what every episode reached.

    With --protocol, in the reference simulator and on the obstacles of that round, whatever RUN trained with.
    """
    # So that those in the middle of an episode end, too.
    signal.signal(signal.SIGTERM, lambda signum, _: sys.exit(128 + signum))
    run = RunDir.open(runs_dir, run_name)
    state, experiment = load(run, generation), run.experiment()
    protocol = PROTOCOLS[round] if round else None
    environment = config.evaluation_environment(experiment)
    if protocol:
        environment = grading.graded(environment, protocol)
    episodes = episodes or (protocol.simulations if protocol else 10)
    seeds = range(seed, seed + episodes)
    processes = min(episodes, workers or os.cpu_count() or 1)
    rollouts = run_episodes(environment, experiment, state, seeds, processes)
    if as_json:
        done = [{"seed": seed, **_row(episode)} for seed, episode in zip(seeds, rollouts, strict=True)]
        click.echo(msgspec.json.format(msgspec.json.encode(done)).decode())
        return
    console = Console()
    quiet = not console.is_terminal
    bar = iter(
        track(
            rollouts, total=episodes, description="episodes", transient=True, disable=quiet, console=console
        )
    )
    title = f"{run.name}, generation {state.generation}"
    if protocol:
        _print_grade(console, f"{title}, {round} of 2017", protocol, seeds, bar)
    else:
        _print(console, title, seeds, bar)


def run_episodes(
    environment: config.Environment,
    experiment: config.Experiment,
    state: MasterState,
    seeds: range,
    processes: int,
) -> Iterator[Rollout]:
    """Unperturbed episodes of a state, in the order of ``seeds``, in that many processes."""
    episode = functools.partial(_episode, environment, experiment, state)
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        try:
            # Ctrl-C is ours to handle: the processes are born ignoring it.
            handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
            # Not by `map`, which cancels what waits: a pool that breaks then may raise in its thread.
            rollouts = [pool.submit(episode, seed) for seed in seeds]
            signal.signal(signal.SIGINT, handler)
            for rollout in rollouts:
                yield rollout.result()
        except BaseException:
            for process in active_children():
                process.kill()
            raise


def _episode(
    environment: config.Environment, experiment: config.Experiment, state: MasterState, seed: int
) -> Rollout:
    return run_episode(envs.make(environment), experiment, state, seed)


def _row(episode: Rollout) -> dict[str, object]:
    return {
        "return": episode.return_,
        "length": episode.length,
        "failed": episode.failed,
        "error": episode.error,
        **episode.metrics,
    }


def _print_grade(
    console: Console, title: str, protocol: Protocol, seeds: range, rollouts: Iterator[Rollout]
) -> None:
    episodes = _print_rows(
        console, title, seeds, rollouts, "score", lambda episode: f"{_score(episode):.2f}", metres=True
    )
    scores = [_score(episode) for episode in episodes]
    failures = sum(episode.failed for episode in episodes)
    lines = [
        f"score   mean {np.mean(scores):.3f}  std {np.std(scores):.3f}  best {max(scores):.3f}",
        _quantiles(scores),
        _falls(episodes),
        *([f"failed  {failures} of {len(episodes)}, counted with what they had reached"] if failures else []),
        f"2017    {grading.standing(protocol, float(np.mean(scores)))}",
        *([f"        {protocol.remark}"] if protocol.remark else []),
    ]
    for line in lines:
        console.print(line, highlight=False)


def _score(episode: Rollout) -> float:
    """What the challenge counted; 0 if the episode broke off before its first step."""
    return episode.metrics.get("score", 0.0)


def _print(console: Console, title: str, seeds: range, rollouts: Iterator[Rollout]) -> None:
    first = next(rollouts)
    metres = "metres" in first.metrics
    episodes = _print_rows(
        console,
        title,
        seeds,
        itertools.chain([first], rollouts),
        "return",
        lambda episode: tables.number(episode.return_),
        metres=metres,
    )
    scored = [episode for episode in episodes if not episode.failed]
    if scored:
        if metres:
            _print_spread(console, "metres", [episode.metrics["metres"] for episode in scored])
        _print_spread(console, "return", [episode.return_ for episode in scored])
    if metres:
        console.print(_falls(episodes), highlight=False)
    if len(scored) < len(episodes):
        console.print(f"failed  {len(episodes) - len(scored)} of {len(episodes)}", highlight=False)


def _print_rows(
    console: Console,
    title: str,
    seeds: range,
    rollouts: Iterable[Rollout],
    heading: str,
    value: Callable[[Rollout], str],
    *,
    metres: bool,
) -> list[Rollout]:
    """Print a line per episode as soon as it is there: in OpenSim each takes its time; return them all."""

    def line(columns: tuple[str, ...], failure: str) -> str:
        return "  " + "".join(f"{column:>9}" for column in columns) + f"   {failure}"

    headings = ("seed", heading, *(("metres", "fell") if metres else ()), "steps")
    rule = "─" * (9 * len(headings) + 9)
    console.print(f"{title}\n\n{line(headings, 'failed')}\n  {rule}", highlight=False)
    episodes = []
    for seed, episode in zip(seeds, rollouts, strict=True):
        failure = episode.error or ("failed" if episode.failed else "")
        distance = _distance(episode) if metres else ()
        cells = (str(seed), value(episode), *distance, str(episode.length))
        console.print(line(cells, failure).rstrip(), highlight=False, markup=False)
        episodes.append(episode)
    console.print()
    return episodes


def _distance(episode: Rollout) -> tuple[str, str]:
    return f"{episode.metrics.get('metres', 0.0):.2f}", "fell" if episode.metrics.get("fell") else ""


def _falls(episodes: list[Rollout]) -> str:
    return f"falls   {sum(bool(episode.metrics.get('fell')) for episode in episodes)} of {len(episodes)}"


def _print_spread(console: Console, name: str, values: list[float]) -> None:
    spread = (
        f"mean {np.mean(values):.3f}  std {np.std(values):.3f}  min {min(values):.3f}  max {max(values):.3f}"
    )
    console.print(f"{name}  {spread}", highlight=False)
    console.print(_quantiles(values), highlight=False)


def _quantiles(values: list[float]) -> str:
    shares = (10, 25, 50, 75, 90)
    quantiles = np.percentile(values, shares).tolist()
    return " " * 8 + "  ".join(f"{share} % {x:.3f}" for share, x in zip(shares, quantiles, strict=True))
