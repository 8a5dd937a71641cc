"""The master's arithmetic: from state and outcomes to the next state. Nothing here waits or writes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from es import checkpoint, config, noise, obs_norm, protocol
from es.checkpoint import Attempts, MasterState
from es.errors import DivergedError
from es.obs_norm import ObservationStatistics
from es.policies import registry as policies
from es.policies.policy import Policy
from es.protocol import Episode, Generation, Outcome, Statistics
from es.strategies import registry as strategies
from es.strategies.update import Array, Noise, Update
from master import schedule
from master.policies import stage_policy

NONE = np.zeros(0)


def initial_state(experiment: config.Experiment, policy: Policy) -> MasterState:
    """Random parameters, or those of the warm start.

    Args:
        experiment: its settings.
        policy: that of its first stage.

    Raises:
        ExperimentError: the warm start's network does not fit.
        RunDirectoryError: its checkpoint cannot be read.
    """
    rng = noise.generator(noise.Stream.INITIAL_PARAMETERS, experiment.seed)
    statistics = ObservationStatistics.empty(policy.sizes[0])
    if experiment.warm_start:
        _, source = checkpoint.load(Path(experiment.warm_start.checkpoint))
        theta = policy.widen(source.parameters, source.layer_sizes, rng)
        if source.layer_sizes[0] == policy.sizes[0]:
            statistics = source.statistics
    else:
        theta = policy.initial(rng)
    stage = config.at_stage(experiment, 0)
    cap = stage.episode_cap
    return MasterState(
        generation=0,
        search=strategies.init(stage.strategy, theta),
        average=theta if stage.strategy.average else NONE,
        statistics=statistics,
        stage=0,
        stage_began=(0, 0),
        ramps=tuple(ramp.start for ramp in stage.ramp),
        episode_cap=cap.start if cap else None,
        population=stage.population.size,
        attempts=_first_attempt(stage, theta, 0),
        episodes=0,
        steps=0,
        layer_sizes=policy.sizes,
    )


def budget_spent(experiment: config.Experiment, state: MasterState, elapsed: float) -> bool:
    """Whether another generation would exceed the budget, ``elapsed`` seconds into the run."""
    budget = experiment.budget
    return (
        (budget.generations is not None and state.generation >= budget.generations)
        or (
            budget.episodes is not None
            and state.episodes + episodes_per_generation(experiment, state) > budget.episodes
        )
        or (budget.steps is not None and state.steps >= budget.steps)
        or (budget.hours is not None and elapsed >= 3600 * budget.hours)
    )


def episodes_per_generation(experiment: config.Experiment, state: MasterState) -> int:
    """Training episodes of the generation after ``state``."""
    return state.population * config.at_stage(experiment, state.stage).population.courses


def message(run_id: str, experiment: config.Experiment, state: MasterState) -> Generation:
    """What the workers need to know to run the generation after ``state``."""
    stage = config.at_stage(experiment, state.stage)
    centre, scale = strategies.ask(stage.strategy, state.search)
    statistics = policies.seen(stage.policy, state.statistics)
    normalizer = obs_norm.normalizer(stage.observation_normalization, statistics)
    return Generation(
        run_id=run_id,
        generation=state.generation + 1,
        stage=state.stage,
        centre=protocol.pack(centre),
        scale=protocol.pack(scale),
        evaluated=protocol.pack(state.average),
        observation_mean=protocol.pack(normalizer.mean) if normalizer else b"",
        observation_std=protocol.pack(normalizer.std) if normalizer else b"",
        episodes_per_pair=2 * stage.population.courses,
        episode_cap=state.episode_cap,
        arguments=_ramps(stage, state),
    )


def advance(
    experiment: config.Experiment, state: MasterState, outcomes: Sequence[Outcome], drawn: Noise | None = None
) -> tuple[MasterState, Update]:
    """The state after a generation.

    Args:
        experiment: its settings.
        state: the state before.
        outcomes: of all pairs, in order of index: floating-point sums depend on the order of their terms.
        drawn: the generation's perturbations, if they were drawn already.

    Raises:
        DivergedError: the update is not finite.
        ExperimentError: a condition is about a metric that the environment does not report.
    """
    stage = config.at_stage(experiment, state.stage)
    episodes = [episode for outcome in outcomes for episode in outcome.episodes]
    number, dim = state.generation + 1, state.search.theta.size
    with np.errstate(over="ignore", invalid="ignore"):  # looked at right below
        search, update = strategies.tell(
            stage.strategy,
            state.search,
            np.array([_returns(outcome, sign=False) for outcome in outcomes]),
            np.array([_returns(outcome, sign=True) for outcome in outcomes]),
            drawn or (lambda index: noise.perturbation(experiment.seed, number, index, dim)),
        )
    if not np.isfinite([*update, *search.theta]).all():
        raise DivergedError(
            f"generation {number}: the update is not finite (gradient norm {update.gradient_norm:g}); "
            "expected returns of moderate size, or strategy.shaping = 'centered_ranks'"
        )
    means = schedule.signals(episodes, state.episode_cap, _ramps(stage, state))
    if number == 1:
        schedule.check_metrics(experiment, means)
    decay, average = stage.strategy.average, state.average
    new_state = state._replace(
        generation=number,
        search=search,
        average=decay * average + (1 - decay) * search.theta if average.size else average,
        statistics=_statistics(stage, state, episodes),
        ramps=schedule.next_ramps(stage.ramp, state.ramps, means),
        episode_cap=schedule.next_cap(stage.episode_cap, state.episode_cap, means["capped"]),
        population=schedule.next_population(
            stage.population, state.population, sum(e.length for e in episodes) / len(episodes)
        ),
        episodes=state.episodes + len(episodes),
        steps=state.steps + sum(episode.length for episode in episodes),
    )
    new_state = _restarted(experiment, state, new_state, means)
    return _next_stage(experiment, new_state, means), update


def _ramps(stage: config.Experiment, state: MasterState) -> dict[str, float]:
    """What the ramps set, by argument."""
    return {ramp.argument: value for ramp, value in zip(stage.ramp, state.ramps, strict=True)}


def _returns(outcome: Outcome, *, sign: bool) -> list[float]:
    """What a pair's two policies reached, each in the mean over its courses; NaN if one of them failed."""
    values = [
        float("nan") if episode.failed else episode.sign_return if sign else episode.return_
        for episode in outcome.episodes
    ]
    if len(values) == 2:  # one course; the mean of one number 10,000 times takes longer than all the rest
        return values
    return [float(np.mean(values[policy::2])) for policy in range(2)]


