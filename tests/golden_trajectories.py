"""Recorded trajectories of the 2017 environment, run on OpenSim 4.6.

A few are kept in ``tests/golden``; a directory ``../shared`` beside the repository may hold more.
"""

from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "tests" / "golden"
SHARED = ROOT.parent / "shared" / "learning_to_run" / "golden"

_FILES = {path.stem: path for folder in (SHARED, KEPT) for path in sorted(folder.glob("*.npz"))}

CHAINS = sorted(name for name in _FILES if name.startswith("chain_"))
# The compiled twin's own reference (tests/native_oracle.py) records states, not rewards and observations.
EPISODES = sorted(name for name in _FILES if not name.startswith(("chain_", "native_")))
# With no excitation at all the muscles are so stiff that the recording itself is mostly integrator error.
COMPARABLE = [name for name in EPISODES if not name.endswith("_zeros")]


def load(name: str) -> dict[str, np.ndarray]:
    with np.load(_FILES[name]) as file:
        return dict(file)
