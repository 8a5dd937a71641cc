"""A walking controller of a few dozen numbers, which becomes the weights of a linear `Symmetric` policy.

Each leg's hip, knee and ankle follow targets that are functions of the phase (offset and two harmonics), by
proportional-derivative rules whose outputs drive flexors and extensors in opposition; in stance the trunk's
tilt drives the hip, and extensors get a support bias. With reflexes, obstacles shift the targets. The idea of
pattern generators with reflexes: G. Taga (1995), Biol. Cybern. 73, 97-111; H. Geyer, H. Herr (2010),
IEEE TNSRE 18, 263-273.

A search in so few dimensions finds a gait where one among all weights does not; later stages of training
go on from the weights.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from es.envs.gait_observation import FOOT_BUMPS, NAMES_GAIT, PELVIS_BUMPS, STEP_BUMPS

Array = NDArray[np.float64]

HARMONICS = 2
MUSCLES = 9
INPUTS = len(NAMES_GAIT) + 2 * HARMONICS
"""The observation's values and the clock's waves."""
_HAMSTRINGS, _BIFEMSH, _GLUTEUS, _ILIOPSOAS, _RECTUS, _VASTI, _GASTROC, _SOLEUS, _TIBIALIS = range(MUSCLES)

_JOINTS = ("hip", "knee", "ankle")
_REFLEXES = (
    *((f"obstacle_{i}", 4.0) for i in range(len(PELVIS_BUMPS))),
    *((f"swing_obstacle_{i}_r", 4.0) for i in range(len(FOOT_BUMPS) + 1)),
    *((name, 0.7) for name in ("pelvis_tilt", "pelvis_tilt_rate", "pelvis_height", "pelvis_vx", "pelvis_vy")),
    *((name, 0.7) for name in ("stance_r", "stance_knee_r", "stance_vx_r", "strength_r")),
    *((name, 0.7) for name in ("hip_l", "knee_l", "foot_x_l", "stance_l", "strength_l")),
)
"""What else can drive a joint, with the units of its weight: (input, unit)."""

_FOOTHOLDS = tuple(f"{way}_obstacle_{i}_r" for way in ("step", "reach") for i in range(len(STEP_BUMPS)))
"""And what places the feet between obstacles."""

_BALANCE = ("stance_r", "foot_x_r", "hip_rate_r")
_STRIDE = tuple(name for name in _FOOTHOLDS if name.startswith("step"))
_STEERING = (*_BALANCE, *_STRIDE)
STEERED_BY = tuple(NAMES_GAIT.index(name) for name in _STEERING)
"""What steers the clock (`es.policies.symmetric.Clock`)."""


class _Setting(NamedTuple):
    name: str
    typical: float
    unit: float
    """How far the setting moves when its parameter moves by 1; of a logarithm where ``positive``."""
    positive: bool = False


def _target(joint: str, offset: float, amplitude: float) -> list[_Setting]:
    return [
        _Setting(f"{joint}_offset", offset, 0.2),
        *(_Setting(f"{joint}_{wave}{k}", 0.0, amplitude / k) for k in (1, 2) for wave in ("sin", "cos")),
    ]


SETTINGS = (
    _Setting("clock", 1.0, 0.2, positive=True),
    *_target("hip", 0.3, 0.5),
    *_target("knee", -0.5, 0.5),
    *_target("ankle", 0.0, 0.3),
    _Setting("hip_gain", 5.0, 0.5, positive=True),
    _Setting("knee_gain", 4.0, 0.5, positive=True),
    _Setting("ankle_gain", 4.0, 0.5, positive=True),
    _Setting("hip_damping", 0.4, 0.5, positive=True),
    _Setting("knee_damping", 0.3, 0.5, positive=True),
    _Setting("ankle_damping", 0.3, 0.5, positive=True),
    _Setting("stance_hip", 2.0, 2.0),  # takes back the hip's proportional gain on the ground
    _Setting("stance_tilt", 4.0, 3.0),
    _Setting("stance_tilt_rate", 0.5, 0.5),
    _Setting("tilt", 0.0, 1.0),
    _Setting("support_vasti", 1.0, 1.0),
    _Setting("support_soleus", 0.5, 1.0),
    _Setting("support_gluteus", 0.5, 1.0),
    _Setting("speed_hip", 0.0, 0.3),
    _Setting("stance_speed_ankle", 0.0, 0.3),
    _Setting("height_vasti", 0.0, 0.5),
    _Setting("rectus_in_flexion", 0.4, 0.4),
    _Setting("rectus_in_extension", 0.3, 0.4),
    _Setting("hamstrings_in_hip_extension", 0.6, 0.4),
    _Setting("hamstrings_in_knee_flexion", 0.4, 0.4),
    _Setting("gastroc_in_plantarflexion", 0.7, 0.4),
    _Setting("gastroc_in_knee_flexion", 0.2, 0.4),
    _Setting("tone", 0.0, 0.5),
    *(_Setting(f"{joint}_over_{i}", 0.0, 0.6) for joint in _JOINTS for i in range(len(FOOT_BUMPS))),
)
"""Names, typical values and units of the parameters, in order; a parameter of 0 is the typical value."""

REFLEXES = (
    *(_Setting(f"{joint}_from_{name}", 0.0, unit) for joint in _JOINTS for name, unit in _REFLEXES),
    *(_Setting(f"tone_{muscle}", 0.0, 1.2) for muscle in range(MUSCLES)),
    *(_Setting(f"clock_{wave}_{name}", 0.0, 0.2) for name in _BALANCE for wave in ("sin", "cos")),
    *(_Setting(f"{joint}_from_{name}", 0.0, 4.0) for joint in _JOINTS for name in _FOOTHOLDS),
    *(_Setting(f"clock_{wave}_{name}", 0.0, 0.3) for name in _STRIDE for wave in ("sin", "cos")),
)
"""More, for a gait that walks already: further reflexes, each muscle's tone, steering of the clock."""

