"""Contact of the feet with the ground and with obstacles (Simbody HuntCrossleyForce).

K. H. Hunt, F. R. E. Crossley, "Coefficient of restitution interpreted as damping in vibroimpact",
J. Appl. Mech. 42 (1975) 440-445. Depth d, normal approach speed v_n, effective radius R:
f = 4/3 k d sqrt(R k d) (1 + 3/2 c v_n), with regularised Coulomb friction that reaches its full value at the
transition velocity.
"""

import math

from es.native.compile import inlined
from es.native.model import Array
from es.native.parameters import Parameters
from es.native.workspace import Workspace

# The task's obstacles: dissipation of the material, s/m, and no friction.
OBSTACLE_DISSIPATION = 1e-5


@inlined
def touch(y: Array, obstacles: Array, p: Parameters, w: Workspace, with_partials: bool) -> None:
    """Fill ``foot_wrench`` and on demand ``foot_stiffness`` and ``foot_damping``; needs ``foot_motion``.

    Args:
        y: state, shape (54,).
        obstacles: shape (k, 4), centre x, centre y, radius (m) and Hertz stiffness k of each sphere at z = 0.
        p: parameters.
        w: workspace.
        with_partials: also fill the derivatives; geometry is held fixed in them.
    """
    for leg in range(2):
        for i in range(3):
            w.foot_wrench[leg, i] = 0.0
            if with_partials:
                for j in range(3):
                    w.foot_stiffness[leg, i, j] = 0.0
                    w.foot_damping[leg, i, j] = 0.0
        heel_x, heel_y = _sphere_center(w, p, leg, 0)
        toe_x, toe_y = _sphere_center(w, p, leg, 1)

        # Simbody gives up a foot's remaining contacts at the first one that pulls, so their order matters.
        first = _first_in_sweep(y[1] + heel_x, y[2] + heel_y, y[1] + toe_x, y[2] + toe_y, leg, p)
        for turn in range(2):
            sphere = first if turn == 0 else 1 - first
            x, height = (heel_x, heel_y) if sphere == 0 else (toe_x, toe_y)
            if _touch_ground(y, leg, sphere, x, height, p, w, with_partials):
                break

        for k in range(obstacles.shape[0]):
            for sphere in range(2):
                x, height = (heel_x, heel_y) if sphere == 0 else (toe_x, toe_y)
                dx = y[1] + x - obstacles[k, 0]
                dy = y[2] + height - obstacles[k, 1]
                reach = obstacles[k, 2] + p.sphere_radius[leg, sphere]
                square = dx * dx + dy * dy + p.sphere_z[leg, sphere] * p.sphere_z[leg, sphere]
                if square < reach * reach:
                    _touch_obstacle(
                        leg,
                        sphere,
                        x,
                        height,
                        dx,
                        dy,
                        square,
                        obstacles[k, 2],
                        obstacles[k, 3],
                        p,
                        w,
                        with_partials,
                    )


@inlined
def _sphere_center(w: Workspace, p: Parameters, leg: int, sphere: int) -> tuple[float, float]:
    """Centre of a foot's heel (0) or toe (1) sphere, from the pelvis origin."""
    cos, sin = w.rotation[leg, 3, 0], w.rotation[leg, 3, 1]
    x, y = p.sphere_center[leg, sphere, 0], p.sphere_center[leg, sphere, 1]
    return w.origin[leg, 3, 0] + cos * x - sin * y, w.origin[leg, 3, 1] + sin * x + cos * y


@inlined
def _first_in_sweep(heel_x: float, heel_y: float, toe_x: float, toe_y: float, leg: int, p: Parameters) -> int:
    """Which sphere Simbody's sweep and prune meets first (GeneralContactSubsystem).

    It sorts along the axis on which the three geometries spread most; the plane counts as a point at the
    origin. Positions are in ground.
    """
    heel_z, toe_z = p.sphere_z[leg, 0], p.sphere_z[leg, 1]
    spread_x = _spread(heel_x, toe_x)
    spread_y = _spread(heel_y, toe_y)
    spread, heel, toe = spread_y, heel_y, toe_y
    if spread_x > spread_y:
        spread, heel, toe = spread_x, heel_x, toe_x
    if _spread(heel_z, toe_z) > spread:
        heel, toe = heel_z, toe_z
    return 0 if heel - p.sphere_radius[leg, 0] < toe - p.sphere_radius[leg, 1] else 1


@inlined
def _spread(a: float, b: float) -> float:
    """Sum of the distances of a, b and 0 from their mean."""
    mean = (a + b) / 3.0
    return abs(a - mean) + abs(b - mean) + abs(mean)


