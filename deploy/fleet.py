"""plan, up, scale, status, fetch, logs, down: what `es deploy` does, in terms of `deploy.aws`."""

import math
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from deploy import boot, cost, policies, record, resources
from deploy.aws import Aws, Group, Quota
from deploy.config import Deployment
from deploy.cost import Charge, Estimate, Instance, Price
from deploy.host import rates
from deploy.record import Record
from deploy.resources import ROLES, Names, Role
from deploy.software import Software
from es import config
from es.errors import CloudError, DeploymentError, RunDirectoryError

Say = Callable[[str], None]

SETTLE_SECONDS = 60.0
DOWN_SECONDS = 900.0
POLL = 5.0
MARKETS = ("spot", "on-demand")


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


class Status(NamedTuple):
    """How a deployment is doing."""

    names: Names
    agreed: Record | None
    groups: dict[Role, Group | None]
    refusals: dict[Role, str | None]
    charges: dict[str, Charge]
    end: str | None
    """Why the master ended the fleet, if it did."""
    exists: Inventory
    bucket: str
    stored: int
    """Bytes in the bucket."""


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


def needs(deployment: Deployment, wanted: int) -> dict[str, int]:
    """vCPUs by market; workers come in whole instances, so a group may exceed what is wanted."""
    workers = max(
        math.ceil(wanted / each) * each for each in (cost.vcpus(name) for name in deployment.instance_types)
    )
    needed = dict.fromkeys(MARKETS, 0)
    needed["on-demand"] += cost.vcpus(deployment.master_type)
    needed[deployment.market] += workers
    return needed


def offline_prices(deployment: Deployment) -> tuple[list[Price], float]:
    """Prices of workers and of the master as the deployment's file states them.

    Raises:
        DeploymentError: it does not state some.
    """
    missing = sorted({*deployment.instance_types, deployment.master_type} - deployment.prices.keys())
    if missing:
        raise DeploymentError(f"prices: expected dollars per hour of {', '.join(missing)} too")
    prices = [Price(each, "", deployment.prices[each]) for each in deployment.instance_types]
    return prices, deployment.prices[deployment.master_type]


def estimate(deployment: Deployment, prices: Sequence[Price], master: float) -> Estimate:
    """What it will cost."""
    return cost.estimate(
        prices,
        deployment.vcpus,
        master=master,
        volume_gb=deployment.volume_gb,
        hours=deployment.ttl_seconds / 3600,
        max_spend=deployment.max_spend,
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
        if (problem := _too_small(quota, market, needed[market], exists.instances, deployment.region))
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


def _too_small(
    quota: Quota, market: str, needed: int, own: Sequence[Instance], region: str
) -> str | None:
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
    wanted = [deployment.master_type, *(deployment.instance_types if deployment.market == "on-demand" else ())]
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
            f"instance_types: none of {', '.join(deployment.instance_types)} is sold as spot in {deployment.region}"
        )
    return prices


def _creates(names: Names, deployment: Deployment) -> list[str]:
    profiles = [f"IAM role and instance profile {names.role(role)}" for role in ROLES]
    bucket = [f"S3 bucket {names.bucket}, closed to the public"]
    return [
        *(bucket if not deployment.bucket else [f"objects in S3 bucket {deployment.bucket}, below {names.name}/"]),
        *(f"SSM parameter {names.parameter(leaf)} (SecureString)" for leaf in resources.PASSWORDS),
        f"security group {names.base}: port {resources.REDIS_PORT} from itself, nothing else",
        *(profiles if not deployment.instance_profile else []),
        *(f"launch template {names.role(role)}-..." for role in ROLES),
        f"Auto Scaling group {names.role('master')}: 1 {deployment.master_type}, on-demand",
        f"Auto Scaling group {names.role('worker')}: {deployment.vcpus} vCPUs, {deployment.market}",
        f"for both, a scheduled action that ends them after {deployment.ttl}",
    ]