OVER = slice(len(SETTINGS) - len(_JOINTS) * len(FOOT_BUMPS), len(SETTINGS))
"""Which parameters of a plain gait heed obstacles."""

NUM_PARAMS = len(SETTINGS)
NUM_REFLEXES = len(REFLEXES)
SELECTION: dict[str, NDArray[np.int64]] = {
    "none": np.arange(NUM_PARAMS),
    "balance": np.array(
        [i for i, s in enumerate(SETTINGS + REFLEXES) if "obstacle" not in s.name and "_over_" not in s.name]
    ),
    "all": np.arange(NUM_PARAMS + NUM_REFLEXES),
}
"""Which of all parameters a gait has, by its reflexes; those of balance heed no obstacle."""

SIZES = (len(NAMES_GAIT), MUSCLES)
"""Layer sizes of that policy, without the clock."""


def waves(cycles: Array) -> Array:
    """The clock's at these phases, shape (n, 2 HARMONICS): sine and cosine of each harmonic."""
    angles = 2 * np.pi * cycles[:, None] * np.arange(1, HARMONICS + 1)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(len(cycles), -1)


def num_params() -> tuple[int, ...]:
    """How many parameters gaits have, by their reflexes: none, balance, all."""
    return tuple(len(selection) for selection in SELECTION.values())


def complete(theta: Array) -> Array:
    """All parameters, shape (NUM_PARAMS + NUM_REFLEXES,); those that a gait of ``theta`` has not are 0.

    Args:
        theta: shape (n,), n in `num_params`.
    """
    selection = next(each for each in SELECTION.values() if len(each) == theta.size)
    values = np.zeros(NUM_PARAMS + NUM_REFLEXES)
    values[selection] = theta
    return values


