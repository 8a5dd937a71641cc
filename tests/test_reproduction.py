import sys
from pathlib import Path
from typing import ClassVar

import gymnasium
import numpy as np
import pytest
from click.testing import CliRunner

from es import config
from es.run_dir import RunDir
from tests.reproduction import __main__ as command
from tests.reproduction import ppo, results
from tests.reproduction.results import Result
from tests.reproduction.tasks import TASKS, Task


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_each_task_has_an_experiment_of_its_name_and_environment(task: Task) -> None:
    experiment = config.load(task.experiment)
    assert (experiment.name, experiment.environment.id) == (task.name, task.environment)


def test_the_page_tells_what_was_reached_and_shows_how() -> None:
    curve = [(0, -1200.0), (1_000_000, -500.0), (2_000_000, -200.0)]
    runs = [
        Result(seed, score, 2_000_000, 90.0, curve) for seed, score in ((1, 500.0), (2, 480.0), (3, 500.0))
    ]
    page = results.markdown({"cartpole": runs, "pendulum": runs[:1]}, episodes=100)
    assert "| CartPole-v1 | ARS V1 | 500 | 500.0 | 493.3 | 9.4 | yes | 3 | 2.00 M | 1.5 min |" in page
    assert "500.0 (seed 1), 480.0 (seed 2)" in page
    assert "| median | -1200 | -1025 | -850 | -675 | -500 |" in page
    assert "Not run yet: mountain-car" in page
    missed = results.markdown({"cartpole": runs[1:2]}, episodes=100)
    assert "| 500 | 480.0 | 480.0 | 0.0 | **no** | 1 |" in missed


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    """The only task there is."""

    class Toy(Task):
        experiment = tmp_path / "toy.toml"

    task = Toy("toy", "es/LQR-v0", "OpenAI-ES", -1e6, "nowhere")
    (tmp_path / "toy.toml").write_text(
        'name = "toy"\nenvironment = { id = "es/LQR-v0" }\nbudget = { generations = 2 }\n'
        "population = { size = 8 }\n"
    )
    for module in (command, results):
        monkeypatch.setattr(module, "TASKS", (task,))
    monkeypatch.setattr(command, "HERE", tmp_path)
    return task


def test_training_skips_what_is_finished_and_refuses_runs_of_other_settings(
    toy: Task, tmp_path: Path, runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--seeds", "1", "--workers", "1", "--runs-dir", str(runs_dir)]
    done = CliRunner().invoke(command.main, options)
    assert done.exit_code == 0, done.output
    page = (tmp_path / "RESULTS.md").read_text()
    assert "| es/LQR-v0 | OpenAI-ES |" in page
    assert RunDir(runs_dir / "toy-1").info().finished

    def never(*arguments: object, **options: object) -> str:
        raise AssertionError(f"started {arguments}")

    (runs_dir / "toy-car-1").mkdir()  # of a task whose name begins alike
    monkeypatch.setattr(command, "_es", never)
    assert CliRunner().invoke(command.main, options).exit_code == 0
    assert (tmp_path / "RESULTS.md").read_text() == page

    toy.experiment.write_text(toy.experiment.read_text().replace("= 2", "= 3"))
    refused = CliRunner().invoke(command.main, options)
    assert refused.exit_code == 1
    assert "toy-1 was made with other settings; remove it to train again" in refused.output


def test_the_comparison_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    done = CliRunner().invoke(ppo.main)
    assert done.exit_code == 1
    assert "pip install stable-baselines3" in done.output


def test_the_comparison_holds_actions_and_keeps_muscles_awake() -> None:
    class Recorder(gymnasium.Env[np.ndarray, np.ndarray]):
        observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
        action_space = gymnasium.spaces.Box(0.0, 1.0, (2,))
        steps: ClassVar[list[list[float]]] = []

        def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, object]]:
            self.steps.append(action.tolist())
            return np.zeros(1), 1.5, len(self.steps) == 3, False, {}

    env = ppo.Repeated(Recorder(), 2)
    first, second = (env.step(np.array([-2.0, 1.0])) for _ in range(2))
    assert first[1:3] == (3.0, False)
    assert second[1:3] == (1.5, True)  # the episode ended in its first step
    assert Recorder.steps == [[0.05, 1.0]] * 3
