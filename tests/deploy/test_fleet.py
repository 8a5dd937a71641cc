"""plan, up, scale, status, fetch, logs and down, on an account that answers over real HTTP.

Where the account is not like AWS (see `aws_server`), what was sent is looked at instead of what became of it.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest
from click.testing import CliRunner, Result

from deploy import fleet, record
from deploy.aws import Aws
from deploy.config import Deployment
from deploy.cost import Charge
from deploy.plan import plan
from deploy.resources import Names
from deploy.software import Software
from es.cli import main
from es.errors import CloudError, DeploymentError
from tests.deploy.aws_server import ON_DEMAND, REGION, AwsServer
from tests.deploy.conftest import RecordingAws

NAMES = Names("demo", REGION, "123456789012")
SOFTWARE = Software("opensim_es-0.1.0-py3-none-any.whl", b"a wheel", "numpy==2.0\n")
DEPLOYMENT = Deployment(
    region=REGION, experiment="lqr", instance_types=("c7a.8xlarge",), vcpus=2, max_spend=50, ttl="12h"
)
NO_CHANGE = ("Get", "Describe", "List", "GET ", "HEAD ")


def up(aws: RecordingAws, deployment: Deployment = DEPLOYMENT, *, renew: bool = False) -> list[str]:
    said: list[str] = []
    fleet.up(aws, "demo", deployment, SOFTWARE, renew=renew, say=said.append)
    return said


def down(aws: RecordingAws, *, purge: bool = False) -> tuple[list[str], list[str]]:
    said: list[str] = []
    kept = fleet.down(aws, NAMES, NAMES.bucket, own_bucket=True, purge=purge, say=said.append)
    return said, kept


def changed(**fields: Any) -> Deployment:
    return msgspec.structs.replace(DEPLOYMENT, **fields)


def test_plan_changes_nothing_and_knows_quotas_and_prices(aws: RecordingAws, account: AwsServer) -> None:
    planned = plan(aws, "demo", DEPLOYMENT)
    assert {name for name in account.asked if not name.startswith(NO_CHANGE)} == set()
    assert planned.problems == []
    assert planned.needs == {"spot": 32, "on-demand": 4}
    assert {name: quota.limit for name, quota in planned.quotas.items()} == {"spot": 256, "on-demand": 32}
    assert [(each.zone, each.dollars) for each in planned.prices] == [
        ("us-east-1a", 0.64),
        ("us-east-1b", 0.80),
    ]
    assert planned.on_demand == {"m7i.xlarge": ON_DEMAND["m7i.xlarge"]}
    assert planned.estimate.workers == pytest.approx(0.64)


def test_a_quota_that_is_too_small_is_said_before_anything_is_made(
    aws: RecordingAws, account: AwsServer
) -> None:
    account.quotas["L-34B43A08"] = 0
    with pytest.raises(DeploymentError) as error:
        up(aws)
    assert "32 spot vCPUs are needed, but of the quota of 0 in us-east-1 0 are free" in str(error.value)
    assert (
        "aws service-quotas request-service-quota-increase --service-code ec2 --quota-code L-34B43A08 "
        "--desired-value 32 --region us-east-1" in str(error.value)
    )
    assert {name for name in account.asked if not name.startswith(NO_CHANGE)} == set()


def test_a_quota_that_others_use_up(aws: RecordingAws, account: AwsServer) -> None:
    image = boto3.client("ec2").describe_images()["Images"][0]["ImageId"]
    boto3.client("ec2").run_instances(ImageId=image, MinCount=4, MaxCount=4, InstanceType="c5.2xlarge")
    quota = aws.quota("on-demand")
    assert (quota.limit, quota.in_use) == (32, 32)
    assert aws.quota("spot").in_use == 0
    assert "of the quota of 32 in us-east-1 0 are free" in plan(aws, "demo", DEPLOYMENT).problems[0]


def test_up_makes_everything_the_end_before_the_cost(aws: RecordingAws, account: AwsServer) -> None:
    said = up(aws)
    assert said[-2:] == ["es-demo-master: 1 of 1 instance", "es-demo-worker: 2 of 2 vCPUs"]
    for role in ("master", "worker"):
        group = {"AutoScalingGroupName": f"es-demo-{role}"}
        made = aws.index("create_auto_scaling_group", **group, MinSize=0, MaxSize=0, DesiredCapacity=0)
        end = aws.index("put_scheduled_update_group_action", **group, MinSize=0, MaxSize=0, DesiredCapacity=0)
        size = 1 if role == "master" else 2
        assert (
            made < end < aws.index("update_auto_scaling_group", **group, MaxSize=size, DesiredCapacity=size)
        )
        when = aws.sent[end][1]["StartTime"].timestamp() - time.time()
        assert when == pytest.approx(12 * 3600, abs=60)
    closed = boto3.client("s3").get_public_access_block(Bucket=NAMES.bucket)["PublicAccessBlockConfiguration"]
    assert set(closed.values()) == {True}
    (group,) = boto3.client("ec2").describe_security_groups(GroupNames=["es-demo"])["SecurityGroups"]
    assert [(each["FromPort"], each["IpRanges"]) for each in group["IpPermissions"]] == [(6379, [])]
    secret = boto3.client("ssm").get_parameter(Name="/opensim-es/demo/worker-password")["Parameter"]
    assert secret["Type"] == "SecureString"
    assert all("password" not in json.dumps(params) for name, params in aws.sent if "template" in name)


def test_up_again_changes_nothing_that_is_right(aws: RecordingAws, account: AwsServer) -> None:
    up(aws)
    before = fleet.inventory(aws, NAMES)
    secrets = [aws.parameter(name) for name in before.parameters]
    aws.sent.clear()
    up(aws)
    assert fleet.inventory(aws, NAMES) == before
    assert [aws.parameter(name) for name in before.parameters] == secrets
    # moto replaces a group that exists without a word; AWS would refuse.
    assert "create_auto_scaling_group" not in aws.operations()
    assert {name for name in aws.operations() if name.startswith("delete")} == {"delete_objects"}


def test_a_change_makes_a_new_template_and_removes_the_old(aws: RecordingAws, account: AwsServer) -> None:
    up(aws)
    before = set(aws.launch_templates(NAMES))
    aws.sent.clear()
    up(aws, changed(volume_gb=40, vcpus=4))
    after = set(aws.launch_templates(NAMES))
    assert len(after) == 2
    assert not before & after
    aws.index("update_auto_scaling_group", AutoScalingGroupName="es-demo-worker", DesiredCapacity=4)
    group = aws.group(NAMES, "master")
    assert group is not None
    assert group.template in after
    assert not [name for name in aws.operations() if "version" in name]  # a new template, no new version


def test_the_time_to_live_goes_on_unless_it_is_renewed(aws: RecordingAws, account: AwsServer) -> None:
    up(aws)
    agreed = fleet.agreed_record(aws, NAMES, NAMES.bucket)
    old = msgspec.structs.replace(agreed, created=agreed.created - 13 * 3600)
    aws.put(NAMES.bucket, "demo/record.json", record.encode(old))
    with pytest.raises(
        DeploymentError, match=r"the time to live of demo ended at .* UTC; begin another with"
    ):
        up(aws)
    with pytest.raises(DeploymentError, match="the time to live"):
        fleet.scale(aws, NAMES, NAMES.bucket, 4)
    up(aws, renew=True)
    assert fleet.remaining(fleet.agreed_record(aws, NAMES, NAMES.bucket)) == pytest.approx(12 * 3600, abs=60)
    aws.sent.clear()
    up(aws, changed(ttl="24h"))
    end = aws.first("put_scheduled_update_group_action")["StartTime"]
    assert end.timestamp() - time.time() == pytest.approx(24 * 3600, abs=60)


def test_money_that_is_spent_stays_spent(aws: RecordingAws, account: AwsServer) -> None:
    up(aws)
    aws.put(
        NAMES.bucket, "demo/state/ledger.json", record.encode({"i-1": Charge("m7i.xlarge", 0, 0, 50, False)})
    )
    for action in (lambda: up(aws, renew=True), lambda: fleet.scale(aws, NAMES, NAMES.bucket, 4)):
        with pytest.raises(
            DeploymentError, match=r"max_spend = 50: demo has spent 50.00 \$; raise it to go on"
        ):
            action()
    up(aws, changed(max_spend=60.0))


def test_another_experiment_needs_another_name_once_there_is_a_run(
    aws: RecordingAws, account: AwsServer
) -> None:
    up(aws)
    up(aws, changed(experiment="cartpole"))
    aws.put(NAMES.bucket, "demo/run/run.json", b"{}")
    with pytest.raises(DeploymentError, match="demo has begun a run with another experiment"):
        up(aws)


def test_an_existing_bucket_and_profile_are_used_and_kept(aws: RecordingAws, account: AwsServer) -> None:
    boto3.client("s3").create_bucket(Bucket="mine")
    aws.put("mine", "other", b"not ours")
    up(aws, changed(bucket="mine", instance_profile="theirs"))
    assert not aws.operations() & {"create_role", "create_bucket"}
    template = aws.first("create_launch_template")["LaunchTemplateData"]
    assert template["IamInstanceProfile"] == {"Name": "theirs"}
    fleet.down(aws, NAMES, "mine", own_bucket=False, purge=True, say=lambda line: None)
    assert list(aws.objects("mine", "")) == ["other"]
    with pytest.raises(DeploymentError, match="bucket = 'none': no such bucket"):
        up(aws, changed(bucket="none"))


def test_down_removes_everything_and_is_nothing_the_second_time(
    aws: RecordingAws, account: AwsServer
) -> None:
    up(aws)
    boto3.client("ec2").create_security_group(GroupName="other", Description="not ours")
    aws.put_parameter("/opensim-es/demo2/redis", "not ours")
    said, kept = down(aws)
    assert len(said) >= 8
    assert kept == [f"s3://{NAMES.bucket}/demo/: 3 objects, 0.0 MB"]
    assert fleet.inventory(aws, NAMES).lines(NAMES) == []
    assert down(aws) == ([], kept)
    said, kept = down(aws, purge=True)
    assert (said, kept) == ([f"S3 bucket {NAMES.bucket} deleted"], [])
    assert down(aws) == ([], [])
    assert aws.parameter("/opensim-es/demo2/redis") == "not ours"


def test_what_lost_its_group_or_its_tag_is_found(aws: RecordingAws, account: AwsServer) -> None:
    up(aws)
    groups = boto3.client("autoscaling")
    for role in ("master", "worker"):
        groups.delete_auto_scaling_group(AutoScalingGroupName=f"es-demo-{role}", ForceDelete=True)
    image = boto3.client("ec2").describe_images()["Images"][0]["ImageId"]
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "opensim-es", "Value": "demo"}]}]
    boto3.client("ec2").run_instances(
        ImageId=image, MinCount=1, MaxCount=1, InstanceType="m7i.xlarge", TagSpecifications=tags
    )
    (group,) = aws.security_groups(NAMES)
    boto3.client("ec2").delete_tags(Resources=[group], Tags=[{"Key": "opensim-es"}])
    lines = fleet.inventory(aws, NAMES).lines(NAMES)
    assert any(line.startswith("instance i-") for line in lines)
    assert f"security group {group}" in lines
    said, _ = down(aws)
    assert "waiting for 1 instances to end" in said
    assert fleet.inventory(aws, NAMES).lines(NAMES) == []


def test_status_adds_up_dollars_and_says_what_is_left(aws: RecordingAws, account: AwsServer) -> None:
    empty = fleet.status(aws, NAMES, NAMES.bucket)
    assert (empty.agreed, empty.exists.lines(NAMES), empty.charges) == (None, [], {})
    up(aws)
    gone = Charge("c7a.8xlarge", time.time(), 0.64, 7.5, running=False)
    aws.put(NAMES.bucket, "demo/state/ledger.json", record.encode({"i-gone": gone}))
    aws.put(NAMES.bucket, "demo/state/end.txt", b"finished\n")
    status = fleet.status(aws, NAMES, NAMES.bucket)
    assert len([each for each in status.charges.values() if each.running]) == 3
    assert sum(each.dollars for each in status.charges.values()) == pytest.approx(7.5, abs=0.1)
    assert status.end == "finished"


def test_scale(aws: RecordingAws, account: AwsServer) -> None:
    with pytest.raises(DeploymentError, match="demo: no such deployment in us-east-1"):
        fleet.scale(aws, NAMES, NAMES.bucket, 4)
    up(aws)
    aws.sent.clear()
    fleet.scale(aws, NAMES, NAMES.bucket, 5)
    aws.index(
        "update_auto_scaling_group",
        AutoScalingGroupName="es-demo-worker",
        MinSize=0,
        MaxSize=5,
        DesiredCapacity=5,
    )
    with pytest.raises(DeploymentError, match="2016 spot vCPUs are needed, but of the quota of 256"):
        fleet.scale(aws, NAMES, NAMES.bucket, 2000)
    fleet.scale(aws, NAMES, NAMES.bucket, 0)
    groups = [aws.group(NAMES, "master"), aws.group(NAMES, "worker")]
    assert [group and group.desired for group in groups] == [1, 0]


def test_fetch_and_logs(aws: RecordingAws, account: AwsServer, tmp_path: Path) -> None:
    up(aws)
    with pytest.raises(DeploymentError, match="demo: no run yet"):
        fleet.fetch(aws, NAMES, NAMES.bucket, tmp_path)
    with pytest.raises(DeploymentError, match="demo: no log yet"):
        list(fleet.logs(aws, NAMES, NAMES.bucket, None))
    for leaf in (
        "run/run.json",
        "run/checkpoints/00000001.npz",
        "logs/worker-i-2.log",
        "logs/master-i-1.log",
    ):
        aws.put(NAMES.bucket, f"demo/{leaf}", leaf.encode())
    assert fleet.fetch(aws, NAMES, NAMES.bucket, tmp_path) == (tmp_path / "demo", 2)
    assert (tmp_path / "demo" / "checkpoints" / "00000001.npz").read_text() == "run/checkpoints/00000001.npz"
    assert fleet.fetch(aws, NAMES, NAMES.bucket, tmp_path) == (tmp_path / "demo", 1)
    assert [name for name, _ in fleet.logs(aws, NAMES, NAMES.bucket, None)] == ["master-i-1", "worker-i-2"]
    assert [text for _, text in fleet.logs(aws, NAMES, NAMES.bucket, "i-2")] == ["logs/worker-i-2.log"]


@pytest.mark.parametrize(
    ("action", "code", "said", "message"),
    [
        ("DescribeInstances", "UnauthorizedOperation", "You are not authorized",
         "AWS does not allow ec2:DescribeInstances with these credentials: ask its administrator for that"),
        ("CreateRole", "AccessDenied", "User is not authorized",
         "iam:CreateRole with these credentials: ask its administrator for that, or name an existing profile "
         "with --instance-profile"),
        ("GetCallerIdentity", "ExpiredToken", "The security token included in the request is expired",
         "AWS does not accept the credentials (ExpiredToken): log in, e.g. with `aws sso login`"),
        ("CreateAutoScalingGroup", "VcpuLimitExceeded", "You have requested more vCPU capacity",
         "the quota for on-demand vCPUs is too small; `es deploy plan` tells how to raise it"),
        ("CreateAutoScalingGroup", "ValidationError", "Max spot instance count exceeded",
         "the quota for spot vCPUs is too small; `es deploy plan` tells how to raise it"),
        ("CreateAutoScalingGroup", "InsufficientInstanceCapacity", "We do not have sufficient capacity",
         "AWS has no instances of these types to give at the moment: list more of them in `instance_types`"),
        ("CreateLaunchTemplate", "SomethingNew", "We are\n sorry",
         "AWS refuses ec2:CreateLaunchTemplate: SomethingNew: We are sorry"),
    ],
)  # fmt: skip
def test_refusals_are_one_line_that_says_what_to_do(
    aws: RecordingAws, account: AwsServer, action: str, code: str, said: str, message: str
) -> None:
    account.refuse[action] = (code, said)
    with pytest.raises(CloudError) as error:
        up(aws)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_no_default_vpc_and_subnets_of_nobody(aws: RecordingAws, account: AwsServer) -> None:
    with pytest.raises(DeploymentError, match="subnets: expected some of one VPC in us-east-1"):
        plan(aws, "demo", changed(subnets=("subnet-0123",)))
    ec2 = boto3.client("ec2")
    for each in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=each["SubnetId"])
    with pytest.raises(
        DeploymentError, match="no default VPC in us-east-1: make one with `aws ec2 create-default-vpc"
    ):
        plan(aws, "demo", DEPLOYMENT)


def test_no_price_and_no_such_type(aws: RecordingAws, account: AwsServer) -> None:
    with pytest.raises(DeploymentError, match=r"no price of m9i.xlarge: state it under \[prices\]"):
        plan(aws, "demo", changed(master_type="m9i.xlarge"))
    planned = plan(aws, "demo", changed(master_type="m9i.xlarge", prices={"m9i.xlarge": 0.3}))
    assert planned.on_demand == {"m9i.xlarge": 0.3}
    with pytest.raises(
        DeploymentError, match=r"instance_types: none of c9z.xlarge is sold as spot in us-east-1"
    ):
        plan(aws, "demo", changed(instance_types=("c9z.xlarge",)))


def test_no_credentials_and_no_such_profile(account: AwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(CloudError, match="set AWS_PROFILE to one of your profiles"):
        Aws(REGION)
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(CloudError, match=r"AWS does not accept the credentials .*: log in"):
        Aws(REGION).account()


def test_a_group_that_cannot_start_instances_says_why(
    aws: RecordingAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = {
        "StatusCode": "Failed",
        "StatusMessage": "Could not launch Spot Instances. MaxSpotInstanceCountExceeded - Max spot instance "
        "count exceeded. Launching EC2 instance failed.",
    }
    # moto's groups never fail.
    monkeypatch.setattr(aws, "_call", lambda *_, **__: {"Activities": [{"StatusCode": "InProgress"}, failed]})
    assert (
        aws.refusal(NAMES, "worker")
        == "the quota for spot vCPUs is too small; `es deploy plan` tells how to raise it"
    )


@pytest.fixture
def command(aws: RecordingAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`es deploy ...` in a directory with `demo.toml` and a wheel."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("deploy.aws.Aws", lambda region: aws)
    Path("demo.toml").write_text(
        f'region = "{REGION}"\nexperiment = "lqr"\ninstance_types = ["c7a.8xlarge"]\nvcpus = 3\n'
        'max_spend = 50\nttl = "12h"\n[prices]\n"c7a.8xlarge" = 0.7\n"m7i.xlarge" = 0.2\n'
    )
    Path(SOFTWARE.file_name).write_bytes(SOFTWARE.wheel)
    return lambda *arguments: CliRunner().invoke(main, ["deploy", *arguments])


def test_the_commands_from_plan_to_down(command: Callable[..., Result], account: AwsServer) -> None:
    planned = command("plan", "demo")
    assert planned.exit_code == 0, planned.output
    assert "quota L-34B43A08: 256 spot vCPUs, 0 in use; needed: 32" in planned.output
    assert "0.6400 to 0.8000" in planned.output
    assert "in no case more than" in planned.output
    made = command("up", "demo", "--wheel", SOFTWARE.file_name)
    assert made.exit_code == 0, made.output
    assert "an hour; ends after 12h or 50 $, or with `es deploy down demo`" in made.output
    status = command("status", "demo")
    assert "demo: 0.0" in status.output
    assert "of 50 $ so far" in status.output
    assert "worker: 3 vCPUs of 3" in status.output
    assert json.loads(command("status", "demo", "--json").output)["bucket"] == NAMES.bucket
    assert command("scale", "demo", "2").exit_code == 0
    assert "worker: 2 vCPUs of 2" in command("status", "demo").output
    Path("demo.toml").unlink()
    ended = command("down", "demo", "--region", REGION)
    assert ended.exit_code == 0, ended.output
    assert f"kept s3://{NAMES.bucket}/demo/: 3 objects" in ended.output
    assert "nothing to remove" in command("down", "demo", "--region", REGION).output
    assert "on AWS: nothing but the bucket" in command("status", "demo").output  # AWS_DEFAULT_REGION
    assert command("down", "demo", "--purge").exit_code == 0
    assert command("status", "demo").output == f"demo: nothing in {REGION}\n"


def test_plan_offline_asks_nobody(command: Callable[..., Result], account: AwsServer) -> None:
    planned = command("plan", "demo", "--offline", "--vcpus", "360")
    assert planned.exit_code == 0, planned.output
    assert "workers  360 vCPUs, spot: 8.40 $ an hour at the best price, 8.40 $ at the worst" in planned.output
    assert not account.asked


def test_errors_of_the_commands_are_one_line(
    command: Callable[..., Result], account: AwsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.quotas["L-34B43A08"] = 0
    planned = command("plan", "demo")
    assert planned.exit_code == 1
    assert "problem: 32 spot vCPUs are needed" in planned.output
    for arguments, code, message in (
        (("up", "demo", "--wheel", SOFTWARE.file_name), 2, "Error: 32 spot vCPUs are needed"),
        (("fetch", "demo"), 2, "Error: demo: no run yet"),
        (("plan", "other"), 2, "Error: other.toml: cannot read the deployment"),
        (("down", "Not-a-name"), 2, "Error: 'Not-a-name': expected a name of 2 to 24"),
    ):
        result = command(*arguments)
        assert result.exit_code == code, result.output
        assert result.stderr.startswith(message)
        assert result.stderr.count("\n") == 1
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert "--region has to say where other is" in command("down", "other").stderr


def test_without_the_sdk_the_extra_is_named(
    command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = command("status", "demo")
    assert "Error: `es deploy` needs boto3: pip install 'opensim-es[aws]'" in result.stderr
