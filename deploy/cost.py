"""What a fleet costs: arithmetic on prices that somebody else looked up. Dollars, hours, vCPUs."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

ADDRESS_HOUR = 0.005  # $ per instance for its public IPv4 address, in all regions
VOLUME_GB_HOUR = 0.152 / 730  # $ per GB of gp3 in the dearest region; 0.08 a month in us-east-1
REACTION = 300.0  # s from the decision to stop until the last instance is gone

_STANDARD = re.compile(r"(?:c|d|h|i|im|is|m|r|t|z)\d+([a-z]*)(?:-flex)?\.(\d*)(x?)large")


class Price(NamedTuple):
    """What an instance costs in one place."""

    instance_type: str
    zone: str
    """Availability zone; empty: the same in all."""
    dollars: float
    """Per hour."""

    @property
    def per_vcpu(self) -> float:
        """Dollars per vCPU and hour."""
        return self.dollars / vcpus(self.instance_type)


class Estimate(NamedTuple):
    """What a fleet will cost if prices stay as they are; dollars per hour unless said otherwise."""

    instances: int
    """Workers, at most."""
    workers: float
    """All workers at the best price."""
    workers_most: float
    """All workers at the worst price of the types allowed."""
    master: float
    extras: float
    """Disks and addresses."""
    hours: float
    """How long it lasts at the best price: the TTL, or until the money is spent."""
    total: float
    """Dollars for that time."""
    at_most: float
    """Dollars in the worst case: the limit, or the TTL at the worst price."""

    @property
    def hourly(self) -> float:
        """All of it."""
        return self.workers + self.master + self.extras


class Instance(NamedTuple):
    """A running instance."""

    instance_id: str
    instance_type: str
    zone: str
    spot: bool
    launched: float
    """Unix time, s."""


class Charge(Struct, frozen=True):
    """What one instance has cost so far."""

    instance_type: str
    until: float
    """Unix time up to which it is counted, s."""
    rate: float
    """Dollars per hour, when last looked."""
    dollars: float
    running: bool = True


Ledger = Mapping[str, Charge]
"""Charges by instance id."""


def vcpus(instance_type: str) -> int:
    """VCPUs of a type: 2 for ``large``, 4 for ``xlarge``, 4n for ``nxlarge``, in all families there are.

    Raises:
        ValueError: it is for ARM, or of a family or size that has other quotas or does not follow this rule.
    """
    match = _STANDARD.fullmatch(instance_type)
    if not match or (match[2] and not match[3]):
        raise ValueError(
            "expected instance types of the families C, D, H, I, M, R, T or Z and of size large or larger, "
            f"such as c7a.8xlarge, got {instance_type!r}"
        )
    if "g" in match[1]:
        raise ValueError(f"expected instance types for x86_64, got {instance_type!r}, which is for ARM")
    return 4 * int(match[2] or 1) if match[3] else 2


def extras(volume_gb: int) -> float:
    """Dollars per hour that an instance costs beside its own price."""
    return ADDRESS_HOUR + volume_gb * VOLUME_GB_HOUR


def estimate(
    prices: Sequence[Price], wanted: int, *, master: float, volume_gb: int, hours: float, max_spend: float
) -> Estimate:
    """What workers of ``wanted`` vCPUs and a master cost.

    Args:
        prices: of the types allowed, in each zone; at least one.
        wanted: vCPUs.
        master: its price per hour.
        volume_gb: disk of each instance.
        hours: until the TTL ends.
        max_spend: dollars.
    """
    counts = [math.ceil(wanted / vcpus(price.instance_type)) for price in prices]
    costs = [count * price.dollars for count, price in zip(counts, prices, strict=True)]
    beside = extras(volume_gb)
    workers, dearest = min(costs), max(costs)
    count = counts[costs.index(workers)]
    hourly = workers + master + beside * (count + 1)
    lasts = min(hours, max_spend / hourly)
    return Estimate(
        instances=max(counts),
        workers=workers,
        workers_most=dearest,
        master=master,
        extras=beside * (count + 1),
        hours=lasts,
        total=lasts * hourly,
        at_most=min(max_spend, hours * (dearest + master + beside * (max(counts) + 1))),
    )


def rate(instance: Instance, prices: Sequence[Price], on_demand: Mapping[str, float]) -> float:
    """Dollars per hour of a running instance, without what it costs beside its price.

    A spot instance whose price is unknown counts as on-demand; if that is unknown too, its vCPUs count as the
    dearest that are known.

    Args:
        instance: which.
        prices: spot prices now.
        on_demand: dollars per hour by type; at least one.
    """
    if instance.spot:
        for price in prices:
            if (price.instance_type, price.zone) == (instance.instance_type, instance.zone):
                return price.dollars
    if instance.instance_type in on_demand:
        return on_demand[instance.instance_type]
    known = [*prices, *(Price(name, "", dollars) for name, dollars in on_demand.items())]
    return max(price.per_vcpu for price in known) * vcpus(instance.instance_type)


def charge(ledger: Ledger, running: Mapping[Instance, float], now: float) -> dict[str, Charge]:
    """Bring the ledger up to date.

    An instance that is gone is charged until now, once: it may have ended at any time since the last look.

    Args:
        ledger: as it was.
        running: dollars per hour of each running instance.
        now: Unix time, s.
    """
    charges = dict(ledger)
    rates = {instance.instance_id: dollars for instance, dollars in running.items()}
    for instance, dollars in running.items():
        known = ledger.get(instance.instance_id)
        since = known.until if known else instance.launched
        before = known.dollars if known else 0.0
        spent = before + dollars * max(0.0, now - since) / 3600
        charges[instance.instance_id] = Charge(instance.instance_type, max(now, since), dollars, spent)
    for name, gone in ledger.items():
        if gone.running and name not in rates:
            spent = gone.dollars + gone.rate * max(0.0, now - gone.until) / 3600
            charges[name] = Charge(gone.instance_type, max(now, gone.until), gone.rate, spent, running=False)
    return charges


def spent(ledger: Ledger) -> float:
    """Dollars so far."""
    return sum(each.dollars for each in ledger.values())


def hourly(ledger: Ledger) -> float:
    """Dollars per hour at the moment."""
    return sum(each.rate for each in ledger.values() if each.running)


def exhausted(ledger: Ledger, max_spend: float, blind: float = 0.0) -> bool:
    """Whether it is time to stop, so that what is spent while everything stops is within the limit too.

    Args:
        ledger: charges so far.
        max_spend: dollars.
        blind: seconds since the ledger was up to date; what runs is taken to go on running.
    """
    return spent(ledger) + hourly(ledger) * (REACTION + blind) / 3600 >= max_spend
