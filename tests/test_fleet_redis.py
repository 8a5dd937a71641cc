"""What a Redis on a network must withstand, on a real one with TLS and ACL users."""

import os
import pickle
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
import redis
from redis.exceptions import NoPermissionError

from es import protocol, redis_config
from es.errors import RedisError, RedisUnavailableError, UsageError
from es.protocol import Announcement, Login, MasterClient, Outcome, Result, Task, WorkerClient
from tests.fleet_redis import FleetRedis
from tests.processes import checkpoint_bytes, es, kill_tree, start, wait_until
from tests.test_protocol import GENERATION, REPORT

RUN = "run-1"
LQR = ("lqr", "--generations", "6", "--set", "evaluation.every=3", "--set", "evaluation.episodes=2")


@pytest.fixture(scope="module", params=[6, None], ids=["rules of Redis 6", "rules of this Redis"])
def fleet_redis(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FleetRedis]:
    server = FleetRedis(tmp_path_factory.mktemp("redis") / "fleet", request.param)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def strict_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetRedis]:
    server = FleetRedis(tmp_path_factory.mktemp("redis") / "fleet")
    yield server
    server.stop()


def check(url: str, login: Login) -> None:
    MasterClient(protocol.connect(url, login), url, RUN).check()


def test_master_and_worker_can_do_all_that_the_protocol_needs(fleet_redis: FleetRedis) -> None:
    master = MasterClient(fleet_redis.connect("master"), fleet_redis.url, RUN)
    announcement = Announcement(RUN, "1.0", "abc", b"{}")
    master.check()
    master.announce(announcement)
    tasks = [Task(RUN, 1, "train", (index,)) for index in range(4)]
    master.publish(GENERATION, tasks)
    # The master's user may also work, for the workers on its own machine.
    for user in ("master", "worker"):
        worker = WorkerClient(fleet_redis.connect(user), fleet_redis.url, user)
        assert worker.find_run(None) == announcement
        assert worker.generation(RUN, 1) is not None
        done, given_back = worker.fetch(RUN, 0.1, 2)[0]
        worker.refresh([done, given_back])
        worker.complete(done, Result(RUN, 1, "train", (Outcome(0, ()),), "p", 0.5))
        worker.give_back([given_back])
        heir = WorkerClient(fleet_redis.connect(user), fleet_redis.url, f"heir of {user}")
        assert heir.fetch(RUN, 0.1)[0] == [given_back]
        heir.drop(given_back)
        worker.report(RUN, msgspec.structs.replace(REPORT, worker=user))
        assert [seen.report.worker for seen in master.workers()] == [user]
        worker.leave(RUN)
    assert len(master.receive(0.1)[0]) == 2
    fleet_redis.connect("master").xadd(f"es:{RUN}:tasks", {"m": b"garbage"})
    assert len(worker.fetch(RUN, 0.1)[1]) == 1
    assert master.rejected() == 1
    assert master.keep_alive([1])
    master.forget(1)
    master.finish(announcement)


def test_strangers_are_refused(fleet_redis: FleetRedis) -> None:
    url, ca, password = fleet_redis.url, str(fleet_redis.directory / "ca.pem"), fleet_redis.password("worker")
    for login in (
        Login(ca=ca),
        Login("worker", "guess", ca),
        Login("nobody", password, ca),
        Login("default", password, ca),
        Login(None, password, ca),
    ):
        with pytest.raises(RedisError, match="Redis refuses the password") as refused:
            check(url, login)
        assert not isinstance(refused.value, RedisUnavailableError)
        assert password not in str(refused.value)


def test_without_the_right_authority_nobody_talks(fleet_redis: FleetRedis, tmp_path: Path) -> None:
    password = fleet_redis.password("master")
    redis_config.write(
        tmp_path / "other", ["127.0.0.1"], port=1, bind="127.0.0.1", max_memory_mb=16, redis_major=7
    )
    for ca in (str(tmp_path / "other" / "ca.pem"), None):
        with pytest.raises(RedisError, match="not the Redis that was expected") as refused:
            check(fleet_redis.url, Login("master", password, ca))
        assert not isinstance(refused.value, RedisUnavailableError)
    with pytest.raises(RedisError, match="not a certificate authority in PEM format"):
        check(fleet_redis.url, Login("master", password, __file__))


def test_plaintext_is_refused_on_both_sides(fleet_redis: FleetRedis) -> None:
    plain = fleet_redis.url.replace("rediss:", "redis:")
    with pytest.raises(RedisUnavailableError):
        check(plain, Login("master", fleet_redis.password("master")))
    with pytest.raises(
        RedisError, match=r"a certificate authority .* is given, but this address is not encrypted"
    ):
        check(plain, fleet_redis.login("master"))


