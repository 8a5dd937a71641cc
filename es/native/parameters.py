"""The model as compiled code wants it: derived constants, in one block of memory.

``Parameters`` documents the fields. ``pack`` lays them out in one structured numpy array, which compiled
functions take as a single argument and read by the same names (a tuple of forty arrays would cost 6 us a
call).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from es.native.model import Array, Index, Model
from es.native.path_segments import path_segments

Packed = NDArray[np.void]

_CACHE_LINE = 64  # bytes


class Parameters(NamedTuple):
    """Constants of the equations; each file of equations names the ones it uses.

    Lengths in m, angles in rad, masses in kg, forces in N. ``leg`` runs over right and left.
    Spline tables are described in ``es.native.splines``.
    """

    gravity: float  # m/s^2
    default_state: Array  # (54,), see es.native.state

    # skeleton.py
    trunk_mass: float
    trunk_center: Array  # (2,)
    trunk_inertia: float  # kg m^2
    leg_mass: Array  # (leg, 3): femur, tibia, foot
    leg_center: Array  # (leg, 3, 2)
    leg_inertia: Array  # (leg, 3)
    hip: Array  # (leg, 2)
    ankle: Array  # (leg, 2)
    knee_x_starts: Array  # (leg, pieces)
    knee_x: Array  # (leg, pieces, 4), spline table
    knee_y_starts: Array  # (leg, pieces)
    knee_y: Array  # (leg, pieces, 4)
    torso: Array  # (2,)
    head: Array  # (2,)
    toes: Array  # (leg, 2)
    total_mass: float

    # path_geometry.py
    condition_joint: Index  # (18,), leg joint that switches between the two variants of a path, or -1
    condition_range: Array  # (18, 2), angles between which variant 1 holds
    constant_length: Array  # (18, 2), of the parts that lie within one segment, for each variant
    segment_range: Index  # (18, 2, 2), first and one past last row of the arrays below, for each variant
    segment_body: Index  # (segments, 2), leg segments (0 trunk .. 3 foot) of the nearer and the farther end
    segment_near: Array  # (segments, 2), nearer end in its segment frame
    segment_far: Array  # (segments, 2), farther end
    segment_z2: Array  # (segments,), squared distance of the ends in z
    segment_moving: Index  # (segments,), moving point that is the farther end, or -1
    moving_leg: Index  # (moving points,)
    moving_starts: Array  # (moving points, pieces)
    moving_x: Array  # (moving points, pieces, 4), spline tables
    moving_y: Array  # (moving points, pieces, 4)
    moving_range: Array  # (moving points, 2)

    # thelen2003.py and activation.py; all (18,)
    max_force: Array
    inverse_optimal_length: Array
    inverse_slack_length: Array
    max_speed: Array  # m/s
    pennation_height: Array
    min_length: Array
    max_sin_pennation: Array
    min_cos_pennation: Array
    tendon_toe_strain: Array
    tendon_toe_rate: Array
    tendon_toe_factor: Array
    tendon_slope: Array
    passive_rate: Array
    passive_factor: Array
    inverse_active_shape: Array
    shortening_shape: Array
    lengthening_rate: Array
    lengthening_force: Array
    extrapolation_start: Array
    activation_time: Array
    deactivation_time: Array
    min_activation: Array

    # contact.py
    ground_normal: Array  # (2,)
    sphere_center: Array  # (leg, 2, 2) in the foot frame
    sphere_z: Array  # (leg, 2) from the plane of symmetry
    sphere_radius: Array  # (leg, 2)
    ground_stiffness: Array  # (leg,), k of the Hertz force
    ground_dissipation: Array  # (leg,)
    static_friction: Array  # (leg,)
    dynamic_friction: Array  # (leg,)
    viscous_friction: Array  # (leg,)
    transition_velocity: Array  # (leg,)

    # joint_limits.py; all (leg, 3)
    limit_upper: Array
    limit_lower: Array
    limit_upper_stiffness: Array
    limit_lower_stiffness: Array
    limit_damping: Array
    limit_transition: Array


def parameters(model: Model) -> Parameters:
    """Derive the constants of the equations from the model's numbers."""
    skeleton, muscles, paths = model.skeleton, model.muscles, model.paths
    ground, limits = model.ground, model.limits
    segments = path_segments(model)
    default_state = np.concatenate(
        [skeleton.default_coordinates, np.zeros(9), muscles.default_activation, muscles.default_fiber_length]
    )

    # Thelen's toe ends where exponential and line meet with equal slope, which OpenSim solves exactly.
    e3 = np.exp(3.0)
    toe_strain = 99.0 * muscles.tendon_strain * e3 / (166.0 * e3 - 67.0)
    af, flen = muscles.force_velocity_shape, muscles.lengthening_force
    lengthening_rate = (2.0 + 2.0 / af) / (flen - 1.0)
    height = muscles.optimal_fiber_length * np.sin(muscles.optimal_pennation)
    max_sin = np.sin(muscles.max_pennation)

    return Parameters(
        gravity=skeleton.gravity,
        default_state=default_state,
        trunk_mass=skeleton.trunk_mass,
        trunk_center=skeleton.trunk_center,
        trunk_inertia=skeleton.trunk_inertia,
        leg_mass=skeleton.leg_mass,
        leg_center=skeleton.leg_center,
        leg_inertia=skeleton.leg_inertia,
        hip=skeleton.hip[:, :2],
        ankle=skeleton.ankle[:, :2],
        knee_x_starts=np.array([spline_starts(s) for s in skeleton.knee_x]),
        knee_x=np.array([spline_table(s) for s in skeleton.knee_x]),
        knee_y_starts=np.array([spline_starts(s) for s in skeleton.knee_y]),
        knee_y=np.array([spline_table(s) for s in skeleton.knee_y]),
        torso=skeleton.torso,
        head=skeleton.head,
        toes=skeleton.toes,
        total_mass=skeleton.trunk_mass + float(skeleton.leg_mass.sum()),
        condition_joint=segments.condition_joint,
        condition_range=segments.condition_range,
        constant_length=segments.constant_length,
        segment_range=segments.segment_range,
        segment_body=segments.body,
        segment_near=segments.near[:, :2],
        segment_far=segments.far[:, :2],
        segment_z2=(segments.far[:, 2] - segments.near[:, 2]) ** 2,
        segment_moving=segments.moving,
        moving_leg=segments.moving_leg,
        moving_starts=np.array([spline_starts(s) for s in paths.moving_x]),
        moving_x=np.array([spline_table(s) for s in paths.moving_x]),
        moving_y=np.array([spline_table(s) for s in paths.moving_y]),
        moving_range=paths.moving_range,
        max_force=muscles.max_isometric_force,
        inverse_optimal_length=1.0 / muscles.optimal_fiber_length,
        inverse_slack_length=1.0 / muscles.tendon_slack_length,
        max_speed=muscles.max_contraction_velocity * muscles.optimal_fiber_length,
        pennation_height=height,
        min_length=height / max_sin,
        max_sin_pennation=max_sin,
        min_cos_pennation=np.where(height > 0.0, np.cos(muscles.max_pennation), 1.0),
        tendon_toe_strain=toe_strain,
        tendon_toe_rate=3.0 / toe_strain,
        tendon_toe_factor=np.full(18, 0.33 / (e3 - 1.0)),
        tendon_slope=0.67 / (muscles.tendon_strain - toe_strain),
        passive_rate=muscles.passive_shape / muscles.passive_strain,
        passive_factor=1.0 / (np.exp(muscles.passive_shape) - 1.0),
        inverse_active_shape=1.0 / muscles.active_shape,
        shortening_shape=1.0 / af,
        lengthening_rate=lengthening_rate,
        lengthening_force=flen,
        extrapolation_start=muscles.extrapolation_threshold * flen,
        activation_time=muscles.activation_time,
        deactivation_time=muscles.deactivation_time,
        min_activation=muscles.min_activation,
        ground_normal=ground.normal,
        sphere_center=ground.sphere_center[:, :, :2],
        sphere_z=ground.sphere_center[:, :, 2] + (skeleton.hip[:, 2] + skeleton.ankle[:, 2])[:, None],
        sphere_radius=ground.sphere_radius,
        ground_stiffness=hertz_stiffness(ground.stiffness),
        ground_dissipation=ground.dissipation,
        static_friction=ground.static_friction,
        dynamic_friction=ground.dynamic_friction,
        viscous_friction=ground.viscous_friction,
        transition_velocity=ground.transition_velocity,
        limit_upper=limits.upper,
        limit_lower=limits.lower,
        limit_upper_stiffness=limits.upper_stiffness,
        limit_lower_stiffness=limits.lower_stiffness,
        limit_damping=limits.damping,
        limit_transition=limits.transition,
    )


