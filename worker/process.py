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
from es.policies.registry import Policy
from es.rollout import Rollout, rollout

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


class Evaluator:
    """An environment and a policy, ready to be run with any parameters.

    Raises:
        ExperimentError: the environment cannot be built, or the policy does not fit it.
    """

    def __init__(self, experiment: config.Experiment) -> None:
        self._experiment = experiment
        self._env = envs.make(experiment.environment)
        self._stage, self._stage_env = experiment.environment, self._env
        repeat = experiment.environment.action_repeat
        self._policy = policies.make(experiment.policy, self._env, action_repeat=repeat)
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
        policy, size = self._policy, self._policy.sizes[0]
        centre = protocol.unpack(generation.centre, policy.num_params)
        scale = protocol.unpack(generation.scale, 1, policy.num_params)
        mean = protocol.unpack(generation.observation_mean, 0, size)
        std = protocol.unpack(generation.observation_std, 0, size)
        clip = self._experiment.observation_normalization.clip
        normalizer = Normalizer(mean, std, clip) if mean.size else None
        for index in work.task.indices:
            if work.task.kind == "train":
                episodes = self._pair(policy, generation, centre, scale, normalizer, index)
            else:
                episodes = self._evaluation(policy, centre, normalizer, index)
            yield protocol.Outcome(index, episodes)

    def _pair(
        self,
        policy: Policy,
        generation: protocol.Generation,
        centre: Array,
        scale: Array,
        normalizer: Normalizer | None,
        pair: int,
    ) -> tuple[protocol.Episode, ...]:
        experiment, g = self._experiment, generation.generation
        env, seed = self._training_env(g), experiment.seed
        step = scale * noise.perturbation(seed, g, pair, policy.num_params)
        normalization = experiment.observation_normalization
        # Also while there is no normaliser yet: the first one is made of these statistics.
        fraction = normalization.fraction if normalization.enabled else 0.0
        collect = noise.feeds_statistics(seed, g, pair, fraction)
        episodes = []
        for theta, collects in zip((centre + step, centre - step), collect, strict=True):
            episode = _run(
                env,
                policy,
                theta,
                # Both signs see the same course and the same action noise: common random numbers.
                seed=noise.episode_seed(seed, g, pair),
                rng=noise.generator(noise.Stream.ACTION, seed, g, pair),
                action_noise=experiment.strategy.action_noise,
                action_repeat=experiment.environment.action_repeat,
                max_steps=generation.episode_cap,
                normalizer=normalizer,
                collect_statistics=collects,
            )
            episodes.append(_to_message(episode))
        return tuple(episodes)

    def _training_env(self, generation: int) -> envs.Env:
        stage = config.training_environment(self._experiment, generation)
        if stage != self._stage:
            if self._stage_env is not self._env:
                self._stage_env.close()
            first = stage == self._experiment.environment
            self._stage_env = self._env if first else envs.make(stage)
            self._stage = stage
        return self._stage_env

    def _evaluation(
        self, policy: Policy, centre: Array, normalizer: Normalizer | None, index: int
    ) -> tuple[protocol.Episode, ...]:
        """The episode that is scored and, where training has other physics, the same episode in those."""
        if not self._evaluation_envs:
            experiment = self._experiment
            scored = config.evaluation_environment(experiment)
            compared = config.same_in_training_physics(experiment)
            self._evaluation_envs = [self._env if scored == experiment.environment else envs.make(scored)]
            if compared:
                self._evaluation_envs.append(envs.make(compared))
        return tuple(
            _to_message(
                _run(
                    env,
                    policy,
                    centre,
                    seed=self._experiment.evaluation.seed + index,
                    action_repeat=self._experiment.environment.action_repeat,
                    normalizer=normalizer,
                )
            )
            for env in self._evaluation_envs
        )


def _run(env: envs.Env, policy: Policy, theta: Array, **settings: Any) -> Rollout:
    """An episode, in one compiled call where that is possible; the result is the same."""
    if compiled_rollout.applies(env, policy):
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
