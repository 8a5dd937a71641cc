"""`es replay`: an episode of a checkpoint as a film."""

from pathlib import Path

import click
import msgspec

from es import config, film, options
from es.commands.episodes import generation_option, load, run_episode
from es.envs import registry as envs
from es.errors import UsageError
from es.rollout import Rollout
from es.run_dir import RunDir


@click.command()
@click.argument("run_name", metavar="RUN")
@generation_option
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=1, show_default=True, help="Of the environment."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="File to write: .gif, .mp4 (with ffmpeg) or .html (a page with a player).",
)
@click.option(
    "--fps",
    type=click.IntRange(1, 50),
    default=25,
    show_default=True,
    help="Frames per second of simulated time, at most.",
)
@options.runs_dir
def replay(run_name: str, generation: str, seed: int, output: Path, fps: int, runs_dir: Path) -> None:
    """Film an episode of the policy of RUN, without noise."""
    write = film.writer(output)
    run = RunDir.open(runs_dir, run_name)
    state, experiment = load(run, generation), run.experiment()
    camera = camera_on(config.evaluation_environment(experiment), fps)
    episode = run_episode(camera, experiment, state, seed)
    write(output, camera.film)
    frames = len(camera.film.frames)
    click.echo(
        f"{output}: generation {state.generation}, seed {seed}, {_summary(episode)}; "
        f"{frames} frames, {frames * camera.film.seconds:.1f} s, {output.stat().st_size / 1e6:.1f} MB"
    )


def camera_on(environment: config.Environment, fps: int) -> film.Camera:
    """A camera on the environment, tried out.

    Raises:
        UsageError: it has no pictures, or lacks what it needs to make them.
    """
    modes = envs.make(environment).metadata.get("render_modes") or []
    if "rgb_array" not in modes:
        listed = ", ".join(modes) or "none"
        raise UsageError(
            f"{environment.id} cannot be filmed: expected render mode rgb_array, it has {listed}"
        )
    arguments = {**environment.arguments, "render_mode": "rgb_array"}
    camera = film.Camera(envs.make(msgspec.structs.replace(environment, arguments=arguments)), fps)
    try:
        camera.reset(seed=0)
    except Exception as error:  # whatever a foreign environment's drawing raises
        reason = " ".join(str(error).split())
        raise UsageError(f"{environment.id} cannot be filmed: {type(error).__name__}: {reason}") from error
    return camera


def _summary(episode: Rollout) -> str:
    parts = [f"{episode.length} steps", f"return {episode.return_:.2f}"]
    if "metres" in episode.metrics:
        parts.append(f"{episode.metrics['metres']:.2f} m")
    if episode.metrics.get("fell"):
        parts.append("fell")
    if episode.failed:
        parts.append(episode.error or "failed")
    return ", ".join(parts)