def up(
    aws: Aws,
    name: str,
    deployment: Deployment,
    software: Software,
    *,
    renew: bool,
    say: Say,
) -> Plan:
    """Make the fleet as it is described, or change it into that; what is right already stays.

    Args:
        aws: the account.
        name: of the deployment.
        deployment: its description.
        software: what instances install.
        renew: begin the TTL anew.
        say: told about each step.

    Raises:
        DeploymentError: the quota is too small, the time or the money is used up, or another experiment is there.
        CloudError: AWS refuses.
    """
    experiment = config.load(deployment.experiment)
    planned = plan(aws, name, deployment)
    if planned.problems:
        raise DeploymentError("; ".join(planned.problems))
    names, bucket = planned.names, planned.bucket
    before = read_record(aws, names, bucket)
    agreed = Record(
        deployment=deployment,
        experiment=config.to_toml(experiment),
        on_demand=planned.on_demand,
        software=software.digest,
        created=before.created if before and not renew else time.time(),
    )
    _check_time_and_money(aws, names, bucket, agreed)
    if before:
        _check_same_run(aws, names, bucket, before, experiment)
    vpc, subnets = aws.network(deployment.subnets)

    if deployment.bucket is None:
        aws.make_bucket(names)
    elif not aws.has_bucket(bucket):
        raise DeploymentError(f"bucket = {bucket!r}: no such bucket; leave it out to have one made")
    say(f"S3 bucket {bucket}")
    for file_name, content in software.files().items():
        aws.put(bucket, names.key(f"{record.SOFTWARE}/{software.digest}/{file_name}"), content)
    say(f"software {software.file_name} ({software.digest})")
    aws.put(bucket, names.key(record.RECORD), record.encode(agreed))
    aws.delete_objects(bucket, [names.key(record.END)])
    for leaf in resources.PASSWORDS:
        aws.make_secret(names, leaf, secrets.token_urlsafe(32))
    say("passwords of Redis in SSM")
    group = aws.make_security_group(names, vpc)
    say(f"security group {group}")
    templates = {}
    for role in ROLES:
        profile = deployment.instance_profile or aws.make_profile(
            names, role, policies.trust(), policies.rights(names, role, bucket)
        )
        data = boot.user_data(boot.script(names, role, bucket=bucket, software=software.digest))
        templates[role] = aws.make_launch_template(
            resources.launch_template(names, role, deployment, group=group, profile=profile, user_data=data)
        )
        say(f"launch template {templates[role]}, instance profile {profile}")
    _warn_of_old_hosts(aws, names, templates, say)
    for role in ROLES:
        request = resources.group(names, role, deployment, template=templates[role], subnets=subnets)
        aws.make_group(names, role, request, agreed.until)
    say(f"both groups end at {agreed.until:%Y-%m-%d %H:%M} UTC")
    for role in ROLES:
        aws.resize(names, role, 1 if role == "master" else deployment.vcpus)
    for template in aws.launch_templates(names):
        if template not in templates.values():
            aws.delete_launch_template(template)
    _settle(aws, names, say)
    return planned


def _check_time_and_money(aws: Aws, names: Names, bucket: str, agreed: Record) -> None:
    if agreed.until.timestamp() < time.time() + 60:
        raise DeploymentError(
            f"the time to live of {names.name} ended at {agreed.until:%Y-%m-%d %H:%M} UTC; begin another with "
            f"`es deploy up {names.name} --renew`"
        )
    charges = read_ledger(aws, names, bucket)
    if cost.exhausted(charges, agreed.deployment.max_spend):
        raise DeploymentError(
            f"max_spend = {agreed.deployment.max_spend:g}: {names.name} has spent {cost.spent(charges):.2f} $; "
            "raise it to go on"
        )


def _check_same_run(
    aws: Aws, names: Names, bucket: str, before: Record, experiment: config.Experiment
) -> None:
    earlier = config.parse(before.experiment, "the experiment of the run")
    if msgspec.structs.replace(earlier, budget=experiment.budget) == experiment:
        return
    if aws.objects(bucket, names.key(f"{record.RUN}/")):
        raise DeploymentError(
            f"{names.name} has begun a run with another experiment: give this deployment another name, or remove "
            f"the old one and its run with `es deploy down {names.name} --purge`"
        )


