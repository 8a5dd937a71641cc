"""How much of the rollout processes' time the simulator gets: `python -m tests.benchmarks.overhead`.

Trains Learning to Run for a few generations with a real Redis and one rollout process per core, once in
OpenSim and once on its compiled twin, then prints where the processes' wall time went.
"""

import sys
import tempfile
from pathlib import Path

from es.run_dir import GenerationRecord, RunDir
from tests.processes import es

OPENSIM = ("--set", "environment.arguments.backend=opensim", "--set", "environment.arguments.integrator=see2")


def measure(runs_dir: Path, name: str, size: int, *options: str) -> list[GenerationRecord]:
    """The records of a run without evaluations, the first generation left out: it starts the processes."""
    done = es(
        "run", "learning-to-run", "--name", name, "--generations", "4", "--set", f"population.size={size}",
        "--set", "stage=[]", "--set", "evaluation.every=0", "--runs-dir", runs_dir, *options,
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.stderr)
    return RunDir.open(runs_dir, name).generations()[1:]


def report(name: str, records: list[GenerationRecord]) -> None:
    """Print the shares of one run."""
    processes = records[0].workers
    wall = processes * sum(record.seconds for record in records)
    working = sum(record.process_seconds for record in records)
    inside = sum(record.simulator_seconds for record in records)
    episodes = sum(record.episodes for record in records)
    print(f"{name}: {processes} processes, {len(records)} generations, {episodes} episodes, {wall:.0f} s")
    print(f"{inside / working:7.2%}  of the time they worked on tasks passed inside the simulator")
    print(f"{working / wall:7.2%}  of their wall time they worked; the rest they waited for tasks")
    print(f"{inside / wall:7.2%}  of their wall time passed inside the simulator")


def main() -> None:
    """Measure both."""
    with tempfile.TemporaryDirectory() as folder:
        report("OpenSim", measure(Path(folder), "opensim", 40, *OPENSIM))
        report("compiled twin", measure(Path(folder), "twin", 480))


if __name__ == "__main__":
    main()
