"""The agent of an instance: runs `es master` or `es worker`, and sees to it that nothing bills in vain.

The master's host has the fleet's Redis, copies the run directory to S3 every few seconds, adds up what is
spent and ends the fleet when the run is over, the money is spent, or the master keeps failing. A worker's
host ends itself when it has nothing to do or its worker keeps failing, and its group shrinks.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil

from deploy import cost, record
from deploy.aws import Aws
from deploy.cost import Charge, Instance
from deploy.record import Record
from deploy.resources import REDIS_PARAMETER, REDIS_PORT, Names, Role
from deploy.tls_redis import TlsRedis
from es import config
from es.errors import CloudError, EsError, MetadataError
from es.instance_metadata import InstanceMetadata
from es.run_dir import RunDir

LOG = Path("/var/log/opensim-es.log")
LOG_BYTES = 2**20  # of the log's end, kept in S3
LOOK = 1.0  # s between looks at the child
LOG_EVERY = 30.0  # s
COPY_EVERY = 10.0  # s between copies of the run directory
SPEND_EVERY = 60.0  # s
ACCESS_EVERY = 10.0  # s between looks whether Redis has moved
STOP_SECONDS = 60.0  # for the child to stop
FAILURES = 3
REDIS_MEMORY_SHARE = 0.5  # of the master's host
PAUSE = 5.0  # s after a failure

log = logging.getLogger("es.deploy")


class Access(NamedTuple):
    """How workers find Redis, from SSM; the password is a parameter of its own."""

    url: str
    ca: str
    """Its certificate, PEM."""


class Every:
    """Says when it is time again; at once, the first time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = 0.0

    def due(self) -> bool:
        """Whether ``seconds`` have passed since it last was."""
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + self._seconds
        return True


class Host:
    """This instance, and what both roles do there."""

    def __init__(
        self, aws: Aws, names: Names, role: Role, bucket: str, instance_id: str, address: str
    ) -> None:
        self.aws = aws
        self.names = names
        self.role = role
        self.bucket = bucket
        self.instance_id = instance_id
        self.address = address
        self._log_size = 0

    def record(self) -> Record:
        """What `up` agreed on; a later `up` may have changed it.

        Raises:
            CloudError: there is none.
        """
        key = self.names.key(record.RECORD)
        data = self.aws.get(self.bucket, key)
        if data is None:
            raise CloudError(
                f"s3://{self.bucket}/{key}: expected the record of `es deploy up`, found nothing"
            )
        return record.decode(data, f"s3://{self.bucket}/{key}")

    def put(self, leaf: str, body: bytes) -> None:
        """Write one of the deployment's objects."""
        self.aws.put(self.bucket, self.names.key(leaf), body)

    def password(self, role: Role) -> str:
        """Of a Redis user.

        Raises:
            CloudError: there is none.
        """
        name = self.names.parameter(f"{role}-password")
        found = self.aws.parameter(name)
        if found is None:
            raise CloudError(f"SSM parameter {name}: expected a password, found nothing")
        return found

    def copy_log(self) -> None:
        """Copy the end of the log to S3, if it has grown."""
        if LOG.is_file() and LOG.stat().st_size != self._log_size:
            self._log_size = LOG.stat().st_size
            with LOG.open("rb") as file:
                file.seek(max(0, self._log_size - LOG_BYTES))
                self.put(f"{record.LOGS}/{self.role}-{self.instance_id}.log", file.read())


def serve(names: Names, role: Role, bucket: str, stop: threading.Event) -> None:
    """Be a member of the fleet until ``stop`` is set or there is no more reason to be one.

    Raises:
        MetadataError: this is no EC2 instance.
    """
    metadata = InstanceMetadata()
    instance_id, address = metadata.get("instance-id"), metadata.get("local-ipv4")
    if not instance_id or not address:
        raise MetadataError("the instance metadata service knows neither id nor address of this instance")
    host = Host(Aws(names.region), names, role, bucket, instance_id, address)
    copying = threading.Thread(target=_copy_log_forever, args=(host, stop), daemon=True)
    copying.start()
    reason = None
    for _ in range(FAILURES):
        try:
            reason = _lead(host, stop) if role == "master" else _work(host, metadata, stop)
            break
        except Exception as error:  # whatever it is, this instance must not go on costing money
            log.exception("the agent failed")
            reason = f"failed: {' '.join(str(error).split())}"
            if stop.wait(PAUSE):
                break
    if reason is not None:
        log.info("this instance ends itself: %s", reason)
        _quietly(host.copy_log)
        _insist(lambda: _end_fleet(host, reason) if role == "master" else host.aws.retire(instance_id), stop)
    _quietly(host.copy_log)


