"""up, scale, status, fetch, logs, down: what `es deploy` does, in terms of `deploy.aws`."""

import secrets
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from deploy import boot, cost, policies, record, resources
from deploy.aws import Aws, Group
from deploy.config import Deployment
from deploy.cost import Charge
from deploy.host import rates
from deploy.plan import Inventory, Plan, inventory, plan, too_small
from deploy.record import Record
from deploy.resources import ROLES, Names, Role
from deploy.sizing import needs
from deploy.software import Software
from es import config
from es.errors import CloudError, DeploymentError, RunDirectoryError

Say = Callable[[str], None]

SETTLE_SECONDS = 60.0
DOWN_SECONDS = 900.0
POLL = 5.0


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
        DeploymentError: the quota is too small, time or money is used up, or another experiment is there.
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
            f"the time to live of {names.name} ended at {agreed.until:%Y-%m-%d %H:%M} UTC; begin another "
            f"with `es deploy up {names.name} --renew`"
        )
    charges = read_ledger(aws, names, bucket)
    if cost.exhausted(charges, agreed.deployment.max_spend):
        raise DeploymentError(
            f"max_spend = {agreed.deployment.max_spend:g}: {names.name} has spent "
            f"{cost.spent(charges):.2f} $; raise it to go on"
        )


def _check_same_run(
    aws: Aws, names: Names, bucket: str, before: Record, experiment: config.Experiment
) -> None:
    earlier = config.parse(before.experiment, "the experiment of the run")
    if msgspec.structs.replace(earlier, budget=experiment.budget) == experiment:
        return
    if aws.objects(bucket, names.key(f"{record.RUN}/")):
        raise DeploymentError(
            f"{names.name} has begun a run with another experiment: give this deployment another name, or "
            f"remove the old one and its run with `es deploy down {names.name} --purge`"
        )


def _warn_of_old_hosts(aws: Aws, names: Names, templates: dict[Role, str], say: Say) -> None:
    for role, template in templates.items():
        there = aws.group(names, role)
        if there and there.capacity and there.template not in ("", template):
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
        raise DeploymentError(
            f"{names.name}: no such deployment in {names.region}; make it with `es deploy up`"
        )
    return found


def scale(aws: Aws, names: Names, bucket: str, vcpus: int) -> None:
    """Let the workers have so many vCPUs from now on; `up` goes back to what the file says.

    Raises:
        DeploymentError: no such fleet, its time or money is used up, or the quota is too small.
    """
    agreed = agreed_record(aws, names, bucket)
    if aws.group(names, "worker") is None:
        raise DeploymentError(
            f"{names.name}: its groups are gone; make them with `es deploy up {names.name}`"
        )
    if vcpus:
        _check_time_and_money(aws, names, bucket, agreed)
        market = agreed.deployment.market
        needed = needs(agreed.deployment, vcpus)[market]
        problem = too_small(
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
    groups = {role: aws.group(names, role) for role in ROLES}
    return Status(
        names=names,
        agreed=agreed,
        groups=groups,
        refusals={role: aws.refusal(names, role) if groups[role] else None for role in ROLES},
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
        raise DeploymentError(
            f"{names.name}: no run yet; `es deploy logs {names.name}` tells what its hosts do"
        )
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