def settings(theta: Array) -> dict[str, float]:
    """What parameters stand for, shape (n,), n in `num_params`."""
    return {s.name: _value(s, x) for s, x in zip(SETTINGS + REFLEXES, complete(theta).tolist(), strict=True)}


def _value(setting: _Setting, x: float) -> float:
    if setting.positive:
        return setting.typical * math.exp(min(max(setting.unit * x, -5.0), 5.0))
    return setting.typical + setting.unit * x


def weights(theta: Array) -> Array:
    """Parameters of a linear `Symmetric` policy on the gait observation with a learned, steered clock.

    Args:
        theta: shape (n,), n in `num_params`.
    """
    s = settings(theta)
    drive = {joint: _drive(joint, s) for joint in ("hip", "knee", "ankle")}
    hip, knee, ankle = drive["hip"], drive["knee"], drive["ankle"]

    hip[_input("stance_hip_r")] += s["stance_hip"]
    # Positive drive flexes the hip; a trunk that leans forward (negative tilt) has to be held by extensors.
    hip[_input("stance_tilt_r")] += s["stance_tilt"]
    hip[_input("stance_tilt_rate_r")] += 5 * s["stance_tilt_rate"]
    hip[_input("pelvis_tilt")] += s["tilt"]
    hip[_input("pelvis_vx")] += s["speed_hip"]
    ankle[_input("stance_vx_r")] += s["stance_speed_ankle"]
    for joint, row in drive.items():
        for i in range(len(FOOT_BUMPS)):
            row[_input(f"foot_obstacle_{i}_r")] += s[f"{joint}_gain"] * s[f"{joint}_over_{i}"]
        for name in (*(name for name, _ in _REFLEXES), *_FOOTHOLDS):
            row[_input(name)] += s[f"{joint}_from_{name}"]

    rows = np.zeros((MUSCLES, INPUTS + 1))
    rows[_ILIOPSOAS] = hip
    rows[_GLUTEUS] = -hip
    rows[_VASTI] = knee
    rows[_BIFEMSH] = -knee
    rows[_TIBIALIS] = ankle
    rows[_SOLEUS] = -ankle
    rows[_RECTUS] = s["rectus_in_flexion"] * hip + s["rectus_in_extension"] * knee
    rows[_HAMSTRINGS] = -s["hamstrings_in_hip_extension"] * hip - s["hamstrings_in_knee_flexion"] * knee
    rows[_GASTROC] = -s["gastroc_in_plantarflexion"] * ankle - s["gastroc_in_knee_flexion"] * knee

    stance = _input("stance_r")
    rows[_VASTI, stance] += s["support_vasti"]
    rows[_SOLEUS, stance] += s["support_soleus"]
    rows[_GLUTEUS, stance] += s["support_gluteus"]
    rows[_VASTI, _input("pelvis_height")] -= s["height_vasti"]
    rows[:, -1] += s["tone"]
    rows[:, -1] += [s[f"tone_{i}"] for i in range(MUSCLES)]
    clock = math.log(s["clock"])
    steering = [s[f"clock_{wave}_{name}"] for name in _STEERING for wave in ("sin", "cos")]
    return np.concatenate([[clock], steering, rows[:, :-1].ravel(), rows[:, -1]])


def _input(name: str) -> int:
    return NAMES_GAIT.index(name)


def _drive(joint: str, s: dict[str, float]) -> Array:
    """Weights of all inputs, and a bias at the end, of gain (target(phase) - angle) - damping rate."""
    row = np.zeros(INPUTS + 1)
    gain = s[f"{joint}_gain"]
    for k in (1, 2):
        clock = len(NAMES_GAIT) + 2 * (k - 1)
        row[clock], row[clock + 1] = gain * s[f"{joint}_sin{k}"], gain * s[f"{joint}_cos{k}"]
    row[-1] = gain * s[f"{joint}_offset"]
    row[_input(f"{joint}_r")] = -gain
    row[_input(f"{joint}_rate_r")] = -5 * s[f"{joint}_damping"]
    return row
