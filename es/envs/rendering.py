"""The runner as a picture: bones, muscles and obstacles from the right side.

Everything in the model turns about the z axis, so a bone's side view never changes but for its place and
angle. Each body's meshes are therefore painted once, and a frame only moves these paintings about, which is
far quicker than drawing their 30,000 polygons again. Painting at twice the size and halving the result
smooths all edges.
"""

from itertools import pairwise
from math import sqrt
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from es.envs.opensim_physics import Skeleton
from es.envs.physics import MUSCLES, Array

Color = tuple[int, int, int]
Corner = list[float]
Pixels = NDArray[np.uint8]

COORDINATES = np.r_[0:3, 6:12]
"""Entries of the 41 observations that hold what `Renderer.render` wants: pelvis tilt, x, y, joint angles."""

OVERSAMPLING = 2

# The visible piece of the world, m. The pelvis stays at this share of the width.
BOTTOM, TOP = -0.25, 1.88
PELVIS_AT = 0.36

SKY: Color = (250, 251, 252)
GRID: Color = (233, 236, 240)
GROUND: Color = (222, 226, 231)
GROUND_EDGE: Color = (134, 142, 150)
TEXT: Color = (73, 80, 87)
OBSTACLE: Color = (92, 103, 125)
OBSTACLE_EDGE: Color = (61, 69, 86)
BONE_LIT: Color = (246, 238, 220)
BONE_DARK: Color = (128, 112, 92)
BONE_EDGE: Color = (92, 80, 66)
RELAXED = np.array([64.0, 99.0, 190.0])
HALF_ACTIVE = np.array([150.0, 70.0, 150.0])
ACTIVE = np.array([225.0, 38.0, 48.0])

FAR_SIDE_FADE = 0.45  # how much of the left leg's colour is that of the air in front of it
BELLY_RADIUS = 0.021  # m, of a muscle of 5000 N; the cross section grows with the force
TENDON_RADIUS = 0.005  # m


