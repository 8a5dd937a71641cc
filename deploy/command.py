"""`es deploy ...`: parse, call, print."""

import importlib.util
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from deploy import config, cost, sizing, software
from deploy.config import Deployment
from deploy.cost import Estimate, Price
from deploy.resources import ROLES, Names, Role
from es import options, tables
from es.errors import DeploymentError, UsageError

EXIT_PROBLEM = 1


class Target(NamedTuple):
    """Which deployment a command is about; its file may be gone, the deployment not."""

    name: str
    region: str
    deployment: Deployment | None


def _name(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.argument("name", metavar="NAME")(command)


region_option = click.option(
    "--region",
    envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
    help="Where the fleet is, if NAME.toml is not at hand.",
)
profile_option = click.option(
    "--instance-profile",
    metavar="PROFILE",
    help="An existing instance profile for all instances, where you may not make IAM roles.",
)
vcpus_option = click.option(
    "--vcpus", type=click.IntRange(2), help="vCPUs of all workers, instead of the file's."
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def deploy() -> None:
    """Train on AWS: a master and a fleet of spot instances, and back to zero.

    NAME.toml describes the fleet NAME; every name on AWS is derived from it. Profile and credentials
    are those of the `aws` command.
    """


@deploy.command()
@_name
@click.option("--offline", is_flag=True, help="Ask AWS nothing: the cost by the prices in the file.")
@vcpus_option
@profile_option
@json_option
def plan(name: str, offline: bool, vcpus: int | None, instance_profile: str | None, as_json: bool) -> None:
    """Show what `up` would create and cost; changes nothing."""
    name, deployment = _deployment(name, vcpus=vcpus, instance_profile=instance_profile)
    console = Console()
    if offline:
        prices, master = sizing.offline_prices(deployment)
        _print_cost(console, deployment, prices, sizing.estimate(deployment, prices, master))
        return
    aws = _aws(deployment.region)
    from deploy.plan import plan as make_plan

    planned = make_plan(aws, name, deployment)
    if as_json:
        click.echo(json.dumps(_plain(planned), indent=2))
    else:
        console.print(f"{name}: account {planned.names.account}, {deployment.region}", highlight=False)
        for market, quota in planned.quotas.items():
            console.print(
                f"quota {quota.code}: {quota.limit} {market} vCPUs, {quota.in_use} in use; "
                f"needed: {planned.needs[market]}",
                highlight=False,
            )
        _print_cost(console, deployment, planned.prices, planned.estimate)
        there = planned.exists.lines(planned.names)
        for heading, lines in (("exists already", there), ("is created where missing", planned.creates)):
            if lines:
                console.print(f"{heading}:", highlight=False)
                for line in lines:
                    console.print(f"  {line}", highlight=False, soft_wrap=True)
        for problem in planned.problems:
            console.print(f"problem: {problem}", highlight=False, soft_wrap=True)
    if planned.problems:
        sys.exit(EXIT_PROBLEM)


@deploy.command()
@_name
@click.option(
    "--wheel",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The software of the instances. [default: built from the sources this runs from]",
)
@click.option("--renew", is_flag=True, help="Begin the time to live anew.")
@vcpus_option
@profile_option
def up(name: str, wheel: Path | None, renew: bool, vcpus: int | None, instance_profile: str | None) -> None:
    """Make the fleet, or change it into what the file says; starts training at once."""
    name, deployment = _deployment(name, vcpus=vcpus, instance_profile=instance_profile)
    aws = _aws(deployment.region)
    from deploy import fleet

    found = software.load(wheel) if wheel else software.build()
    done = fleet.up(aws, name, deployment, found, renew=renew, say=click.echo)
    click.echo(
        f"about {done.estimate.hourly:.2f} $ an hour; ends after {deployment.ttl} or "
        f"{deployment.max_spend:g} $, or with `es deploy down {name}`"
    )


@deploy.command()
@_name
@region_option
@json_option
def status(name: str, region: str | None, as_json: bool) -> None:
    """Show what runs, what it has cost so far, and everything that is left on AWS."""
    target, aws, names, bucket = _existing(name, region)
    from deploy import fleet

    found = fleet.status(aws, names, bucket)
    if as_json:
        click.echo(json.dumps(_plain(found), indent=2))
        return
    spent, hourly = cost.spent(found.charges), cost.hourly(found.charges)
    if found.agreed is None and not found.exists.lines(names):
        click.echo(f"{target.name}: nothing in {target.region}")
        return
    if found.agreed is not None:
        limit = found.agreed.deployment.max_spend
        left = fleet.remaining(found.agreed)
        ends = f"in {tables.duration(left)}" if left > 0 else "now: its time is over"
        click.echo(f"{target.name}: {spent:.2f} $ of {limit:g} $ so far, {hourly:.2f} $ an hour; ends {ends}")
    for role in ROLES:
        group, refusal = found.groups[role], found.refusals[role]
        if group:
            click.echo(f"{role}: {_size(role, group.capacity)} of {group.desired}")
            if refusal and group.capacity < group.desired:
                click.echo(f"{role}: {refusal}")
    if found.end:
        click.echo(f"the master ended the fleet: {found.end}")
    lines = found.exists.lines(names)
    click.echo("on AWS:" if lines else "on AWS: nothing but the bucket")
    for line in lines:
        click.echo(f"  {line}")
    if found.stored:
        click.echo(f"  s3://{bucket}/{names.name}/: {found.stored / 1e6:.1f} MB")


@deploy.command()
@_name
@click.argument("vcpus", type=click.IntRange(0, 20_000))
@region_option
def scale(name: str, vcpus: int, region: str | None) -> None:
    """Let the workers have VCPUS together; 0 pauses them. `up` goes back to the file's number."""
    _, aws, names, bucket = _existing(name, region)
    from deploy import fleet

    fleet.scale(aws, names, bucket, vcpus)
    click.echo(f"{names.name}: {vcpus} vCPUs wanted; `es deploy status {names.name}` shows them come or go")


@deploy.command()
@_name
@click.option("--host", metavar="TEXT", help="Only hosts whose name contains this: master, worker, i-0abc...")
@click.option("--lines", type=click.IntRange(1), default=50, show_default=True, help="Of each log's end.")
@region_option
def logs(name: str, host: str | None, lines: int, region: str | None) -> None:
    """Show what hosts said last; at most half a minute old, and kept when they are gone."""
    _, aws, names, bucket = _existing(name, region)
    from deploy import fleet

    for each, text in fleet.logs(aws, names, bucket, host):
        click.echo(f"== {each}")
        click.echo("\n".join(text.splitlines()[-lines:]))


@deploy.command()
@_name
@options.runs_dir
@region_option
def fetch(name: str, runs_dir: Path, region: str | None) -> None:
    """Bring the run here, for `es generations`, `es evaluate` and `es replay`."""
    _, aws, names, bucket = _existing(name, region)
    from deploy import fleet

    path, changed = fleet.fetch(aws, names, bucket, runs_dir)
    click.echo(f"{path}: {changed} files fetched; look with `es generations {names.name}`")


@deploy.command()
@_name
@click.option("--purge", is_flag=True, help="Remove the run, the logs and the bucket too.")
@region_option
def down(name: str, purge: bool, region: str | None) -> None:
    """Remove everything that costs money, and all the rest; the bucket stays unless --purge."""
    target, aws, names, bucket = _existing(name, region)
    from deploy import fleet

    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        click.echo(line)

    own = target.deployment is None or target.deployment.bucket is None
    kept = fleet.down(aws, names, bucket, own_bucket=own, purge=purge, say=say)
    if not said:
        click.echo(f"{names.name}: nothing to remove in {names.region}")
    for line in kept:
        click.echo(f"kept {line}; remove it with `es deploy down {names.name} --purge`")


@deploy.command(hidden=True)
@_name
@click.argument("role", type=click.Choice(ROLES))
@click.option("--bucket", required=True)
def host(name: str, role: Role, bucket: str) -> None:
    """Be an instance of the fleet; the boot script starts this."""
    from deploy.host import serve

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("botocore").setLevel(logging.WARNING)  # it tells where it found each address
    stop = threading.Event()

    def end(signum: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    serve(Names(name, os.environ["AWS_REGION"], account=""), role, bucket, stop)


def _deployment(name: str, *, vcpus: int | None, instance_profile: str | None) -> tuple[str, Deployment]:
    name, path = config.locate(name)
    deployment = config.load(path)
    changes = {"vcpus": vcpus, "instance_profile": instance_profile}
    given = {field: value for field, value in changes.items() if value is not None}
    return name, msgspec.structs.replace(deployment, **given)


def _existing(name: str, region: str | None) -> tuple[Target, Any, Names, str]:
    """A deployment that may be there, its account and its bucket."""
    name, path = config.locate(name)
    deployment = config.load(path) if path.is_file() else None
    where = deployment.region if deployment else region
    if where is None:
        raise DeploymentError(f"{path}: no such file; without it, --region has to say where {name} is")
    aws = _aws(where)
    from deploy.plan import bucket_of

    names = Names(name, where, aws.account())
    return Target(name, where, deployment), aws, names, bucket_of(names, deployment)


def _aws(region: str) -> Any:
    """The account in this region.

    Raises:
        UsageError: the SDK is not installed.
    """
    if importlib.util.find_spec("boto3") is None:
        raise UsageError("`es deploy` needs boto3: pip install 'opensim-es[aws]'")
    from deploy.aws import Aws

    return Aws(region)


def _print_cost(console: Console, deployment: Deployment, prices: list[Price], estimate: Estimate) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("type", "vCPUs", "$ per hour", "per vCPU"):
        table.add_column(heading, justify="left" if heading == "type" else "right", no_wrap=True)
    table.add_column("where")
    for instance_type in deployment.instance_types:
        offers = sorted(
            (each for each in prices if each.instance_type == instance_type), key=lambda each: each.dollars
        )
        if not offers:
            table.add_row(instance_type, str(cost.vcpus(instance_type)), "-", "-", "not sold here")
            continue
        best, worst = offers[0], offers[-1]
        span = f"{best.dollars:.4f}" + (f" to {worst.dollars:.4f}" if worst.dollars > best.dollars else "")
        zones = ", ".join(each.zone for each in offers if each.zone)
        table.add_row(
            instance_type, str(cost.vcpus(instance_type)), span, f"{best.per_vcpu:.4f}", zones or "anywhere"
        )
    console.print(table)
    e = estimate
    for line in (
        f"workers  {deployment.vcpus} vCPUs, {deployment.market}: {e.workers:.2f} $ an hour at the best "
        f"price, {e.workers_most:.2f} $ at the worst",
        f"master   1 {deployment.master_type}, on-demand: {e.master:.2f} $ an hour",
        f"beside   disks and addresses: {e.extras:.2f} $ an hour",
        f"in all   {e.hourly:.2f} $ an hour; {e.hours:.1f} hours: {e.total:.2f} $; in no case more than "
        f"{e.at_most:.2f} $ (ttl = {deployment.ttl}, max_spend = {deployment.max_spend:g})",
    ):
        console.print(line, highlight=False, soft_wrap=True)


def _plain(value: Any) -> Any:
    """For JSON: named tuples and structs as objects."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return msgspec.to_builtins(value)


def _size(role: Role, capacity: int) -> str:
    return f"{capacity} vCPUs" if role == "worker" else f"{capacity} instance"
