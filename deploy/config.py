"""The deployment: a small TOML in, one frozen, fully checked struct out; nothing is asked of AWS.

The file's name, without its ending, is the deployment's: every name on AWS is derived from it.
"""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from deploy import cost
from es import config
from es.errors import DeploymentError
from es.explain import explain

NAME = re.compile(r"[a-z][a-z0-9-]{0,22}[a-z0-9]")
TTL = re.compile(r"(\d+(?:\.\d+)?)([mhd])")
UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0}
TTL_RANGE = (600.0, 30 * 86400.0)  # s

Dollars = Annotated[float, Meta(gt=0, le=1e6)]


class Deployment(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to run, where, and for how much at most."""

    region: Annotated[str, Meta(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")]
    """An AWS region, e.g. ``us-east-1``."""
    experiment: str
    """A shipped experiment, or the path of an experiment file, seen from this one."""
    instance_types: Annotated[tuple[str, ...], Meta(min_length=1, max_length=40)]
    """Types a worker may have; the more, the easier AWS finds spot capacity. x86_64 (OpenSim has no wheel for
    Linux on aarch64), families C, D, H, I, M, R, T and Z, sizes from ``large``."""
    vcpus: Annotated[int, Meta(ge=2, le=20_000)]
    """How many vCPUs all workers have together; each runs one rollout process."""
    market: Literal["spot", "on-demand"] = "spot"
    """How workers are bought. The master is on-demand."""
    max_spend: Dollars
    """Dollars after which the fleet ends, counted since it was first made."""
    ttl: str
    """How long the fleet lives, from 10m to 30d, e.g. ``90m``, ``12h``, ``2d``; then AWS itself ends it."""
    master_type: str = "m7i.xlarge"
    """Type of the master, which also runs Redis."""
    idle_minutes: Annotated[float, Meta(ge=0.1, le=1440)] = 15.0
    """A worker that finds nothing to do for so long ends itself."""
    volume_gb: Annotated[int, Meta(ge=8, le=1000)] = 16
    """Disk of each instance."""
    subnets: tuple[Annotated[str, Meta(pattern="^subnet-[0-9a-f]+$")], ...] = ()
    """Where instances start; empty: in all of the default VPC."""
    bucket: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")] | None = None
    """An existing S3 bucket to use; None: one of its own."""
    instance_profile: Annotated[str, Meta(pattern=r"^[\w+=,.@-]{1,128}$")] | None = None
    """An existing instance profile for all instances; None: roles of its own, with no more rights than they
    need."""
    prices: dict[str, Dollars] = {}
    """Dollars per hour by instance type, for `plan --offline`, and where AWS does not tell."""

    def __post_init__(self) -> None:
        """Refuse types that cannot work and times that make no sense."""
        for instance_type in (*self.instance_types, self.master_type):
            cost.vcpus(instance_type)
        seconds(self.ttl)

    @property
    def ttl_seconds(self) -> float:
        """``ttl`` in seconds."""
        return seconds(self.ttl)


def seconds(ttl: str) -> float:
    """``90m``, ``12h`` or ``2d`` in seconds.

    Raises:
        ValueError: it is nothing like that, or out of range.
    """
    match = TTL.fullmatch(ttl)
    value = float(match[1]) * UNITS[match[2]] if match else 0.0
    if not TTL_RANGE[0] <= value <= TTL_RANGE[1]:
        raise ValueError(f"expected a `ttl` from 10m to 30d such as 90m, 12h or 2d, got {ttl!r}")
    return value


def locate(deployment: str) -> tuple[str, Path]:
    """Name and file of a deployment, given either: ``runner`` is described by ``runner.toml``.

    Raises:
        DeploymentError: not a name that AWS would take everywhere.
    """
    path = Path(deployment if deployment.endswith(".toml") else f"{deployment}.toml")
    if not NAME.fullmatch(path.stem):
        raise DeploymentError(
            f"{path.stem!r}: expected a name of 2 to 24 small letters, digits and dashes, a letter first"
        )
    return path.stem, path


def load(path: Path) -> Deployment:
    """Read a deployment; an experiment file becomes an absolute path.

    Raises:
        DeploymentError: anything wrong with it, in one line.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DeploymentError(f"{path}: cannot read the deployment: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DeploymentError(f"{path}: not valid TOML: {error}") from error
    try:
        deployment = msgspec.convert(raw, Deployment)
    except msgspec.ValidationError as error:
        raise DeploymentError(f"{path}: {explain(Deployment, raw, str(error))}") from error
    if deployment.experiment in config.shipped():
        return deployment
    experiment = (path.parent / deployment.experiment).resolve()
    return msgspec.structs.replace(deployment, experiment=str(experiment))
