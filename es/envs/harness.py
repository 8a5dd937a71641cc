"""The harness for a runner who has yet to learn not to fall: it holds the trunk and some of the weight.

Assistance that is there at first and then taken away: W. Yu, G. Turk, C. K. Liu, "Learning symmetric and
low-energy locomotion", ACM Trans. Graph. 37 (2018), https://arxiv.org/abs/1801.08093. A full harness has a
spring and a damper that act on the pelvis' tilt alone, and carries a share of every segment's weight.
"""

TRUNK_STIFFNESS = 600.0
"""Of the full harness, N m/rad; an upright trunk needs about 200 not to tip."""
TRUNK_DAMPING = 60.0
"""Of the full harness, N m s/rad."""
CARRIED_WEIGHT = 0.3
"""Share of gravity that the full harness takes away."""
