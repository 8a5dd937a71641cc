import re

import numpy as np
import pytest
from click.testing import CliRunner

from es import config
from es.cli import main
from es.errors import UsageError
from es.grading import PROTOCOLS, graded, standing
from es.rollout import Rollout
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
    "wall_speed": 1.0,
    "highest_tilt": 0.5,
    "solid_drop": 0.05,
    "running_start": 1.0,
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
    assert re.search(r"(?m)^ +1 +\S+ +\S+ +2$", plain.output), plain.output
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


@pytest.mark.parametrize(("name", "count"), [("round1", 3), ("round2", 10)])
def test_a_grade_is_the_mean_over_all_simulations_of_the_round(tmp_path, monkeypatch, name, count):
    def run_episodes(environment, experiment, state, seeds, processes):
        assert len(seeds) == count
        for seed in seeds:
            last = {"score": 20.0 + seed, "metres": 21.0 + seed, "fell": float(seed == 2)}
            failed = seed == 3
            yield Rollout(1.0, 1.0, 900, failed, "", {} if failed else last, None, 1.0)

    monkeypatch.setattr("es.commands.evaluate.run_episodes", run_episodes)
    checkpointed_run.create(tmp_path, "good", {"id": "es/LearningToRun-v0"})
    done = CliRunner().invoke(main, ["evaluate", "good", "--protocol", name, "--runs-dir", str(tmp_path)])
    scores = [0.0 if seed == 3 else 20.0 + seed for seed in range(1, count + 1)]
    mean, std, best = np.mean(scores), np.std(scores), max(scores)
    assert f"score   mean {mean:.3f}  std {std:.3f}  best {best:.3f}\n" in done.output
    assert f"25 % {np.quantile(scores, 0.25):.3f}  50 % {np.median(scores):.3f}  75 %" in done.output
    assert f"falls   1 of {count}\n" in done.output
    assert f"failed  1 of {count}, counted with what they had reached\n" in done.output
    assert f"2017    {standing(PROTOCOLS[name], mean)}\n" in done.output
    assert ("mean of 43.5 over 4000 episodes" in done.output) == (name == "round2")
