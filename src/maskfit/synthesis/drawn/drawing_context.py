"""Drawing context: maps head coordinates of a turned head to canvas pixels."""

from __future__ import annotations

import math

import numpy as np

from maskfit.synthesis.drawn.canvas import SUPERSAMPLING, Canvas
from maskfit.synthesis.drawn.colors import Color, blend, luminance, scale_channels
from maskfit.synthesis.drawn.curves import Points, PointsLike, as_points
from maskfit.synthesis.drawn.person import Person
from maskfit.synthesis.drawn.scene import Scene

# Half a face's width and the height of the eyes, as fractions of a 384 x 512 image's width and height.
_HEAD_UNIT = 0.212
_EYE_LEVEL = 0.425


class Tones:
    """Colors derived from a skin color: shades, lines, lips.

    Args:
        skin: Skin color.
        contrast: Strength of the shading, 1 usual.

    Attributes:
        skin: Skin color.
        shade: Color of soft shadows.
        deep: Color of deep shadows.
        line: Color of lines.
        light: Color of highlights.
        blush: Color of the cheeks.
        lip: Color of the lips.
    """

    def __init__(self, skin: Color, contrast: float) -> None:
        """Computes the colors; arguments as for the class."""
        dark = 1 - luminance(skin)
        self.skin = skin
        self.shade = blend(
            skin, scale_channels(skin, (0.82 - 0.04 * dark, 0.68 + 0.04 * dark, 0.66 + 0.06 * dark)), min(1.0, contrast)
        )
        self.deep = scale_channels(skin, (0.66 - 0.1 * dark, 0.48, 0.46))
        self.line = scale_channels(skin, (0.60 - 0.12 * dark, 0.42, 0.38))
        self.light = blend(skin, (255, 244, 230), 0.38 - 0.10 * dark)
        self.blush = blend(skin, (226, 92, 84), 0.34 - 0.12 * dark)
        self.lip = blend(scale_channels(skin, (0.90, 0.66, 0.66)), (184, 72, 78), 0.30)


class DrawingContext:
    """Person, scene and canvas: the argument of every drawing function.

    Head coordinates: one unit is half a face's width, x to the right of the image, y down, the eyes at y = 0. Depth
    points
    at the viewer: about 0.9 at the nose, 0 at the ears.

    Args:
        person: Person to draw.
        scene: Setting of the photo.
        size: Width and height of the image in pixels.

    Attributes:
        person: The person.
        scene: The setting.
        canvas: Canvas of this image.
        tones: Skin colors under this light.
        rng: Random generator of details that are random in each photo.
        unit: Canvas pixels per head unit.
    """

    def __init__(self, person: Person, scene: Scene, size: tuple[int, int]) -> None:
        """Creates a canvas and the projection; arguments as for the class."""
        self.person = person
        self.scene = scene
        self.canvas = Canvas(size)
        self.tones = Tones(person.skin, scene.contrast)
        self.rng = np.random.default_rng(scene.texture_seed)
        width, height = size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING
        # At another aspect ratio the head is as large as in a 3:4 image of that height or width.
        reference = min(width, height * 0.75)
        self.unit = reference * _HEAD_UNIT * scene.scale
        self._x = width / 2 + scene.shift[0] * reference
        self._y = height * _EYE_LEVEL + scene.shift[1] * reference
        self._sin_yaw, self._cos_yaw = math.sin(scene.yaw), math.cos(scene.yaw)
        self._sin_pitch = math.sin(scene.pitch)
        self._sin_roll, self._cos_roll = math.sin(scene.roll), math.cos(scene.roll)

    def to_pixels(self, length: float) -> float:
        """Converts a length from head units to canvas pixels."""
        return length * self.unit

    def depth(self, points: Points) -> Points:
        """Computes the depth of the face's surface at points, shape (n, 2) to (n,)."""
        inside: Points = 1 - (points[:, 0] / 1.04) ** 2 - ((points[:, 1] - 0.15) / 1.7) ** 2
        depth: Points = 0.9 * np.sqrt(inside.clip(0))
        return depth

    def face(self, points: PointsLike, depth: float | Points | None = None) -> Points:
        """Projects points on the head to canvas pixels.

        Args:
            points: Head coordinates, shape (n, 2).
            depth: Depth of the points, a number or shape (n,); None for the face's surface.

        Returns:
            Canvas pixels, shape (n, 2).
        """
        flat = as_points(points)
        out = self.depth(flat) if depth is None else depth
        x = flat[:, 0] * self._cos_yaw + out * self._sin_yaw
        y = flat[:, 1] + out * self._sin_pitch - 0.45  # leans about a point below the nose
        rotated = np.empty((len(flat), 2))
        rotated[:, 0] = self._x + self.unit * (x * self._cos_roll - y * self._sin_roll)
        rotated[:, 1] = self._y + self.unit * (0.45 + x * self._sin_roll + y * self._cos_roll)
        return rotated

    def to_pixel(self, x: float, y: float, depth: float | None = None) -> tuple[float, float]:
        """Projects one point on the head to a canvas pixel.

        Args:
            x: Head coordinate.
            y: Head coordinate.
            depth: Depth of the point; None for the face's surface.

        Returns:
            Canvas pixel (x, y).
        """
        # Same as `face`, without the overhead of arrays.
        if depth is None:
            depth = 0.9 * math.sqrt(max(0.0, 1 - (x / 1.04) ** 2 - ((y - 0.15) / 1.7) ** 2))
        right = x * self._cos_yaw + depth * self._sin_yaw
        down = y + depth * self._sin_pitch - 0.45
        return (
            self._x + self.unit * (right * self._cos_roll - down * self._sin_roll),
            self._y + self.unit * (0.45 + right * self._sin_roll + down * self._cos_roll),
        )

    def body(self, points: PointsLike) -> Points:
        """Projects points on neck and shoulders, which do not turn with the head, to canvas pixels.

        Args:
            points: Head coordinates, shape (n, 2).

        Returns:
            Canvas pixels, shape (n, 2).
        """
        return as_points(points) * self.unit + (self._x, self._y)