def _warn_of_old_hosts(aws: Aws, names: Names, templates: dict[Role, str], say: Say) -> None:
    for role, template in templates.items():
        there = aws.group(names, role)
        if there and there.capacity and there.template != template:
            say(f"the {role}s that run keep their old configuration until they are replaced")


def _settle(aws: Aws, names: Names, say: Say) -> None:
    """Wait for the first instances, or for the reason why there are none."""
    waiting: dict[Role, str] = dict.fromkeys(ROLES, "no instance yet; see `es deploy status`")
    deadline = time.monotonic() + SETTLE_SECONDS
    while waiting:
        for role in tuple(waiting):
            there, refusal = aws.group(names, role), aws.refusal(names, role)
            if there and there.capacity:
                say(f"{names.role(role)}: {_size(role, there)}")
                del waiting[role]
            elif refusal:
                waiting[role] = f"{refusal} (AWS keeps trying)"
        if not waiting or time.monotonic() > deadline or all("keeps" in each for each in waiting.values()):
            break
        time.sleep(POLL)
    for role, why in waiting.items():
        say(f"{names.role(role)}: {why}")


def _size(role: Role, there: Group) -> str:
    return f"{there.capacity} of {there.desired} {'vCPUs' if role == 'worker' else 'instance'}"


def read_record(aws: Aws, names: Names, bucket: str) -> Record | None:
    """What was agreed; None if nothing was."""
    data = aws.get(bucket, names.key(record.RECORD))
    return None if data is None else record.decode(data, f"s3://{bucket}/{names.key(record.RECORD)}")


def read_ledger(aws: Aws, names: Names, bucket: str) -> dict[str, Charge]:
    """What was spent, when the master last looked."""
    key = names.key(record.LEDGER)
    return record.decode_ledger(aws.get(bucket, key), f"s3://{bucket}/{key}")


def agreed_record(aws: Aws, names: Names, bucket: str) -> Record:
    """What was agreed.

    Raises:
        DeploymentError: nothing was.
    """
    found = read_record(aws, names, bucket)
    if found is None:
        raise DeploymentError(f"{names.name}: no such deployment in {names.region}; make it with `es deploy up`")
    return found


def scale(aws: Aws, names: Names, bucket: str, vcpus: int) -> None:
    """Let the workers have so many vCPUs from now on; `up` goes back to what the file says.

    Raises:
        DeploymentError: no such fleet, its time or money is used up, or the quota is too small.
    """
    agreed = agreed_record(aws, names, bucket)
    if aws.group(names, "worker") is None:
        raise DeploymentError(f"{names.name}: its groups are gone; make them with `es deploy up {names.name}`")
    if vcpus:
        _check_time_and_money(aws, names, bucket, agreed)
        market = agreed.deployment.market
        needed = needs(agreed.deployment, vcpus)[market]
        problem = _too_small(
            aws.quota(market), market, needed, aws.instances(names.name), agreed.deployment.region
        )
        if problem:
            raise DeploymentError(problem)
    aws.resize(names, "worker", vcpus)


def status(aws: Aws, names: Names, bucket: str) -> Status:
    """How the deployment is doing, and what of it exists."""
    exists = inventory(aws, names)
    charges: dict[str, Charge] = {}
    agreed, end, stored = None, None, 0
    if aws.has_bucket(bucket):
        agreed = read_record(aws, names, bucket)
        charges = read_ledger(aws, names, bucket)
        said = aws.get(bucket, names.key(record.END))
        end = said.decode(errors="replace").strip() if said else None
        stored = sum(aws.objects(bucket, names.key("")).values())
    if agreed:
        charges = cost.charge(charges, rates(aws, names.name, agreed), time.time())
    return Status(
        names=names,
        agreed=agreed,
        groups={role: aws.group(names, role) for role in ROLES},
        refusals={role: aws.refusal(names, role) for role in ROLES},
        charges=charges,
        end=end,
        exists=exists,
        bucket=bucket,
        stored=stored,
    )


