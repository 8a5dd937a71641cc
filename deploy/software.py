"""The software that instances install: this package as a wheel, and the exact versions of all it needs."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path
from typing import NamedTuple

from es.errors import DeploymentError

PACKAGE = "opensim-es"
PACKAGES = ("es", "master", "worker", "deploy")
BESIDE = ("pyproject.toml", "README.md", "LICENSE")
# A wheel holds the times of its files; with this one, equal sources give equal wheels.
EPOCH = "1577836800"


class Software(NamedTuple):
    """What every instance installs."""

    file_name: str
    """Of the wheel."""
    wheel: bytes
    constraints: str
    """For pip: NAME==VERSION by line."""

    @property
    def digest(self) -> str:
        """Names it."""
        return hashlib.sha256(self.wheel + self.constraints.encode()).hexdigest()[:16]

    def files(self) -> dict[str, bytes]:
        """Contents by file name."""
        return {self.file_name: self.wheel, "constraints.txt": self.constraints.encode()}


def constraints() -> str:
    """The versions installed here, so that all hosts, today's and next week's, compute the same."""
    found = {
        each.metadata["Name"].lower().replace("_", "-"): each.version
        for each in distributions()
        if "+" not in each.version and each.metadata["Name"]
    }
    found.pop(PACKAGE, None)
    return "".join(f"{name}=={version}\n" for name, version in sorted(found.items()))


def load(wheel: Path) -> Software:
    """A wheel that exists already.

    Raises:
        DeploymentError: it cannot be read, or is none of this package's.
    """
    if not wheel.name.startswith("opensim_es-") or wheel.suffix != ".whl":
        raise DeploymentError(
            f"--wheel {wheel}: expected a wheel of this package, opensim_es-VERSION-....whl"
        )
    try:
        return Software(wheel.name, wheel.read_bytes(), constraints())
    except OSError as error:
        raise DeploymentError(f"--wheel {wheel}: not readable: {error.strerror}") from error


def build() -> Software:
    """A wheel of the sources this is running from.

    Raises:
        DeploymentError: it runs from no sources, or they do not build.
    """
    sources = Path(__file__).resolve().parent.parent
    if not (sources / "pyproject.toml").is_file():
        raise DeploymentError(
            f"{sources}: no sources to build the instances' software from; give it with --wheel FILE"
        )
    with tempfile.TemporaryDirectory(prefix="es-wheel-") as folder:
        # A copy: what earlier builds left beside the sources must not get into the wheel.
        copy = Path(folder) / "sources"
        copy.mkdir()
        for name in BESIDE:
            shutil.copy(sources / name, copy)
        for name in PACKAGES:
            shutil.copytree(sources / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        done = subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, str(copy)],
            env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH},
            capture_output=True,
            text=True,
            check=False,
        )
        built = list(Path(folder).glob("*.whl"))
        if done.returncode or len(built) != 1:
            said = done.stderr.strip().splitlines() or ["nothing"]
            raise DeploymentError(f"{sources}: building the wheel failed: {said[-1]}")
        return load(built[0])
