"""What instances may do: IAM policies with as few rights as each role needs. Plain data, nothing is sent."""

from typing import Any

from deploy.resources import PASSWORDS, REDIS_PARAMETER, Names, Role

Policy = dict[str, Any]

# Session Manager, so that no port need be open for a shell. Amazon's own AmazonSSMManagedInstanceCore would
# also let workers read every parameter of the account, the master's password among them.
_SESSIONS = [
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
]


def trust() -> Policy:
    """Who may take such a role: EC2 instances."""
    principal = {"Service": "ec2.amazonaws.com"}
    return _policy({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})


def rights(names: Names, role: Role, bucket: str) -> Policy:
    """What an instance of this role may do.

    Secrets are encrypted with the account's own key for SSM, which lets those decrypt that may read them.
    """
    objects = f"arn:aws:s3:::{bucket}/{names.name}"
    parameters = f"arn:aws:ssm:{names.region}:{names.account}:parameter/opensim-es/{names.name}"
    statements = [
        _allow(_SESSIONS, "*"),
        _allow(["s3:GetObject"], f"{objects}/software/*", f"{objects}/record.json"),
        _allow(["s3:PutObject"], f"{objects}/logs/*"),
        _allow(
            ["ssm:GetParameter"],
            *(f"{parameters}/{leaf}" for leaf in (PASSWORDS if role == "master" else [PASSWORDS[1]])),
            f"{parameters}/{REDIS_PARAMETER}",
        ),
        _allow(["autoscaling:TerminateInstanceInAutoScalingGroup"], _group(names, role)),
    ]
    if role == "worker":
        return _policy(*statements)
    under = {"StringLike": {"s3:prefix": f"{names.name}/*"}}
    return _policy(
        *statements,
        _allow(["s3:GetObject", "s3:PutObject"], f"{objects}/run/*", f"{objects}/state/*"),
        {**_allow(["s3:ListBucket"], f"arn:aws:s3:::{bucket}"), "Condition": under},
        _allow(["ssm:PutParameter"], f"{parameters}/{REDIS_PARAMETER}"),
        # Neither can be confined to some instances.
        _allow(["ec2:DescribeInstances", "ec2:DescribeSpotPriceHistory"], "*"),
        _allow(["autoscaling:UpdateAutoScalingGroup"], _group(names, "master"), _group(names, "worker")),
    )


def _group(names: Names, role: Role) -> str:
    scope = f"arn:aws:autoscaling:{names.region}:{names.account}:autoScalingGroup:*"
    return f"{scope}:autoScalingGroupName/{names.role(role)}"


def _allow(actions: list[str], *resources: str) -> Policy:
    return {"Effect": "Allow", "Action": actions, "Resource": list(resources)}


def _policy(*statements: Policy) -> Policy:
    return {"Version": "2012-10-17", "Statement": list(statements)}
