import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from es.cli import main
from es.commands.observations import describe
from es.envs.observations import NAMES_41, NAMES_82
from tests import checkpointed_run


def test_constant_and_spiky_observations_are_marked():
    rng = np.random.default_rng(1)
    normal, spiky = rng.standard_normal((2, 4000))
    spiky[1234] = -40.0
    seen = np.column_stack([normal, spiky, np.full(4000, 0.1), rng.integers(0, 2, 4000)])
    rows = describe(seen, ("normal", "spiky", "constant", "switch"))
    assert [(row.name, row.note) for row in rows] == [
        ("normal", ""),
        ("spiky", "spiky"),
        ("constant", "constant"),
        ("switch", ""),
    ]
    assert (rows[2].mean, rows[2].std, rows[2].min, rows[2].max) == (pytest.approx(0.1), 0.0, 0.1, 0.1)
    assert rows[1].min == -40.0
    assert rows[0].mean == pytest.approx(0, abs=0.1)
    assert rows[0].std == pytest.approx(1, abs=0.1)


def test_names_are_unique_and_complete():
    for names, size in ((NAMES_41, 41), (NAMES_82, 82)):
        assert len(names) == len(set(names)) == size
    assert NAMES_41[10] == "knee_l"
    assert NAMES_41[28:30] == ("toes_l_x", "toes_l_y")
    assert NAMES_82[41] == "obstacle_ahead_radius"
    assert NAMES_82[77] == "toes_l_ground"


@pytest.fixture
def observations(tmp_path):
    def observations(environment, *arguments):
        run = checkpointed_run.create(tmp_path, "run", environment)
        done = CliRunner().invoke(main, ["observations", run.name, "--runs-dir", str(tmp_path), *arguments])
        assert done.exit_code == 0, done.output
        return done.output

    return observations


@pytest.mark.parametrize(("size", "names"), [("41", NAMES_41), ("82", NAMES_82)])
def test_learning_to_run_is_observed_by_name(observations, size, names):
    arguments = {"observation": size, "difficulty": 0, "max_steps": 12, "integrator": "see2"}
    environment = {"id": "es/LearningToRun-v0", "arguments": arguments}
    rows = json.loads(observations(environment, "--episodes", "1", "--json"))
    assert tuple(row["name"] for row in rows) == names
    by_name = {row["name"]: row for row in rows}
    assert by_name["strength_l"]["note"] == "constant"
    assert by_name["pelvis_y"]["note"] == ""
    assert by_name["hip_r"]["min"] < by_name["hip_r"]["mean"] < by_name["hip_r"]["max"]


def test_other_environments_get_numbers_a_table_and_a_picture(observations, tmp_path):
    path = tmp_path / "seen.png"
    table = observations(
        {"id": "es/LQR-v0", "arguments": {"horizon": 20}}, "--episodes", "2", "-o", str(path)
    )
    assert "run, generation 0: 42 observations" in table
    assert "obs[1]" in table
    assert "2 observations, 0 constant, 0 spiky" in table
    with Image.open(path) as picture:
        assert picture.format == "PNG"


def test_only_png_is_drawn(tmp_path):
    run = checkpointed_run.create(tmp_path, "run", {"id": "es/LQR-v0"})
    done = CliRunner().invoke(main, ["observations", run.name, "--runs-dir", str(tmp_path), "-o", "seen.jpg"])
    assert (done.exit_code, done.stderr) == (2, "Error: seen.jpg: expected a file that ends in .png\n")
