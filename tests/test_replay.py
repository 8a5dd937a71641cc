import gymnasium
import pytest
from click.testing import CliRunner
from PIL import Image

from es.cli import main
from tests import checkpointed_run
from tests.test_film import Bar


class Broken(Bar):
    def render(self):
        raise RuntimeError("no display\nfound")


class Text(Bar):
    def render(self):
        return "a picture"


@pytest.fixture(autouse=True, scope="module")
def registered():
    ids = {"tests/Bar-v0": Bar, "tests/Broken-v0": Broken, "tests/Text-v0": Text}
    for name, env in ids.items():
        gymnasium.register(name, env)
    yield
    for name in ids:
        del gymnasium.registry[name]


@pytest.fixture
def replay(tmp_path, monkeypatch):
    monkeypatch.setenv("ES_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)

    def replay(environment, *arguments, **options):
        run = checkpointed_run.create(tmp_path / "runs", "run", {"id": environment, **options})
        return CliRunner().invoke(main, ["replay", run.name, *arguments])

    return replay


def test_an_episode_becomes_a_gif(replay, tmp_path):
    done = replay("tests/Bar-v0", "-o", "gait.gif")
    assert done.exit_code == 0, done.output
    assert "gait.gif: generation 0, seed 1, 100 steps, return 100.00; 26 frames, 1.0 s, 0.0 MB" in done.output
    with Image.open(tmp_path / "gait.gif") as gif:
        assert (gif.n_frames, gif.size) == (26, (121, 21))


def test_held_actions_are_filmed_step_by_step(replay, tmp_path):
    assert replay("tests/Bar-v0", "-o", "gait.gif", "--fps", "50", action_repeat=8).exit_code == 0
    with Image.open(tmp_path / "gait.gif") as gif:
        assert gif.n_frames == 51


def test_learning_to_run_is_filmed(replay, tmp_path):
    arguments = {"max_obstacles": 1, "max_steps": 9, "integrator": "see2"}
    done = replay("es/LearningToRun-v0", "-o", "gait.html", arguments=arguments)
    assert done.exit_code == 0, done.output
    assert "9 steps, return" in done.output
    assert "3 frames" in done.output
    assert (tmp_path / "gait.html").read_text().count("data:image/webp") == 3


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ("es/LQR-v0", "es/LQR-v0 cannot be filmed: expected render mode rgb_array, it has none"),
        ("tests/Broken-v0", "tests/Broken-v0 cannot be filmed: RuntimeError: no display found"),
        (
            "tests/Text-v0",
            "tests/Text-v0 cannot be filmed: UsageError: "
            "expected uint8 pixels of shape (height, width, 3), got str",
        ),
    ],
)
def test_what_has_no_pictures_is_refused_in_one_line(replay, tmp_path, environment, reason):
    done = replay(environment, "-o", "gait.gif")
    assert done.exit_code == 2
    assert done.stderr == f"Error: {reason}\n"
    assert not (tmp_path / "gait.gif").exists()


def test_the_output_is_checked_first(replay):
    done = replay("tests/Bar-v0", "-o", "gait.avi")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "expected a file that ends in .gif, .mp4, .html" in done.stderr


def test_seeds_and_generations_are_chosen_as_for_evaluate(replay):
    done = replay("tests/Bar-v0", "-o", "gait.gif", "--generation", "4")
    assert done.stderr == "Error: run: no checkpoint of generation 4; there are 0\n"
