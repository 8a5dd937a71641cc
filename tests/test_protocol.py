import contextlib

import msgspec
import numpy as np
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from es import protocol
from es.errors import ProtocolError, RedisError, RedisUnavailableError
from es.protocol import (
    Announcement,
    Episode,
    Generation,
    Login,
    MasterClient,
    Outcome,
    Result,
    Statistics,
    Task,
    WorkerClient,
    WorkerReport,
)
from es.redis_server import RedisServer
from tests.processes import wait_until

RUN = "run-1"
ANNOUNCEMENT = Announcement(RUN, "1.0", "abc", b"{}")
GENERATION = Generation(
    run_id=RUN,
    generation=1,
    stage=0,
    centre=b"",
    scale=b"",
    evaluated=b"",
    observation_mean=b"",
    observation_std=b"",
    episodes_per_pair=2,
    episode_cap=None,
    arguments={},
)
REPORT = WorkerReport("a", "host", 4, 3, "1.0", 7, 14, 2.5, 1, 300.0, 0.0)

counts = st.integers(0, 10**12)
numbers = st.floats(allow_nan=False)
seconds = st.floats(0, 1e9)
kinds = st.sampled_from(["train", "evaluate"])
episodes = st.builds(
    Episode,
    return_=numbers,
    sign_return=numbers,
    length=counts,
    failed=st.booleans(),
    error=st.text(),
    metrics=st.dictionaries(st.text(), numbers, max_size=3),
    statistics=st.none() | st.builds(Statistics, n=st.integers(1, 2**30), mean=st.binary(), m2=st.binary()),
    simulator_seconds=seconds,
)
messages = st.one_of(
    st.builds(Announcement, st.text(), st.text(), st.text(), st.binary(), st.booleans()),
    st.builds(
        Generation,
        run_id=st.text(),
        generation=counts,
        stage=counts,
        centre=st.binary(),
        scale=st.binary(),
        evaluated=st.binary(),
        observation_mean=st.binary(),
        observation_std=st.binary(),
        episodes_per_pair=st.integers(2, 1000),
        episode_cap=st.none() | counts,
        arguments=st.dictionaries(st.text(), numbers, max_size=3),
    ),
    st.builds(Task, st.text(), counts, kinds, st.lists(counts).map(tuple)),
    st.builds(
        Result,
        run_id=st.text(),
        generation=counts,
        kind=kinds,
        outcomes=st.lists(st.builds(Outcome, counts, st.lists(episodes).map(tuple)), max_size=3).map(tuple),
        process=st.text(),
        process_seconds=seconds,
    ),
)


@given(messages)
def test_messages_survive_the_wire(message: protocol.Message) -> None:
    assert protocol.decode(protocol.encode(message), type(message)) == message


@given(st.binary(max_size=200), st.sampled_from([Task, Result, Generation, Announcement]))
def test_noise_on_the_wire_is_a_protocol_error_and_nothing_else(
    data: bytes, kind: type[protocol.Message]
) -> None:
    for garbage in (data, bytes([protocol.VERSION]) + data):
        with contextlib.suppress(ProtocolError):
            assert isinstance(protocol.decode(garbage, kind), kind)


def test_another_version_is_named() -> None:
    data = protocol.encode(ANNOUNCEMENT)
    with pytest.raises(ProtocolError, match=f"protocol version {protocol.VERSION}"):
        protocol.decode(bytes([9]) + data[1:], Announcement)


def test_oversized_messages_are_not_even_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_MESSAGE_BYTES", 10)
    with pytest.raises(ProtocolError, match="expected at most 10 bytes"):
        protocol.decode(protocol.encode(ANNOUNCEMENT), Announcement)


@given(npst.arrays(np.float64, st.integers(0, 50)))
def test_arrays_survive_the_wire_and_their_length_is_checked(array: np.ndarray) -> None:
    np.testing.assert_array_equal(protocol.unpack(protocol.pack(array), array.size), array)
    with pytest.raises(ProtocolError, match=f"got {8 * array.size} bytes"):
        protocol.unpack(protocol.pack(array), array.size + 1)


def test_addresses_are_shown_without_secrets() -> None:
    assert protocol.display_url("rediss://user:secret@host:6379/0") == "rediss://host:6379/0"
    assert protocol.display_url("rediss://user:sec/r@et@host:6379?password=x") == "rediss://host:6379"
    assert protocol.display_url("unix:///tmp/x.sock") == "unix:///tmp/x.sock"
    assert "secret" not in repr(Login("user", "secret"))
    for harmless in ("rediss://host:6379", "rediss://user@host:6379", "unix:///tmp/x.sock"):
        assert not protocol.holds_password(harmless)
    for telling in ("redis://:secret@host", "rediss://user:secret@host:1", "redis://host?password=secret"):
        assert protocol.holds_password(telling)
    with pytest.raises(RedisError, match="not a Redis address: expected redis://HOST:PORT"):
        protocol.connect("http://host")


