"""Rollout processes with real signals and real memory."""

import os
import signal
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from es import config
from es.protocol import Task
from master import update
from master.policies import build_policy
from tests import in_process
from worker.pool import CannotStartError, Limits, ProcessLostError, RolloutProcess
from worker.process import Evaluator, Work

EXPERIMENT = config.load("lqr")
STATE = update.initial_state(EXPERIMENT, build_policy(EXPERIMENT))
MESSAGE = update.message("run", EXPERIMENT, STATE)
WORK = Work(Task("run", 1, "train", (0, 1)), MESSAGE)


def start(experiment: config.Experiment = EXPERIMENT, **limits: float) -> RolloutProcess:
    return RolloutProcess(msgspec.json.encode(experiment), Limits(**limits), "test")  # type: ignore[arg-type]  # numbers


@pytest.fixture(scope="module")
def process() -> Iterator[RolloutProcess]:
    with start() as each:
        yield each


def test_it_computes_what_the_same_code_computes_here(process: RolloutProcess) -> None:
    answer = process.run(WORK)
    here = list(Evaluator(EXPERIMENT).evaluate(WORK))
    for there, local in zip(answer.outcomes, here, strict=True):
        assert [episode.return_ for episode in there.episodes] == [
            episode.return_ for episode in local.episodes
        ]
    assert not process.needs(1)
    assert process.needs(2)


def test_evaluations_are_unperturbed(process: RolloutProcess) -> None:
    answer = process.run(Work(Task("run", 1, "evaluate", tuple(range(20))), MESSAGE))
    returns = [outcome.episodes[0].return_ for outcome in answer.outcomes]
    assert returns == in_process.evaluation_returns(EXPERIMENT, STATE)


def test_its_blas_has_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    from worker.pool import SINGLE_THREADED, limit_threads

    for name in SINGLE_THREADED:
        monkeypatch.setenv(name, "7")
    limit_threads()
    with start() as process:
        environ = dict(
            line.split("=", 1)
            for line in open(f"/proc/{process.pid}/environ").read().split("\0")  # noqa: SIM115  (closed at once)
            if "=" in line
        )
    assert environ["OPENBLAS_NUM_THREADS"] == "1"


@pytest.mark.parametrize(("sent", "guilty"), [(signal.SIGKILL, False), (signal.SIGSEGV, True)])
def test_a_death_is_noticed_and_its_cause_judged(sent: signal.Signals, guilty: bool) -> None:
    with start() as process:
        os.kill(process.pid, signal.SIGSTOP)
        os.kill(process.pid, sent)
        os.kill(process.pid, signal.SIGCONT)
        with pytest.raises(ProcessLostError, match=sent.name) as lost:
            process.run(WORK)
    assert lost.value.guilty is guilty


def run_frozen(**limits: float) -> None:
    with start(**limits) as process:
        os.kill(process.pid, signal.SIGSTOP)
        process.run(WORK)


def test_a_frozen_process_counts_as_hung() -> None:
    with pytest.raises(ProcessLostError, match="hung for 1 s"):
        run_frozen(task_seconds=1.0)


def test_limits_wear_a_process_out(process: RolloutProcess) -> None:
    assert not process.worn_out
    with start(episodes=4) as other:
        assert not other.worn_out
        other.run(WORK)
        assert other.worn_out


def test_a_process_that_grows_too_large_is_ended() -> None:
    with pytest.raises(ProcessLostError, match=r"grew to \d+ MB \(limit 1\)"):
        run_frozen(memory_mb=1.0)


def test_an_experiment_that_cannot_run_here_says_so() -> None:
    broken = msgspec.structs.replace(EXPERIMENT, environment=config.Environment(id="no_such_package:X-v0"))
    with pytest.raises(CannotStartError, match="No module named 'no_such_package'"):
        start(broken)


def test_parameters_that_do_not_fit_are_refused_before_they_do_harm() -> None:
    bad = msgspec.structs.replace(MESSAGE, centre=np.zeros(7).tobytes())
    with (
        start() as process,
        pytest.raises(CannotStartError, match="expected an array of 3 float64, got 56 bytes"),
    ):
        process.run(Work(WORK.task, bad))


def test_a_stage_that_cannot_be_built_here_says_so() -> None:
    stages = (
        config.Stage(name="first", until=config.Until(generations=1)),
        config.Stage(name="second", changes={"environment": {"arguments": {"horizon": 0}}}),
    )
    broken = msgspec.structs.replace(EXPERIMENT, stage=stages)
    work = Work(Task("run", 1, "train", (0,)), update.message("run", broken, STATE._replace(stage=1)))
    with start(broken) as process, pytest.raises(CannotStartError, match="expected a horizon of at least 1"):
        process.run(work)
