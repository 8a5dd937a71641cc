"""A run directory with one checkpoint, made without training."""

from pathlib import Path
from typing import Any

from es import config
from es.run_dir import RunDir
from master.policies import build_policy
from master.update import initial_state


def create(runs_dir: Path, name: str, environment: dict[str, Any], **sections: Any) -> RunDir:
    raw = {"name": name, "environment": environment, "budget": {"generations": 1}, **sections}
    experiment = config.convert(raw, name)
    run = RunDir.create(runs_dir, experiment, name, "test")
    run.save_checkpoint(experiment, initial_state(experiment, build_policy(experiment)))
    return run