@inlined
def _touch_ground(
    y: Array, leg: int, sphere: int, x: float, height: float, p: Parameters, w: Workspace, with_partials: bool
) -> bool:
    """Add one sphere's ground contact; true if it pulls, which ends this foot's ground contacts.

    Args:
        y: state, shape (54,).
        leg: 0 right, 1 left.
        sphere: 0 heel, 1 toe.
        x: centre from the pelvis origin, m.
        height: its height from the pelvis origin, m.
        p: parameters.
        w: workspace.
        with_partials: add to the derivatives too.
    """
    nx, ny = p.ground_normal[0], p.ground_normal[1]
    radius = p.sphere_radius[leg, sphere]
    depth = radius - (nx * (y[1] + x) + ny * (y[2] + height))
    if depth <= 0.0:
        return False
    lever = radius - 0.5 * depth
    px, py = x - lever * nx, height - lever * ny
    motion = w.foot_motion[leg]
    vx, vy = motion[1] - motion[0] * py, motion[2] + motion[0] * px
    approach = -(nx * vx + ny * vy)
    k, c = p.ground_stiffness[leg], p.ground_dissipation[leg]
    hertz = 4.0 / 3.0 * k * depth * math.sqrt(radius * k * depth)
    normal = hertz * (1.0 + 1.5 * c * approach)
    if normal <= 0.0:
        return True

    tx, ty = ny, -nx
    slip = tx * vx + ty * vy
    relative = abs(slip) / p.transition_velocity[leg]
    excess = 2.0 * (p.static_friction[leg] - p.dynamic_friction[leg]) / (1.0 + relative * relative)
    coulomb = p.dynamic_friction[leg] + excess
    # Friction over normal force and its derivative by slip; the part of static friction is treated as
    # constant.
    mu_slope = p.viscous_friction[leg]
    if relative < 1.0:
        mu_slope += coulomb / p.transition_velocity[leg]
        mu = mu_slope * slip
    else:
        mu = math.copysign(coulomb, slip) + mu_slope * slip
    fx, fy = normal * (nx - mu * tx), normal * (ny - mu * ty)
    _add_force(leg, px, py, fx, fy, w)

    if with_partials:
        # By speed along n and t, and by displacement along n.
        by_normal_speed = -1.5 * c * hertz
        by_depth = 1.5 * normal / depth
        dx, dy = nx - mu * tx, ny - mu * ty
        friction = -normal * mu_slope
        _add_partials(
            leg,
            px,
            py,
            -by_depth * dx * nx,
            -by_depth * dx * ny,
            -by_depth * dy * nx,
            -by_depth * dy * ny,
            by_normal_speed * dx * nx + friction * tx * tx,
            by_normal_speed * dx * ny + friction * tx * ty,
            by_normal_speed * dy * nx + friction * ty * tx,
            by_normal_speed * dy * ny + friction * ty * ty,
            w,
        )
    return False


@inlined
def _touch_obstacle(
    leg: int,
    sphere: int,
    x: float,
    height: float,
    dx: float,
    dy: float,
    square: float,
    obstacle_radius: float,
    k: float,
    p: Parameters,
    w: Workspace,
    with_partials: bool,
) -> None:
    """Add the contact of a foot sphere with an obstacle; the z of its slanted normal does no work.

    Args:
        leg: 0 right, 1 left.
        sphere: 0 heel, 1 toe.
        x: centre of the foot sphere from the pelvis origin, m.
        height: its height from the pelvis origin, m.
        dx: centre of the foot sphere minus that of the obstacle, m.
        dy: the same, upward, m.
        square: squared distance of the centres in three dimensions, m^2.
        obstacle_radius: m.
        k: Hertz stiffness.
        p: parameters.
        w: workspace.
        with_partials: add to the derivatives too.
    """
    distance = math.sqrt(square)
    if distance == 0.0:
        return
    radius = p.sphere_radius[leg, sphere]
    depth = radius + obstacle_radius - distance
    nx, ny = dx / distance, dy / distance
    lever = radius - 0.5 * depth
    px, py = x - lever * nx, height - lever * ny
    motion = w.foot_motion[leg]
    vx, vy = motion[1] - motion[0] * py, motion[2] + motion[0] * px
    approach = -(nx * vx + ny * vy)
    effective = radius * obstacle_radius / (radius + obstacle_radius)
    hertz = 4.0 / 3.0 * k * depth * math.sqrt(effective * k * depth)
    normal = hertz * (1.0 + 1.5 * OBSTACLE_DISSIPATION * approach)
    if normal <= 0.0:
        return
    _add_force(leg, px, py, normal * nx, normal * ny, w)

    if with_partials:
        by_normal_speed = -1.5 * OBSTACLE_DISSIPATION * hertz
        by_depth = 1.5 * normal / depth
        turn = normal / distance  # the normal turns as the sphere moves along the obstacle
        _add_partials(
            leg,
            px,
            py,
            turn * (1.0 - nx * nx) - by_depth * nx * nx,
            -turn * nx * ny - by_depth * nx * ny,
            -turn * ny * nx - by_depth * ny * nx,
            turn * (1.0 - ny * ny) - by_depth * ny * ny,
            by_normal_speed * nx * nx,
            by_normal_speed * nx * ny,
            by_normal_speed * ny * nx,
            by_normal_speed * ny * ny,
            w,
        )


@inlined
def _add_force(leg: int, px: float, py: float, fx: float, fy: float, w: Workspace) -> None:
    """Add a force at a point to the foot's wrench."""
    w.foot_wrench[leg, 0] += px * fy - py * fx
    w.foot_wrench[leg, 1] += fx
    w.foot_wrench[leg, 2] += fy


@inlined
def _add_partials(
    leg: int,
    px: float,
    py: float,
    kxx: float,
    kxy: float,
    kyx: float,
    kyy: float,
    dxx: float,
    dxy: float,
    dyx: float,
    dyy: float,
    w: Workspace,
) -> None:
    """Add a point force's derivatives by displacement (k) and velocity (d) to those of the wrench."""
    _add_projected(w.foot_stiffness[leg], px, py, kxx, kxy, kyx, kyy)
    _add_projected(w.foot_damping[leg], px, py, dxx, dxy, dyx, dyy)


@inlined
def _add_projected(target: Array, px: float, py: float, xx: float, xy: float, yx: float, yy: float) -> None:
    """Add P^T A P with A = [[xx, xy], [yx, yy]] and P = [[-py, 1, 0], [px, 0, 1]]."""
    x_turn, y_turn = xy * px - xx * py, yy * px - yx * py
    target[0, 0] += px * y_turn - py * x_turn
    target[0, 1] += px * yx - py * xx
    target[0, 2] += px * yy - py * xy
    target[1, 0] += x_turn
    target[1, 1] += xx
    target[1, 2] += xy
    target[2, 0] += y_turn
    target[2, 1] += yx
    target[2, 2] += yy
