"""What the compiled twin knows of the runner: the numbers of ``gait9dof18musc.osim``, as OpenSim reads them.

The numbers live in ``gait9dof18musc.json`` beside this file, so hosts without OpenSim can simulate.
``python -m es.native.extract`` writes that file and a test extracts again and compares.

Conventions: SI units and radians. The model is planar: x forward, y up, z to the right; every segment keeps
its z. A *segment* is a group of welded bodies, and its frame is that of the body named first:

    trunk = pelvis + torso + head       femur       tibia       foot = talus + calcn + toes

Legs are ordered right, left. Segments along a leg are numbered 0 trunk, 1 femur, 2 tibia, 3 foot, and its
joints 0 hip (trunk to femur), 1 knee (femur to tibia), 2 ankle (tibia to foot).
"""

import dataclasses
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]

MODEL_FILE = "gait9dof18musc.json"


@dataclass(frozen=True, eq=False)
class Skeleton:
    """Rigid segments and the joints between them (OpenSim PlanarJoint, PinJoint, CustomJoint, WeldJoint).

    Attributes:
        gravity: downward acceleration, m/s^2.
        trunk_mass: kg.
        trunk_center: centre of mass in the pelvis frame, shape (2,), m.
        trunk_inertia: about z through the centre of mass, kg m^2.
        leg_mass: shape (2 legs, 3 segments from femur to foot), kg.
        leg_center: centres of mass in the segment frames, shape (2, 3, 2), m.
        leg_inertia: about z through the centres of mass, shape (2, 3), kg m^2.
        hip: hip centre in the pelvis frame, shape (2, 3), m.
        ankle: ankle centre in the tibia frame, shape (2, 3), m.
        torso: origin of the torso frame in the pelvis frame, shape (2,), m.
        head: origin of the head frame in the pelvis frame, shape (2,), m.
        toes: origin of the toes frames in the foot frames, shape (2, 2), m.
        knee_x: forward position of the tibia origin in the femur frame against knee angle; a spline per leg,
            shape (2, 4, knots), rows: angle (rad), value (m), first and second derivative.
        knee_y: upward position, as ``knee_x``.
        default_coordinates: shape (9,), see ``es.native.state``.
    """

    gravity: float
    trunk_mass: float
    trunk_center: Array
    trunk_inertia: float
    leg_mass: Array
    leg_center: Array
    leg_inertia: Array
    hip: Array
    ankle: Array
    torso: Array
    head: Array
    toes: Array
    knee_x: Array
    knee_y: Array
    default_coordinates: Array


@dataclass(frozen=True, eq=False)
class Muscles:
    """Parameters of the 18 muscles, in model order: nine right, nine left (OpenSim Thelen2003Muscle).

    Every attribute but ``names`` has shape (18,).

    Attributes:
        names: as in the model file.
        max_isometric_force: N.
        optimal_fiber_length: m.
        tendon_slack_length: m.
        optimal_pennation: pennation angle at optimal fibre length, rad.
        max_pennation: largest pennation angle, rad.
        max_contraction_velocity: optimal fibre lengths per second.
        tendon_strain: tendon strain at maximum isometric force.
        passive_strain: passive fibre strain at maximum isometric force.
        active_shape: shape factor of the active force-length curve.
        passive_shape: exponential shape factor of the passive force-length curve.
        force_velocity_shape: Af of Thelen (2003).
        lengthening_force: largest normalised force of a lengthening fibre, Flen of Thelen (2003).
        extrapolation_threshold: fraction of it from where the force-velocity curve goes on as a line.
        activation_time: s.
        deactivation_time: s.
        min_activation: smallest activation the muscle uses.
        default_activation: at the start of an episode.
        default_fiber_length: at the start of an episode, m.
    """

    names: tuple[str, ...]
    max_isometric_force: Array
    optimal_fiber_length: Array
    tendon_slack_length: Array
    optimal_pennation: Array
    max_pennation: Array
    max_contraction_velocity: Array
    tendon_strain: Array
    passive_strain: Array
    active_shape: Array
    passive_shape: Array
    force_velocity_shape: Array
    lengthening_force: Array
    extrapolation_threshold: Array
    activation_time: Array
    deactivation_time: Array
    min_activation: Array
    default_activation: Array
    default_fiber_length: Array


