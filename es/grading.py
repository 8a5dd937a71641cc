"""The two rounds of the 2017 challenge, and where a score would have stood in them.

Both rounds ran at difficulty 2 for at most 1000 steps of 0.01 s, and a submission's score was the mean over
several simulations of the sum of original rewards: metres less the ligament penalty. Sources:

- Round 1: 3 obstacles, three trials (osim-rl 1.5's ``RunEnv`` default and README; osim-rl-grader's reset with
  difficulty 2). 15 points admitted to round 2.
- Round 2: 10 obstacles. osim-rl's README says ten simulations and its notes on the round, in turn, ten, three
  and "N"; ten is taken here.
- Placings: NNAISENSE (winner) and AdamStelmaszczyk/learning2run (22nd in round 2; 63rd in round 1, where
  another model of theirs would have been 42nd), as their authors published them.

The graders' seeds were secret.
"""

from typing import Any, NamedTuple

import msgspec

from es import config
from es.envs.learning_to_run import Limits
from es.errors import UsageError

ENVIRONMENT = "es/LearningToRun-v0"

COMMON: dict[str, Any] = {
    "difficulty": 2,
    "max_steps": 1000,
    "course": "literal",
    "backend": "opensim",
    "integrator": "rkm",
    "accuracy": 1e-3,
}
"""What both rounds share; the simulator is OpenSim as 2017 ran it, whatever the policy was trained with."""


class Placing(NamedTuple):
    """A result of 2017 that is known from its authors."""

    score: float
    """Metres less penalty."""
    place: str


class Protocol(NamedTuple):
    """The rules of a round."""

    max_obstacles: int
    simulations: int
    """Episodes of a submission."""
    placings: tuple[Placing, ...]
    """Best first."""
    remark: str = ""
    """What else is good to know next to a score."""


PROTOCOLS = {
    "round1": Protocol(
        max_obstacles=3,
        simulations=3,
        placings=(
            Placing(22.71, "42nd"),
            Placing(17.51, "63rd"),
            Placing(15.0, "the threshold for round 2"),
        ),
    ),
    "round2": Protocol(
        max_obstacles=10,
        simulations=10,
        placings=(Placing(45.97, "the winner"), Placing(18.62, "22nd")),
        remark="the winner's model had a mean of 43.5 over 4000 episodes",
    ),
}


def graded(environment: config.Environment, protocol: Protocol) -> config.Environment:
    """The environment under a round's rules; what belongs to the policy, its observation, stays.

    What training adds, walls that end an episode or obstacles that are lowered, goes.

    Raises:
        UsageError: the environment is not Learning to Run.
    """
    if environment.id != ENVIRONMENT:
        raise UsageError(f"--protocol grades {ENVIRONMENT} only; this run trained on {environment.id}")
    rules = COMMON | {"max_obstacles": protocol.max_obstacles}
    kept = {name: value for name, value in environment.arguments.items() if name not in Limits._fields}
    return msgspec.structs.replace(environment, arguments={**kept, **rules})


def standing(protocol: Protocol, score: float) -> str:
    """Between which known results a score lies, e.g. ``between 22nd (18.62) and the winner (45.97)``."""
    better = [placing for placing in protocol.placings if placing.score > score]
    reached = [placing for placing in protocol.placings if placing.score <= score]
    if not better:
        return f"at or above {_named(reached[0])}"
    if not reached:
        return f"below {_named(better[-1])}"
    return f"between {_named(reached[0])} and {_named(better[-1])}"


def _named(placing: Placing) -> str:
    return f"{placing.place} ({placing.score:.2f})"
