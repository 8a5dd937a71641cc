"""The rollout process: rebuilds perturbations from their seeds and runs the episodes."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from es import compiled_rollout, config, noise, protocol
from es.envs import registry as envs
from es.errors import EsError, ExperimentError, ProtocolError
from es.obs_norm import Normalizer
from es.policies import registry as policies
from es.policies.policy import Policy
from es.rollout import Rollout, rollout
from es.strategies import registry as strategies

Array = NDArray[np.float64]


class Work(Struct, frozen=True, array_like=True):
    """What the agent sends down the pipe."""

    task: protocol.Task
    generation: protocol.Generation | None
    """None if this process has it already."""


class Answer(Struct, frozen=True, array_like=True):
    """What comes back: the outcomes of a task; at the start, an empty one."""

    outcomes: tuple[protocol.Outcome, ...] = ()
    error: str = ""
    """Why this process cannot work at all; it exits after saying so."""
    process_seconds: float = 0.0
    """Wall time from receiving the task to answering."""


def main(pipe: Connection, experiment_json: bytes) -> None:
    """Serve the agent at the other end of ``pipe`` until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the agent's to handle
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    encoder = msgspec.msgpack.Encoder()
    try:
        worker = Evaluator(msgspec.json.decode(experiment_json, type=config.Experiment))
    except (EsError, ImportError) as error:
        pipe.send_bytes(encoder.encode(Answer(error=" ".join(str(error).split()))))
        return
    pipe.send_bytes(encoder.encode(Answer()))
    decoder = msgspec.msgpack.Decoder(Work)
    while True:
        try:
            work = decoder.decode(pipe.recv_bytes())
        except EOFError:
            return
        began = time.perf_counter()
        try:
            outcomes = tuple(worker.evaluate(work))
        except (ProtocolError, ExperimentError) as error:
            pipe.send_bytes(encoder.encode(Answer(error=str(error))))
            return
        answer = Answer(outcomes, process_seconds=time.perf_counter() - began)
        pipe.send_bytes(encoder.encode(answer))


def _exit_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


class _Stage:
    """The training environment and the policy of a stage of the experiment."""

    def __init__(self, experiment: config.Experiment, number: int) -> None:
        self.number = number
        self.settings = config.at_stage(experiment, number)
        self.env = envs.make(self.settings.environment)
        repeat = self.settings.environment.action_repeat
        self.policy = policies.make(self.settings.policy, self.env, action_repeat=repeat)