def _end_fleet(host: Host, reason: str) -> None:
    """Scale everything to zero, this instance last."""
    host.aws.resize(host.names, "worker", 0)
    host.put(record.END, f"{reason}\n".encode())
    host.aws.resize(host.names, "master", 0)


def _work(host: Host, metadata: InstanceMetadata, stop: threading.Event) -> str | None:
    """Run `es worker`; the reason to end this instance, None if somebody else ends it."""
    deployment = host.record().deployment
    idle = deployment.idle_minutes * 60
    password = host.password("worker")
    failures = 0
    with tempfile.TemporaryDirectory(prefix="es-worker-") as folder:
        ca = Path(folder) / "ca.pem"
        while True:
            access = _wait_for_access(host, idle, stop)
            if access is None:
                return None if stop.is_set() else f"no master for {deployment.idle_minutes:g} minutes"
            ca.write_text(access.ca)
            began = time.monotonic()
            login = {"ES_REDIS_USER": "worker", "ES_REDIS_PASSWORD": password, "ES_REDIS_CA": str(ca)}
            process = _start(
                [
                    "worker",
                    f"--workers={len(os.sched_getaffinity(0))}",
                    f"--wait={idle:g}",
                    *(["--spot"] if deployment.market == "spot" else []),
                ],
                {"ES_REDIS_URL": access.url, **login},
            )
            look = Every(ACCESS_EVERY)
            while process.poll() is None and not stop.wait(LOOK):
                if look.due() and _access(host) not in (None, access):
                    log.info("the master has moved")
                    break
            moved = process.poll() is None
            code = _stop(process)
            if stop.is_set() or _interrupted(metadata):
                return None  # the group replaces an instance that is taken away
            if moved:
                continue
            if code == 0 or time.monotonic() - began > idle:
                return "nothing to do"
            failures = failures + 1 if time.monotonic() - began < 10 * 60 else 1
            log.warning("`es worker` ended with code %d, %d times in a row", code, failures)
            if failures == FAILURES:
                return f"failed: `es worker` ended with code {code}"
            stop.wait(PAUSE)


def _wait_for_access(host: Host, patience: float, stop: threading.Event) -> Access | None:
    deadline = time.monotonic() + patience
    while not stop.is_set() and time.monotonic() < deadline:
        access = _access(host)
        if access is not None:
            return access
        stop.wait(PAUSE)
    return None


def _access(host: Host) -> Access | None:
    try:
        found = host.aws.parameter(host.names.parameter(REDIS_PARAMETER))
        return None if found is None else Access(**json.loads(found))
    except (CloudError, ValueError, TypeError) as error:
        log.warning("no address of Redis: %s", error)
        return None


def _interrupted(metadata: InstanceMetadata) -> bool:
    try:
        return metadata.interruption() is not None
    except MetadataError:
        return False


def _lead(host: Host, stop: threading.Event) -> str | None:
    """Run Redis and `es master`; the reason to end the fleet, None if somebody else ends this instance."""
    home = Path(tempfile.mkdtemp(prefix="es-master-"))
    run = Copy(host, home / host.names.name)
    run.fetch()
    passwords = {role: host.password(role) for role in ("master", "worker")}
    ledger = Books(host)
    copy, spend = Every(COPY_EVERY), Every(SPEND_EVERY)
    failures, reached = 0, -1
    memory = int(psutil.virtual_memory().total * REDIS_MEMORY_SHARE / 2**20)
    with TlsRedis(host.address, REDIS_PORT, passwords, memory) as redis:
        access = Access(f"rediss://{host.address}:{REDIS_PORT}", redis.ca.read_text())
        host.aws.put_parameter(host.names.parameter(REDIS_PARAMETER), json.dumps(access._asdict()))
        login = {"ES_REDIS_USER": "master", "ES_REDIS_PASSWORD": passwords["master"]}
        environment = {"ES_REDIS_URL": redis.url, "ES_REDIS_CA": str(redis.ca), **login}
        while True:
            arguments = _master_arguments(host.record(), run.path, home)
            if arguments is None:
                return "finished"
            process = _start(arguments, environment)
            spent = False
            while process.poll() is None and not stop.wait(LOOK):
                redis.revive()
                if copy.due():
                    _quietly(run.store)
                if spend.due():
                    spent = ledger.spent()
                    if spent:
                        break
            code = _stop(process)
            _insist(run.store, stop)
            if stop.is_set():
                return None
            if spent:
                return f"stopped: max_spend is reached, {cost.spent(ledger.charges):.2f} $ so far"
            if code == 0:
                return "finished"
            done = run.generations()
            failures, reached = (failures + 1 if done == reached else 1), done
            log.warning("`es master` ended with code %d after generation %d", code, done)
            if failures == FAILURES:
                return f"failed: `es master` ended with code {code} {FAILURES} times after generation {done}"
            stop.wait(PAUSE)


