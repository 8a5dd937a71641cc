"""PPO of stable-baselines3 on the environment of `es run learning-to-run`, scored by round 2's rules.

`pip install stable-baselines3`, then `python -m tests.reproduction.ppo --core-hours 1`. It sees and earns
what the experiment's last stage does, from the start and without the other stages: the comparison is between
methods as people take them from the shelf. Core-hours are the processor time of all its processes.
"""

from typing import Any

import click
import gymnasium
import numpy as np
import psutil

from es import config
from es.envs import registry
from es.grading import PROTOCOLS, graded

ENVIRONMENTS = 4
FLOOR = 0.05
"""Of excitations, as for the evolved policies: idle muscles make the simulation stiff."""

SETTINGS = {
    "n_steps": 1024,
    "batch_size": 256,
    "n_epochs": 10,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "learning_rate": 3e-4,
    "clip_range": 0.2,
    "policy_kwargs": {"net_arch": [64, 64], "log_std_init": -1.0},
}


def core_seconds() -> float:
    """Processor time of this process and those it started, s."""
    me = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in (me, *me.children(recursive=True)))


class Repeated(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Actions from -1 to 1, of which each is held for several steps."""

    def __init__(self, env: gymnasium.Env[Any, Any], repeat: int) -> None:
        super().__init__(env)
        self._repeat = repeat
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, env.action_space.shape, np.float32)

    def step(self, action: Any) -> Any:
        excitations = FLOOR + (1.0 - FLOOR) * (np.clip(action, -1.0, 1.0) + 1.0) / 2.0
        total = 0.0
        for _ in range(self._repeat):
            observation, reward, terminated, truncated, info = self.env.step(excitations)
            total += float(reward)
            if terminated or truncated:
                break
        return observation, total, terminated, truncated, info


def make(given: config.Environment) -> gymnasium.Env[Any, Any]:
    """The environment for PPO."""
    return Repeated(registry.make(given), given.action_repeat)


@click.command()
@click.option("--core-hours", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True)
@click.option(
    "--episodes", type=click.IntRange(1), default=20, show_default=True, help="In OpenSim, seeds 1 up."
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
def main(core_hours: float, episodes: int, seed: int) -> None:
    """Train for so long, then run round 2."""
    try:
        import torch
        from stable_baselines3 import PPO
        from stable_baselines3.common.callbacks import BaseCallback
        from stable_baselines3.common.vec_env import SubprocVecEnv, VecMonitor, VecNormalize
    except ImportError as error:
        raise click.ClickException(f"{error}; pip install stable-baselines3 (it brings torch)") from error

    class UntilTime(BaseCallback):
        hours = 0.0

        def _on_step(self) -> bool:
            return self.hours < core_hours

        def _on_rollout_end(self) -> None:
            self.hours = hours = core_seconds() / 3600
            buffer = self.model.ep_info_buffer
            if buffer:
                mean = [float(np.mean([episode[key] for episode in buffer])) for key in ("r", "l")]
                click.echo(
                    f"{self.num_timesteps * given.action_repeat / 1e6:6.2f} M steps, {hours:.3f} core-hours: "
                    f"return {mean[0]:.2f}, {mean[1] * given.action_repeat / 100:.1f} s"
                )

    given = config.at_stage(config.load("learning-to-run"), -1).environment
    torch.set_num_threads(1)
    vector = VecMonitor(SubprocVecEnv([lambda: make(given)] * ENVIRONMENTS))
    vector.seed(seed)
    vector = VecNormalize(vector, gamma=SETTINGS["gamma"])
    model = PPO("MlpPolicy", vector, seed=seed, device="cpu", **SETTINGS)
    model.learn(10**12, callback=UntilTime())
    click.echo(f"{model.num_timesteps * given.action_repeat:,} steps in {core_hours:g} core-hours")

    judge = make(graded(given, PROTOCOLS["round2"]))
    metres = []
    for course in range(1, episodes + 1):
        observation, _ = judge.reset(seed=course)
        done = False
        while not done:
            action, _ = model.predict(vector.normalize_obs(observation), deterministic=True)
            observation, _, terminated, truncated, info = judge.step(action)
            done = terminated or truncated
        metres.append(info["score"])
        click.echo(f"seed {course}: {info['score']:.2f}{' fell' if info['fell'] else ''}")
    spread = f"std {np.std(metres):.2f}, best {max(metres):.2f}"
    click.echo(f"round 2, {episodes} courses: {np.mean(metres):.2f} m, {spread}")


if __name__ == "__main__":
    main()
