"""Everything that is asked of AWS; the only file that knows boto3. `deploy.resources` says what is asked for.

Addresses are the SDK's own business: AWS_ENDPOINT_URL, profiles and regions work as everywhere.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from deploy import refusals, resources
from deploy.cost import Instance, Price
from deploy.resources import TAG, Names, Request, Role
from es.errors import CloudError, DeploymentError

SETTINGS = Config(retries={"mode": "standard", "max_attempts": 6}, connect_timeout=10, read_timeout=60)
PRICE_LIST_REGION = "us-east-1"  # the price list is served from few regions, for all
STANDARD_FAMILIES = "acdhimrtz"  # first letters of the types that the two quotas count
ALIVE = ("pending", "running", "stopping", "stopped", "shutting-down")
PROPAGATION = 120.0  # s until IAM is known everywhere
POLL = 2.0  # s


class Quota(NamedTuple):
    """vCPUs of standard families in one market."""

    code: str
    limit: int
    in_use: int


class Group(NamedTuple):
    """An Auto Scaling group."""

    name: str
    desired: int
    capacity: int
    """Of its instances in service: vCPUs for workers."""
    template: str
    until: str
    """When its scheduled end is, ISO 8601."""


def explain(error: Exception, action: str) -> CloudError:
    """One line about what went wrong while asking for ``action``, e.g. ``ec2:DescribeInstances``."""
    reason = " ".join(str(error).split())
    if isinstance(error, NoCredentialsError | PartialCredentialsError | SSOError | TokenRetrievalError):
        return CloudError(refusals.unwelcome(reason))
    if isinstance(error, ProfileNotFound):
        return CloudError(f"{reason.rstrip('.')}: set AWS_PROFILE to one of your profiles")
    if isinstance(error, EndpointConnectionError):
        return CloudError(
            f"no answer from AWS to {action}: is the network up, and the region right? {reason}"
        )
    if not isinstance(error, ClientError):
        return CloudError(f"AWS, {action}: {reason}")
    answer = error.response.get("Error", {})
    message = " ".join(answer.get("Message", "").split())
    return CloudError(refusals.refused(answer.get("Code", ""), message, action))


class Aws:
    """One account in one region."""

    def __init__(self, region: str) -> None:
        """Nothing is asked yet.

        Raises:
            CloudError: the profile in the environment does not exist.
        """
        self.region = region
        try:
            self.session = boto3.Session(region_name=region)
        except BotoCoreError as error:
            raise explain(error, "session") from error
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """The SDK's client."""
        if service not in self._clients:
            region = PRICE_LIST_REGION if service == "pricing" else self.region
            self._clients[service] = self.session.client(service, region_name=region, config=SETTINGS)
        return self._clients[service]

    def _call(self, service: str, operation: str, *, absent: Sequence[str] = (), **request: Any) -> Any:
        """The answer; None if the error's code or message holds one of ``absent``.

        Raises:
            CloudError: any other refusal, or no answer.
        """
        name = "".join(part.capitalize() for part in operation.split("_"))
        try:
            return getattr(self.client(service), operation)(**request)
        except (ClientError, BotoCoreError) as error:
            if isinstance(error, ClientError) and any(each in str(error) for each in absent):
                return None
            raise explain(error, f"{service}:{name}") from error

    def _pages(
        self, service: str, operation: str, key: str, *, absent: Sequence[str] = (), **request: Any
    ) -> Iterator[Any]:
        name = "".join(part.capitalize() for part in operation.split("_"))
        try:
            for page in self.client(service).get_paginator(operation).paginate(**request):
                yield from page.get(key, [])
        except (ClientError, BotoCoreError) as error:
            if isinstance(error, ClientError) and any(each in str(error) for each in absent):
                return
            raise explain(error, f"{service}:{name}") from error

    # What there is: account, quotas, prices, network.

    def account(self) -> str:
        """The account's number."""
        return str(self._call("sts", "get_caller_identity")["Account"])

    def quota(self, market: str) -> Quota:
        """How many vCPUs of standard families this region grants, ``spot`` or ``on-demand``."""
        code = resources.SPOT_QUOTA if market == "spot" else resources.ON_DEMAND_QUOTA
        which = {"ServiceCode": "ec2", "QuotaCode": code}
        answer = self._call("service-quotas", "get_service_quota", absent=["NoSuchResource"], **which)
        if answer is None:
            answer = self._call("service-quotas", "get_aws_default_service_quota", **which)
        in_use = 0
        for each in self._instances({"instance-state-name": ALIVE[:2]}):
            if each["InstanceType"][0] in STANDARD_FAMILIES and _is_spot(each) == (market == "spot"):
                options = each.get("CpuOptions", {})
                in_use += options.get("CoreCount", 0) * options.get("ThreadsPerCore", 0)
        return Quota(code, int(answer["Quota"]["Value"]), in_use)

    def spot_prices(self, instance_types: Sequence[str]) -> list[Price]:
        """The latest price of each type in each zone of the region."""
        found = self._pages(
            "ec2",
            "describe_spot_price_history",
            "SpotPriceHistory",
            InstanceTypes=list(instance_types),
            ProductDescriptions=["Linux/UNIX"],
            StartTime=datetime.now(UTC),  # those in force now
        )
        latest: dict[tuple[str, str], Any] = {}
        for each in found:
            place = (each["InstanceType"], each["AvailabilityZone"])
            if place not in latest or each["Timestamp"] > latest[place]["Timestamp"]:
                latest[place] = each
        return [Price(*place, float(each["SpotPrice"])) for place, each in sorted(latest.items())]

    def on_demand_price(self, instance_type: str) -> float:
        """Dollars per hour for Linux in this region, by Amazon's price list.

        Raises:
            CloudError: the list is not to be had, or does not name the type.
        """
        wanted = {
            "instanceType": instance_type,
            "regionCode": self.region,
            "operatingSystem": "Linux",
            "tenancy": "Shared",
            "preInstalledSw": "NA",
            "capacitystatus": "Used",
        }
        filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
        answer = self._call("pricing", "get_products", ServiceCode="AmazonEC2", Filters=filters)
        for text in answer["PriceList"]:
            for term in json.loads(text)["terms"].get("OnDemand", {}).values():
                for dimension in term["priceDimensions"].values():
                    if float(dimension["pricePerUnit"].get("USD", 0)) > 0:
                        return float(dimension["pricePerUnit"]["USD"])
        raise CloudError(f"Amazon's price list has no {instance_type} in {self.region}")

    def network(self, subnets: Sequence[str]) -> tuple[str, list[str]]:
        """The VPC of these subnets and their ids; without any, the default VPC and all of its.

        Raises:
            DeploymentError: there is no default VPC, or the subnets do not exist or lie in several.
        """
        if subnets:
            answer = self._call("ec2", "describe_subnets", absent=["InvalidSubnet"], SubnetIds=list(subnets))
            found = answer["Subnets"] if answer else []
        else:
            found = self._call(
                "ec2", "describe_subnets", Filters=[{"Name": "default-for-az", "Values": ["true"]}]
            )["Subnets"]
        vpcs = {each["VpcId"] for each in found}
        if len(vpcs) == 1:
            return vpcs.pop(), sorted(each["SubnetId"] for each in found)
        if subnets:
            raise DeploymentError(
                f"subnets: expected some of one VPC in {self.region}, got {', '.join(subnets)}"
            )
        raise DeploymentError(
            f"no default VPC in {self.region}: make one with `aws ec2 create-default-vpc --region "
            f"{self.region}`, or name `subnets` of another"
        )

    # Instances.

    def _instances(self, filters: dict[str, Sequence[str]]) -> Iterator[Any]:
        wanted = [{"Name": name, "Values": list(values)} for name, values in filters.items()]
        for reservation in self._pages("ec2", "describe_instances", "Reservations", Filters=wanted):
            yield from reservation["Instances"]

    def instances(self, name: str) -> list[Instance]:
        """All of a deployment's instances that are not terminated."""
        return [
            Instance(
                each["InstanceId"],
                each["InstanceType"],
                each["Placement"]["AvailabilityZone"],
                _is_spot(each),
                each["LaunchTime"].timestamp(),
            )
            for each in self._instances({f"tag:{TAG}": [name], "instance-state-name": ALIVE})
        ]

    def terminate(self, instances: Sequence[Instance]) -> None:
        """End instances that no group knows."""
        ids = [each.instance_id for each in instances]
        self._call("ec2", "terminate_instances", absent=["InvalidInstanceID"], InstanceIds=ids)

    # Security group and launch templates.

    def security_groups(self, names: Names) -> list[str]:
        """Ids of those with the deployment's tag or name."""
        found = {}
        for name, value in ((f"tag:{TAG}", names.name), ("group-name", names.base)):
            wanted = [{"Name": name, "Values": [value]}]
            for each in self._pages("ec2", "describe_security_groups", "SecurityGroups", Filters=wanted):
                found[each["GroupId"]] = each
        return sorted(group for group, each in found.items() if _ours(each.get("Tags"), names))

    def make_security_group(self, names: Names, vpc: str) -> str:
        """The id of the deployment's security group in this VPC, as it should be."""
        wanted = [{"Name": "group-name", "Values": [names.base]}, {"Name": "vpc-id", "Values": [vpc]}]
        found = self._call("ec2", "describe_security_groups", Filters=wanted)["SecurityGroups"]
        if found:
            group = str(found[0]["GroupId"])
        else:
            group = str(
                self._call("ec2", "create_security_group", **resources.security_group(names, vpc))["GroupId"]
            )
        already = ["InvalidPermission.Duplicate"]
        self._call("ec2", "authorize_security_group_ingress", absent=already, **resources.ingress(group))
        return group

    def delete_security_group(self, group: str) -> None:
        """Delete it; its last network interface may need a while to go."""
        self._eventually(
            lambda: self._call(
                "ec2", "delete_security_group", absent=["InvalidGroup.NotFound"], GroupId=group
            ),
            "DependencyViolation",
        )

    def launch_templates(self, names: Names) -> list[str]:
        """Names of those with the deployment's tag or a name it would give."""
        return sorted(
            each["LaunchTemplateName"]
            for each in self._pages("ec2", "describe_launch_templates", "LaunchTemplates")
            if names.is_template(each["LaunchTemplateName"]) or _tag(each.get("Tags"), TAG) == names.name
        )

    def make_launch_template(self, request: Request) -> str:
        """Its name; one that exists has the same content, for the name holds its hash."""
        self._call("ec2", "create_launch_template", absent=["AlreadyExistsException"], **request)
        return str(request["LaunchTemplateName"])

    def delete_launch_template(self, name: str) -> None:
        """Delete it."""
        gone = ["NotFoundException", "InvalidLaunchTemplate"]
        self._call("ec2", "delete_launch_template", absent=gone, LaunchTemplateName=name)

    # Auto Scaling groups.

    def group(self, names: Names, role: Role) -> Group | None:
        """The group of a role."""
        wanted = [names.role(role)]
        found = self._call("autoscaling", "describe_auto_scaling_groups", AutoScalingGroupNames=wanted)
        for each in found["AutoScalingGroups"]:
            policy = each.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
            template = policy.get("LaunchTemplateSpecification") or each.get("LaunchTemplate") or {}
            return Group(
                names.role(role),
                each["DesiredCapacity"],
                sum(
                    int(i.get("WeightedCapacity") or 1)
                    for i in each["Instances"]
                    if i["LifecycleState"] == "InService"
                ),
                template.get("LaunchTemplateName", ""),
                _tag(each.get("Tags"), resources.UNTIL_TAG),
            )
        return None

    def make_group(self, names: Names, role: Role, request: Request, until: datetime) -> None:
        """Make or change a group and plan its end; a new one stays empty until ``resize``."""
        marks = resources.group_tags(names, role, until)
        # Asked first: creating a group that exists is refused by AWS, but nothing else should depend on that.
        if self.group(names, role) is None:
            create = {**request, **resources.size(0), "Tags": marks}
            self._eventually(
                lambda: self._call("autoscaling", "create_auto_scaling_group", **create),
                "nvalid IAM Instance Profile",
                "nvalid IamInstanceProfile",
                "nvalid iamInstanceProfile",
            )
        else:
            self._call("autoscaling", "update_auto_scaling_group", **request)
            self._call("autoscaling", "create_or_update_tags", Tags=marks)
        end = resources.scheduled_end(names, role, until)
        self._call("autoscaling", "put_scheduled_update_group_action", **end)

    def resize(self, names: Names, role: Role, capacity: int) -> None:
        """Let a group have so many instances, or vCPUs of workers."""
        size = resources.size(capacity)
        self._call(
            "autoscaling",
            "update_auto_scaling_group",
            absent=["AutoScalingGroup name not found", "not found"],
            AutoScalingGroupName=names.role(role),
            **size,
        )

    def refusal(self, names: Names, role: Role) -> str | None:
        """Why the group's latest attempt to start an instance failed; None if it did not."""
        found = self._call(
            "autoscaling",
            "describe_scaling_activities",
            absent=["not found"],
            AutoScalingGroupName=names.role(role),
            MaxRecords=10,
        )
        for activity in found["Activities"] if found else []:
            if activity["StatusCode"] in ("Failed", "Cancelled"):
                message = " ".join(activity.get("StatusMessage", "").split())
                return refusals.advice(message) or message
            if activity["StatusCode"] == "Successful":
                return None
        return None

    def delete_group(self, names: Names, role: Role) -> None:
        """Delete it with its instances and scheduled end."""
        self._eventually(
            lambda: self._call(
                "autoscaling",
                "delete_auto_scaling_group",
                absent=["not found"],
                AutoScalingGroupName=names.role(role),
                ForceDelete=True,
            ),
            "ResourceInUse",
            "ScalingActivityInProgress",
        )

    def retire(self, instance: str) -> None:
        """End an instance and do without it from now on: its group shrinks."""
        self._call(
            "autoscaling",
            "terminate_instance_in_auto_scaling_group",
            InstanceId=instance,
            ShouldDecrementDesiredCapacity=True,
        )

    # Roles and instance profiles.

    def make_profile(self, names: Names, role: Role, trust: Request, rights: Request) -> str:
        """The name of the role's instance profile, with exactly these rights."""
        name = names.role(role)
        marks = resources.tags(names)
        there = ["EntityAlreadyExists"]
        document = json.dumps(trust)
        self._call(
            "iam", "create_role", absent=there, RoleName=name, AssumeRolePolicyDocument=document, Tags=marks
        )
        document = json.dumps(rights)
        self._call("iam", "put_role_policy", RoleName=name, PolicyName=names.base, PolicyDocument=document)
        self._call("iam", "create_instance_profile", absent=there, InstanceProfileName=name, Tags=marks)
        full = ["LimitExceeded"]  # a profile has one role, and this one has it already
        self._call(
            "iam", "add_role_to_instance_profile", absent=full, InstanceProfileName=name, RoleName=name
        )
        return name

    def profiles(self, names: Names) -> list[Role]:
        """Those roles of which an IAM role or instance profile exists."""
        found: list[Role] = []
        for role in resources.ROLES:
            name = names.role(role)
            absent = ["NoSuchEntity"]
            if self._call(
                "iam", "get_instance_profile", absent=absent, InstanceProfileName=name
            ) or self._call("iam", "get_role", absent=absent, RoleName=name):
                found.append(role)
        return found

    def delete_profile(self, names: Names, role: Role) -> None:
        """Delete a role's IAM role and instance profile."""
        name, gone = names.role(role), ["NoSuchEntity"]
        profile, of_role = {"InstanceProfileName": name}, {"RoleName": name}
        self._call("iam", "remove_role_from_instance_profile", absent=gone, **profile, **of_role)
        self._call("iam", "delete_instance_profile", absent=gone, **profile)
        self._call("iam", "delete_role_policy", absent=gone, **of_role, PolicyName=names.base)
        self._call("iam", "delete_role", absent=gone, **of_role)

    # Parameters.

    def parameter(self, name: str) -> str | None:
        """Its value, decrypted; None if there is none."""
        absent = ["ParameterNotFound"]
        answer = self._call("ssm", "get_parameter", absent=absent, Name=name, WithDecryption=True)
        return None if answer is None else str(answer["Parameter"]["Value"])

    def make_secret(self, names: Names, leaf: str, value: str) -> None:
        """A secret with this value, unless it exists."""
        self._call(
            "ssm",
            "put_parameter",
            absent=["ParameterAlreadyExists"],
            Name=names.parameter(leaf),
            Value=value,
            Type="SecureString",
            Tags=resources.tags(names),
        )

    def put_parameter(self, name: str, value: str) -> None:
        """Set a parameter that is no secret."""
        self._call("ssm", "put_parameter", Name=name, Value=value, Type="String", Overwrite=True)

    def parameters(self, names: Names) -> list[str]:
        """Names of the deployment's parameters."""
        path = names.parameter("")[:-1]
        found = self._pages("ssm", "get_parameters_by_path", "Parameters", Path=path, Recursive=True)
        return sorted(each["Name"] for each in found)

    def delete_parameter(self, name: str) -> None:
        """Delete it."""
        self._call("ssm", "delete_parameter", absent=["ParameterNotFound"], Name=name)

    # S3.

    def has_bucket(self, bucket: str) -> bool:
        """Whether there is such a bucket, of whomever."""
        return self._call("s3", "head_bucket", absent=["404", "NoSuchBucket"], Bucket=bucket) is not None

    def make_bucket(self, names: Names) -> None:
        """The deployment's bucket, closed to the public.

        Raises:
            DeploymentError: the name is taken by somebody else.
        """
        bucket = names.bucket
        if not self.has_bucket(bucket):
            request: Request = {"Bucket": bucket}
            if self.region != "us-east-1":  # which is where buckets are unless they say otherwise
                request["CreateBucketConfiguration"] = {"LocationConstraint": self.region}
            self._call("s3", "create_bucket", **request)
        closed = dict.fromkeys(
            ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
        )
        self._call("s3", "put_public_access_block", Bucket=bucket, PublicAccessBlockConfiguration=closed)
        self._call("s3", "put_bucket_tagging", Bucket=bucket, Tagging={"TagSet": resources.tags(names)})

    def put(self, bucket: str, key: str, body: bytes) -> None:
        """Write an object."""
        self._call("s3", "put_object", Bucket=bucket, Key=key, Body=body)

    def get(self, bucket: str, key: str) -> bytes | None:
        """Read an object; None if there is none, or no bucket."""
        absent = ["NoSuchKey", "NoSuchBucket"]
        answer = self._call("s3", "get_object", absent=absent, Bucket=bucket, Key=key)
        return None if answer is None else bytes(answer["Body"].read())

    def objects(self, bucket: str, prefix: str) -> dict[str, int]:
        """Sizes in bytes by key; none if there is no bucket."""
        found = self._pages(
            "s3", "list_objects_v2", "Contents", absent=["NoSuchBucket"], Bucket=bucket, Prefix=prefix
        )
        return {each["Key"]: each["Size"] for each in found}

    def delete_objects(self, bucket: str, keys: Sequence[str]) -> None:
        """Delete objects."""
        for start in range(0, len(keys), 1000):
            some = [{"Key": key} for key in keys[start : start + 1000]]
            answer = self._call(
                "s3", "delete_objects", Bucket=bucket, Delete={"Objects": some, "Quiet": True}
            )
            for error in answer.get("Errors", []):  # of single objects, in an answer that is none itself
                raise CloudError(refusals.refused(error["Code"], error["Message"], "s3:DeleteObject"))

    def delete_bucket(self, bucket: str) -> None:
        """Delete an empty bucket."""
        self._call("s3", "delete_bucket", absent=["NoSuchBucket"], Bucket=bucket)

    def _eventually(self, action: Callable[[], Any], *passing: str) -> None:
        deadline = time.monotonic() + PROPAGATION
        while True:
            try:
                action()
            except CloudError as error:
                if time.monotonic() > deadline or not any(each in str(error) for each in passing):
                    raise
                time.sleep(POLL)
            else:
                return


def _is_spot(instance: Any) -> bool:
    return bool(instance.get("InstanceLifecycle") == "spot")


def _tag(tags: Sequence[dict[str, str]] | None, key: str) -> str:
    return next((each["Value"] for each in tags or [] if each["Key"] == key), "")


def _ours(tags: Sequence[dict[str, str]] | None, names: Names) -> bool:
    return _tag(tags, TAG) in ("", names.name)
