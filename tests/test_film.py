import base64
import io
import os
import re
import shutil

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from PIL import Image

from es import film
from es.errors import EsError, UsageError


class Bar(gymnasium.Env):
    """Draws a red bar as many pixels from the left as steps were made."""

    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = spaces.Discrete(2)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 100}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return np.zeros(1), {}

    def step(self, action):
        self.steps += 1
        return np.zeros(1), 1.0, False, self.steps == 100, {}

    def render(self):
        picture = np.full((21, 121, 3), 255, np.uint8)
        picture[:, self.steps : self.steps + 3] = 255, 0, 0
        return picture


def shoot(fps=25, steps=100, render_fps=100):
    env = Bar()
    env.metadata = {**Bar.metadata, "render_fps": render_fps}
    camera = film.Camera(env, fps)
    camera.reset(seed=1)
    for _ in range(steps):
        camera.step(0)
    return camera.film


def bar(picture):
    """Column of the red bar."""
    pixels = np.asarray(picture.convert("RGB")).astype(int)
    return int(np.argmax(pixels[10, :, 0] - pixels[10, :, 1]))


@pytest.mark.parametrize(
    ("fps", "render_fps", "frames", "seconds"),
    [
        (25, 100, 26, 0.04),
        (50, 100, 51, 0.02),
        (10, 100, 11, 0.1),
        (25, 30, 101, 1 / 30),
        (25, None, 101, 1 / 30),
    ],
)
def test_frames_are_taken_at_the_rate_asked_for_or_the_environments_own(fps, render_fps, frames, seconds):
    shot = shoot(fps, render_fps=render_fps)
    assert len(shot.frames) == frames
    assert shot.seconds == pytest.approx(seconds)


def test_a_frame_shows_the_step_it_was_taken_at():
    shot = shoot()
    assert [bar(Image.open(io.BytesIO(frame))) for frame in shot.frames] == list(range(0, 101, 4))


def test_a_reset_begins_a_new_film():
    camera = film.Camera(Bar(), 25)
    for steps in (40, 8):
        camera.reset()
        for _ in range(steps):
            camera.step(0)
    assert len(camera.film.frames) == 3


@pytest.mark.parametrize("render_fps", [100, 30, 60, 125])
def test_a_gif_has_all_frames_and_lasts_as_long_as_the_episode(tmp_path, render_fps):
    shot = shoot(render_fps=render_fps)
    film.writer(tmp_path / "x.gif")(tmp_path / "x.gif", shot)
    with Image.open(tmp_path / "x.gif") as gif:
        assert gif.n_frames == len(shot.frames)
        assert gif.info["loop"] == 0
        columns, durations = [], []
        for i in range(gif.n_frames):
            gif.seek(i)
            columns.append(bar(gif))
            durations.append(gif.info["duration"])
    assert columns == [bar(Image.open(io.BytesIO(frame))) for frame in shot.frames]
    assert sum(durations) / 1000 == pytest.approx(len(shot.frames) * shot.seconds, abs=0.006)


def test_a_page_holds_every_frame_and_needs_nothing_else(tmp_path):
    shot = shoot()
    path = tmp_path / "<run>.html"
    film.writer(path)(path, shot)
    page = path.read_text()
    frames = re.findall(r"data:image/webp;base64,([A-Za-z0-9+/=]+)", page)
    assert [bar(Image.open(io.BytesIO(base64.b64decode(frame)))) // 4 for frame in frames] == list(range(26))
    assert "<title>&lt;run&gt;</title>" in page
    assert "$" not in re.sub(r"\$\{", "", page)
    assert not re.search(r"https?://|<link|<script src", page)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_a_video_is_written(tmp_path):
    film.writer(tmp_path / "x.mp4")(tmp_path / "x.mp4", shoot())
    assert (tmp_path / "x.mp4").read_bytes()[4:8] == b"ftyp"


def test_ffmpeg_gets_the_frames_and_its_failure_is_one_line(tmp_path, monkeypatch):
    ffmpeg = tmp_path / "ffmpeg"
    ffmpeg.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\n/bin/cat > {tmp_path}/input\n')
    ffmpeg.chmod(0o755)
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    path = tmp_path / "x.mp4"
    shot = shoot()
    film.writer(path)(path, shot)
    assert (tmp_path / "input").read_bytes() == b"".join(shot.frames)
    assert "-framerate 25.000000 " in (tmp_path / "arguments").read_text()
    ffmpeg.write_text("#!/bin/sh\n/bin/cat > /dev/null\necho first >&2\necho no space left >&2\nexit 3\n")
    with pytest.raises(EsError, match=r"x\.mp4: ffmpeg failed: no space left$"):
        film.write_mp4(path, shot)


def test_what_cannot_be_written_is_refused_before_the_episode(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"gait\.avi: expected a file that ends in \.gif, \.mp4, \.html"):
        film.writer(tmp_path / "gait.avi")
    with pytest.raises(UsageError, match="there is no directory"):
        film.writer(tmp_path / "nowhere" / "gait.gif")
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    with pytest.raises(UsageError, match=r"needs ffmpeg, which is not installed; use \.gif or \.html"):
        film.writer(tmp_path / "gait.mp4")


def test_a_path_that_cannot_be_written_is_one_line(tmp_path):
    path = tmp_path / "x.gif"
    path.mkdir()
    with pytest.raises(EsError, match=r"x\.gif: cannot write: Is a directory"):
        film.write_gif(path, shoot())