def hertz_stiffness(plane_strain_modulus: Array) -> Array:
    """Stiffness k of the Hertz force between equal materials (Simbody HuntCrossleyForce: k = K^(2/3) / 2)."""
    return 0.5 * plane_strain_modulus ** (2.0 / 3.0)


def spline_starts(spline: Array) -> Array:
    """Where the pieces of ``spline_table`` start; shape (knots + 1,)."""
    return np.concatenate([spline[0, :1], spline[0]])


def spline_table(spline: Array) -> Array:
    """Polynomial pieces of a SimmSpline given by its knots.

    Args:
        spline: shape (4, knots): knot, value, first and second derivative.

    Returns:
        shape (knots + 1, 4), see ``es.native.splines``.
    """
    knot, value, slope, second = spline
    c = second / 2.0
    d = np.diff(c) / (3.0 * np.diff(knot))
    table = np.zeros((len(knot) + 1, 4))
    table[0, :2] = value[0], slope[0]
    table[1:-1] = np.column_stack([value[:-1], slope[:-1], c[:-1], d])
    table[-1, :2] = value[-1], slope[-1]
    return table


def pack(fields: NamedTuple) -> Packed:
    """Copy a tuple of arrays into one structured array of shape (1,) with the same field names.

    Every field starts on a cache line of its own. Compilers must assume that two fields of one block may be
    read and written in turn, and work on four numbers at a time only if the fields are a multiple of that
    apart.
    """
    arrays: dict[str, NDArray[Any]] = {name: np.asarray(value) for name, value in fields._asdict().items()}
    sizes = [-(-array.nbytes // _CACHE_LINE) * _CACHE_LINE for array in arrays.values()]
    dtype = np.dtype(
        {
            "names": list(arrays),
            "formats": [(array.dtype, array.shape) for array in arrays.values()],
            "offsets": [sum(sizes[:i]) for i in range(len(sizes))],
            "itemsize": sum(sizes),
        }
    )
    packed = np.zeros(1, dtype)
    for name, array in arrays.items():
        packed[name][0] = array
    return packed
