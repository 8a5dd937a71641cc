"""Rewrites the muscles' path points as straight segments between leg segments.

Parts of a path between two points on the same segment of the skeleton have a constant length and pull on no
joint. What is left, once or twice for each muscle, is a line from a nearer to a farther segment along the
leg. A muscle's conditional point makes two *variants* of its path: 0 without the point, 1 with it.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from es.errors import ModelError
from es.native.model import Array, Index, Model
from es.native.state import MUSCLES


class PathSegments(NamedTuple):
    """The paths as lines; field shapes are those of the same fields in ``es.native.parameters.Parameters``.

    ``near`` and ``far`` have shape (segments, 3); their z counts from the hip centre's plane, that of the
    trunk's points from there too.
    """

    condition_joint: Index
    condition_range: Array
    constant_length: Array
    segment_range: Index
    body: Index
    near: Array
    far: Array
    moving: Index
    moving_leg: Index


def path_segments(model: Model) -> PathSegments:
    """Split every muscle's path.

    Raises:
        ModelError: a path that this representation cannot hold.
    """
    paths, skeleton = model.paths, model.skeleton
    condition_joint = np.full(MUSCLES, -1)
    condition_range = np.zeros((MUSCLES, 2))
    constant_length = np.zeros((MUSCLES, 2))
    segment_range = np.zeros((MUSCLES, 2, 2), dtype=np.int64)
    body: list[tuple[int, int]] = []
    near: list[Array] = []
    far: list[Array] = []
    moving: list[int] = []

    for muscle in range(MUSCLES):
        name = model.muscles.names[muscle]
        leg = muscle // (MUSCLES // 2)
        points = np.flatnonzero(paths.muscle == muscle)
        conditional = [p for p in points if paths.condition_joint[p] >= 0]
        if len(conditional) > 1:
            raise ModelError(
                f"{name} has {len(conditional)} conditional points; the compiled twin expects at most one"
            )
        if conditional:
            condition_joint[muscle] = paths.condition_joint[conditional[0]]
            condition_range[muscle] = paths.condition_range[conditional[0]]
        for variant in (0, 1):
            first = len(body)
            active = [p for p in points if p not in conditional or variant == 1]
            for a, b in pairwise(active):
                start, end = int(paths.segment[a]), int(paths.segment[b])
                if start == end and paths.moving[a] < 0 and paths.moving[b] < 0:
                    constant_length[muscle, variant] += np.linalg.norm(paths.location[b] - paths.location[a])
                elif start < end and paths.moving[a] < 0:
                    body.append((start, end))
                    near.append(_from_hip_plane(paths.location[a], start, skeleton.hip[leg, 2]))
                    far.append(_from_hip_plane(paths.location[b], end, skeleton.hip[leg, 2]))
                    moving.append(int(paths.moving[b]))
                else:
                    raise ModelError(
                        f"{name} runs back up the leg or from a moving point; the compiled twin expects paths"
                        " that run down the leg and end in moving points"
                    )
            segment_range[muscle, variant] = first, len(body)
    return PathSegments(
        condition_joint,
        condition_range,
        constant_length,
        segment_range,
        np.array(body),
        np.array(near),
        np.array(far),
        np.array(moving),
        paths.muscle[paths.moving >= 0] // (MUSCLES // 2),
    )


def _from_hip_plane(location: Array, segment: int, hip_z: float) -> Array:
    """A point with its z counted from the hip centre; only the trunk's frame lies elsewhere."""
    shift: Array = np.array([0.0, 0.0, hip_z if segment == 0 else 0.0])
    return np.subtract(location, shift)
