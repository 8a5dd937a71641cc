"""The oracle of the distributed system: the same training in one process, one episode after the other."""

from es import config
from es.checkpoint import MasterState
from es.protocol import Task
from master import update
from master.policies import build_policy
from worker.process import Evaluator, Work


def train(experiment: config.Experiment) -> MasterState:
    evaluator = Evaluator(experiment)
    state = update.initial_state(experiment, build_policy(experiment))
    while not update.budget_spent(experiment, state, elapsed=0.0):
        message = update.message("run", experiment, state)
        pairs = tuple(range(state.population // 2))
        task = Task("run", message.generation, "train", pairs)
        state, _ = update.advance(experiment, state, list(evaluator.evaluate(Work(task, message))))
    return state


def evaluation_returns(experiment: config.Experiment, state: MasterState) -> list[float]:
    message = update.message("run", experiment, state)
    task = Task("run", message.generation, "evaluate", tuple(range(experiment.evaluation.episodes)))
    outcomes = Evaluator(experiment).evaluate(Work(task, message))
    return [outcome.episodes[0].return_ for outcome in outcomes]