def fetch(aws: Aws, names: Names, bucket: str, runs_dir: Path) -> tuple[Path, int]:
    """Bring the run directory here.

    Returns:
        Where it is, and how many files were new or had changed.

    Raises:
        DeploymentError: there is no run yet.
    """
    prefix = names.key(f"{record.RUN}/")
    found = aws.objects(bucket, prefix)
    if not found:
        raise DeploymentError(f"{names.name}: no run yet; `es deploy logs {names.name}` tells what its hosts do")
    target = runs_dir / names.name
    changed = 0
    for key, size in found.items():
        path = target / key.removeprefix(prefix)
        immutable = path.suffix == ".npz"
        if immutable and path.is_file() and path.stat().st_size == size:
            continue
        body = aws.get(bucket, key) or b""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(path.name + ".tmp")
            temporary.write_bytes(body)
            temporary.replace(path)
        except OSError as error:
            raise RunDirectoryError(f"{path}: cannot write: {error.strerror}") from error
        changed += 1
    return target, changed


def logs(aws: Aws, names: Names, bucket: str, host: str | None) -> Iterator[tuple[str, str]]:
    """Names and logs of hosts, the master's first; only those whose name contains ``host``.

    Raises:
        DeploymentError: there are none.
    """
    prefix = names.key(f"{record.LOGS}/")
    found = [key for key in aws.objects(bucket, prefix) if host is None or host in key.removeprefix(prefix)]
    if not found:
        which = f" of {host}" if host else ""
        raise DeploymentError(f"{names.name}: no log{which} yet; a host's first one takes a few minutes")
    for key in sorted(found):
        yield Path(key).stem, (aws.get(bucket, key) or b"").decode(errors="replace")


def down(aws: Aws, names: Names, bucket: str, *, own_bucket: bool, purge: bool, say: Say) -> list[str]:
    """Remove everything, and wait until it is gone; does nothing if nothing is there.

    Args:
        aws: the account.
        names: of the deployment.
        bucket: where its objects are.
        own_bucket: whether the bucket was made for this deployment.
        purge: remove the objects too, and the bucket if it is its own.
        say: told about each step.

    Returns:
        What was kept.

    Raises:
        CloudError: AWS refuses, or something does not end.
    """
    found = inventory(aws, names)
    for role in found.groups:
        aws.delete_group(names, role)
        say(f"Auto Scaling group {names.role(role)} deleted")
    _end_instances(aws, names, say)
    for template in found.templates:
        aws.delete_launch_template(template)
        say(f"launch template {template} deleted")
    for group in found.security_groups:
        aws.delete_security_group(group)
        say(f"security group {group} deleted")
    for role in found.profiles:
        aws.delete_profile(names, role)
        say(f"IAM role and instance profile {names.role(role)} deleted")
    for parameter in found.parameters:
        aws.delete_parameter(parameter)
        say(f"SSM parameter {parameter} deleted")
    if not aws.has_bucket(bucket):
        return []
    objects = aws.objects(bucket, names.key(""))
    if not purge:
        size = sum(objects.values()) / 1e6
        return [f"s3://{bucket}/{names.name}/: {len(objects)} objects, {size:.1f} MB"] if objects else []
    aws.delete_objects(bucket, list(objects))
    if own_bucket:
        aws.delete_bucket(bucket)
    say(f"S3 bucket {bucket} deleted" if own_bucket else f"s3://{bucket}/{names.name}/ deleted")
    return []


def _end_instances(aws: Aws, names: Names, say: Say) -> None:
    deadline = time.monotonic() + DOWN_SECONDS
    left = None
    while instances := aws.instances(names.name):
        if left is None:  # the groups have begun to end theirs; this reaches those that have left one
            aws.terminate(instances)
        if len(instances) != left:
            say(f"waiting for {len(instances)} instances to end")
        left = len(instances)
        if time.monotonic() > deadline:
            ids = ", ".join(each.instance_id for each in instances)
            raise CloudError(f"{ids}: not terminated after {DOWN_SECONDS:g} s; run `es deploy down` again")
        time.sleep(POLL)


def remaining(agreed: Record) -> float:
    """Seconds until AWS ends the fleet; negative once it has."""
    return (agreed.until - datetime.now(UTC)).total_seconds()
