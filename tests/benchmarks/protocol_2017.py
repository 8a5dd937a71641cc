"""The protocol of 2017, made anew for comparison only: never import it elsewhere.

What OpenAI's evolution-strategies-starter does (https://github.com/openai/evolution-strategies-starter): the
master sets one pickled task per generation; each worker process looks for a newer one before every result,
through a Redis on its own host, and unpickles the parameters for itself; perturbations are slices of a
shared table of normal numbers; each result is one pickled message, which a relay pops there and pushes to
the master's, and which the master pops one at a time. The original fills 0.2 s with episodes before it
answers; runners' episodes are longer than that, so here as there a result holds one mirrored pair.
"""

import pickle
import time
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
import redis

from es import config
from es.envs import registry as envs
from es.policies import registry as policies
from es.rollout import rollout

TASK_ID, TASK_DATA, TASK_CHANNEL, RESULTS = "es:task_id", "es:task_data", "es:task_channel", "es:results"
TABLE_NUMBERS = 2_500_000
"""A tenth of the original's, which would take longer to draw than to use here."""
RELAY_SECONDS = 0.001


class Task(NamedTuple):
    """A generation."""

    parameters: Any
    sigma: float


class Result(NamedTuple):
    """A mirrored pair."""

    worker: int
    noise_indices: Any
    returns: Any
    sign_returns: Any
    lengths: Any


class Master:
    """Declares tasks and pops results."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=None)
        self._task = 0

    def declare_task(self, task: Task) -> int:
        """Tell every host."""
        self._task += 1
        data = pickle.dumps(task, protocol=-1)
        with self._redis.pipeline() as pipe:
            pipe.mset({TASK_ID: self._task, TASK_DATA: data})
            pipe.publish(TASK_CHANNEL, pickle.dumps((self._task, data), protocol=-1))
            pipe.execute()
        return self._task

    def pop_result(self) -> tuple[int, Result]:
        """Wait for the next one."""
        answer: Any = self._redis.blpop([RESULTS])
        task, result = pickle.loads(answer[1])  # noqa: S301  (that is how it was)
        return task, result


def relay(master_url: str, local_url: str) -> None:
    """Carry tasks to a host and its results back, for ever."""
    import threading

    master, local = (
        redis.Redis.from_url(master_url, socket_timeout=None),
        redis.Redis.from_url(local_url, socket_timeout=None),
    )

    def carry_results() -> None:
        there, here = (
            redis.Redis.from_url(master_url, socket_timeout=None),
            redis.Redis.from_url(local_url, socket_timeout=None),
        )
        while True:
            results: list[Any] = []
            until = time.time() + RELAY_SECONDS
            while not results or time.time() < until:
                answer: Any = here.blpop([RESULTS])
                results.append(answer[1])
            there.rpush(RESULTS, *results)

    threading.Thread(target=carry_results, daemon=True).start()
    with master.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(TASK_CHANNEL)
        known: Any = master.mget([TASK_ID, TASK_DATA])
        if known[0]:
            local.mset({TASK_ID: known[0], TASK_DATA: known[1]})
        for message in channel.listen():
            task, data = pickle.loads(message["data"])  # noqa: S301  (that is how it was)
            local.mset({TASK_ID: task, TASK_DATA: data})


class Worker:
    """One rollout process's side."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=None)
        self._known = -1
        self._task: Task | None = None

    def current_task(self) -> tuple[int, Task]:
        """The task, read and unpickled again if it changed."""
        while True:
            with self._redis.pipeline() as pipe:
                pipe.watch(TASK_ID)
                answer: Any = pipe.get(TASK_ID)
                number = int(answer or -1)
                if number >= 0 and number == self._known and self._task:
                    return number, self._task
                if number >= 0:
                    pipe.multi()
                    pipe.get(TASK_DATA)
                    try:
                        (data,) = pipe.execute()
                    except redis.WatchError:  # a newer one came between
                        continue
                    self._known, self._task = number, pickle.loads(data)  # noqa: S301  (that is how it was)
                    return self._known, self._task
            time.sleep(0.01)

    def push_result(self, task: int, result: Result) -> None:
        """Send it."""
        self._redis.rpush(RESULTS, pickle.dumps((task, result), protocol=-1))


def work(url: str, number: int, experiment: config.Experiment, ready: Connection) -> None:
    """Answer for ever."""
    worker, env = Worker(url), envs.make(experiment.environment)
    policy = policies.make(experiment.policy, env, action_repeat=1)
    table = np.random.RandomState(123).randn(TABLE_NUMBERS).astype(np.float32)
    chance = np.random.RandomState(number)
    ready.send(True)
    while True:
        task, (parameters, sigma) = worker.current_task()
        index = chance.randint(0, TABLE_NUMBERS - parameters.size + 1)
        step = sigma * table[index : index + parameters.size]
        pair = [rollout(env, policy.bind(theta), seed=1) for theta in (parameters + step, parameters - step)]
        result = Result(
            number,
            np.array([index]),
            np.array([[each.return_ for each in pair]], dtype=np.float32),
            np.array([[each.sign_return for each in pair]], dtype=np.float32),
            np.array([[each.length for each in pair]], dtype=np.int32),
        )
        worker.push_result(task, result)
