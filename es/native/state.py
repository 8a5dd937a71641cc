"""The state vector of the compiled twin, shape (54,).

| entries | meaning | unit |
|---|---|---|
| 0..8 | coordinates: pelvis tilt, pelvis x, pelvis y, then hip, knee, ankle right and left | rad, m |
| 9..17 | their speeds, same order | rad/s, m/s |
| 18..35 | muscle activation, model order | 1 |
| 36..53 | muscle fibre length, model order | m |
"""

COORDINATES = 9
MUSCLES = 18
LEG_MUSCLES = 9
SPEED = COORDINATES
ACTIVATION = 2 * COORDINATES
FIBER = ACTIVATION + MUSCLES
STATE = FIBER + MUSCLES
HIP = 3  # first joint coordinate of the right leg; those of the left follow three later
