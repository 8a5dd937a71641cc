"""Train known tasks and write RESULTS.md: `python -m tests.reproduction [TASK ...] [--seeds N]`.

Takes hours. Stop it whenever you like: it continues where it was, and skips what is finished.
"""

import json
import subprocess
import sys
from pathlib import Path

import click

from es import config
from es.run_dir import RunDir
from tests.processes import command, environment
from tests.reproduction import results
from tests.reproduction.tasks import HERE, TASKS, Task

EPISODES = 100
"""Per score."""


@click.command()
@click.argument("names", nargs=-1, metavar="[TASK]...", type=click.Choice([task.name for task in TASKS]))
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True, help="Runs per task.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Rollout processes.")
@click.option(
    "--runs-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/reproduction"),
    show_default=True,
    help="Where the runs lie.",
)
def main(names: tuple[str, ...], seeds: int, workers: int, runs_dir: Path) -> None:
    """Train each TASK, by default all, with seeds 1 to N, and write RESULTS.md from all finished runs."""
    for task in TASKS:
        if task.name in names or not names:
            for seed in range(1, seeds + 1):
                _train(task, seed, workers, runs_dir)
                _score(task, seed, workers, runs_dir)
                _write(runs_dir)
    _write(runs_dir)
    click.echo(f"results: {HERE / 'RESULTS.md'}")


def _train(task: Task, seed: int, workers: int, runs_dir: Path) -> None:
    run = _run(task, seed, runs_dir)
    if not (run.path / "run.json").exists():
        options = ("--seed", seed, "--name", run.name, "--workers", workers)
        _es("run", task.experiment, *options, runs_dir=runs_dir)
        return
    if run.experiment() != config.load(task.experiment, [f"seed={seed}"]):
        raise click.ClickException(f"{run.path} was made with other settings; remove it to train again")
    if not run.info().finished:
        _es("resume", run.name, "--workers", workers, runs_dir=runs_dir)


def _score(task: Task, seed: int, workers: int, runs_dir: Path) -> None:
    """Evaluate the last policy, unless that was done already."""
    run = _run(task, seed, runs_dir)
    if _returns(run):
        return
    options = ("--episodes", EPISODES, "--workers", workers, "--json")
    done = _es("evaluate", run.name, *options, runs_dir=runs_dir, capture=True)
    results.write(_scores(run), done)


def _write(runs_dir: Path) -> None:
    by_task = {}
    for task in TASKS:
        # The name of another task may begin alike.
        paths = [
            path for path in runs_dir.glob(f"{task.name}-*") if path.name.rpartition("-")[0] == task.name
        ]
        runs = {int(path.name.rpartition("-")[2]): RunDir(path) for path in paths}
        finished = [(seed, run, _returns(run)) for seed, run in sorted(runs.items())]
        by_task[task.name] = [results.result(run, seed, found) for seed, run, found in finished if found]
    results.write(HERE / "RESULTS.md", results.markdown(by_task, EPISODES))


def _run(task: Task, seed: int, runs_dir: Path) -> RunDir:
    return RunDir(runs_dir / f"{task.name}-{seed}")


def _scores(run: RunDir) -> Path:
    return run.path / f"scores-{EPISODES}.json"


def _returns(run: RunDir) -> list[float]:
    """Of the scored episodes; empty if there are none yet."""
    path = _scores(run)
    return [episode["return"] for episode in json.loads(path.read_text())] if path.exists() else []


def _es(*arguments: str | int | Path, runs_dir: Path, capture: bool = False) -> str:
    line = command([*map(str, arguments), "--runs-dir", runs_dir])
    done = subprocess.run(
        line, env=environment(None), stdout=subprocess.PIPE if capture else None, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.returncode)  # it has said why
    return done.stdout or ""


if __name__ == "__main__":
    main()