def _master_arguments(agreed: Record, path: Path, home: Path) -> list[str] | None:
    """What to call `es` with to begin or to go on; None if there is nothing left to do."""
    common = [f"--runs-dir={home}", f"--patience={agreed.deployment.ttl_seconds:g}"]
    if not (path / "run.json").is_file():
        file = home / "experiment.toml"
        file.write_text(agreed.experiment)
        return ["master", str(file), f"--name={path.name}", *common]
    run = RunDir(path)
    # A larger budget is the one change that a run can take.
    wanted = config.parse(agreed.experiment, record.RECORD).budget.generations
    has = run.experiment().budget.generations
    more = [f"--generations={wanted}"] if wanted is not None and has is not None and wanted > has else []
    if run.info().finished and not more:
        return None
    return ["resume", path.name, "--workers=0", *more, *common]


class Copy:
    """The run directory here, and its copy in S3."""

    def __init__(self, host: Host, path: Path) -> None:
        self._host = host
        self.path = path
        self._stored: dict[str, tuple[int, int]] = {}

    def fetch(self) -> None:
        """Bring the copy here, if there is one."""
        prefix = self._host.names.key(f"{record.RUN}/")
        for key in self._host.aws.objects(self._host.bucket, prefix):
            body = self._host.aws.get(self._host.bucket, key)
            path = self.path / key.removeprefix(prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body or b"")

    def store(self) -> None:
        """Copy what has changed.

        Checkpoints are listed first and copied last: the records that S3 has are then at least as new as its
        checkpoints, and a master that resumes drops what is too new.
        """
        checkpoints = sorted(self.path.glob("checkpoints/*.npz"))
        for path in (*sorted(self.path.glob("*.json*")), *self.path.glob("*.toml"), *checkpoints):
            name = str(path.relative_to(self.path))
            state = path.stat()
            version = (state.st_size, state.st_mtime_ns)
            if self._stored.get(name) != version:
                self._host.put(f"{record.RUN}/{name}", path.read_bytes())
                self._stored[name] = version

    def generations(self) -> int:
        """How many checkpointed generations there are."""
        return max(RunDir(self.path).checkpoints(), default=-1)


class Books:
    """What the fleet has cost so far; the ledger in S3 outlives this host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        key = host.names.key(record.LEDGER)
        self.charges: dict[str, Charge] = record.decode_ledger(host.aws.get(host.bucket, key), key)
        self._limit = host.record().deployment.max_spend
        self._looked = time.monotonic()

    def spent(self) -> bool:
        """Bring the ledger up to date; whether the fleet has to stop.

        Without an answer from AWS, what ran when it last answered is taken to run still.
        """
        try:
            agreed = self._host.record()
            running = rates(self._host.aws, self._host.names.name, agreed)
            self.charges = cost.charge(self.charges, running, time.time())
            self._limit, self._looked = agreed.deployment.max_spend, time.monotonic()
            self._host.put(record.LEDGER, record.encode(self.charges))
        except CloudError as error:
            log.warning("cannot add up what is spent: %s", error)
        log.info("spent %.2f $ so far, %.2f $ an hour", cost.spent(self.charges), cost.hourly(self.charges))
        return cost.exhausted(self.charges, self._limit, time.monotonic() - self._looked)


def rates(aws: Aws, name: str, agreed: Record) -> dict[Instance, float]:
    """Dollars per hour of each of a deployment's instances, disk and address included."""
    instances = aws.instances(name)
    types = sorted({each.instance_type for each in instances if each.spot})
    prices = aws.spot_prices(types) if types else []
    beside = cost.extras(agreed.deployment.volume_gb)
    return {each: beside + cost.rate(each, prices, agreed.on_demand) for each in instances}


def _start(arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    log.info("es %s", " ".join(arguments))
    sys.stderr.flush()
    return subprocess.Popen(
        [sys.executable, "-m", "es.cli", *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
    )


def _stop(process: subprocess.Popen[bytes]) -> int:
    """Its exit code, after asking it to stop if it runs."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _copy_log_forever(host: Host, stop: threading.Event) -> None:
    while not stop.wait(LOG_EVERY):
        _quietly(host.copy_log)


def _quietly(action: Callable[[], None]) -> None:
    try:
        action()
    except (EsError, OSError) as error:
        log.warning("%s", error)


def _insist(action: Callable[[], None], stop: threading.Event) -> None:
    """Try until it works; when told to stop, once more."""
    while True:
        try:
            return action()
        except (EsError, OSError) as error:
            log.warning("%s", error)
            if stop.is_set():
                return None
            stop.wait(PAUSE)
