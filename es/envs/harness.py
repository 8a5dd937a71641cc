"""The harness for a runner who has yet to learn not to fall: it holds the trunk and some of the weight.

Assistance that is there at first and then taken away: W. Yu, G. Turk, C. K. Liu, "Learning symmetric and
low-energy locomotion", ACM Trans. Graph. 37 (2018), https://arxiv.org/abs/1801.08093. A full harness has a
spring and a damper that act on the pelvis' tilt alone, and carries a share of every segment's weight.
"""

from typing import NamedTuple


class Harness(NamedTuple):
    """What it does."""

    stiffness: float
    """Of the spring, N m/rad; an upright trunk needs about 200 not to tip."""
    damping: float
    """N m s/rad."""
    gravity: float
    """Factor on gravity."""


def harness(share: float) -> Harness:
    """That ``share`` of the full one, 0..1."""
    return Harness(stiffness=600.0 * share, damping=60.0 * share, gravity=1.0 - 0.3 * share)