@pytest.fixture
def connection(redis_server: RedisServer) -> redis.Redis:
    return protocol.connect(redis_server.url)


@pytest.fixture
def master(connection: redis.Redis) -> MasterClient:
    client = MasterClient(connection, "unix://", RUN)
    client.announce(ANNOUNCEMENT)
    return client


def worker(connection: redis.Redis, name: str) -> WorkerClient:
    return WorkerClient(connection, "unix://", name)


def fetch(client: WorkerClient, block: float = 0.1) -> protocol.Lease | None:
    leases, errors = client.fetch(RUN, block)
    assert errors == []
    return leases[0] if leases else None


def task(index: int) -> Task:
    return Task(RUN, 1, "train", (index,))


def result(index: int) -> Result:
    return Result(RUN, 1, "train", (Outcome(index, ()),), "p", 0.5)


def test_a_run_is_found_by_name_or_as_the_current_one(connection: redis.Redis, master: MasterClient) -> None:
    client = worker(connection, "a")
    assert client.find_run(None) == ANNOUNCEMENT
    assert client.find_run(RUN) == ANNOUNCEMENT
    assert client.find_run("other") is None
    master.finish(ANNOUNCEMENT)
    finished = client.find_run(RUN)
    assert finished is not None
    assert finished.finished
    assert client.find_run(None) is None


def test_each_task_goes_to_one_worker_and_its_result_to_the_master(
    connection: redis.Redis, master: MasterClient
) -> None:
    a, b = worker(connection, "a"), worker(connection, "b")
    master.publish(GENERATION, [task(0), task(1)])
    first, second = fetch(a), fetch(b)
    assert first is not None
    assert second is not None
    assert (first.task, second.task) == (task(0), task(1))
    assert a.fetch(RUN, 0.01) == ([], [])
    a.complete(first, result(0))
    b.complete(second, result(1))
    assert master.receive(0.1) == ([result(0), result(1)], [])
    assert master.receive(0.01) == ([], [])
    assert connection.xlen(f"es:{RUN}:tasks") == 0
    assert connection.xlen(f"es:{RUN}:results") == 0


def test_several_tasks_are_fetched_at_once_and_garbage_between_them_is_skipped(
    connection: redis.Redis, master: MasterClient
) -> None:
    master.publish(GENERATION, [task(0)])
    connection.xadd(f"es:{RUN}:tasks", {"m": b"garbage"})
    master.publish(GENERATION, [task(1), task(2)])
    leases, errors = worker(connection, "a").fetch(RUN, 0.1, 3)
    assert [lease.task for lease in leases] == [task(0), task(1)]
    assert len(errors) == 1
    (last,), _ = worker(connection, "b").fetch(RUN, 0.1, 3)
    assert last.task == task(2)


def test_a_task_given_back_is_taken_by_another_at_once(connection: redis.Redis, master: MasterClient) -> None:
    master.publish(GENERATION, [task(0)])
    a, b = worker(connection, "a"), worker(connection, "b")
    lease = fetch(a)
    assert lease is not None
    a.give_back([lease])
    assert fetch(b) == lease


def test_a_lease_that_is_not_refreshed_is_taken_over(
    connection: redis.Redis, master: MasterClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "LEASE", 0.3)
    monkeypatch.setattr(protocol, "LEASE_REFRESH", 0.05)
    master.publish(GENERATION, [task(0), task(1)])
    alive, dead, heir = (worker(connection, name) for name in ("alive", "dead", "heir"))
    kept, lost = fetch(alive), fetch(dead)
    assert kept is not None
    assert lost is not None
    taken: list[protocol.Lease] = []

    def heir_took_one() -> bool:
        alive.refresh([kept])
        lease = fetch(heir, 0.05)
        taken.extend([lease] if lease else [])
        return bool(taken)

    wait_until(heir_took_one, "the lease to expire")
    assert taken == [lost]
    # Both finish: the task is done twice, closed once, and the master hears it twice.
    dead.complete(lost, result(1))
    heir.complete(lost, result(1))
    assert master.receive(0.1)[0] == [result(1), result(1)]