class Evaluator:
    """Environments and a policy, ready to be run with any parameters.

    Raises:
        ExperimentError: the environment cannot be built, or the policy does not fit it.
    """

    def __init__(self, experiment: config.Experiment) -> None:
        self._experiment = experiment
        self._stage = _Stage(experiment, 0)
        self._evaluation_envs: list[envs.Env] = []
        self._generation: protocol.Generation | None = None

    def evaluate(self, work: Work) -> Iterator[protocol.Outcome]:
        """Run the episodes of a task.

        Raises:
            ProtocolError: the generation does not fit the policy.
            ExperimentError: a later stage's environment or that of evaluations cannot be built.
        """
        generation = work.generation or self._generation
        if generation is None or generation.generation != work.task.generation:
            raise ProtocolError(f"expected the parameters of generation {work.task.generation} with the task")
        self._generation = generation
        stage = self._at(generation.stage)
        dim, size = stage.policy.num_params, stage.policy.sizes[0]
        centre = protocol.unpack(generation.centre, dim)
        scale = protocol.unpack(generation.scale, 1, dim, dim * dim)
        if scale.size > dim:
            scale = scale.reshape(dim, dim)
        evaluated = protocol.unpack(generation.evaluated, 0, dim)
        mean = protocol.unpack(generation.observation_mean, 0, size)
        std = protocol.unpack(generation.observation_std, 0, size)
        clip = stage.settings.observation_normalization.clip
        normalizer = Normalizer(mean, std, clip) if mean.size else None
        if work.task.kind == "train" and generation.arguments:
            configure: Any = getattr(stage.env.unwrapped, "configure", None)  # the master found it there
            configure(**generation.arguments)
        for index in work.task.indices:
            if work.task.kind == "train":
                episodes = self._pair(stage, generation, centre, scale, normalizer, index)
            else:
                theta = evaluated if evaluated.size else centre
                episodes = self._evaluation(stage, theta, normalizer, index)
            yield protocol.Outcome(index, episodes)

    def _at(self, number: int) -> _Stage:
        if number != self._stage.number:
            if number >= max(1, len(self._experiment.stage)):
                raise ProtocolError(f"expected one of {len(self._experiment.stage)} stages, got {number}")
            self._stage.env.close()
            self._stage = _Stage(self._experiment, number)
        return self._stage

    def _pair(
        self,
        stage: _Stage,
        generation: protocol.Generation,
        centre: Array,
        scale: Array,
        normalizer: Normalizer | None,
        pair: int,
    ) -> tuple[protocol.Episode, ...]:
        settings, seed, g = stage.settings, self._experiment.seed, generation.generation
        courses = settings.population.courses
        thetas = self._thetas(stage, centre, scale, g, pair)
        seeds = noise.episode_seeds(seed, g, 0 if settings.population.same_courses else pair, courses)
        normalization = settings.observation_normalization
        # Also while there is no normaliser yet: the first one is made of these statistics.
        fraction = normalization.fraction if normalization.enabled else 0.0
        collect = noise.feeds_statistics(seed, g, pair, fraction, courses)
        action_noise = settings.strategy.action_noise
        episodes = []
        for course in range(courses):
            for theta, collects in zip(thetas, collect[course], strict=True):
                episode = _run(
                    stage.env,
                    stage.policy,
                    theta,
                    # Both policies see the same course and the same action noise: common random numbers.
                    seed=seeds[course],
                    rng=noise.generator(noise.Stream.ACTION, seed, g, pair * courses + course)
                    if action_noise
                    else None,
                    action_noise=action_noise,
                    action_repeat=settings.environment.action_repeat,
                    max_steps=generation.episode_cap,
                    normalizer=normalizer,
                    collect_statistics=bool(collects),
                )
                episodes.append(_to_message(episode))
        return tuple(episodes)

    def _thetas(
        self, stage: _Stage, centre: Array, scale: Array, generation: int, pair: int
    ) -> tuple[Array, Array]:
        def displacement(index: int) -> Array:
            eps = noise.perturbation(self._experiment.seed, generation, index, centre.size)
            return strategies.displaced(scale, eps.astype(np.float64))

        if strategies.mirrored(stage.settings.strategy):
            step = displacement(pair)
            return centre + step, centre - step
        return centre + displacement(2 * pair), centre + displacement(2 * pair + 1)

    def _evaluation(
        self, stage: _Stage, theta: Array, normalizer: Normalizer | None, index: int
    ) -> tuple[protocol.Episode, ...]:
        """The episode that is scored and, where training has other physics, the same episode in those."""
        if not self._evaluation_envs:
            scored = config.evaluation_environment(self._experiment)
            compared = config.same_in_training_physics(self._experiment)
            self._evaluation_envs = [envs.make(each) for each in (scored, compared) if each]
        return tuple(
            _to_message(
                _run(
                    env,
                    stage.policy,
                    theta,
                    seed=self._experiment.evaluation.seed + index,
                    action_repeat=stage.settings.environment.action_repeat,
                    normalizer=normalizer,
                )
            )
            for env in self._evaluation_envs
        )


def _run(env: envs.Env, policy: Policy, theta: Array, **settings: Any) -> Rollout:
    """An episode, in one compiled call where that is possible; the result is the same."""
    if compiled_rollout.applies(policy, env):
        return compiled_rollout.rollout(env, policy, theta, **settings)
    return rollout(env, policy.bind(theta), **settings)


def _to_message(episode: Rollout) -> protocol.Episode:
    statistics = episode.statistics
    return protocol.Episode(
        return_=episode.return_,
        sign_return=episode.sign_return,
        length=episode.length,
        failed=episode.failed,
        error=episode.error[:300],
        metrics=episode.metrics,
        statistics=statistics
        and protocol.Statistics(statistics.n, protocol.pack(statistics.mean), protocol.pack(statistics.m2)),
        simulator_seconds=episode.simulator_seconds,
    )