@dataclass(frozen=True, eq=False)
class Paths:
    """The points the muscles run through, all muscles one after the other (OpenSim GeometryPath).

    Attributes:
        muscle: muscle of each point, shape (points,).
        segment: leg segment that carries the point, 0..3, shape (points,).
        location: in the segment frame, shape (points, 3), m. Of a moving point only z counts.
        condition_joint: leg joint (0..2) whose angle switches a ConditionalPathPoint, -1 for others, shape
            (points,).
        condition_range: angles between which it is on, shape (points, 2), rad.
        moving: row in ``moving_x`` and ``moving_y`` of a MovingPathPoint, -1 for others, shape (points,).
        moving_x: forward position in the segment frame against knee angle, a spline for each moving point,
            shape (moving points, 4, knots), rows as in ``Skeleton.knee_x``.
        moving_y: upward position, as ``moving_x``.
        moving_range: the knee angle is clamped to this range for the position, not for its derivative,
            shape (moving points, 2), rad.
    """

    muscle: Index
    segment: Index
    location: Array
    condition_joint: Index
    condition_range: Array
    moving: Index
    moving_x: Array
    moving_y: Array
    moving_range: Array


@dataclass(frozen=True, eq=False)
class GroundContact:
    """Two spheres under each foot against the ground plane (OpenSim HuntCrossleyForce, one for each foot).

    Attributes:
        normal: of the ground plane, which runs through the origin, shape (2,).
        sphere_center: in the foot frame, shape (2 legs, 2 heel and toe, 3), m.
        sphere_radius: shape (2, 2), m.
        stiffness: plane-strain modulus, shape (2,), Pa.
        dissipation: shape (2,), s/m.
        static_friction: shape (2,).
        dynamic_friction: shape (2,).
        viscous_friction: shape (2,), s/m.
        transition_velocity: shape (2,), m/s.
    """

    normal: Array
    sphere_center: Array
    sphere_radius: Array
    stiffness: Array
    dissipation: Array
    static_friction: Array
    dynamic_friction: Array
    viscous_friction: Array
    transition_velocity: Array


@dataclass(frozen=True, eq=False)
class JointLimits:
    """Springs and dampers at the ends of the joints (OpenSim CoordinateLimitForce); shape (2 legs, 3 joints).

    OpenSim gives the properties in degrees; here they are per radian, as the class uses them.

    Attributes:
        upper: angle, rad.
        lower: angle, rad.
        upper_stiffness: N m/rad.
        lower_stiffness: N m/rad.
        damping: N m s/rad.
        transition: width over which stiffness and damping set in, rad.
    """

    upper: Array
    lower: Array
    upper_stiffness: Array
    lower_stiffness: Array
    damping: Array
    transition: Array


@dataclass(frozen=True, eq=False)
class Model:
    """The whole runner.

    Attributes:
        source: name and SHA-256 of the model file and the version of OpenSim that read it.
    """

    source: str
    skeleton: Skeleton
    muscles: Muscles
    paths: Paths
    ground: GroundContact
    limits: JointLimits


def load_model() -> Model:
    """The model as shipped with the package."""
    text = resources.files("es.native").joinpath(MODEL_FILE).read_text(encoding="utf-8")
    return from_json(text)


def to_json(model: Model) -> str:
    """A model as text, one field a line; floats are written so that they read back bit for bit."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return value.tolist() if isinstance(value, np.ndarray) else value

    parts = {name: value if isinstance(value, str) else value.items() for name, value in plain(model).items()}
    lines = []
    for name, part in parts.items():
        if isinstance(part, str):
            lines.append(f"{json.dumps(name)}: {json.dumps(part)}")
        else:
            fields = ",\n  ".join(f"{json.dumps(field)}: {json.dumps(value)}" for field, value in part)
            lines.append(f"{json.dumps(name)}: {{\n  {fields}\n }}")
    return "{\n " + ",\n ".join(lines) + "\n}\n"


def from_json(text: str) -> Model:
    """The model that ``to_json`` wrote."""

    def typed(kind: Any, data: Any) -> Any:
        if dataclasses.is_dataclass(kind):
            return kind(**{f.name: typed(f.type, data[f.name]) for f in dataclasses.fields(kind)})  # type: ignore[operator]  # mypy sees a class or an instance; it is a class
        if kind is Array:
            return np.array(data, dtype=np.float64)
        if kind is Index:
            return np.array(data, dtype=np.int64)
        return tuple(data) if isinstance(data, list) else data

    return cast(Model, typed(Model, json.loads(text)))
