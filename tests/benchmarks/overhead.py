"""How much of the rollout processes' time the simulator gets: `python -m tests.benchmarks.overhead`.

Trains Learning to Run for a few generations with a real Redis and one rollout process per core, then prints
where the processes' wall time went.
"""

import sys
import tempfile
from pathlib import Path

from es.run_dir import GenerationRecord, RunDir
from tests.processes import es


def measure(runs_dir: Path, generations: int = 4, size: int = 48) -> list[GenerationRecord]:
    """The records of a run without evaluations, the first generation left out: it starts the processes."""
    done = es(
        "run", "learning-to-run", "--name", "overhead", "--generations", str(generations),
        "--set", f"population.size={size}", "--set", "evaluation.every=0", "--runs-dir", runs_dir,
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.stderr)
    return RunDir.open(runs_dir, "overhead").generations()[1:]


def main() -> None:
    """Print the shares."""
    with tempfile.TemporaryDirectory() as folder:
        records = measure(Path(folder))
    processes = records[0].workers
    wall = processes * sum(record.seconds for record in records)
    working = sum(record.process_seconds for record in records)
    inside = sum(record.simulator_seconds for record in records)
    episodes = sum(record.episodes for record in records)
    print(f"{processes} rollout processes, {len(records)} generations, {episodes} episodes")
    print(f"{inside / working:7.2%}  of the time they worked on tasks went into the simulator")
    print(f"{inside / wall:7.2%}  of their wall time, waiting for the last episode of a generation included")


if __name__ == "__main__":
    main()
