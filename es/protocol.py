"""Everything about Redis: which keys exist, what the messages are, who may do what.

All keys of a run start with ``es:{run}:`` and expire KEY_TTL after the master's last sign of life. The master
alone creates them and sets their expiry, so that workers need no command that could end a key.

    key                        type     written by  read by  holds
    es:current                 string   master      workers  id of the run announced last
    es:{run}:announcement      string   master      workers  Announcement
    es:{run}:generation:{g}    string   master      workers  Generation; one key, fetched once per host
    es:{run}:tasks             stream   master      workers  Task in field "m"; consumer group "workers"
    es:{run}:results           stream   workers     master   Result in field "m"; deleted once read
    es:{run}:workers           hash     workers     master   worker id -> WorkerReport; "" keeps the key
    es:{run}:rejected          integer  workers     master   messages skipped because they made no sense

``worker_acl`` and ``master_acl`` say the same to Redis.

A task is delivered to one consumer, the agent of one host, which refreshes its lease every LEASE_REFRESH. A
lease that nobody refreshed for LEASE is taken over by another host. Completing a task adds its result and
deletes it in one transaction. Anything may therefore be computed twice and arrive twice, never be lost; the
master drops duplicates, which is safe because equal tasks have equal answers.

Results lie in a stream, not in a list: reading does not remove them, so that a connection which breaks
between Redis sending and the master receiving costs nothing.

Messages are one version byte followed by msgpack. Nothing a peer sends is ever executed.
"""

import functools
import hashlib
import itertools
import re
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Concatenate, Literal, NamedTuple, ParamSpec, TypeVar, cast

import msgspec
import numpy as np
import redis
from msgspec import Meta, Struct
from numpy.typing import NDArray
from redis.backoff import NoBackoff
from redis.exceptions import AuthorizationError
from redis.retry import Retry

from es.errors import ProtocolError, RedisError, RedisUnavailableError

Array = NDArray[np.float64]
P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound="Message")

VERSION = 2
MAX_MESSAGE_BYTES = 256 * 2**20
MAX_RESULT_BYTES = 32 * 2**20
MAX_REPORT_BYTES = 2**12
KEY_TTL = 3600  # s
FINISHED_TTL = 60  # s
LEASE = 3.0  # s
LEASE_REFRESH = 1.0  # s
WORKER_LOST = 5.0  # s without a report
WORKER_FORGOTTEN = 600.0  # s without a report
RATE_SECONDS = 30.0
PUBLISHED_AT_ONCE = 500
GROUP = "workers"
CURRENT_RUN = "es:current"

Kind = Literal["train", "evaluate"]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]