@pytest.mark.parametrize("fields", [{b"m": b"\x80\x04garbage"}, {b"m": b""}, {b"other": b"x"}])
def test_garbage_among_the_tasks_is_skipped_counted_and_costs_nothing(
    connection: redis.Redis, master: MasterClient, fields: dict[bytes, bytes]
) -> None:
    connection.xadd(f"es:{RUN}:tasks", fields)  # type: ignore[arg-type]  # bytes are fine
    master.publish(GENERATION, [task(0)])
    client = worker(connection, "a")
    leases, errors = client.fetch(RUN, 0.1)
    assert leases == []
    assert len(errors) == 1
    lease = fetch(client)
    assert lease is not None
    assert lease.task == task(0)
    assert master.rejected() == 1


def test_a_task_of_another_run_is_garbage(connection: redis.Redis, master: MasterClient) -> None:
    connection.xadd(f"es:{RUN}:tasks", {"m": protocol.encode(Task("other", 1, "train", (0,)))})
    _, (error,) = worker(connection, "a").fetch(RUN, 0.1)
    assert "expected a task of run run-1, got one of other" in str(error)


def test_garbage_among_the_results_is_skipped(connection: redis.Redis, master: MasterClient) -> None:
    connection.xadd(f"es:{RUN}:results", {"m": b"garbage"})
    connection.xadd(f"es:{RUN}:results", {"m": protocol.encode(result(3))})
    results, errors = master.receive(0.1)
    assert results == [result(3)]
    assert len(errors) == 1


def test_every_key_expires(connection: redis.Redis, master: MasterClient) -> None:
    client = worker(connection, "a")
    master.publish(GENERATION, [task(0)])
    lease = fetch(client)
    assert lease is not None
    client.complete(lease, result(0))
    client.report(RUN, REPORT)
    assert master.keep_alive([1])
    keys = connection.keys("*")
    assert len(keys) == 7
    assert all(0 < connection.ttl(key) <= protocol.KEY_TTL for key in keys)
    master.forget(1)
    master.finish(ANNOUNCEMENT)
    assert all(0 < connection.ttl(key) <= protocol.FINISHED_TTL for key in connection.keys("*"))


def test_workers_are_listed_while_they_report(connection: redis.Redis, master: MasterClient) -> None:
    client = worker(connection, "a")
    client.report(RUN, REPORT)
    (seen,) = master.workers()
    assert msgspec.structs.replace(seen.report, seen=0.0) == REPORT
    assert 0 <= seen.age < protocol.WORKER_LOST
    assert not seen.lost
    client.leave(RUN)
    assert master.workers() == []


def test_silent_workers_are_lost_and_then_forgotten(
    connection: redis.Redis, master: MasterClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker(connection, "a").report(RUN, REPORT)
    monkeypatch.setattr(protocol, "WORKER_LOST", -1.0)
    assert [seen.lost for seen in master.workers()] == [True]
    monkeypatch.setattr(protocol, "WORKER_FORGOTTEN", -1.0)
    assert master.workers() == []
    assert connection.hkeys(f"es:{RUN}:workers") == [b""]


def test_a_restarted_redis_is_noticed(connection: redis.Redis, master: MasterClient) -> None:
    master.publish(GENERATION, [task(0)])
    assert master.keep_alive([1])
    connection.flushall()
    assert not master.keep_alive([1])
    client = worker(connection, "a")
    assert client.fetch(RUN, 0.01) == ([], [])
    client.refresh([protocol.Lease(b"1-1", task(0))])


def test_silence_and_refusal_are_told_apart(redis_server: RedisServer) -> None:
    connection = protocol.connect(redis_server.url)
    connection.config_set("requirepass", "secret")
    wrong = MasterClient(protocol.connect(redis_server.url, Login(None, "guess")), redis_server.url, RUN)
    with pytest.raises(RedisError, match="password") as refused:
        wrong.check()
    assert not isinstance(refused.value, RedisUnavailableError)
    none = MasterClient(protocol.connect(redis_server.url), redis_server.url, RUN)
    with pytest.raises(RedisError, match="ES_REDIS_PASSWORD"):
        none.check()
    MasterClient(protocol.connect(redis_server.url, Login(None, "secret")), redis_server.url, RUN).check()
    away = MasterClient(protocol.connect("redis://127.0.0.1:1"), "redis://127.0.0.1:1", RUN)
    with pytest.raises(RedisUnavailableError, match=r"redis://127\.0\.0\.1:1: no answer from Redis"):
        away.check()


def test_patience_ends_with_the_last_error() -> None:
    tries = []

    def fail() -> None:
        tries.append(1)
        raise RedisUnavailableError("gone")

    with pytest.raises(RedisUnavailableError, match=r"gone \(tried for 0\.2 s\)"):
        protocol.patiently(fail, 0.2)
    assert len(tries) > 1
    assert protocol.patiently(lambda: 5, 0.0) == 5
