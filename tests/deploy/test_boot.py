"""The boot script and the requests: what is in them, and what must not be."""

import base64
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy import boot, policies, resources
from deploy.config import Deployment
from deploy.resources import ROLES, Names, Role
from es.errors import DeploymentError

NAMES = Names("demo", "eu-west-1", "123456789012")
DEPLOYMENT = Deployment(
    region="eu-west-1",
    experiment="lqr",
    instance_types=("c7a.8xlarge", "m7a.large"),
    vcpus=64,
    max_spend=9,
    ttl="1h",
)


def script(role: Role, bucket: str = "bucket") -> str:
    return boot.script(NAMES, role, bucket=bucket, software="0123456789abcdef")


@pytest.mark.parametrize("role", ROLES)
def test_the_script_is_bash_and_small_enough(role: Role, tmp_path: Path) -> None:
    text = script(role)
    assert len(text.encode()) < boot.MAX_BYTES / 2
    assert boot.MARK not in text
    (tmp_path / "boot.sh").write_text(text)
    done = subprocess.run(["bash", "-n", tmp_path / "boot.sh"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_settings_are_quoted(tmp_path: Path) -> None:
    text = script("worker", bucket="b'; touch oops; '")
    settings = text[: text.index("\nhome=")]
    done = subprocess.run(
        ["bash", "-c", settings + '\nprintf %s "$BUCKET"'],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.stdout == "b'; touch oops; '"
    assert not (tmp_path / "oops").exists()


def test_a_script_that_aws_would_refuse_is_refused_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot, "MAX_BYTES", 1000)
    with pytest.raises(
        DeploymentError, match=r"the boot script of the master has .* bytes; AWS takes less than"
    ):
        script("master")


def template(role: Role, deployment: Deployment = DEPLOYMENT) -> resources.Request:
    return resources.launch_template(
        NAMES, role, deployment, group="sg-1", profile="p", user_data=boot.user_data(script(role))
    )


@pytest.mark.parametrize("role", ROLES)
def test_instances_are_closed_and_encrypted(role: Role) -> None:
    data = template(role)["LaunchTemplateData"]
    assert data["MetadataOptions"] == {
        "HttpTokens": "required", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"
    }  # fmt: skip
    (disk,) = data["BlockDeviceMappings"]
    assert (disk["Ebs"]["Encrypted"], disk["Ebs"]["VolumeType"]) == (True, "gp3")
    assert "KeyName" not in data
    assert data["ImageId"].startswith("resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-")
    assert data["ImageId"].endswith("x86_64")
    assert data["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert {each["ResourceType"] for each in data["TagSpecifications"]} == {"instance", "volume"}
    assert base64.b64decode(data["UserData"]).decode() == script(role)


def test_only_redis_only_from_the_group_itself() -> None:
    rules = resources.ingress("sg-1")["IpPermissions"]
    assert rules == [
        {"IpProtocol": "tcp", "FromPort": 6379, "ToPort": 6379, "UserIdGroupPairs": [{"GroupId": "sg-1"}]}
    ]


def test_a_template_is_named_by_its_content() -> None:
    assert template("worker") == template("worker")
    names = {template("worker")["LaunchTemplateName"], template("master")["LaunchTemplateName"]}
    larger = Deployment(
        **{f: getattr(DEPLOYMENT, f) for f in DEPLOYMENT.__struct_fields__} | {"volume_gb": 40}
    )
    names.add(template("worker", larger)["LaunchTemplateName"])
    assert len(names) == 3
    assert all(NAMES.is_template(name) for name in names)
    assert not NAMES.is_template("es-demo-master-worker-0123456789")


def test_workers_are_spot_weighted_by_vcpus() -> None:
    request = resources.group(NAMES, "worker", DEPLOYMENT, template="t", subnets=["subnet-1", "subnet-2"])
    policy = request["MixedInstancesPolicy"]
    assert policy["LaunchTemplate"]["Overrides"] == [
        {"InstanceType": "c7a.8xlarge", "WeightedCapacity": "32"},
        {"InstanceType": "m7a.large", "WeightedCapacity": "2"},
    ]
    assert policy["InstancesDistribution"] == {
        "OnDemandBaseCapacity": 0,
        "OnDemandPercentageAboveBaseCapacity": 0,
        "SpotAllocationStrategy": "price-capacity-optimized",
    }
    assert request["VPCZoneIdentifier"] == "subnet-1,subnet-2"


def test_the_scheduled_end_empties_the_group_for_good() -> None:
    until = datetime(2030, 1, 1, tzinfo=UTC)
    end = resources.scheduled_end(NAMES, "worker", until)
    assert {end["MinSize"], end["MaxSize"], end["DesiredCapacity"]} == {0}
    assert end["StartTime"] == until


def test_workers_know_less_and_may_do_less_than_the_master() -> None:
    worker, master = (str(policies.rights(NAMES, role, "bucket")) for role in ("worker", "master"))
    assert "worker-password" in worker
    assert "master-password" not in worker
    assert "master-password" in master
    for right in ("s3:ListBucket", "ssm:PutParameter", "UpdateAutoScalingGroup", "ec2:"):
        assert right not in worker
        assert right in master
    for text in (worker, master):
        assert "'*'" in text  # sessions and descriptions know no resources
        assert not {"iam:", "RunInstances", "s3:Delete", ":*'", "kms:"} & {
            each for each in ("iam:", "RunInstances", "s3:Delete", ":*'", "kms:") if each in text
        }
