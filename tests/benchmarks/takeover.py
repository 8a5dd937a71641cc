"""How long until a killed worker's task runs elsewhere: `python -m tests.benchmarks.takeover`."""

import tempfile
import time
from pathlib import Path

import msgspec

from es import config, noise, protocol
from es.protocol import GROUP, Announcement, MasterClient, Task
from es.redis_server import RedisServer
from master import update
from master.policies import build_policy
from tests.processes import kill_tree, start, wait_until
from worker.agent import software_version

EXPERIMENT = {
    "name": "naps",
    "environment": {"id": "tests.benchmarks.naps:Naps-v0", "arguments": {"seconds": 30.0}},
    "budget": {"generations": 1},
}
ROUNDS = 5


def main() -> None:
    """Kill the worker that has the only task, again and again, while another one idles."""
    experiment = config.convert(EXPERIMENT, "naps")
    state = update.initial_state(experiment, build_policy(experiment))
    with RedisServer() as server, tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.txt"
        connection = protocol.connect(server.url)
        master = MasterClient(connection, server.url, "naps")
        master.announce(
            Announcement("naps", software_version(), noise.fingerprint(), msgspec.json.encode(experiment))
        )
        master.publish(update.message("naps", experiment, state), [Task("naps", 1, "train", (0,))])

        def owner() -> str:
            pending = connection.xpending_range("es:naps:tasks", GROUP, min="-", max="+", count=1)
            return pending[0]["consumer"].decode() if pending else ""

        def running() -> bool:
            return len(master.workers()) == 2 and bool(owner())

        workers = {}
        for _ in range(ROUNDS):
            while len(workers) < 2:
                worker = start("worker", "--workers", "1", "--redis", server.url, log=log)
                workers[worker.pid] = worker
            wait_until(running, "two workers, one with the task")
            before = owner()
            victim = workers.pop(int(before.split("-")[-2]))
            began = time.monotonic()
            kill_tree(victim)
            wait_until(lambda: owner() != before, "the other one to take over")  # noqa: B023  (called here)
            print(f"taken over after {time.monotonic() - began:.1f} s", flush=True)
        for worker in workers.values():
            kill_tree(worker)


if __name__ == "__main__":
    main()
