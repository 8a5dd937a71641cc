"""IAM, enforced: with the rights of its role, a host can do its work and nothing else.

moto's authorisation knows which S3 object a request is about, but not which parameter or Auto Scaling
group, and it evaluates conditions in trust policies only; `knows_resources` adds
the first and leaves out the second.
"""

import json
from collections.abc import Callable, Iterator

import boto3
import pytest
from moto.autoscaling.responses import AutoScalingResponse
from moto.iam.access_control import IAMPolicyStatement
from moto.ssm.responses import SimpleSystemManagerResponse

from deploy import fleet
from deploy.aws import Aws
from deploy.resources import ROLES, Names, Role
from es.errors import CloudError
from tests.deploy.aws_server import REGION, AwsServer
from tests.deploy.conftest import RecordingAws
from tests.deploy.test_fleet import NAMES, up

BUCKET = NAMES.bucket
MINE = "arn:aws:{service}:us-east-1:123456789012:{rest}"


def parameter_arn(self: SimpleSystemManagerResponse) -> str:
    asked = json.loads(self.body)
    name = asked.get("Name") or asked["Path"]
    return MINE.format(service="ssm", rest=f"parameter{name}")


def group_arn(self: AutoScalingResponse) -> str:
    name = self._get_param("AutoScalingGroupName")
    for group in self.autoscaling_backend.autoscaling_groups.values():
        if any(state.instance.id == self._get_param("InstanceId") for state in group.instance_states):
            name = group.name
    return MINE.format(service="autoscaling", rest=f"autoScalingGroup:1:autoScalingGroupName/{name}")


@pytest.fixture
def knows_resources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimpleSystemManagerResponse, "_determine_resource", parameter_arn, raising=False)
    monkeypatch.setattr(AutoScalingResponse, "_determine_resource", group_arn, raising=False)
    monkeypatch.setattr(IAMPolicyStatement, "_check_conditions", lambda self, values: True)


@pytest.fixture
def as_role(
    aws: RecordingAws, account: AwsServer, knows_resources: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Role], Aws]]:
    """A fleet, and the account as a host of a role sees it."""
    up(aws)
    iam, sts = boto3.client("iam"), boto3.client("sts")
    given = {}
    for each in ROLES:
        arn = iam.get_role(RoleName=NAMES.role(each))["Role"]["Arn"]
        given[each] = sts.assume_role(RoleArn=arn, RoleSessionName="host")["Credentials"]

    def take(role: Role) -> Aws:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", given[role]["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", given[role]["SecretAccessKey"])
        monkeypatch.setenv("AWS_SESSION_TOKEN", given[role]["SessionToken"])
        account.moto("reset-auth", "0")
        return Aws(REGION)

    yield take
    account.moto("reset-auth", "inf")


def assert_forbidden(*actions: Callable[[], object]) -> None:
    assert [number for number, action in enumerate(actions) if not forbidden(action)] == []


def forbidden(action: Callable[[], object]) -> bool:
    try:
        action()
    except CloudError as error:
        return "AWS does not allow" in str(error)
    return False


def test_a_master_can_lead_and_nothing_else(aws: RecordingAws, as_role: Callable[[Role], Aws]) -> None:
    instances = aws.instances("demo")
    host = as_role("master")
    other = Names("demo2", REGION, NAMES.account)
    assert host.get(BUCKET, "demo/record.json")
    host.put(BUCKET, "demo/run/run.json", b"{}")
    host.put(BUCKET, "demo/state/ledger.json", b"{}")
    host.put(BUCKET, "demo/logs/master.log", b"")
    assert host.get(BUCKET, "demo/run/run.json") == b"{}"
    assert list(host.objects(BUCKET, "demo/run/")) == ["demo/run/run.json"]
    assert host.parameter(NAMES.parameter("master-password"))
    assert host.parameter(NAMES.parameter("worker-password"))
    host.put_parameter(NAMES.parameter("redis"), "{}")
    assert len(host.instances("demo")) == len(instances)
    assert host.spot_prices(["c7a.8xlarge"])
    assert_forbidden(
        lambda: host.put(BUCKET, "demo/record.json", b"{}"),  # where its own limits stand
        lambda: host.put(BUCKET, "demo/software/x", b""),
        lambda: host.get(BUCKET, "demo2/record.json"),
        lambda: host.delete_objects(BUCKET, ["demo/run/run.json"]),
        lambda: host.parameter(other.parameter("worker-password")),
        lambda: host.put_parameter(NAMES.parameter("master-password"), "mine"),
        lambda: host.resize(other, "worker", 1),
        lambda: host.delete_group(NAMES, "worker"),
        lambda: host.launch_templates(NAMES),
        lambda: host.terminate(instances),
        lambda: fleet.inventory(host, NAMES),
    )
    host.resize(NAMES, "worker", 0)
    host.resize(NAMES, "master", 0)


def test_a_worker_can_work_leave_and_nothing_else(aws: RecordingAws, as_role: Callable[[Role], Aws]) -> None:
    instances = aws.instances("demo")
    master = next(each for each in instances if not each.spot)
    own = next(each for each in instances if each.spot)
    (software,) = {key for _, request in aws.sent if (key := request.get("Key", "")).endswith(".whl")}
    host = as_role("worker")
    assert host.get(BUCKET, "demo/record.json")
    assert host.get(BUCKET, software) == b"a wheel"
    assert host.parameter(NAMES.parameter("worker-password"))
    assert host.parameter(NAMES.parameter("redis")) is None
    host.put(BUCKET, "demo/logs/worker.log", b"")
    assert_forbidden(
        lambda: host.parameter(NAMES.parameter("master-password")),
        lambda: host.put_parameter(NAMES.parameter("redis"), "{}"),
        lambda: host.put(BUCKET, "demo/run/run.json", b"{}"),
        lambda: host.get(BUCKET, "demo/run/run.json"),
        lambda: host.put(BUCKET, "demo/record.json", b"{}"),
        lambda: host.objects(BUCKET, "demo/"),
        lambda: host.resize(NAMES, "worker", 100),
        lambda: host.instances("demo"),
        lambda: host.retire(master.instance_id),
    )
    host.retire(own.instance_id)