def _statistics(
    stage: config.Experiment, state: MasterState, episodes: Sequence[Episode]
) -> ObservationStatistics:
    statistics = state.statistics
    for episode in episodes:
        if episode.statistics:
            statistics = statistics.merge(_from_message(episode.statistics, statistics.mean.size))
    if state.statistics.n:
        size = statistics.mean.size
        kept = obs_norm.frozen(stage.observation_normalization, state.generation + 1, size)
        statistics = statistics.keeping(state.statistics, kept)
    return statistics


def _first_attempt(stage: config.Experiment, theta: Array, generation: int) -> Attempts:
    origin = theta if stage.restart else NONE
    return Attempts(
        restarts=0, record=None, record_at=generation, origin=origin, best=origin, best_return=None
    )


def _restarted(
    experiment: config.Experiment, before: MasterState, state: MasterState, means: schedule.Signals
) -> MasterState:
    """The state with its attempts brought up to date, and the search begun anew if it is stuck."""
    stage = config.at_stage(experiment, state.stage)
    attempts, reached = state.attempts, means.get("return")
    if stage.restart is None:
        return state
    if reached is not None and (attempts.record is None or reached > attempts.record):
        attempts = attempts._replace(record=reached, record_at=state.generation)
    if reached is not None and (attempts.best_return is None or reached > attempts.best_return):
        attempts = attempts._replace(best=before.search.theta, best_return=reached)
    if state.generation - attempts.record_at < stage.restart.patience:
        return state._replace(attempts=attempts)
    attempts = attempts._replace(restarts=attempts.restarts + 1, record=None, record_at=state.generation)
    theta = attempts.origin
    if state.stage == 0 and experiment.warm_start is None:
        rng = noise.generator(
            noise.Stream.INITIAL_PARAMETERS, experiment.seed, state.stage, attempts.restarts
        )
        theta = stage_policy(experiment, 0).initial(rng)
    grown = 2 * round(state.population * stage.restart.growth / 2)
    return state._replace(
        search=strategies.init(stage.strategy, theta),
        average=theta if stage.strategy.average else NONE,
        population=min(grown, stage.population.maximum),
        attempts=attempts,
    )


def _next_stage(experiment: config.Experiment, state: MasterState, means: schedule.Signals) -> MasterState:
    """The state as the next generation finds it: in the next stage, if this one is over."""
    if not experiment.stage:
        return state
    generations, steps = state.generation - state.stage_began[0], state.steps - state.stage_began[1]
    if not schedule.is_over(experiment.stage[state.stage].until, generations, steps, means):
        return state
    number = state.stage + 1
    old, new = config.at_stage(experiment, state.stage), config.at_stage(experiment, number)
    state = state._replace(
        stage=number,
        stage_began=(state.generation, state.steps),
        ramps=schedule.kept_ramps(old.ramp, state.ramps, new.ramp),
        population=new.population.size,
    )
    if old.episode_cap != new.episode_cap:
        state = state._replace(episode_cap=new.episode_cap.start if new.episode_cap else None)
    theta = state.attempts.best if old.restart else state.parameters
    if (old.policy, old.strategy, old.restart) == (new.policy, new.strategy, new.restart):
        return state
    if old.policy != new.policy:
        rng = noise.generator(noise.Stream.INITIAL_PARAMETERS, experiment.seed, number)
        policy = stage_policy(experiment, number)
        theta = policy.widen(theta, state.layer_sizes, rng)
        state = state._replace(layer_sizes=policy.sizes)
    return state._replace(
        search=strategies.init(new.strategy, theta),
        average=theta if new.strategy.average else NONE,
        attempts=_first_attempt(new, theta, state.generation),
    )


def _from_message(statistics: Statistics, size: int) -> ObservationStatistics:
    return ObservationStatistics(
        statistics.n, protocol.unpack(statistics.mean, size), protocol.unpack(statistics.m2, size)
    )