def test_encryption_is_not_given_up_when_the_server_has_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(
            target=lambda: server.accept()[0].sendall(b"-ERR no TLS here\r\n"), daemon=True
        ).start()
        with pytest.raises(RedisError, match="expected encryption, got none") as refused:
            check(f"rediss://127.0.0.1:{server.getsockname()[1]}", Login())
    assert not isinstance(refused.value, RedisUnavailableError)


FORBIDDEN = (
    ("CONFIG", "GET", "*"),
    ("CONFIG", "SET", "dir", "/"),
    ("EVAL", "return 1", "0"),
    ("SCRIPT", "LOAD", "return 1"),
    ("FUNCTION", "LIST"),
    ("KEYS", "*"),
    ("SCAN", "0"),
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("SHUTDOWN",),
    ("MODULE", "LIST"),
    ("ACL", "LIST"),
    ("CLIENT", "LIST"),
    ("MONITOR",),
    ("DEBUG", "SLEEP", "0"),
    ("SAVE",),
    ("REPLICAOF", "127.0.0.1", "1"),
    ("INFO",),
    ("SUBSCRIBE", "es"),
    ("PUBLISH", "es", "x"),
    ("GET", "foreign"),
    ("SET", "foreign", "x"),
    ("XADD", "foreign", "*", "m", "x"),
    ("HSET", "es:x:foreign", "a", "b"),
    ("INCRBY", "es:x:announcement:foreign", "1"),
    ("SET", f"es:{RUN}:announcement", "x"),
    ("SET", f"es:{RUN}:generation:1", "x"),
    ("DEL", f"es:{RUN}:announcement"),
    ("EXPIRE", f"es:{RUN}:tasks", "0"),
    ("XGROUP", "DESTROY", f"es:{RUN}:tasks", "workers"),
    ("XTRIM", f"es:{RUN}:tasks", "MAXLEN", "0"),
    ("RENAME", f"es:{RUN}:tasks", f"es:{RUN}:results"),
    ("XREAD", "STREAMS", f"es:{RUN}:results", "0"),
    ("HGETALL", f"es:{RUN}:workers"),
)
FORBIDDEN_BY_SELECTORS = (
    ("XADD", f"es:{RUN}:tasks", "*", "m", "x"),
    ("XDEL", f"es:{RUN}:results", "1-1"),
    ("INCRBY", "es:current", "1"),
    ("HSET", "es:current", "a", "b"),
    ("GET", f"es:{RUN}:rejected"),
)


def test_a_worker_can_do_nothing_else(fleet_redis: FleetRedis) -> None:
    connection = fleet_redis.connect("worker")
    for command in FORBIDDEN:
        with pytest.raises(redis.ResponseError, match=r"(?i)permission|unknown command|not allowed"):
            connection.execute_command(*command)


def test_since_redis_7_each_command_works_on_its_keys_only(strict_redis: FleetRedis) -> None:
    if (redis_config.installed_major() or 0) < redis_config.SELECTORS_SINCE:
        pytest.skip("this redis-server is older than 7")
    for command in FORBIDDEN_BY_SELECTORS:
        with pytest.raises(NoPermissionError):
            strict_redis.connect("worker").execute_command(*command)


