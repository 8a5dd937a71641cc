"""What a deployment remembers, in its bucket: what was asked for, what was spent, how it ended; no secret.

record.json        Record       written by `up`, read by every host
state/ledger.json  Ledger       written by the master
state/end.txt      one line     written by the master when it ends the fleet: why
software/DIGEST/   wheel and constraints
run/               the run directory, kept up to date by the master
logs/ROLE-ID.log   what each host said
"""

from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from deploy import cost
from deploy.config import Deployment
from es.errors import CloudError

RECORD = "record.json"
LEDGER = "state/ledger.json"
END = "state/end.txt"
SOFTWARE = "software"
RUN = "run"
LOGS = "logs"


class Record(Struct, frozen=True, kw_only=True):
    """What `up` agreed on."""

    deployment: Deployment
    experiment: str
    """The experiment as TOML, every setting spelled out."""
    on_demand: dict[str, float]
    """Dollars per hour by instance type, when it was agreed."""
    software: str
    """Digest of what instances install."""
    created: float
    """When the TTL began; Unix time, s."""

    @property
    def until(self) -> datetime:
        """When AWS ends the fleet."""
        return datetime.fromtimestamp(round(self.created + self.deployment.ttl_seconds), UTC)


def encode(content: Record | cost.Ledger) -> bytes:
    """As JSON that a person can read."""
    return msgspec.json.format(msgspec.json.encode(content)) + b"\n"


def decode(data: bytes, source: str) -> Record:
    """A record.

    Raises:
        CloudError: it is none; ``source`` is named.
    """
    try:
        return msgspec.json.decode(data, type=Record)
    except msgspec.DecodeError as error:
        raise CloudError(f"{source}: not the record of a deployment of this version: {error}") from error


def decode_ledger(data: bytes | None, source: str) -> dict[str, cost.Charge]:
    """A ledger; empty if there is none yet.

    Raises:
        CloudError: it is none; ``source`` is named.
    """
    try:
        return {} if data is None else msgspec.json.decode(data, type=dict[str, cost.Charge])
    except msgspec.DecodeError as error:
        raise CloudError(f"{source}: not a ledger: {error}") from error
