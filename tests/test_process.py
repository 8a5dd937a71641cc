"""The evaluator inside a rollout process, without the process."""

import msgspec

from es import config
from es.protocol import Task
from master import update
from tests import in_process
from worker.process import Evaluator, Work

CURRICULUM = "curriculum=[{generation=2, arguments={horizon=7}}, {generation=4, arguments={horizon=9}}]"
EXPERIMENT = config.load("lqr", ["population.size=2", "population.pairs_per_task=1", CURRICULUM])
STATE = update.initial_state(EXPERIMENT, update.build_policy(EXPERIMENT))


def lengths(evaluator: Evaluator, generation: int, kind: str = "train") -> set[int]:
    message = update.message("run", EXPERIMENT, STATE._replace(generation=generation - 1))
    outcomes = evaluator.evaluate(Work(Task("run", generation, kind, (0,)), message))  # type: ignore[arg-type]  # kinds
    return {episode.length for outcome in outcomes for episode in outcome.episodes}


def test_the_generation_decides_on_the_stage_in_whatever_order_tasks_come() -> None:
    evaluator = Evaluator(EXPERIMENT)
    horizons = {generation: lengths(evaluator, generation) for generation in (1, 2, 3, 4, 60, 3, 1)}
    assert horizons == {1: {100}, 2: {7}, 3: {7}, 4: {9}, 60: {9}}


def test_evaluations_do_not_take_part_in_the_curriculum() -> None:
    evaluator = Evaluator(EXPERIMENT)
    assert lengths(evaluator, 4) == {9}
    assert lengths(evaluator, 4, "evaluate") == {100}
    assert lengths(evaluator, 4) == {9}


def test_training_goes_through_the_stages() -> None:
    experiment = msgspec.structs.replace(EXPERIMENT, budget=config.Budget(generations=4))
    assert in_process.train(experiment).steps == 2 * (100 + 7 + 7 + 9)
