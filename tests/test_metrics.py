import pytest

from es import config
from es.protocol import Episode
from master.metrics import evaluation_record


def episode(return_: float, metres: float, *, failed: bool = False) -> Episode:
    return Episode(
        return_=return_,
        sign_return=0.0,
        length=10,
        failed=failed,
        error="",
        metrics={"metres": metres},
        statistics=None,
        simulator_seconds=0.0,
    )


def test_an_evaluation_in_both_physics_tells_the_gap() -> None:
    record = evaluation_record(
        3,
        [
            (episode(2.0, 1.0), episode(5.0, 2.0)),
            (episode(4.0, 3.0), episode(3.0, 2.5)),
            (episode(9.0, 9.0, failed=True), episode(3.0, 2.5)),
        ],
    )
    assert record.returns == [2.0, 4.0, None]
    compared = record.training_physics
    assert compared is not None
    assert compared.returns == [5.0, 3.0, 3.0]
    assert compared.return_gap == pytest.approx(1.0)
    assert compared.return_gap_largest == 3.0
    assert compared.metrics_gap == {"metres": pytest.approx(0.25)}


def test_in_one_physics_there_is_nothing_to_compare() -> None:
    assert evaluation_record(0, [(episode(2.0, 1.0),)]).training_physics is None


def test_a_comparison_that_has_no_common_episode_has_no_gap() -> None:
    record = evaluation_record(0, [(episode(2.0, 1.0, failed=True), episode(5.0, 2.0))])
    assert record.training_physics is not None
    assert record.training_physics.return_gap is None
    assert record.training_physics.metrics_gap == {}


def test_only_the_physics_are_those_of_training() -> None:
    def compared(training: dict[str, object], evaluation: dict[str, object]) -> dict[str, object] | None:
        experiment = config.Experiment(
            name="x",
            environment=config.Environment(id="es/LearningToRun-v0", arguments=training),
            evaluation=config.Evaluation(arguments=evaluation),
            budget=config.Budget(generations=1),
        )
        environment = config.same_in_training_physics(experiment)
        return environment.arguments if environment else None

    twin = {"backend": "native", "integrator": "ros2", "difficulty": 0}
    assert compared(twin, {"difficulty": 2}) is None
    assert compared({}, {}) is None
    scored = {"backend": "opensim", "integrator": "rkm", "difficulty": 2, "accuracy": 1e-3}
    assert compared(twin, scored) == {"backend": "native", "integrator": "ros2", "difficulty": 2}