class Renderer:
    """Draws frames of one size.

    Args:
        width: of the frame in pixels.
        height: of the frame in pixels.
    """

    def __init__(self, width: int = 640, height: int = 360) -> None:
        self._size = width, height
        self._density = height / (TOP - BOTTOM) * OVERSAMPLING  # px/m
        self._skeleton = Skeleton()
        self._radii = BELLY_RADIUS * np.sqrt(self._skeleton.max_forces / 5000)
        self._paintings = {
            name: _paint(meshes, self._density, FAR_SIDE_FADE if name.endswith("_l") else 0.0)
            for name, meshes in zip(self._skeleton.bodies, self._skeleton.meshes, strict=True)
        }
        self._font = ImageFont.load_default(height / 24)
        self._large_font = ImageFont.load_default(height / 13)

    def render(
        self, coordinates: Array, activations: Array, obstacles: Array, seconds: float | None = None
    ) -> Pixels:
        """Draw one frame.

        Args:
            coordinates: shape (9,): pelvis tilt, x, y, then hip, knee, ankle of the right and the left leg.
            activations: of the 18 muscles, each in [0, 1].
            obstacles: shape (k, 3): centre x, centre y and radius in metres.
            seconds: into the episode, to be written next to the metres.

        Returns:
            Shape (height, width, 3).
        """
        width, height = self._size
        view = _View(float(coordinates[1]) - PELVIS_AT * width / height * (TOP - BOTTOM), self._density)
        canvas = Image.new("RGB", (width * OVERSAMPLING, height * OVERSAMPLING), SKY)
        draw = ImageDraw.Draw(canvas, "RGBA")
        metres = range(int(np.floor(view.left)), int(view.left + canvas.width / self._density) + 2)
        _draw_course(draw, view, canvas.size, metres, obstacles)
        pose = self._skeleton.pose(coordinates)
        frames = dict(zip(self._skeleton.bodies, pose.bodies.tolist(), strict=True))
        left_leg = [name for name in frames if name.endswith("_l")]
        right_leg = [name for name in frames if name.endswith("_r")]
        trunk = [name for name in frames if name not in left_leg + right_leg]
        right, left = range(MUSCLES // 2), range(MUSCLES // 2, MUSCLES)
        for bodies, muscles, fade in ((left_leg, left, FAR_SIDE_FADE), (trunk + right_leg, right, 0.0)):
            for name in bodies:
                _place(canvas, self._paintings[name], view, frames[name])
            for i in muscles:
                color = _mix(_activation_color(float(activations[i])), SKY, fade)
                line, belly = view.pixels(pose.muscles[i]), self._radii[i] * self._density
                outline = _spindle(line, belly, TENDON_RADIUS * self._density)
                draw.polygon([tuple(point) for point in outline.tolist()], fill=(*color, 225))
        frame = canvas.reduce(OVERSAMPLING)
        self._write(ImageDraw.Draw(frame), view, metres, float(coordinates[1]), seconds)
        return np.array(frame)

    def _write(
        self, draw: ImageDraw.ImageDraw, view: "_View", metres: range, distance: float, seconds: float | None
    ) -> None:
        width, height = self._size
        margin = height / 22
        for metre in metres:
            x, y = (value / OVERSAMPLING for value in view.pixel(metre, BOTTOM / 2))
            draw.text((x, y), f"{metre} m", TEXT, self._font, anchor="mm")
        draw.text((margin, margin), f"{distance:.2f} m", TEXT, self._large_font, anchor="lt")
        if seconds is not None:
            below = margin + height / 13
            draw.text((margin, below), f"{seconds:.2f} s", GROUND_EDGE, self._font, anchor="lt")
        bar, thick = width // 8, max(4, height // 60)
        left, top = width - margin - bar, margin
        for i in range(bar):
            draw.line([(left + i, top), (left + i, top + thick)], fill=_activation_color(i / (bar - 1)))
        label = (width - margin, top + 2 * thick)
        draw.text(label, "muscle activation 0 to 1", GROUND_EDGE, self._font, anchor="rt")


class _View(NamedTuple):
    """From metres to pixels of the large canvas."""

    left: float
    """x at the left edge, m."""
    density: float
    """Pixels per metre."""

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        return (x - self.left) * self.density, (TOP - y) * self.density

    def pixels(self, points: Array) -> Array:
        """The same for rows of x, y."""
        return (points - (self.left, TOP)) * (self.density, -self.density)


class _Painting(NamedTuple):
    """A body's bones at angle 0."""

    image: Image.Image
    """RGBA."""
    origin: tuple[float, float]
    """Pixel of the body frame's origin."""


def _draw_course(
    draw: ImageDraw.ImageDraw, view: _View, size: tuple[int, int], metres: range, obstacles: Array
) -> None:
    width, height = size
    _, floor = view.pixel(0, 0)
    thin = OVERSAMPLING
    for metre in metres:
        x, _ = view.pixel(metre, 0)
        draw.line([(x, 0), (x, floor)], fill=GRID, width=thin)
    for x, y, radius in obstacles.tolist():
        draw.circle(view.pixel(x, y), radius * view.density, OBSTACLE, OBSTACLE_EDGE, 2 * thin)
    draw.rectangle([(0, floor), (width, height)], fill=GROUND)
    draw.line([(0, floor), (width, floor)], fill=GROUND_EDGE, width=thin)
    for tenth in range(10 * metres.start, 10 * metres.stop):
        x, _ = view.pixel(tenth / 10, 0)
        length = 0.05 if tenth % 10 == 0 else 0.03 if tenth % 5 == 0 else 0.015
        draw.line([(x, floor), (x, floor + length * view.density)], fill=GROUND_EDGE, width=thin)


def _place(canvas: Image.Image, painting: _Painting, view: _View, frame: list[float]) -> None:
    """Put a painting where its body is: x, y (m), angle (rad)."""
    x, y, angle = frame
    center = np.array(view.pixel(x, y))
    cosine, sine = np.cos(angle), np.sin(angle)
    from_canvas = np.array([[cosine, -sine], [sine, cosine]])
    origin = np.array(painting.origin)
    wide, high = painting.image.size
    corners = (np.array([(0, 0), (wide, 0), (0, high), (wide, high)]) - origin) @ from_canvas + center
    low = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    high_corner = np.minimum(np.ceil(corners.max(axis=0)), canvas.size).astype(int)
    if (low >= high_corner).any():
        return
    shift = origin + from_canvas @ (low - center)
    affine = np.column_stack([from_canvas, shift]).ravel().tolist()
    size = tuple((high_corner - low).tolist())
    tile = painting.image.transform(size, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    canvas.paste(tile, tuple(low.tolist()), tile)


def _paint(meshes: tuple[Path, ...], density: float, fade: float) -> _Painting:
    """Paint meshes from the side, lit from the viewer, the farthest polygon first."""
    scale = density * OVERSAMPLING
    polygons = [polygon for path in meshes for polygon in _polygons(path)]
    polygons.sort(key=lambda corners: sum(z for _, _, z in corners) / len(corners))
    points = np.array([corner[:2] for corners in polygons for corner in corners])
    margin = 3 / density
    left, bottom = points.min(axis=0) - margin
    right, top = points.max(axis=0) + margin
    size = int(np.ceil((right - left) * scale)), int(np.ceil((top - bottom) * scale))
    image = Image.new("RGB", size)
    mask = Image.new("L", size)
    draw, draw_mask = ImageDraw.Draw(image), ImageDraw.Draw(mask)
    shades = [_mix(_mix(BONE_DARK, BONE_LIT, (i / 100) ** 0.8), SKY, fade) for i in range(101)]
    for corners in polygons:
        places = [((x - left) * scale, (top - y) * scale) for x, y, _ in corners]
        draw.polygon(places, fill=shades[round(100 * _facing(corners))])
        draw_mask.polygon(places, fill=255)
    outline = mask.filter(ImageFilter.MaxFilter(2 * OVERSAMPLING + 1))
    image.paste(_mix(BONE_EDGE, SKY, fade), mask=ImageChops.invert(mask))
    image.putalpha(outline)
    half = image.resize((size[0] // OVERSAMPLING, size[1] // OVERSAMPLING), Image.Resampling.BOX)
    return _Painting(half, (-left * density, top * density))


def _polygons(path: Path) -> list[list[Corner]]:
    """The polygons of a VTK PolyData file in ASCII, each the x, y, z of its corners in metres."""
    tree = ElementTree.parse(path)  # noqa: S314  (a file of an installed package, not of a stranger)
    points = _numbers(tree, "./PolyData/Piece/Points/DataArray").reshape(-1, 3).tolist()
    connectivity = _numbers(tree, "./PolyData/Piece/Polys/DataArray[@Name='connectivity']").astype(int)
    offsets = _numbers(tree, "./PolyData/Piece/Polys/DataArray[@Name='offsets']").astype(int).tolist()
    corners = [points[i] for i in connectivity.tolist()]
    return [corners[start:stop] for start, stop in pairwise([0, *offsets])]


def _numbers(tree: "ElementTree.ElementTree[ElementTree.Element]", where: str) -> Array:
    return np.array((tree.findtext(where) or "").split(), dtype=np.float64)


def _facing(corners: list[Corner]) -> float:
    """How squarely a polygon faces the viewer, from 0 to 1."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = corners[:3]
    ux, uy, uz, vx, vy, vz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    length = sqrt(nx * nx + ny * ny + nz * nz)
    return abs(nz) / length if length else 0.0


def _spindle(points: Array, belly: float, tendon: float, samples: int = 24) -> Array:
    """Outline of a muscle along a line, from tendon to belly to tendon radius; shape (2 * samples, 2)."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along = np.r_[0.0, np.cumsum(steps)]
    share = np.linspace(0, 1, samples)
    line = np.column_stack([np.interp(share * along[-1], along, points[:, axis]) for axis in (0, 1)])
    direction = np.gradient(line, axis=0)
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-9)
    radius = (tendon + (belly - tendon) * np.sin(np.pi * share) ** 1.5)[:, None]
    normal = direction[:, ::-1] * (-1, 1)
    return np.concatenate([line + radius * normal, (line - radius * normal)[::-1]])


def _activation_color(activation: float) -> Color:
    """Blue at 0, purple at 0.5, red at 1."""
    share = 2 * min(1.0, max(0.0, activation))
    low, high = (RELAXED, HALF_ACTIVE) if share < 1 else (HALF_ACTIVE, ACTIVE)
    red, green, blue = np.rint(low + (high - low) * (share % 1 if share < 2 else 1)).astype(int).tolist()
    return red, green, blue


def _mix(color: Color, other: Color, share: float) -> Color:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(color, other, strict=True))
    return red, green, blue
