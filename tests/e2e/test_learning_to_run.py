"""The main job in OpenSim, as a new user meets it."""

import json
from pathlib import Path

import numpy as np
import psutil
import pytest

from es.run_dir import RunDir
from tests.processes import checkpoint_bytes, es, kill_tree, start, wait_until

pytest.importorskip("opensim", reason="OpenSim has no wheel for this platform")

IN_OPENSIM = (
    "quickstart", "--generations", "2", "--set", "stage=[]", "--set", "population.size=8",
    "--set", "episode_cap.start=20", "--set", "evaluation.every=0",
    "--set", "environment.arguments.backend=opensim", "--set", "environment.arguments.integrator=see2",
)  # fmt: skip


def test_the_quickstart_learns_on_the_twin_and_is_scored_in_opensim(tmp_path: Path) -> None:
    done = es("run", "quickstart", "--name", "first", "--generations", "25", "--runs-dir", tmp_path)
    assert done.returncode == 0, done.stderr
    run = RunDir.open(tmp_path, "first")
    records = run.generations()
    assert [record.stage for record in records] == ["random"] + 24 * ["search"]
    assert all(record.failed == 0 and record.workers >= 1 for record in records)
    assert run.status() == "finished"
    before, after = run.evaluations()[0], run.evaluations()[25]
    assert after.metrics["metres"] > before.metrics["metres"] + 1.0
    rows = json.loads(es("evaluate", "first", "--episodes", "1", "--json", "--runs-dir", tmp_path).stdout)
    assert {"seed", "return", "metres", "fell", "length"} <= rows[0].keys()


def test_an_evaluation_that_is_terminated_takes_its_processes_along(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    evaluation = start("evaluate", "runner", "--episodes", "8", "--workers", "2", log=log)
    try:
        wait_until(lambda: len(spawned(evaluation.pid)) == 2, "two processes")
        processes = spawned(evaluation.pid)
        evaluation.terminate()
        assert evaluation.wait(timeout=30) == 143, log.read_text()
        gone, alive = psutil.wait_procs(processes, timeout=10)
        assert (len(gone), alive) == (2, [])
    finally:
        kill_tree(evaluation)


def spawned(pid: int) -> list[psutil.Process]:
    """Processes below this one that Python's multiprocessing started to run something."""
    below = psutil.Process(pid).children(recursive=True)
    return [process for process in below if "spawn_main" in str(process.cmdline())]


def test_the_same_bytes_whatever_happens_to_the_workers(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    assert es("run", *IN_OPENSIM, "--name", "one", "--workers", "1", "--runs-dir", runs).returncode == 0
    master = start(
        "run", *IN_OPENSIM, "--name", "two", "--workers", "2", "--runs-dir", runs, log=tmp_path / "log.txt"
    )
    try:
        wait_until(lambda: spawned(master.pid), "a rollout process")
        spawned(master.pid)[0].kill()
        assert master.wait(timeout=120) == 0, (tmp_path / "log.txt").read_text()
    finally:
        kill_tree(master)
    assert checkpoint_bytes(runs / "one") == checkpoint_bytes(runs / "two")
    assert len(checkpoint_bytes(runs / "one")) == 3


def test_training_on_the_compiled_twin_is_scored_in_opensim(tmp_path: Path) -> None:
    done = es(
        "run", "learning-to-run", "--name", "twin", "--generations", "2", "--runs-dir", tmp_path,
        "--set", "stage=[]", "--set", "population.size=8", "--set", "environment.arguments.max_steps=50",
        "--set", "evaluation.every=1", "--set", "evaluation.episodes=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    scores = RunDir.open(tmp_path, "twin").evaluations()
    assert sorted(scores) == [0, 1, 2]
    arguments = ("evaluate", "twin", "--episodes", "1", "--seed", "1000000", "--json", "--runs-dir", tmp_path)
    (opensim,) = json.loads(es(*arguments).stdout)
    assert [opensim["return"]] == scores[2].returns
    for score in scores.values():
        twin = score.training_physics
        assert twin is not None
        assert twin.return_gap == pytest.approx(twin.returns[0] - score.returns[0])
        assert abs(twin.metrics_gap["metres"]) < 0.05
    shown = es("show", "twin", "2", "--runs-dir", tmp_path).stdout
    assert "training_physics" in shown
    assert "gap" in es("generations", "twin", "--runs-dir", tmp_path).stdout


# On these courses OpenSim takes a minute or less; on some, a few control steps alone take it minutes.
@pytest.mark.parametrize(
    ("runner", "seed", "score"),
    [("runner", 3, 21.84), ("steady-runner", 54, 20.95), ("fast-runner", 4, 31.41)],
)
def test_runners_that_come_with_the_package_run_as_far_as_reported(
    tmp_path: Path, runner: str, seed: int, score: float
) -> None:
    arguments = ("evaluate", runner, "--protocol", "round2", "--episodes", "1", "--seed", seed, "--json")
    (episode,) = json.loads(es(*arguments, "--runs-dir", tmp_path).stdout)
    assert episode["score"] == pytest.approx(score, abs=0.05)
    assert episode["length"] == 1000


def test_training_goes_on_from_a_run_that_comes_with_the_package(tmp_path: Path) -> None:
    source = RunDir.open(tmp_path, "flat-runner")
    done = es(
        "run", "learning-to-run", "--name", "on", "--generations", "1", "--runs-dir", tmp_path,
        "--set", f"warm_start.checkpoint={source.checkpoint_path(0)}", "--set", "stage=[]",
        "--set", "population.size=8", "--set", "environment.arguments.max_steps=50",
        "--set", "evaluation.every=0",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first = RunDir.open(tmp_path, "on").load_checkpoint(0)
    np.testing.assert_array_equal(first.parameters, source.load_checkpoint(0).parameters)
