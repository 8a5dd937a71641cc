"""What exists, what `up` would add, whether the quotas allow it, and what it costs; changes nothing."""

from collections.abc import Sequence
from typing import NamedTuple

from deploy import cost, resources
from deploy.aws import Aws, Quota
from deploy.config import Deployment
from deploy.cost import Estimate, Instance, Price
from deploy.resources import ROLES, Names, Role
from deploy.sizing import MARKETS, estimate, needs
from es.errors import CloudError, DeploymentError


class Inventory(NamedTuple):
    """What of a deployment exists on AWS; found by tag and by name."""

    groups: list[Role]
    instances: list[Instance]
    templates: list[str]
    security_groups: list[str]
    profiles: list[Role]
    parameters: list[str]

    def lines(self, names: Names) -> list[str]:
        """A line for each thing."""
        return [
            *(f"Auto Scaling group {names.role(each)}" for each in self.groups),
            *(f"instance {each.instance_id} ({each.instance_type}, {each.zone})" for each in self.instances),
            *(f"launch template {each}" for each in self.templates),
            *(f"security group {each}" for each in self.security_groups),
            *(f"IAM role and instance profile {names.role(each)}" for each in self.profiles),
            *(f"SSM parameter {each}" for each in self.parameters),
        ]


class Plan(NamedTuple):
    """What `up` would do and what it would cost."""

    names: Names
    bucket: str
    quotas: dict[str, Quota]
    needs: dict[str, int]
    """vCPUs by market."""
    prices: list[Price]
    """Of workers."""
    on_demand: dict[str, float]
    estimate: Estimate
    problems: list[str]
    """Why `up` would refuse."""
    exists: Inventory
    creates: list[str]


def bucket_of(names: Names, deployment: Deployment | None) -> str:
    """Where a deployment keeps its objects."""
    return deployment.bucket if deployment and deployment.bucket else names.bucket


def inventory(aws: Aws, names: Names) -> Inventory:
    """Look for everything that bears the deployment's tag or name."""
    return Inventory(
        groups=[role for role in ROLES if aws.group(names, role)],
        instances=aws.instances(names.name),
        templates=aws.launch_templates(names),
        security_groups=aws.security_groups(names),
        profiles=aws.profiles(names),
        parameters=aws.parameters(names),
    )


def plan(aws: Aws, name: str, deployment: Deployment) -> Plan:
    """Find out what `up` would do; changes nothing.

    Raises:
        DeploymentError: there is no network, or nobody knows what an instance costs.
        CloudError: AWS refuses.
    """
    names = Names(name, deployment.region, aws.account())
    aws.network(deployment.subnets)
    exists = inventory(aws, names)
    on_demand = _on_demand_prices(aws, deployment)
    prices = _worker_prices(aws, deployment, on_demand)
    needed = needs(deployment, deployment.vcpus)
    quotas = {market: aws.quota(market) for market in MARKETS if needed[market]}
    problems = [
        problem
        for market, quota in quotas.items()
        if (problem := too_small(quota, market, needed[market], exists.instances, deployment.region))
    ]
    return Plan(
        names,
        bucket_of(names, deployment),
        quotas,
        needed,
        prices,
        on_demand,
        estimate(deployment, prices, on_demand[deployment.master_type]),
        problems,
        exists,
        _creates(names, deployment),
    )


def too_small(quota: Quota, market: str, needed: int, own: Sequence[Instance], region: str) -> str | None:
    """What is wrong if a quota does not allow for ``needed`` vCPUs, its ``own`` instances included."""
    ours = sum(cost.vcpus(each.instance_type) for each in own if each.spot == (market == "spot"))
    others = max(0, quota.in_use - ours)
    if others + needed <= quota.limit:
        return None
    return (
        f"{needed} {market} vCPUs are needed, but of the quota of {quota.limit} in {region} "
        f"{max(0, quota.limit - others)} are free; ask for more (it can take days): "
        f"{resources.quota_increase(quota.code, others + needed, region)}"
    )


def _on_demand_prices(aws: Aws, deployment: Deployment) -> dict[str, float]:
    wanted = [
        deployment.master_type,
        *(deployment.instance_types if deployment.market == "on-demand" else ()),
    ]
    prices = {}
    for each in dict.fromkeys(wanted):
        try:
            prices[each] = aws.on_demand_price(each)
        except CloudError as error:
            if each not in deployment.prices:
                raise DeploymentError(f"no price of {each}: state it under [prices] ({error})") from error
            prices[each] = deployment.prices[each]
    return prices


def _worker_prices(aws: Aws, deployment: Deployment, on_demand: dict[str, float]) -> list[Price]:
    if deployment.market == "on-demand":
        return [Price(each, "", on_demand[each]) for each in deployment.instance_types]
    prices = aws.spot_prices(deployment.instance_types)
    if not prices:
        raise DeploymentError(
            f"instance_types: none of {', '.join(deployment.instance_types)} is sold as spot in "
            f"{deployment.region}"
        )
    return prices


def _creates(names: Names, deployment: Deployment) -> list[str]:
    profiles = [f"IAM role and instance profile {names.role(role)}" for role in ROLES]
    bucket = [f"S3 bucket {names.bucket}, closed to the public"]
    return [
        *(
            bucket
            if not deployment.bucket
            else [f"objects in S3 bucket {deployment.bucket}, below {names.name}/"]
        ),
        *(f"SSM parameter {names.parameter(leaf)} (SecureString)" for leaf in resources.PASSWORDS),
        f"security group {names.base}: port {resources.REDIS_PORT} from itself, nothing else",
        *(profiles if not deployment.instance_profile else []),
        *(f"launch template {names.role(role)}-..." for role in ROLES),
        f"Auto Scaling group {names.role('master')}: 1 {deployment.master_type}, on-demand",
        f"Auto Scaling group {names.role('worker')}: {deployment.vcpus} vCPUs, {deployment.market}",
        f"for both, a scheduled action that ends them after {deployment.ttl}",
    ]
