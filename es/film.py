"""Frames of an environment become a GIF, a video or a web page with a player."""

import base64
import html
import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from PIL import Image

from es.errors import EsError, UsageError

DEFAULT_RENDER_FPS = 30
"""Steps per second of an environment that does not say."""


class Film(NamedTuple):
    """Frames at equal intervals."""

    frames: list[bytes]
    """PNG files of equal size: a hundredth of the pixels' memory."""
    seconds: float
    """Between frames."""


class Camera(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Films the episodes of an environment that renders to ``rgb_array``; a reset begins a new film.

    Args:
        env: the environment.
        fps: frames per second of simulated time, at most; a frame is taken after every so many steps.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], fps: int) -> None:
        super().__init__(env)
        steps_per_second = env.metadata.get("render_fps") or DEFAULT_RENDER_FPS
        self._stride = max(1, round(steps_per_second / fps))
        self._seconds = self._stride / steps_per_second
        self._frames: list[bytes] = []
        self._steps = 0

    @property
    def film(self) -> Film:
        """What was seen since the last reset."""
        return Film(self._frames, self._seconds)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset and take the first frame."""
        result = self.env.reset(seed=seed, options=options)
        self._frames, self._steps = [_png(self.env)], 0
        return result

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step, and take a frame if it is time."""
        result = self.env.step(action)
        self._steps += 1
        if self._steps % self._stride == 0:
            self._frames.append(_png(self.env))
        return result


def _png(env: gymnasium.Env[Any, Any]) -> bytes:
    """Render a frame.

    Raises:
        UsageError: it is not a picture.
    """
    picture = env.render()
    if not (isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.shape[2:] == (3,)):
        raise UsageError(f"expected uint8 pixels of shape (height, width, 3), got {type(picture).__name__}")
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=1)
    return file.getvalue()


def writer(path: Path) -> Callable[[Path, Film], None]:
    """What writes films to this path, known by its suffix.

    Raises:
        UsageError: unknown suffix, no such directory, or ffmpeg is needed and not there.
    """
    if path.suffix not in WRITERS:
        raise UsageError(f"{path}: expected a file that ends in {', '.join(WRITERS)}")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path}: there is no directory {path.parent}")
    if path.suffix == ".mp4" and shutil.which("ffmpeg") is None:
        raise UsageError(f"{path}: needs ffmpeg, which is not installed; use .gif or .html")
    return WRITERS[path.suffix]


def write_gif(path: Path, film: Film) -> None:
    """Write an animation that repeats for ever, with one palette for all frames."""
    palette = _palette(film)
    pictures = [_picture(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in film.frames]
    # A GIF counts in hundredths of a second; rounding the ends, not the lengths, keeps the total.
    ends = np.rint(np.arange(len(pictures) + 1) * film.seconds * 100).astype(int)
    durations = (10 * np.diff(ends)).tolist()
    file = io.BytesIO()
    first, *rest = pictures
    first.save(file, "GIF", save_all=True, append_images=rest, duration=durations, loop=0, optimize=False)
    _write(path, file.getvalue())


def _palette(film: Film, samples: int = 8) -> Image.Image:
    """An image whose 255 colours suit all frames; the 256th is left for "as before"."""
    chosen = np.unique(np.linspace(0, len(film.frames) - 1, samples).astype(int)).tolist()
    pictures = [_picture(film.frames[i]) for i in chosen]
    width, height = pictures[0].size
    sheet = Image.new("RGB", (width, height * len(pictures)))
    for row, picture in enumerate(pictures):
        sheet.paste(picture, (0, row * height))
    return sheet.quantize(255, Image.Quantize.MAXCOVERAGE)


def write_mp4(path: Path, film: Film) -> None:
    """Write a video with ffmpeg.

    Raises:
        EsError: ffmpeg fails.
    """
    even = "pad=ceil(iw/2)*2:ceil(ih/2)*2"  # most players want yuv420p, which wants even sizes
    command = [
        "ffmpeg",
        "-y",
        "-loglevel",
        "error",
        "-f",
        "image2pipe",
        "-framerate",
        f"{1 / film.seconds:.6f}",
    ]
    command += ["-c:v", "png", "-i", "-", "-vf", even, "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    done = subprocess.run(
        [*command, os.fspath(path.absolute())], input=b"".join(film.frames), capture_output=True, check=False
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise EsError(f"{path}: ffmpeg failed: {said[-1] if said else f'exit code {done.returncode}'}")


def write_html(path: Path, film: Film) -> None:
    """Write one page that holds the frames and a player and needs nothing else."""
    data = {"seconds": film.seconds, "frames": [_data_url(frame) for frame in film.frames]}
    page = (files("es") / "player.html").read_text(encoding="utf-8")
    page = page.replace("$TITLE", html.escape(path.stem)).replace("$FILM", json.dumps(data))
    _write(path, page.encode())


def _data_url(frame: bytes) -> str:
    file = io.BytesIO()
    _picture(frame).save(file, "WEBP", quality=85)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def _picture(frame: bytes) -> Image.Image:
    return Image.open(io.BytesIO(frame))


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise EsError(f"{path}: cannot write: {error.strerror or error}") from error


WRITERS = {".gif": write_gif, ".mp4": write_mp4, ".html": write_html}