class Message(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Base of all messages."""


class Announcement(Message, frozen=True):
    """A run that wants workers."""

    run_id: str
    software: str
    """Version of this package on the master; workers of another version are refused."""
    fingerprint: str
    """``es.noise.fingerprint`` of the master."""
    experiment: bytes
    """The experiment as JSON, decoded only after the versions were found equal."""
    finished: bool = False


class Generation(Message, frozen=True):
    """What all tasks of a generation share. Arrays are little-endian float64."""

    run_id: str
    generation: int
    stage: Annotated[int, Meta(ge=0)]
    """Of the experiment, from 0."""
    centre: bytes
    """theta, shape (num_params,)."""
    scale: bytes
    """Of the perturbations, shape (1,), (num_params,) or (num_params, num_params); see
    ``es.strategies.registry.ask``."""
    evaluated: bytes
    """What evaluations run, shape (num_params,); empty: the centre."""
    observation_mean: bytes
    """Shape (observation_size,), or empty without normalisation."""
    observation_std: bytes
    """Shape (observation_size,), or empty without normalisation."""
    episodes_per_pair: Annotated[int, Meta(ge=2)]
    """Two per course."""
    episode_cap: int | None
    """Environment steps after which training episodes are cut."""
    arguments: dict[str, float]
    """The training environment's settings that move, for its ``configure``."""


class Task(Message, frozen=True):
    """Episodes to run: mirrored pairs by number, or evaluation episodes of the unperturbed centre."""

    run_id: str
    generation: Annotated[int, Meta(ge=0)]
    kind: Kind
    indices: tuple[Annotated[int, Meta(ge=0)], ...]


class Statistics(Message, frozen=True):
    """Observation statistics of an episode; see ``es.obs_norm``."""

    n: Annotated[int, Meta(ge=1, le=10**12)]
    mean: bytes
    m2: bytes


class Episode(Message, frozen=True):
    """What came of one episode; see ``es.rollout.Rollout``."""

    return_: float
    sign_return: float
    length: Annotated[int, Meta(ge=0, le=10**12)]
    failed: bool
    error: str
    metrics: dict[str, float]
    statistics: Statistics | None
    simulator_seconds: Seconds


class Outcome(Message, frozen=True):
    """One pair (per course two episodes, + then -) or an evaluation episode, perhaps in other physics too."""

    index: int
    episodes: tuple[Episode, ...]


class Result(Message, frozen=True):
    """The answer to a task."""

    run_id: str
    generation: int
    kind: Kind
    outcomes: tuple[Outcome, ...]
    process: str
    """Which rollout process computed it."""
    process_seconds: Seconds
    """How long that took there, wall time."""


class WorkerReport(Message, frozen=True):
    """A worker's sign of life."""

    worker: str
    host: str
    processes: int
    """Rollout processes."""
    busy: int
    """How many of them have a task."""
    software: str
    tasks: int
    """Completed since it joined."""
    episodes: int
    """In those."""
    episodes_per_second: float
    """Over the last RATE_SECONDS."""
    restarts: int
    """Rollout processes that had to be replaced."""
    memory_mb: float
    """Resident memory of its rollout processes."""
    seen: float
    """When this was written, by Redis' clock, s."""


class Seen(NamedTuple):
    """A worker's last report and how old it is."""

    report: WorkerReport
    age: float
    """Seconds."""

    @property
    def lost(self) -> bool:
        """Whether it has been silent for too long."""
        return self.age > WORKER_LOST


class Lease(NamedTuple):
    """A task in our hands."""

    entry: bytes
    task: Task


def encode(message: Message) -> bytes:
    """To bytes: the version, then msgpack."""
    return bytes([VERSION]) + msgspec.msgpack.encode(message)


def decode(data: bytes, expected: type[M], limit: int | None = None) -> M:
    """From bytes.

    Args:
        data: what arrived.
        expected: what it should be.
        limit: bytes above which it is not even looked at; None: MAX_MESSAGE_BYTES.

    Raises:
        ProtocolError: too long, of another version, or not an ``expected``.
    """
    limit = MAX_MESSAGE_BYTES if limit is None else limit
    if len(data) > limit:
        raise ProtocolError(f"expected at most {limit} bytes, got {len(data)}")
    if data[:1] != bytes([VERSION]):
        raise ProtocolError(f"expected a message of protocol version {VERSION}, got it starting {data[:4]!r}")
    try:
        return msgspec.msgpack.decode(data[1:], type=expected)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"expected {expected.__name__}, got something else: {error}") from error


def pack(array: Array) -> bytes:
    """An array's values as little-endian float64."""
    return np.ascontiguousarray(array, dtype="<f8").tobytes()


def unpack(data: bytes, *sizes: int) -> Array:
    """The inverse of ``pack``, shape (size,), for one of the allowed ``sizes``; read-only.

    Raises:
        ProtocolError: the length is that of none of them.
    """
    if len(data) not in [8 * size for size in sizes]:
        allowed = " or ".join(str(size) for size in sizes)
        raise ProtocolError(f"expected an array of {allowed} float64, got {len(data)} bytes")
    return np.frombuffer(data, dtype="<f8").astype(np.float64, copy=False)


class Login(NamedTuple):
    """Who we are to Redis, and how we know that it is the right one."""

    user: str | None = None
    """ACL user; None: the one in the address, else ``default``."""
    password: str | None = None
    ca: str | None = None
    """PEM file of the only authority that counts with ``rediss://``; None: those of the system."""

    def __repr__(self) -> str:
        return f"Login(user={self.user!r}, password={'***' if self.password else None}, ca={self.ca!r})"


def display_url(url: str) -> str:
    """The address without user, password and whatever follows the path, for messages."""
    url = url.split("?")[0]
    # An unescaped slash in a password makes a wrong address, but must not make a message that shows it.
    return re.sub(r"//[^/]*@" if url.startswith("unix:") else r"//.*@", "//", url)


def holds_password(url: str) -> bool:
    """Whether anybody who reads this address learns a password."""
    return bool(re.search(r"//[^/@]*:.*@|[?&]password=", url))


