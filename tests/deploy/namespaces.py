"""Hosts on one machine: a network namespace each, on a bridge of their own, with an overlay of the root.

Everything has a name that begins with PREFIX and this process' id. Processes of a host live in a PID
namespace, so that ending its first process ends them all.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PREFIX = "esns"
TOOLS = ("ip", "unshare", "setpriv", "taskset", "chroot", "curl")
NETWORK = "10.213.{}.{}"
# The host's folder comes first, then the command. What is mounted here goes with the mount namespace.
OVERLAY = """
set -e
host=$1; shift
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=/,upperdir=$host/upper,workdir=$host/work" "$host/root"
mount --rbind /dev "$host/root/dev"
mount -t proc proc "$host/root/proc"
exec chroot "$host/root" "$@"
"""


class NotAllowedError(Exception):
    """This machine does not let us."""


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotAllowedError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def sweep() -> None:
    """Remove what tests that were killed have left."""
    for kind in ("netns", "link"):
        for name, pid in re.findall(rf"\b({PREFIX}(\d+)[\w-]*)", run("ip", "-o", kind)):
            if not Path(f"/proc/{pid}").exists():
                subprocess.run(["ip", kind, "delete", name], capture_output=True, check=False)


class Host:
    """One host: a network namespace on the bridge and a writable copy of the root directory."""

    def __init__(self, network: "Network", name: str, number: int) -> None:
        self.name = name
        self.address = NETWORK.format(network.number, number)
        self.namespace = f"{network.name}-{name}"
        self._link = f"{network.name}v{number}"
        self._bridge = network.name
        self.folder = network.folder / name
        self.processes: list[subprocess.Popen[bytes]] = []

    def create(self) -> None:
        for part in ("upper", "work", "root"):
            (self.folder / part).mkdir(parents=True)
        run("ip", "netns", "add", self.namespace)
        run("ip", "link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", self.namespace)
        run("ip", "link", "set", self._link, "master", self._bridge, "up")
        self.inside("ip", "link", "set", "lo", "up")
        self.inside("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self.inside("ip", "link", "set", "eth0", "up")

    def inside(self, *command: str) -> str:
        """Run something in the network namespace, on the machine's own root."""
        return run("ip", "netns", "exec", self.namespace, *command)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file of the host's root, before anything is started there."""
        target = self.folder / "upper" / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def read(self, path: str) -> str:
        """What the host has written into a file of its root; empty if it has not."""
        target = self.folder / "upper" / path.lstrip("/")
        return target.read_text(errors="replace") if target.is_file() else ""

    def start(
        self, command: Sequence[str], environment: dict[str, str], log: Path, *, own_root: bool = True
    ) -> subprocess.Popen[bytes]:
        """Start a command in the host's namespaces; in its root, only one at a time."""
        root = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", OVERLAY, "sh")
        with log.open("ab") as output:
            process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL"),  # nothing here outlives the tests, however they end
                    *("ip", "netns", "exec", self.namespace),
                    *([*root, str(self.folder)] if own_root else []),
                    *command,
                ],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def cut(self) -> None:
        """Take the host off the network."""
        run("ip", "link", "set", self._link, "down")

    def join(self) -> None:
        """Put it back."""
        run("ip", "link", "set", self._link, "up")

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        subprocess.run(["ip", "netns", "delete", self.namespace], capture_output=True, check=False)
        subprocess.run(["ip", "link", "delete", self._link], capture_output=True, check=False)


class Network:
    """A bridge and its hosts; all of it is gone after the ``with`` block.

    Raises:
        NotAllowedError: this machine does not let us.
    """

    def __init__(self, folder: Path) -> None:
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        if os.geteuid() != 0 or missing:
            raise NotAllowedError(f"expected to be root on Linux with {', '.join(TOOLS)}")
        self.folder = folder
        self.number = os.getpid() % 250 + 1
        self.name = f"{PREFIX}{os.getpid()}"
        self.address = NETWORK.format(self.number, 1)
        self.hosts: list[Host] = []

    def __enter__(self) -> Self:
        sweep()
        try:
            run("ip", "link", "add", self.name, "type", "bridge")
            run("ip", "address", "add", f"{self.address}/24", "dev", self.name)
            run("ip", "link", "set", self.name, "up")
        except BaseException:
            self.close()
            raise
        return self

    def host(self, name: str) -> Host:
        """Add a host."""
        host = Host(self, name, len(self.hosts) + 2)
        self.hosts.append(host)  # before anything is made, so that all of it goes
        host.create()
        return host

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for host in self.hosts:
            host.close()
        subprocess.run(["ip", "link", "delete", self.name], capture_output=True, check=False)
