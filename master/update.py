"""The master's arithmetic: from state and outcomes to the next state. Nothing here waits, reads or writes."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from es import checkpoint, config, noise, obs_norm, protocol
from es.checkpoint import MasterState
from es.envs import registry as envs
from es.errors import DivergedError, ExperimentError
from es.obs_norm import ObservationStatistics
from es.policies import registry as policies
from es.policies.registry import Policy
from es.protocol import Generation, Outcome, Statistics
from es.strategies import registry as strategies
from es.strategies.update import Update


def build_policy(experiment: config.Experiment) -> Policy:
    """The policy that the workers run.

    Raises:
        ExperimentError: an environment cannot be built, or the policy or a setting does not fit it.
    """
    environments = _environments(experiment)
    training = _policy(experiment, environments.pop("environment.arguments"))
    _check_features(experiment, training.sizes[0])
    for field, environment in environments.items():
        other = _policy(experiment, environment)
        if other.sizes != training.sizes:
            raise ExperimentError(
                f"{field}: expected observations and actions as in environment.arguments, {training.sizes}, "
                f"got {other.sizes}"
            )
    return training


def _environments(experiment: config.Experiment) -> dict[str, config.Environment]:
    """Each environment of the experiment, by the field that sets it."""
    environments = {"environment.arguments": experiment.environment}
    for i, stage in enumerate(experiment.curriculum):
        field = f"curriculum[{i}].arguments"
        environments[field] = config.training_environment(experiment, stage.generation)
    if experiment.evaluation.arguments:
        environments["evaluation.arguments"] = config.evaluation_environment(experiment)
    return environments


def _policy(experiment: config.Experiment, environment: config.Environment) -> Policy:
    env = envs.make(environment)
    try:
        return policies.make(experiment.policy, env, action_repeat=environment.action_repeat)
    finally:
        env.close()


def _check_features(experiment: config.Experiment, size: int) -> None:
    for i, feature in enumerate(experiment.observation_normalization.features):
        if max(feature.observations) >= size:
            raise ExperimentError(
                f"observation_normalization.features[{i}].observations = {list(feature.observations)}: "
                f"expected indices from 0 to {size - 1}, the observations of {experiment.environment.id}"
            )


def initial_state(experiment: config.Experiment, policy: Policy) -> MasterState:
    """Random parameters, or those of the warm start.

    Raises:
        ExperimentError: the warm start's network does not fit.
        RunDirectoryError: its checkpoint cannot be read.
    """
    rng = noise.generator(noise.Stream.INITIAL_PARAMETERS, experiment.seed)
    statistics = ObservationStatistics.empty(policy.sizes[0])
    if experiment.warm_start:
        _, source = checkpoint.load(Path(experiment.warm_start.checkpoint))
        theta = policy.widen(source.search.theta, source.layer_sizes, rng)
        if source.layer_sizes[0] == policy.sizes[0]:
            statistics = source.statistics
    else:
        theta = policy.initial(rng)
    cap = experiment.episode_cap
    return MasterState(
        generation=0,
        search=strategies.init(experiment.strategy, theta),
        statistics=statistics,
        episode_cap=cap.start if cap else None,
        episodes=0,
        steps=0,
        layer_sizes=policy.sizes,
    )


def budget_spent(experiment: config.Experiment, state: MasterState, elapsed: float) -> bool:
    """Whether another generation would exceed the budget, ``elapsed`` seconds into the run."""
    budget = experiment.budget
    return (
        (budget.generations is not None and state.generation >= budget.generations)
        or (budget.episodes is not None and state.episodes + experiment.population.size > budget.episodes)
        or (budget.steps is not None and state.steps >= budget.steps)
        or (budget.hours is not None and elapsed >= 3600 * budget.hours)
    )


def message(run_id: str, experiment: config.Experiment, state: MasterState) -> Generation:
    """What the workers need to know to run the generation after ``state``."""
    centre, scale = strategies.ask(experiment.strategy, state.search)
    statistics = policies.seen(experiment.policy, state.statistics)
    normalizer = obs_norm.normalizer(experiment.observation_normalization, statistics)
    return Generation(
        run_id=run_id,
        generation=state.generation + 1,
        centre=protocol.pack(centre),
        scale=protocol.pack(scale),
        observation_mean=protocol.pack(normalizer.mean) if normalizer else b"",
        observation_std=protocol.pack(normalizer.std) if normalizer else b"",
        episode_cap=state.episode_cap,
    )


def advance(
    experiment: config.Experiment, state: MasterState, outcomes: Sequence[Outcome]
) -> tuple[MasterState, Update]:
    """The state after a generation.

    Args:
        experiment: its settings.
        state: the state before.
        outcomes: of all pairs, in order of index: floating-point sums depend on the order of their terms.
    """
    pairs = [outcome.episodes for outcome in outcomes]
    episodes = [episode for pair in pairs for episode in pair]
    nan = float("nan")
    returns = np.array([[nan if e.failed else e.return_ for e in pair] for pair in pairs])
    sign_returns = np.array([[nan if e.failed else e.sign_return for e in pair] for pair in pairs])
    number, dim = state.generation + 1, state.search.theta.size
    with np.errstate(over="ignore", invalid="ignore"):  # looked at right below
        search, update = strategies.tell(
            experiment.strategy,
            state.search,
            returns,
            sign_returns,
            lambda pair: noise.perturbation(experiment.seed, number, pair, dim),
        )
    if not np.isfinite([*update, *search.theta]).all():
        raise DivergedError(
            f"generation {number}: the update is not finite (gradient norm {update.gradient_norm:g}); "
            "expected returns of moderate size, or strategy.shaping = 'centered_ranks'"
        )
    statistics = state.statistics
    for episode in episodes:
        if episode.statistics:
            statistics = statistics.merge(_from_message(episode.statistics, statistics.mean.size))
    if state.statistics.n:
        kept = obs_norm.frozen(experiment.observation_normalization, number, statistics.mean.size)
        statistics = statistics.keeping(state.statistics, kept)
    new_state = MasterState(
        generation=number,
        search=search,
        statistics=statistics,
        episode_cap=next_cap(experiment.episode_cap, state.episode_cap, [e.length for e in episodes]),
        episodes=state.episodes + len(episodes),
        steps=state.steps + sum(episode.length for episode in episodes),
        layer_sizes=state.layer_sizes,
    )
    return new_state, update


def next_cap(rule: config.EpisodeCap | None, cap: int | None, lengths: Sequence[int]) -> int | None:
    """The episode cap for the next generation (Salimans et al. 2017, section 4.1)."""
    if rule is None or cap is None:
        return None
    reached = sum(length >= cap for length in lengths) / len(lengths)
    return min(math.ceil(cap * rule.factor), rule.maximum) if reached >= rule.threshold else cap


def _from_message(statistics: Statistics, size: int) -> ObservationStatistics:
    return ObservationStatistics(
        statistics.n, protocol.unpack(statistics.mean, size), protocol.unpack(statistics.m2, size)
    )
