"""The agent of an instance: what is copied, what is counted, and that nothing bills in vain."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from deploy import host, record, software
from deploy.cost import Instance
from deploy.host import Books, Copy, Host, _master_arguments
from deploy.resources import Role
from es import config
from es.run_dir import RunDir
from tests.deploy.aws_server import AwsServer
from tests.deploy.conftest import RecordingAws
from tests.deploy.instance_metadata import MetadataServer
from tests.deploy.test_fleet import DEPLOYMENT, NAMES, changed, up

BUCKET = NAMES.bucket


@pytest.fixture
def master(aws: RecordingAws) -> Host:
    up(aws)
    return Host(aws, NAMES, "master", BUCKET, "i-master", "10.0.0.1")


def new_run(folder: Path) -> RunDir:
    return RunDir.create(folder, config.load("lqr"), "demo", "0.1.0")


def test_a_run_copied_to_s3_comes_back_the_same(master: Host, tmp_path: Path) -> None:
    run = new_run(tmp_path / "here")
    (run.path / "checkpoints" / "00000000.npz").write_bytes(b"zero")
    (run.path / "generations.jsonl").write_bytes(b"{}\n")
    copy = Copy(master, run.path)
    copy.store()
    Copy(master, tmp_path / "there" / "demo").fetch()
    for path in ("run.json", "experiment.toml", "generations.jsonl", "checkpoints/00000000.npz"):
        assert (tmp_path / "there" / "demo" / path).read_bytes() == (run.path / path).read_bytes()


def test_only_changes_are_copied_and_records_before_checkpoints(
    master: Host, aws: RecordingAws, tmp_path: Path
) -> None:
    run = new_run(tmp_path)
    copy = Copy(master, run.path)
    copy.store()
    aws.sent.clear()
    copy.store()
    assert aws.sent == []
    (run.path / "checkpoints" / "00000001.npz").write_bytes(b"one")
    (run.path / "generations.jsonl").write_bytes(b"{}\n")
    copy.store()
    assert [request["Key"] for _, request in aws.sent] == [
        "demo/run/generations.jsonl", "demo/run/checkpoints/00000001.npz"
    ]  # fmt: skip


def test_the_books_outlive_the_host_and_stop_the_fleet_in_time(
    master: Host, aws: RecordingAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    dear = Instance("i-1", "c7a.8xlarge", "us-east-1a", True, time.time() - 3600 * 76)
    monkeypatch.setattr(aws, "instances", lambda name: [dear])
    books = Books(master)
    assert not books.spent()
    (charge,) = books.charges.values()
    assert charge.dollars == pytest.approx(76 * (0.64 + 0.005 + 16 * 0.152 / 730), rel=1e-3)
    again = Books(master)
    assert again.charges == books.charges
    lower = msgspec.structs.replace(master.record(), deployment=changed(max_spend=49.3))
    aws.put(BUCKET, "demo/record.json", record.encode(lower))  # takes effect at the next look
    assert again.spent()


def test_books_that_cannot_be_kept_go_on_with_what_ran_last(
    master: Host, account: AwsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = Books(master)
    assert not books.spent()
    account.refuse["DescribeInstances"] = ("InvalidParameterValue", "not today")
    assert not books.spent()
    monkeypatch.setattr(books, "_looked", time.monotonic() - 3600 * 40)  # at 1.25 $ an hour, 50 $ are spent
    assert books.spent()


def test_what_the_master_is_called_with(aws: RecordingAws, master: Host, tmp_path: Path) -> None:
    agreed = master.record()
    path = tmp_path / "demo"
    first = _master_arguments(agreed, path, tmp_path)
    written = tmp_path / "experiment.toml"
    assert first == ["master", str(written), "--name=demo", f"--runs-dir={tmp_path}", "--patience=43200"]
    assert config.load(written) == config.load("lqr")
    run = new_run(tmp_path)
    common = ["resume", "demo", "--workers=0"]
    assert (_master_arguments(agreed, path, tmp_path) or [])[:3] == common
    run.write_info(msgspec.structs.replace(run.info(), finished=True))
    assert _master_arguments(agreed, path, tmp_path) is None
    longer = agreed.experiment.replace("generations = 60", "generations = 99")
    more = msgspec.structs.replace(agreed, experiment=longer)
    assert (_master_arguments(more, path, tmp_path) or [])[:4] == [*common, "--generations=99"]


class Instances:
    """Runs the agent as on an instance of the fleet."""

    def __init__(self, aws: RecordingAws, server: MetadataServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.aws = aws
        self.answers: dict[str, str] = {"/latest/meta-data/local-ipv4": "127.0.0.1"}
        server.answers = lambda: self.answers
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr(host, "Aws", lambda region: aws)
        for name, value in {"PAUSE": 0.05, "LOOK": 0.05, "COPY_EVERY": 0.2}.items():
            monkeypatch.setattr(host, name, value)

    def serve(self, role: Role, stop: threading.Event | None = None) -> None:
        spot = role == "worker"
        instance = next(each for each in self.aws.instances("demo") if each.spot == spot)
        self.answers["/latest/meta-data/instance-id"] = instance.instance_id
        host.serve(NAMES, role, BUCKET, stop or threading.Event())

    def desired(self, role: Role) -> int:
        group = self.aws.group(NAMES, role)
        assert group is not None
        return group.desired


@pytest.fixture
def instances(aws: RecordingAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Instances]:
    monkeypatch.setattr(host, "LOG", tmp_path / "log.txt")
    server = MetadataServer(("127.0.0.1", 0), dict)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Instances(aws, server, monkeypatch)
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_worker_without_a_master_ends_itself_and_the_group_shrinks(instances: Instances) -> None:
    up(instances.aws, changed(idle_minutes=0.1))
    instances.serve("worker")
    assert instances.desired("worker") == DEPLOYMENT.vcpus - 1
    assert len(instances.aws.instances("demo")) == 2


def test_a_worker_that_keeps_failing_ends_itself(instances: Instances) -> None:
    """An address where nobody listens is waited for; one that makes no sense is not."""
    up(instances.aws)
    nonsense = json.dumps({"url": "http://nowhere", "ca": "no certificate"})
    instances.aws.put_parameter(NAMES.parameter("redis"), nonsense)
    instances.serve("worker")
    assert instances.desired("worker") == DEPLOYMENT.vcpus - 1


def test_a_worker_that_is_told_to_stop_leaves_its_place_in_the_group(instances: Instances) -> None:
    up(instances.aws)
    stop = threading.Event()
    stop.set()
    instances.serve("worker", stop)
    assert instances.desired("worker") == DEPLOYMENT.vcpus


def test_a_master_that_cannot_lead_ends_the_fleet_and_says_why(
    instances: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    up(instances.aws)
    instances.aws.delete_parameter(NAMES.parameter("worker-password"))
    instances.serve("master")
    assert (instances.desired("master"), instances.desired("worker")) == (0, 0)
    end = instances.aws.get(BUCKET, "demo/state/end.txt")
    assert end == (
        b"failed: SSM parameter /opensim-es/demo/worker-password: expected a password, found nothing\n"
    )


def test_two_builds_of_the_same_sources_are_the_same_software() -> None:
    built = software.build()
    assert built.file_name.startswith("opensim_es-")
    assert built.digest == software.build().digest
    assert "numpy==" in built.constraints
    assert "opensim-es==" not in built.constraints