class _Payload:
    """Unpickling it makes a directory."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.target),)


def attacks(run_id: str, target: Path) -> dict[str, bytes]:
    """Messages that an authenticated but hostile worker may add to the results."""
    version = bytes([protocol.VERSION])
    honest = protocol.encode(Result(run_id, 1, "train", (), "p", 0.0))
    episode = protocol.Episode(0.0, 0.0, 1, False, "", {}, None, 0.0)
    return {
        "pickle": pickle.dumps(_Payload(target)),
        "pickle behind the version": version + pickle.dumps(_Payload(target)),
        "empty": b"",
        "another version": bytes([99]) + honest[1:],
        "cut": honest[:-2],
        "trailing": honest + b"\x00",
        "oversized": honest + bytes(protocol.MAX_RESULT_BYTES),
        "nested a million deep": version + b"\x91" * 1_000_000,
        "nested behind a field": version + b"\x96" + b"\x91" * 1_000_000,
        "a list of four billion": version + b"\x96\xa1r\x01\xa5train\xdd\xff\xff\xff\xff",
        "text of four gigabytes": version + b"\x96\xdb\xff\xff\xff\xff",
        "not UTF-8": version + b"\x96\xa1\xff\x01\xa5train\x90\xa1p\x00",
        "another run": protocol.encode(Result("other", 1, "train", (), "p", 0.0)),
        "unknown kind": version + msgspec.msgpack.encode([run_id, 1, "hack", [], "p", 0.0]),
        "negative time": version + msgspec.msgpack.encode([run_id, 1, "train", [], "p", -1.0]),
        "one episode of a pair": protocol.encode(
            Result(run_id, 1, "train", (Outcome(0, (episode,)),), "p", 0.0)
        ),
        "not finite": protocol.encode(
            Result(
                run_id, 1, "train",
                (Outcome(0, (msgspec.structs.replace(episode, return_=float("inf")),) * 2),),
                "p", 0.0,
            )
        ),
        "statistics of another size": protocol.encode(
            Result(
                run_id, 1, "train",
                (Outcome(0, (msgspec.structs.replace(
                    episode, statistics=protocol.Statistics(1, b"\x00" * 8 * 999, b"")),) * 2),),
                "p", 0.0,
            )
        ),
    }  # fmt: skip


def test_hostile_workers_change_nothing_and_are_counted(strict_redis: FleetRedis, tmp_path: Path) -> None:
    quiet = es("run", *LQR, "--name", "quiet", "--workers", "1", "--runs-dir", tmp_path)
    assert quiet.returncode == 0, quiet.stderr
    log, run, target = tmp_path / "log.txt", tmp_path / "attacked", tmp_path / "owned"
    master = start(
        *("master", *LQR, "--name", "attacked", "--runs-dir", tmp_path),
        log=log, env=strict_redis.environment("master"),
    )  # fmt: skip
    worker = None
    try:
        wait_until(lambda: (run / "run.json").exists() or master.poll() is not None, "the run directory")
        run_id = msgspec.json.decode((run / "run.json").read_bytes())["run_id"]
        hostile = strict_redis.connect("worker")
        wait_until(lambda: hostile.get(f"es:{run_id}:announcement"), "the announcement")
        messages = attacks(run_id, target)
        for message in messages.values():
            hostile.xadd(f"es:{run_id}:results", {"m": message})
        hostile.xadd(f"es:{run_id}:results", {"other field": b"x"})
        hostile.hset(f"es:{run_id}:workers", "liar", b"\x80 no report")
        hostile.hset(f"es:{run_id}:workers", "huge", bytes(protocol.MAX_REPORT_BYTES + 1))
        worker = start("worker", "--workers", "1", log=log, env=strict_redis.environment("worker"))
        wait_until(
            lambda: _password_in_arguments(strict_redis) or master.poll() is not None, "the master to end"
        )
        assert master.returncode == 0, log.read_text()
    finally:
        for process in (master, *([worker] if worker else [])):
            kill_tree(process)
    assert checkpoint_bytes(run) == checkpoint_bytes(tmp_path / "quiet")
    assert not target.exists()
    (last,) = (run / "generations.jsonl").read_bytes().splitlines()[-1:]
    assert msgspec.json.decode(last)["rejected"] == len(messages) + 1
    for user in redis_config.USERS:
        secret = strict_redis.password(user).encode()
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert log in files
        assert not [path for path in files if secret in path.read_bytes()]


def _password_in_arguments(server: FleetRedis) -> bool:
    secrets = [server.password(user) for user in redis_config.USERS]
    for process in psutil.process_iter(["cmdline"]):
        shown = " ".join(process.info["cmdline"] or ())
        assert not any(secret in shown for secret in secrets), shown
    return False


def test_what_it_writes_is_secret_where_it_must_be(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    done = es(
        "redis-config", folder, "--host", "redis.example.org", "--host", "10.0.0.1", "--redis-major", "6"
    )
    assert done.returncode == 0, done.stderr
    assert "rediss://worker@redis.example.org:6379 --redis-ca ca.pem" in done.stdout
    secret = {"users.acl", "server.key", "master.password", "worker.password"}
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == (0o600 if path.name in secret else 0o644)
    passwords = [(folder / f"{user}.password").read_text().strip() for user in redis_config.USERS]
    assert len(set(passwords)) == 2
    written = (folder / "users.acl").read_text() + (folder / "redis.conf").read_text() + done.stdout
    assert not any(password in written for password in passwords)
    again = es("redis-config", folder, "--host", "x")
    assert again.returncode == 2
    assert "there is a redis.conf already" in again.stderr


def test_given_passwords_are_kept_and_short_ones_refused(tmp_path: Path) -> None:
    settings = {"port": 1, "bind": "127.0.0.1", "max_memory_mb": 16, "redis_major": 7}
    (tmp_path / "worker.password").write_text("a given password of some length\n")
    redis_config.write(tmp_path, ["x"], **settings)  # type: ignore[arg-type]  # named above
    assert (tmp_path / "worker.password").read_text() == "a given password of some length\n"
    other = tmp_path / "other"
    other.mkdir()
    (other / "master.password").write_text("short")
    with pytest.raises(UsageError, match="expected a password of at least 16 characters"):
        redis_config.write(other, ["x"], **settings)  # type: ignore[arg-type]  # named above
    with pytest.raises(RedisError, match="not a user name"):
        protocol.worker_acl("worker on nopass", "x")