def connect(url: str, login: Login = Login()) -> redis.Redis:  # noqa: B008  (immutable)
    """A client for ``redis://``, ``rediss://`` or ``unix://``; no connection is made yet.

    A pinned authority is expected to vouch for this one Redis and nothing else, so its certificate need not
    name the host, whose address may change; with the system's authorities the name is checked.

    Raises:
        RedisError: not such an address, or the authority's file is missing.
    """
    known = {"username": login.user, "password": login.password}
    settings: dict[str, Any] = {name: value for name, value in known.items() if value}
    if url.startswith("rediss://"):
        settings |= {"ssl_cert_reqs": "required", "ssl_check_hostname": login.ca is None}
        settings |= {"ssl_ca_certs": login.ca, "ssl_min_version": ssl.TLSVersion.TLSv1_2}
    elif login.ca:
        raise RedisError(
            f"{display_url(url)}: a certificate authority (--redis-ca) is given, but this address is not "
            "encrypted: expected rediss://HOST:PORT"
        )
    try:
        if login.ca:
            ssl.create_default_context(cafile=login.ca)  # the library says only that connecting failed
        client: redis.Redis = redis.Redis.from_url(
            url,
            **settings,
            socket_connect_timeout=5,
            socket_timeout=10,
            protocol=2,  # the shape of answers should not depend on the library's version
            # Retrying is the callers' business: they know for how long and what to do meanwhile.
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        raise RedisError(
            f"{display_url(url)}: not a Redis address: expected redis://HOST:PORT, rediss://HOST:PORT or "
            "unix:///PATH"
        ) from error
    except OSError as error:  # ssl.SSLError is one
        raise RedisError(f"{login.ca}: not a certificate authority in PEM format: {error}") from error
    return client


# Which commands a worker needs on which keys; the docstring's table says what for.
_WORKER_READS = {"get": ("es:current", "es:*:announcement", "es:*:generation:*")}
_WORKER_WRITES = {
    "es:*:tasks": ("xreadgroup", "xpending", "xclaim", "xack", "xdel"),
    "es:*:results": ("xadd",),
    "es:*:workers": ("hset", "hdel"),
    "es:*:rejected": ("incrby",),
}
_WORKER_PLAIN = ("ping", "select", "time", "multi", "exec", "discard")
_MASTER_ALSO = ("set", "del", "expire", "xgroup|create", "xread", "xlen", "hgetall", "info")


def worker_acl(user: str, password: str, *, selectors: bool = True) -> str:
    """The line of an ACL file that makes a Redis user who can work and do nothing else.

    Args:
        user: its name.
        password: only its SHA-256 digest enters the line.
        selectors: bind each command to the keys it is needed on, which takes Redis 7. Without (Redis 6.2), a
            worker can do any of its commands on any of its keys, so a hostile one could also withhold
            others' results.
    """
    if selectors:
        rules = [
            f"(+{command} {' '.join(f'%R~{key}' for key in keys)})" for command, keys in _WORKER_READS.items()
        ]
        rules += [f"({_allowed(commands)} ~{key})" for key, commands in _WORKER_WRITES.items()]
    else:
        rules = [f"~{key}" for keys in _WORKER_READS.values() for key in keys]
        rules += [*(f"~{key}" for key in _WORKER_WRITES), _allowed(_worker_commands())]
    return _acl_line(user, password, [_allowed(_WORKER_PLAIN), *rules])


def master_acl(user: str, password: str) -> str:
    """The line of an ACL file that makes a Redis user for masters and the workers on their machines."""
    return _acl_line(
        user, password, ["~es:*", _allowed((*_WORKER_PLAIN, *_worker_commands(), *_MASTER_ALSO))]
    )


def _worker_commands() -> list[str]:
    return [*_WORKER_READS, *(command for commands in _WORKER_WRITES.values() for command in commands)]


def _allowed(commands: Iterable[str]) -> str:
    return " ".join(f"+{command}" for command in commands)


def _acl_line(user: str, password: str, rules: list[str]) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]+", user):
        raise RedisError(f"{user!r}: not a user name: expected letters, digits, dot, dash and underscore")
    digest = hashlib.sha256(password.encode()).hexdigest()
    return " ".join([f"user {user} on #{digest} resetchannels -@all", *rules])


