"""The runner that plans, in OpenSim."""

import json
from pathlib import Path

import pytest

from tests.processes import es

pytest.importorskip("opensim", reason="OpenSim has no wheel for this platform")


SLOW = 900.0  # s, for a machine that is busy; it takes a minute and a half of one that is not


# A course that OpenSim takes half a minute for; the plans take another one. Of two plans that are worth the
# same the last bit decides, so that another processor's runner may go another way, and come about as far.
@pytest.mark.timeout(SLOW)
def test_the_planning_runner_runs_as_far_as_reported(tmp_path: Path) -> None:
    arguments = ("evaluate", "planning-runner", "--protocol", "round2", "--episodes", "1", "--seed", "16")
    done = es(*arguments, "--json", "--runs-dir", tmp_path, deadline=SLOW)
    (episode,) = json.loads(done.stdout)
    assert episode["score"] == pytest.approx(32.65, abs=1.0)
    assert episode["length"] == 1000
