"""The evaluator inside a rollout process, without the process."""

import msgspec

from es import config
from es.protocol import Kind, Task
from master import update
from master.policies import build_policy
from tests import in_process
from worker.process import Evaluator, Work

STAGES = """stage=[
    {name="first", until={generations=1}},
    {name="second", until={generations=2}, changes.environment.arguments.horizon=7},
    {name="third", changes.environment.arguments.horizon=9, changes.population.courses=3},
]"""
EXPERIMENT = config.load("lqr", ["population.size=2", "population.pairs_per_task=1", STAGES])
STATE = update.initial_state(EXPERIMENT, build_policy(EXPERIMENT))


def lengths(evaluator: Evaluator, stage: int, kind: Kind = "train") -> list[int]:
    message = update.message("run", EXPERIMENT, STATE._replace(stage=stage))
    outcomes = evaluator.evaluate(Work(Task("run", 1, kind, (0,)), message))
    return [episode.length for outcome in outcomes for episode in outcome.episodes]


def test_the_generation_decides_on_the_stage_in_whatever_order_tasks_come() -> None:
    evaluator = Evaluator(EXPERIMENT)
    horizons = [lengths(evaluator, stage) for stage in (0, 1, 2, 2, 1, 0)]
    assert horizons == [2 * [100], 2 * [7], 6 * [9], 6 * [9], 2 * [7], 2 * [100]]


def test_evaluations_take_place_in_the_environment_of_the_experiment_itself() -> None:
    evaluator = Evaluator(EXPERIMENT)
    assert lengths(evaluator, 1) == 2 * [7]
    assert lengths(evaluator, 1, "evaluate") == [100]
    assert lengths(evaluator, 1) == 2 * [7]


def test_training_goes_through_the_stages() -> None:
    experiment = msgspec.structs.replace(EXPERIMENT, budget=config.Budget(generations=4))
    assert in_process.train(experiment).steps == 2 * (100 + 7 + 7 + 3 * 9)