class _Client:
    def __init__(self, client: redis.Redis, url: str) -> None:
        self._redis = client
        self._url = display_url(url)

    def _explain(self, error: redis.RedisError) -> RedisError:
        reason = " ".join(str(error).split())
        if isinstance(error, redis.AuthenticationError | AuthorizationError):
            return RedisError(
                f"{self._url}: Redis refuses the password (from ES_REDIS_PASSWORD) or the user: {reason}"
            )
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            return RedisError(
                f"{self._url}: this is not the Redis that was expected, its certificate is not from the "
                f"authority in --redis-ca: {reason}"
            )
        if "WRONG_VERSION_NUMBER" in reason:
            return RedisError(f"{self._url}: expected encryption, got none; is it redis://? {reason}")
        if isinstance(error, redis.ConnectionError | redis.TimeoutError):
            return RedisUnavailableError(f"{self._url}: no answer from Redis: {reason}")
        return RedisError(f"{self._url}: Redis refuses: {reason}")


C = TypeVar("C", bound=_Client)


def _translated(method: Callable[Concatenate[C, P], T]) -> Callable[Concatenate[C, P], T]:
    """Let our own errors leave the client instead of the library's."""

    @functools.wraps(method)
    def wrapper(self: C, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(self, *args, **kwargs)
        except redis.RedisError as error:
            raise self._explain(error) from error

    return cast("Callable[Concatenate[C, P], T]", wrapper)


def patiently(action: Callable[[], T], patience: float, wait: Callable[[float], Any] = time.sleep) -> T:
    """Call ``action`` until Redis answers.

    Args:
        action: what to do; RedisUnavailableError means try again.
        patience: seconds after which the last error is raised.
        wait: called with the seconds between tries; may raise to give up early.
    """
    deadline = time.monotonic() + patience
    pause = 0.05
    while True:
        try:
            return action()
        except RedisUnavailableError as error:
            if time.monotonic() > deadline:
                raise RedisUnavailableError(f"{error} (tried for {patience:g} s)") from error
            wait(pause)
            pause = min(2 * pause, 1.0)


class MasterClient(_Client):
    """The master's side of one run."""

    def __init__(self, client: redis.Redis, url: str, run_id: str) -> None:
        super().__init__(client, url)
        self._run_id = run_id
        self._prefix = f"es:{run_id}:"
        self._read: list[bytes] = []
        self._last_read: bytes = b"0"

    def _key(self, name: str) -> str:
        return self._prefix + name

    @_translated
    def check(self) -> None:
        """Find out at once whether Redis answers and accepts us.

        Raises:
            RedisError: it refuses us, or is older than 6.2, which brought idle times to XPENDING.
            RedisUnavailableError: it does not answer.
        """
        version: Any = self._redis.info("server")["redis_version"]
        if tuple(int(part) for part in version.split(".")[:2]) < (6, 2):
            raise RedisError(f"{self._url}: expected Redis 6.2 or newer, got {version}")

    @_translated
    def announce(self, announcement: Announcement) -> None:
        """Make the run known, empty of tasks and results."""
        self._last_read, self._read = b"0", []
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(self._key("tasks"), self._key("results"))
            pipe.xgroup_create(self._key("tasks"), GROUP, id="0", mkstream=True)
            pipe.xadd(self._key("results"), {"m": b""}, maxlen=0, approximate=False)  # exists, and is empty
            pipe.set(self._key("announcement"), encode(announcement), ex=KEY_TTL)
            pipe.set(CURRENT_RUN, self._run_id, ex=KEY_TTL)
            self._keep(pipe, ("tasks", "results"))
            pipe.execute()

    def _keep(self, pipe: Any, names: Iterable[str]) -> None:
        """Postpone the expiry of keys; those that workers write to and that may be empty exist afterwards."""
        pipe.hset(self._key("workers"), "", b"")
        pipe.set(self._key("rejected"), 0, nx=True)
        for name in (*names, "workers", "rejected"):
            pipe.expire(self._key(name), KEY_TTL)

    @_translated
    def publish(self, generation: Generation, tasks: Iterable[Task]) -> None:
        """Add the tasks of a generation behind those that are open; workers begin with the first at once."""
        self._redis.set(self._key(f"generation:{generation.generation}"), encode(generation), ex=KEY_TTL)
        waiting = iter(tasks)
        while batch := list(itertools.islice(waiting, PUBLISHED_AT_ONCE)):
            with self._redis.pipeline(transaction=False) as pipe:
                for task in batch:
                    pipe.xadd(self._key("tasks"), {"m": encode(task)})
                pipe.execute()

    @_translated
    def receive(self, block: float) -> tuple[list[Result], list[ProtocolError]]:
        """Results that arrived, waiting up to ``block`` s for the first, and what could not be understood."""
        if self._read:
            self._redis.xdel(self._key("results"), *self._read)
            self._read = []
        answer: Any = self._redis.xread(
            {self._key("results"): self._last_read}, count=1000, block=max(1, int(block * 1000))
        )
        entries = answer[0][1] if answer else []
        results, errors = [], []
        for entry, fields in entries:
            self._read.append(entry)
            self._last_read = entry
            try:
                results.append(decode((fields or {}).get(b"m", b""), Result, MAX_RESULT_BYTES))
            except ProtocolError as error:
                errors.append(error)
        return results, errors

    @_translated
    def keep_alive(self, generations: Sequence[int]) -> bool:
        """Postpone the expiry of the run's keys; False if some are gone, because Redis was restarted."""
        needed = ["announcement", "tasks", "results", *(f"generation:{g}" for g in generations)]
        with self._redis.pipeline(transaction=False) as pipe:
            # Unless another run was announced since: workers without a preference serve the latest.
            pipe.set(CURRENT_RUN, self._run_id, nx=True)
            pipe.expire(CURRENT_RUN, KEY_TTL)
            self._keep(pipe, needed)
            first = 4
            return all(pipe.execute()[first : first + len(needed)])

    @_translated
    def forget(self, generation: int) -> None:
        """Remove a generation none of whose tasks is open any more."""
        self._redis.delete(self._key(f"generation:{generation}"))

    @_translated
    def workers(self) -> list[Seen]:
        """The workers that reported within the last WORKER_FORGOTTEN seconds and did not sign off."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hgetall(self._key("workers"))
            (seconds, microseconds), reports = pipe.execute()
        now = seconds + microseconds / 1e6
        known, old = [], []
        for name, data in reports.items():
            try:
                report = decode(data, WorkerReport, MAX_REPORT_BYTES)
            except ProtocolError:
                continue
            age = now - report.seen
            if 0 <= age <= WORKER_FORGOTTEN:
                known.append(Seen(report, age))
            else:
                old.append(name)
        if old:
            self._redis.hdel(self._key("workers"), *old)
        return known

    @_translated
    def rejected(self) -> int:
        """Messages that workers skipped so far because they made no sense."""
        value: Any = self._redis.get(self._key("rejected"))
        return int(value) if value and value.isdigit() else 0

    @_translated
    def open_tasks(self) -> int:
        """Tasks that are not completed, whether somebody works on them or not."""
        count: Any = self._redis.xlen(self._key("tasks"))
        return int(count)

    @_translated
    def finish(self, announcement: Announcement) -> None:
        """Tell the workers that the run is over; what is left of it expires within FINISHED_TTL."""
        finished = msgspec.structs.replace(announcement, finished=True)
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.set(self._key("announcement"), encode(finished), ex=FINISHED_TTL)
            pipe.delete(self._key("tasks"), self._key("results"))
            for name in ("workers", "rejected"):
                pipe.expire(self._key(name), FINISHED_TTL)
            pipe.execute()
        if self._redis.get(CURRENT_RUN) == self._run_id.encode():
            self._redis.delete(CURRENT_RUN)


class WorkerClient(_Client):
    """A worker's side; ``worker`` is its id, unique in the fleet."""

    def __init__(self, client: redis.Redis, url: str, worker: str) -> None:
        super().__init__(client, url)
        self._worker = worker
        self._reclaim_at = 0.0

    @_translated
    def find_run(self, run_id: str | None) -> Announcement | None:
        """The announcement of this run, or of the current one; None if there is none.

        Raises:
            ProtocolError: it is from another version.
        """
        if run_id is None:
            current: Any = self._redis.get(CURRENT_RUN)
            if current is None:
                return None
            run_id = current.decode(errors="replace")
        data: Any = self._redis.get(f"es:{run_id}:announcement")
        return None if data is None else decode(data, Announcement)

    @_translated
    def generation(self, run_id: str, generation: int) -> Generation | None:
        """The shared part of a generation; None once it is over.

        Raises:
            ProtocolError: it cannot be understood.
        """
        data: Any = self._redis.get(f"es:{run_id}:generation:{generation}")
        return None if data is None else decode(data, Generation)

    @_translated
    def fetch(self, run_id: str, block: float, count: int = 1) -> tuple[list[Lease], list[ProtocolError]]:
        """Up to ``count`` tasks nobody else works on, and what was no task, which is removed and counted.

        An abandoned task comes first, then new ones; waits up to ``block`` s for the first.
        """
        tasks = f"es:{run_id}:tasks"
        try:
            entries = self._abandoned(tasks)
            if not entries:
                answer: Any = self._redis.xreadgroup(
                    GROUP, self._worker, {tasks: ">"}, count=count, block=max(1, int(block * 1000))
                )
                entries = answer[0][1] if answer else []
        except redis.ResponseError as error:
            if str(error).startswith(("NOGROUP", "UNBLOCKED")):  # Redis is new; the master will publish again
                return [], []
            raise
        leases, errors = [], []
        for entry, fields in entries:
            try:
                task = decode((fields or {}).get(b"m", b""), Task)
                if task.run_id != run_id:
                    raise ProtocolError(f"expected a task of run {run_id}, got one of {task.run_id}")
                leases.append(Lease(entry, task))
            except ProtocolError as error:
                self._remove(run_id, entry, count=True)
                errors.append(error)
        return leases, errors

    def _abandoned(self, tasks: str) -> list[Any]:
        if time.monotonic() < self._reclaim_at:
            return []
        lease = int(LEASE * 1000)
        pending: Any = self._redis.xpending_range(tasks, GROUP, min="-", max="+", count=1, idle=lease)
        if not pending:
            self._reclaim_at = time.monotonic() + LEASE_REFRESH
            return []
        entry = pending[0]["message_id"]
        claimed: Any = self._redis.xclaim(tasks, GROUP, self._worker, lease, [entry])
        if claimed and claimed[0][0] is None:  # deleted meanwhile
            self._redis.xack(tasks, GROUP, entry)
            return []
        return list(claimed)

    def _remove(self, run_id: str, entry: bytes, *, count: bool) -> None:
        with self._redis.pipeline(transaction=True) as pipe:
            self._close(pipe, run_id, entry)
            if count:
                pipe.incr(f"es:{run_id}:rejected")
            pipe.execute()

    @staticmethod
    def _close(pipe: Any, run_id: str, entry: bytes) -> None:
        pipe.xack(f"es:{run_id}:tasks", GROUP, entry)
        pipe.xdel(f"es:{run_id}:tasks", entry)

    @_translated
    def drop(self, lease: Lease) -> None:
        """Close a task that nobody needs any more."""
        self._remove(lease.task.run_id, lease.entry, count=False)

    @_translated
    def complete(self, lease: Lease, result: Result) -> None:
        """Deliver the result and close the task, both or neither."""
        run_id = lease.task.run_id
        with self._redis.pipeline(transaction=True) as pipe:
            # If the stream is gone, the run is over or its master is about to publish again.
            pipe.xadd(f"es:{run_id}:results", {"m": encode(result)}, nomkstream=True)
            self._close(pipe, run_id, lease.entry)
            pipe.execute()

    @_translated
    def refresh(self, leases: Iterable[Lease]) -> None:
        """Say that we still work on these."""
        self._claim(leases, idle=0)

    @_translated
    def give_back(self, leases: Iterable[Lease]) -> None:
        """Let others take these over at once."""
        self._claim(leases, idle=int(LEASE * 1000) + 1)

    def _claim(self, leases: Iterable[Lease], idle: int) -> None:
        with self._redis.pipeline(transaction=False) as pipe:
            for lease in leases:
                tasks = f"es:{lease.task.run_id}:tasks"
                pipe.xclaim(tasks, GROUP, self._worker, 0, [lease.entry], idle=idle, justid=True)
            answers = pipe.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, redis.RedisError) and not str(answer).startswith("NOGROUP"):
                raise answer

    @_translated
    def report(self, run_id: str, report: WorkerReport) -> None:
        """Give a sign of life, stamped with Redis' clock."""
        now: Any = self._redis.time()
        stamped = msgspec.structs.replace(report, seen=now[0] + now[1] / 1e6)
        self._redis.hset(f"es:{run_id}:workers", self._worker, encode(stamped))

    @_translated
    def leave(self, run_id: str) -> None:
        """Sign off."""
        self._redis.hdel(f"es:{run_id}:workers", self._worker)
