"""What a deployment is made of on AWS: names, and the requests that make each part. Nothing is sent here.

    what                  name                       holds
    S3 bucket             es-NAME-ACCOUNT-REGION     under NAME/: software, record, run, logs, what was spent
    SSM parameters        /opensim-es/NAME/...       passwords (SecureString); Redis' address and certificate
    security group        es-NAME                    Redis' port, open to the group itself
    IAM roles, profiles   es-NAME-master, -worker    as few rights as each needs
    launch templates      es-NAME-ROLE-HASH          one per configuration
    Auto Scaling groups   es-NAME-master, -worker    the instances, and the scheduled end

All of it, instances and their disks included, carries the tag TAG = NAME.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from deploy import cost
from deploy.config import Deployment

Role = Literal["master", "worker"]
Request = dict[str, Any]

ROLES: tuple[Role, ...] = ("master", "worker")
TAG = "opensim-es"
UNTIL_TAG = "opensim-es-until"
REDIS_PORT = 6379
SCHEDULED_END = "end-of-ttl"
PASSWORDS = tuple(f"{role}-password" for role in ROLES)
REDIS_PARAMETER = "redis"
# The newest Amazon Linux 2023 for x86_64; EC2 looks it up when an instance starts.
IMAGE = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
SPOT_QUOTA = "L-34B43A08"
ON_DEMAND_QUOTA = "L-1216C47A"


class Names(NamedTuple):
    """Every name derives from the deployment's."""

    name: str
    region: str
    account: str

    @property
    def base(self) -> str:
        """What all names begin with."""
        return f"es-{self.name}"

    def role(self, role: Role) -> str:
        """The IAM role, the instance profile and the Auto Scaling group of a role."""
        return f"{self.base}-{role}"

    def is_template(self, template: str) -> bool:
        """Whether a launch template has a name that this deployment gives."""
        return re.fullmatch(f"{self.base}-({'|'.join(ROLES)})-[0-9a-f]{{10}}", template) is not None

    @property
    def bucket(self) -> str:
        """The bucket, unless the deployment names another."""
        return f"{self.base}-{self.account}-{self.region}"

    def parameter(self, leaf: str) -> str:
        """An SSM parameter."""
        return f"/opensim-es/{self.name}/{leaf}"

    def key(self, leaf: str) -> str:
        """An S3 object."""
        return f"{self.name}/{leaf}"


def tags(names: Names, **more: str) -> list[dict[str, str]]:
    """What marks everything of this deployment."""
    return [
        {"Key": key, "Value": value} for key, value in {TAG: names.name, "Name": names.base, **more}.items()
    ]


def security_group(names: Names, vpc: str) -> Request:
    """For EC2's CreateSecurityGroup: outgoing traffic is allowed, as in every new group, incoming is not."""
    return {
        "GroupName": names.base,
        "Description": f"opensim-es {names.name}: Redis between its instances",
        "VpcId": vpc,
        "TagSpecifications": [{"ResourceType": "security-group", "Tags": tags(names)}],
    }


def ingress(group: str) -> Request:
    """For AuthorizeSecurityGroupIngress: the Redis port, from the group itself. Shells go through SSM."""
    rule = {"IpProtocol": "tcp", "FromPort": REDIS_PORT, "ToPort": REDIS_PORT}
    return {"GroupId": group, "IpPermissions": [{**rule, "UserIdGroupPairs": [{"GroupId": group}]}]}


def launch_template(
    names: Names, role: Role, deployment: Deployment, *, group: str, profile: str, user_data: str
) -> Request:
    """For CreateLaunchTemplate; the name ends with a hash of everything in it.

    Args:
        names: of the deployment.
        role: whose.
        deployment: how it is described.
        group: id of the security group.
        profile: name of the instance profile.
        user_data: the boot script, base64.
    """
    marks = tags(names, Name=names.role(role))
    data: Request = {
        "ImageId": IMAGE,
        "IamInstanceProfile": {"Name": profile},
        "UserData": user_data,
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
            "HttpEndpoint": "enabled",
        },
        "NetworkInterfaces": [
            {
                "DeviceIndex": 0,
                "AssociatePublicIpAddress": True,
                "Groups": [group],
                "DeleteOnTermination": True,
            }
        ],
        "BlockDeviceMappings": [
            {
                "DeviceName": "/dev/xvda",
                "Ebs": {
                    "VolumeType": "gp3",
                    "VolumeSize": deployment.volume_gb,
                    "Encrypted": True,
                    "DeleteOnTermination": True,
                },
            }
        ],
        "TagSpecifications": [{"ResourceType": kind, "Tags": marks} for kind in ("instance", "volume")],
    }
    if role == "master":
        data["InstanceType"] = deployment.master_type
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:10]
    return {
        "LaunchTemplateName": f"{names.role(role)}-{digest}",
        "LaunchTemplateData": data,
        "TagSpecifications": [{"ResourceType": "launch-template", "Tags": tags(names)}],
    }


def group(
    names: Names, role: Role, deployment: Deployment, *, template: str, subnets: Sequence[str]
) -> Request:
    """For Create- and UpdateAutoScalingGroup: which instances, not how many.

    Args:
        names: of the deployment.
        role: whose.
        deployment: how it is described.
        template: name of the launch template.
        subnets: ids.
    """
    launch = {"LaunchTemplateName": template, "Version": "$Default"}
    request: Request = {
        "AutoScalingGroupName": names.role(role),
        "VPCZoneIdentifier": ",".join(subnets),
        "HealthCheckType": "EC2",
    }
    if role == "master":
        return {**request, "LaunchTemplate": launch}
    spot = deployment.market == "spot"
    # Spot: what is cheap and unlikely to be interrupted. On-demand: the first type listed that is to be had.
    strategy = (
        {"SpotAllocationStrategy": "price-capacity-optimized"}
        if spot
        else {"OnDemandAllocationStrategy": "prioritized"}
    )
    return {
        **request,
        "MixedInstancesPolicy": {
            "LaunchTemplate": {
                "LaunchTemplateSpecification": launch,
                "Overrides": [
                    {"InstanceType": each, "WeightedCapacity": str(cost.vcpus(each))}
                    for each in deployment.instance_types
                ],
            },
            "InstancesDistribution": {
                "OnDemandBaseCapacity": 0,
                "OnDemandPercentageAboveBaseCapacity": 0 if spot else 100,
                **strategy,
            },
        },
    }


def group_tags(names: Names, role: Role, until: datetime) -> list[dict[str, Any]]:
    """For a group: its instances get their tags from the launch template."""
    return [
        {
            "ResourceId": names.role(role),
            "ResourceType": "auto-scaling-group",
            "PropagateAtLaunch": False,
            **tag,
        }
        for tag in tags(names, **{UNTIL_TAG: until.isoformat()})
    ]


def scheduled_end(names: Names, role: Role, until: datetime) -> Request:
    """For PutScheduledUpdateGroupAction: AWS itself ends all instances, whatever became of the master."""
    return {
        "AutoScalingGroupName": names.role(role),
        "ScheduledActionName": SCHEDULED_END,
        "StartTime": until,
        **size(0),
    }


def size(capacity: int) -> Request:
    """For UpdateAutoScalingGroup: so many, but none at least, so that instances may leave for good."""
    return {"MinSize": 0, "MaxSize": capacity, "DesiredCapacity": capacity}


def quota_increase(quota: str, needed: int, region: str) -> str:
    """The command that asks AWS for more vCPUs."""
    return (
        f"aws service-quotas request-service-quota-increase --service-code ec2 --quota-code {quota} "
        f"--desired-value {needed} --region {region}"
    )
