import re

import pytest
from click.testing import CliRunner

from es import config
from es.cli import main
from es.errors import UsageError
from es.grading import PROTOCOLS, graded, standing
from tests import checkpointed_run

EASY = {
    "difficulty": 0,
    "max_obstacles": 0,
    "max_steps": 3,
    "observation": "82",
    "reward": "shaped",
    "course": "intended",
    "backend": "native",
    "integrator": "see2",
    "accuracy": 0.1,
}


@pytest.mark.parametrize(("name", "obstacles"), [("round1", 3), ("round2", 10)])
def test_a_protocol_replaces_everything_but_what_belongs_to_the_policy(name, obstacles):
    trained = config.Environment(id="es/LearningToRun-v0", arguments=EASY, action_repeat=5)
    rules = graded(trained, PROTOCOLS[name])
    assert rules.arguments == {
        "difficulty": 2,
        "max_obstacles": obstacles,
        "max_steps": 1000,
        "observation": "82",
        "reward": "shaped",
        "course": "literal",
        "backend": "opensim",
        "integrator": "rkm",
        "accuracy": 1e-3,
    }
    assert rules.action_repeat == 5
    assert trained.arguments == EASY


def test_only_learning_to_run_is_graded():
    with pytest.raises(UsageError, match=r"grades es/LearningToRun-v0 only; this run trained on CartPole-v1"):
        graded(config.Environment(id="CartPole-v1"), PROTOCOLS["round2"])


@pytest.mark.parametrize(
    ("name", "score", "place"),
    [
        ("round2", 46.0, "at or above the winner (45.97)"),
        ("round2", 45.97, "at or above the winner (45.97)"),
        ("round2", 30.0, "between 22nd (18.62) and the winner (45.97)"),
        ("round2", 18.0, "below 22nd (18.62)"),
        ("round1", 40.0, "at or above 42nd (22.71)"),
        ("round1", 16.0, "between the threshold for round 2 (15.00) and 63rd (17.51)"),
        ("round1", -1.0, "below the threshold for round 2 (15.00)"),
    ],
)
def test_a_score_is_placed_among_those_of_2017(name, score, place):
    assert standing(PROTOCOLS[name], score) == place


def test_a_run_is_graded_by_the_protocol_whatever_it_trained_and_evaluates_with(tmp_path):
    easy = EASY | {"backend": "opensim"}
    checkpointed_run.create(
        tmp_path,
        "easy",
        {"id": "es/LearningToRun-v0", "arguments": easy},
        evaluation={"arguments": {"max_steps": 2, "integrator": "see2", "max_obstacles": 1}},
    )
    arguments = ["evaluate", "easy", "--episodes", "1", "--workers", "1", "--runs-dir", str(tmp_path)]
    plain = CliRunner().invoke(main, arguments)
    assert re.search(r"1 +\S+ +\S+ +2 ", plain.output), plain.output
    done = CliRunner().invoke(main, [*arguments, "--protocol", "round2"])
    assert done.exit_code == 0, done.output
    assert "easy, generation 0, round2 of 2017" in done.output
    seed, score, _, fell, steps = re.search(
        r"(\d) +(-?\d\.\d\d) +(-?\d\.\d\d) +(fell) +(\d+)", done.output
    ).groups()
    assert (seed, fell) == ("1", "fell")
    assert 50 < int(steps) < 1000
    assert re.search(r"score   mean (\S+)  std 0.000  best \1\n", done.output)
    assert float(re.search(r"best (\S+)", done.output)[1]) == pytest.approx(float(score), abs=0.006)
    assert "falls   1 of 1" in done.output
    assert "2017    below 22nd (18.62)" in done.output


def test_the_protocol_says_how_many_episodes():
    assert [PROTOCOLS[name].simulations for name in ("round1", "round2")] == [3, 10]
