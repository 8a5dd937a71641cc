from pathlib import Path

import msgspec
import pytest

from es import config
from es.errors import RunDirectoryError, RunNotFoundError, UsageError
from es.run_dir import EvaluationRecord, GenerationRecord, RunDir, all_runs
from tests.test_checkpoint import state

EXPERIMENT = config.load("lqr")


def create(runs_dir: Path, name: str | None = None) -> RunDir:
    return RunDir.create(runs_dir, EXPERIMENT, name, "1.0")


def generation_record(generation: int) -> GenerationRecord:
    zeros = dict.fromkeys(GenerationRecord.__struct_fields__, 0)
    empty = {"stage": "", "ramps": {}, "metrics": {}, "metrics_max": {}, "errors": {}, "time": "now"}
    return msgspec.convert(zeros | empty | {"generation": generation}, GenerationRecord)


def evaluation_record(generation: int) -> EvaluationRecord:
    return EvaluationRecord(
        generation=generation,
        returns=[1.0, None],
        return_mean=1.0,
        return_std=0.0,
        lengths=[3, 3],
        metrics={},
        failed=1,
        time="now",
    )


def test_runs_are_numbered_or_named(runs_dir: Path) -> None:
    runs = [create(runs_dir), create(runs_dir), create(runs_dir, "mine")]
    assert [run.name for run in runs] == ["lqr-1", "lqr-2", "mine"]
    assert len({run.info().run_id for run in runs}) == 3
    assert [run.name for run in all_runs(runs_dir)] == ["lqr-1", "lqr-2", "mine"]
    assert runs[0].experiment() == EXPERIMENT
    with pytest.raises(UsageError, match="mine exists already"):
        create(runs_dir, "mine")
    with pytest.raises(UsageError, match="expected letters, digits"):
        create(runs_dir, "../escape")


def test_a_run_is_opened_by_name_or_path(runs_dir: Path) -> None:
    create(runs_dir, "mine")
    assert RunDir.open(runs_dir, "mine").name == "mine"
    assert RunDir.open(Path("elsewhere"), str(runs_dir / "mine")).name == "mine"
    with pytest.raises(RunNotFoundError, match=r"yours: no such run in .*; the latest are mine"):
        RunDir.open(runs_dir, "yours")


def test_records_come_back_in_order(runs_dir: Path) -> None:
    run = create(runs_dir)
    assert run.generations() == []
    for generation in (1, 2):
        run.append(generation_record(generation))
    run.append(evaluation_record(2))
    assert [record.generation for record in run.generations()] == [1, 2]
    assert run.evaluations() == {2: evaluation_record(2)}


def test_a_half_written_last_line_is_not_a_record(runs_dir: Path) -> None:
    run = create(runs_dir)
    run.append(generation_record(1))
    with (run.path / "generations.jsonl").open("ab") as file:
        file.write(b'{"generation": 2, "ret')
    assert [record.generation for record in run.generations()] == [1]
    run.forget_after(1)
    run.append(generation_record(2))
    assert [record.generation for record in run.generations()] == [1, 2]


def test_a_broken_line_in_the_middle_is_named(runs_dir: Path) -> None:
    run = create(runs_dir)
    (run.path / "generations.jsonl").write_bytes(b"nonsense\n")
    with pytest.raises(RunDirectoryError, match="line 1 is not a GenerationRecord"):
        run.generations()


def test_what_a_resumed_run_repeats_is_forgotten(runs_dir: Path) -> None:
    run = create(runs_dir)
    for generation in (1, 2, 3):
        run.append(generation_record(generation))
        run.append(evaluation_record(generation))
    run.forget_after(2)
    assert [record.generation for record in run.generations()] == [1, 2]
    assert sorted(run.evaluations()) == [1, 2]


def test_a_damaged_checkpoint_costs_only_the_generations_since_the_one_before(runs_dir: Path) -> None:
    run = create(runs_dir)
    for generation in (4, 5):
        run.save_checkpoint(EXPERIMENT, state(generation))
    run.checkpoint_path(5).write_bytes(b"PK damaged")
    assert run.latest_readable().generation == 4
    run.checkpoint_path(4).unlink()
    with pytest.raises(RunDirectoryError, match=r"nothing to resume from: .*00000005\.npz: not a readable"):
        run.latest_readable()


def test_missing_checkpoints_are_named(runs_dir: Path) -> None:
    run = create(runs_dir)
    run.save_checkpoint(EXPERIMENT, state(4))
    with pytest.raises(RunNotFoundError, match="no checkpoint of generation 9; there are 4"):
        run.load_checkpoint(9)


def test_one_master_at_a_time(runs_dir: Path) -> None:
    run = create(runs_dir, "mine")
    assert run.status() == "stopped"
    with run.lock():
        assert run.status() == "running"
        with pytest.raises(UsageError, match="mine: another master is working on this run"), run.lock():
            pass
    assert run.status() == "stopped"
    run.write_info(msgspec.structs.replace(run.info(), finished=True))
    assert run.status() == "finished"


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="file/runs: cannot write: Not a directory"):
        create(tmp_path / "file" / "runs")


def test_an_export_is_a_run_with_one_policy_and_a_thinner_curve(runs_dir: Path, tmp_path: Path) -> None:
    run = create(runs_dir, "mine")
    for generation in range(1, 8):
        run.append(generation_record(generation))
        run.save_checkpoint(EXPERIMENT, state(generation))
    for generation in (0, 3, 7):
        run.append(evaluation_record(generation))
    copy = run.export(tmp_path / "copy", 6, records=3)
    assert copy.checkpoints() == [6]
    assert [record.generation for record in copy.generations()] == [2, 3, 4, 6]
    assert list(copy.evaluations()) == [0, 3]
    assert copy.status() == "finished"
    assert copy.experiment() == EXPERIMENT
    with pytest.raises(UsageError, match="copy exists already"):
        run.export(tmp_path / "copy", 6, records=3)
    with pytest.raises(RunNotFoundError, match="no checkpoint of generation 9"):
        run.export(tmp_path / "other", 9, records=3)
    assert not (tmp_path / "other").exists()


def test_an_export_that_went_on_keeps_its_curve_when_it_is_exported_again(
    runs_dir: Path, tmp_path: Path
) -> None:
    run = create(runs_dir, "mine")
    for generation in range(1, 9):
        run.append(generation_record(generation))
    run.save_checkpoint(EXPERIMENT, state(8))
    first = run.export(tmp_path / "first", 8, records=2)
    assert [record.generation for record in first.generations()] == [4, 8]
    for generation in range(9, 13):
        first.append(generation_record(generation))
    first.save_checkpoint(EXPERIMENT, state(12))
    again = first.export(tmp_path / "again", 12, records=3)
    assert [record.generation for record in again.generations()] == [4, 8, 12]
