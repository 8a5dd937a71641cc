from pathlib import Path

import msgspec
import pytest
from PIL import Image

from es.commands.plot import AXES, curve
from es.errors import UsageError
from es.run_dir import GenerationRecord
from tests.processes import es
from tests.test_run_dir import create, evaluation_record, generation_record


def record(generation: int, stage: str) -> GenerationRecord:
    return msgspec.structs.replace(
        generation_record(generation),
        stage=stage,
        metrics={"metres": float(generation)},
        metrics_max={"metres": 2.0 * generation},
        steps_total=100 * generation,
        seconds=1800.0,
        workers=2,
    )


RECORDS = [record(1, "walk"), record(2, "walk"), record(3, "run")]
EVALUATIONS = {0: evaluation_record(0), 2: evaluation_record(2)}


def test_a_curve_has_means_bests_stages_and_evaluations() -> None:
    metres = curve("mine", RECORDS, EVALUATIONS, "steps", "metres")
    assert metres.x == [100.0, 200.0, 300.0]
    assert metres.mean == [1.0, 2.0, 3.0]
    assert metres.best == [2.0, 4.0, 6.0]
    assert metres.stages == [(0.0, "walk"), (200.0, "run")]
    assert metres.evaluated == []
    returns = curve("mine", RECORDS, EVALUATIONS, "core-hours", "return")
    assert returns.x == [1.0, 2.0, 3.0]
    assert (returns.evaluated_x, returns.evaluated) == ([0.0, 2.0], [1.0, 1.0])


def test_a_metric_nobody_recorded_is_named() -> None:
    with pytest.raises(UsageError, match="--y meters: expected one of metres, return, which mine recorded"):
        curve("mine", RECORDS, {}, "steps", "meters")


@pytest.mark.parametrize("axis", AXES)
def test_a_picture_is_written(runs_dir: Path, tmp_path: Path, axis: str) -> None:
    run = create(runs_dir, "mine")
    for each in RECORDS:
        run.append(each)
    done = es("plot", "mine", "-o", tmp_path / "curve.png", "--x", axis, "--runs-dir", runs_dir)
    assert done.returncode == 0, done.stderr
    assert f"metres over {AXES[axis][0]} of mine" in done.stdout
    assert Image.open(tmp_path / "curve.png").size == (1350, 675)


def test_a_run_without_generations_is_named(runs_dir: Path, tmp_path: Path) -> None:
    create(runs_dir, "mine")
    done = es("plot", "mine", "-o", tmp_path / "curve.png", "--runs-dir", runs_dir)
    assert "mine: no generation is complete yet" in done.stderr
