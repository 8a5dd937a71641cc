"""Which published results are reproduced, from which experiments."""

from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent


class Task(NamedTuple):
    """A figure that others have published, and how we go about it."""

    name: str
    environment: str
    strategy: str
    target: float
    """Median score of the seeds that counts as reproduced: mean return of unperturbed episodes."""
    source: str
    """Where figure and settings come from."""

    @property
    def experiment(self) -> Path:
        """The file of its settings."""
        return HERE / f"{self.name}.toml"


TASKS = (
    Task("cartpole", "CartPole-v1", "ARS V1", 500.0, "rl-baselines3-zoo: ARS, 500 at 50 k steps"),
    Task(
        *("mountain-car", "MountainCarContinuous-v0", "ARS V2-t", 90.0),
        "rl-baselines3-zoo: ARS, 96.7 at 0.5 M steps",
    ),
    Task("pendulum-cma", "Pendulum-v1", "CMA-ES", -225.0, "rl-baselines3-zoo: ARS, -212.5 at 2 M steps"),
    Task("pendulum", "Pendulum-v1", "ARS V2-t", -225.0, "rl-baselines3-zoo: ARS, -212.5 at 2 M steps"),
    Task(
        *("lunar-lander", "LunarLanderContinuous-v3", "PGPE with ClipUp", 200.0),
        "Toklu et al. 2020 (arXiv 2008.02387): 10,000 episodes; solved from 200",
    ),
    Task(
        "swimmer-cma", "Swimmer-v5", "CMA-ES", 340.0, "Mania et al. 2018; rl-baselines3-zoo: 355 at 2 M steps"
    ),
    Task("swimmer", "Swimmer-v5", "ARS V1", 340.0, "Mania et al. 2018; rl-baselines3-zoo: 355 at 2 M steps"),
    Task("hopper", "Hopper-v5", "ARS V2-t", 3000.0, "Mania et al. 2018; rl-baselines3-zoo: 3344 at 7 M"),
    Task(
        *("half-cheetah", "HalfCheetah-v5", "ARS V2-t", 3400.0),
        "Mania et al. 2018; rl-baselines3-zoo: 4815 at 12 M steps",
    ),
)
"""In order of how long they take."""
