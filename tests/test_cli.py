"""The command line: quick help, clear errors, right exit codes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from es.cli import COMMANDS
from es.redis_server import RedisServer
from tests import checkpointed_run
from tests.processes import DEADLINE, environment, es, kill_tree, lines, start, wait_until


def test_help_imports_no_heavy_package() -> None:
    code = (
        "import sys\nfrom es.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'opensim', 'boto3', 'matplotlib', 'PIL', 'numpy', 'redis', 'gymnasium', 'numba'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, (_, text) in COMMANDS.items():
        assert name in done.stdout
        assert text.split()[0] in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str) -> None:
    done = es(name, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: ")


def assert_one_line(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("Error: ")
    for part in parts:
        assert part in done.stderr


def test_an_unknown_experiment(runs_dir: Path) -> None:
    done = es("run", "marathon", "--runs-dir", runs_dir)
    assert_one_line(done, 2, "marathon: no such experiment", "quickstart")
    assert not runs_dir.exists()


def test_an_experiment_that_is_wrong(tmp_path: Path, runs_dir: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[strategy]\nkind = "pgpe"\nsigma = 0\n')
    assert_one_line(es("run", path, "--runs-dir", runs_dir), 2, "mine.toml: ", "strategy.sigma = 0: expected")
    path.write_text("= 3")
    assert_one_line(es("run", path, "--runs-dir", runs_dir), 2, "mine.toml: not valid TOML")
    assert_one_line(
        es("run", "lqr", "--set", "environment.id=Walk-v9", "--runs-dir", runs_dir),
        2,
        "environment.id = 'Walk-v9'",
    )
    assert not runs_dir.exists()


def test_redis_that_does_not_answer(runs_dir: Path) -> None:
    address = "redis://127.0.0.1:1"
    assert_one_line(
        es("master", "lqr", "--redis", address, "--runs-dir", runs_dir), 1, f"{address}: no answer from Redis"
    )
    assert_one_line_at_end(
        es("worker", "--redis", address, "--wait", "0.5"), 1, "no answer", "(tried for 0.5 s)"
    )
    assert_one_line(es("master", "lqr", "--runs-dir", runs_dir), 2, "--redis: expected the address")
    assert_one_line(
        es("run", "lqr", "--workers", "0", "--runs-dir", runs_dir), 2, "--workers 0: expected at least 1"
    )
    assert not runs_dir.exists()
    assert_one_line(es("worker", "--redis", "http://x"), 1, "not a Redis address")


def assert_one_line_at_end(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    assert done.returncode == code, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in last


def test_no_master(redis_server: RedisServer) -> None:
    done = es("worker", "--redis", redis_server.url, "--wait", "0.3")
    assert_one_line_at_end(done, 1, "no run published after 0.3 s; is the master running?")


def test_passwords_come_from_the_environment_only(redis_server: RedisServer, runs_dir: Path) -> None:
    from es import protocol

    protocol.connect(redis_server.url).config_set("requirepass", "correct-horse")
    done = es("worker", "--redis", "redis://:correct-horse@127.0.0.1:1")
    assert_one_line(done, 2, "no password on the command line")
    assert "correct-horse" not in done.stderr
    for extra in ({}, {"ES_REDIS_PASSWORD": "battery-staple"}):
        done = es("master", "lqr", "--redis", redis_server.url, "--runs-dir", runs_dir, env=extra)
        assert_one_line(done, 1, "Redis refuses the password", "ES_REDIS_PASSWORD")
        assert "battery-staple" not in done.stderr


def test_a_run_that_is_not_there(runs_dir: Path) -> None:
    for command in (["generations", "x"], ["show", "x", "1"], ["evaluate", "x"], ["resume", "x"]):
        assert_one_line(es(*command, "--runs-dir", runs_dir), 2, f"x: no such run in {runs_dir}")
    done = es("runs", "--runs-dir", runs_dir)
    assert (done.returncode, done.stdout) == (
        0,
        f"no runs in {runs_dir} yet; start one with `es run quickstart`\n",
    )


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc").exists(), reason="root may write anywhere")
def test_a_runs_directory_that_cannot_be_made() -> None:
    assert_one_line(es("run", "lqr", "--runs-dir", "/proc/runs"), 1, "/proc/runs: cannot write: ")


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs_dir = tmp_path_factory.mktemp("runs")
    done = es(
        "run", "lqr", "--name", "short", "--generations", "3", "--workers", "1", "--seed", "5",
        "--set", "evaluation.every=2", "--set", "evaluation.episodes=2", "--runs-dir", runs_dir,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "generation 3/3" in done.stdout
    assert "short (finished)" in done.stdout
    assert str(runs_dir / "short") in done.stdout.replace("\n", "")
    return runs_dir


def test_runs_are_listed(finished_run: Path) -> None:
    assert "short" in es("runs", "--runs-dir", finished_run).stdout
    (row,) = json.loads(es("runs", "--json", env={"ES_RUNS_DIR": str(finished_run)}).stdout)
    assert (row["name"], row["status"]) == ("short", "finished")


def test_generations_are_shown_in_three_ways(finished_run: Path) -> None:
    table = es("generations", "short", "--runs-dir", finished_run).stdout
    assert table.count("\n") >= 5
    rows = json.loads(es("generations", "short", "--json", "--last", "2", "--runs-dir", finished_run).stdout)
    assert [row["generation"] for row in rows] == [2, 3]
    assert [row["evaluation_return_mean"] is None for row in rows] == [False, False]
    assert rows[1]["episodes_total"] == 192
    lines = es("generations", finished_run / "short", "--csv").stdout.splitlines()
    assert lines[0].startswith("generation,stage,")
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3"]


def test_one_generation_is_shown_whole(finished_run: Path) -> None:
    shown = json.loads(es("show", "short", "2", "--json", "--runs-dir", finished_run).stdout)
    assert shown["generation"]["episodes"] == 64
    assert len(shown["evaluation"]["returns"]) == 2
    assert shown["checkpoint"]["layer_sizes"] == [2, 1]
    text = es("show", "short", "2", "--runs-dir", finished_run).stdout
    assert "gradient_norm" in text
    assert "layer_sizes" in text
    assert_one_line(
        es("show", "short", "9", "--runs-dir", finished_run), 2, "no generation 9; there are 0 to 3"
    )


def test_a_policy_is_evaluated(finished_run: Path) -> None:
    arguments = ("evaluate", "short", "--episodes", "3", "--seed", "1000000", "--runs-dir", finished_run)
    rows = json.loads(es(*arguments, "--json").stdout)
    assert [row["seed"] for row in rows] == [1000000, 1000001, 1000002]
    shown = json.loads(es("show", "short", "3", "--json", "--runs-dir", finished_run).stdout)
    assert [row["return"] for row in rows][:2] == shown["evaluation"]["returns"]
    text = es(*arguments, "--generation", "best", "--workers", "1").stdout
    assert "return  mean" in text
    assert_one_line(es(*arguments, "--generation", "worst"), 2, "expected latest, best or a number")
    assert_one_line(
        es(*arguments, "--generation", "7"), 2, "no checkpoint of generation 7; there are 0, 1, 2, 3"
    )


def test_an_evaluation_that_is_asked_to_stop_ends_with_all_its_processes(tmp_path: Path) -> None:
    large = {"kind": "mlp", "hidden": [300, 300]}  # more than a pipe between processes holds
    checkpointed_run.create(tmp_path, "long", {"id": "Pendulum-v1"}, policy=large)
    log = tmp_path / "log"
    arguments = ("evaluate", "long", "--episodes", "500", "--workers", "2", "--runs-dir", tmp_path)
    process = start(*arguments, log=log)
    try:
        wait_until(lambda: lines(log) > 5, "the first episodes")
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        assert process.wait(timeout=DEADLINE) == 128 + signal.SIGTERM
        assert not psutil.wait_procs(family, timeout=DEADLINE)[1]
        assert "Error" not in log.read_text()
    finally:
        kill_tree(process)


def test_a_finished_run_is_resumed_only_to_extend_it(finished_run: Path) -> None:
    done = es("resume", "short", "--runs-dir", finished_run)
    assert_one_line(done, 2, "short finished after 3 generations; extend it with --generations")
    done = es("resume", "short", "--generations", "2", "--runs-dir", finished_run)
    assert_one_line(done, 2, "--generations 2: short has made 3; expected more")


def test_a_full_disk_ends_the_run_in_one_line_and_costs_no_finished_generation(runs_dir: Path) -> None:
    code = (
        "import resource, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))\n"
        "from es.cli import main\n"
        f"main(['run', 'lqr', '--name', 'full', '--workers', '1', '--runs-dir', {str(runs_dir)!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(None),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert_one_line(done, 1, "cannot write", "File too large")
    records = json.loads(es("generations", "full", "--json", "--runs-dir", runs_dir).stdout)
    assert len(records) >= 1
    assert es("show", "full", str(len(records)), "--runs-dir", runs_dir).returncode == 0
