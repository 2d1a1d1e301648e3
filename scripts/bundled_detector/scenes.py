"""Training images of the bundled detector, composed of street photos and portraits; see `train.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from labels import Label

MAX_FACES = 32
"""Rows of a batch's list of faces; further faces of an image are left out of it and not trained."""

SMALLEST = 7.0
"""Faces of fewer pixels than this are uncertain."""

HARD_SHARE = 0.35
"""Share of the parts of street photos, and of the portraits, that the network at the start got wrong."""

NATIVE_SHARE = 0.5
"""Share of the parts of street photos in their own size, in which the network learns how often faces of a size are."""

MIRRORED_POINTS = [1, 0, 2, 4, 3]

Array = NDArray[Any]


class Canvas:
    """An image with its faces, while it is composed."""

    def __init__(self, pixels: Array, boxes: Array, marks: Array, certain: Array) -> None:
        self.pixels = pixels
        self.boxes = boxes
        self.marks = marks
        self.certain = certain

    def add(self, other: Canvas) -> None:
        """Takes the faces of an image that was put into this one."""
        self.boxes = np.concatenate([self.boxes, other.boxes])
        self.marks = np.concatenate([self.marks, other.marks])
        self.certain = np.concatenate([self.certain, other.certain])


def warp(pixels: Array, label: Label, matrix: Array, size: tuple[int, int], mirrored: bool, fill: Any) -> Canvas:
    """Returns a photo under an affine map, with its faces.

    Args:
        pixels: The photo.
        label: Its faces.
        matrix: (2, 3), from photo to image.
        size: Width and height of the image.
        mirrored: Whether the map mirrors.
        fill: Color outside of the photo, or None for its repeated edge.
    """
    border = cv2.BORDER_REPLICATE if fill is None else cv2.BORDER_CONSTANT
    shrink = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if shrink < 0.6:
        # Linear sampling alone would alias.
        factor = max(shrink * 1.3, 1 / 16)
        small = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        back = np.diag([pixels.shape[1] / small.shape[1], pixels.shape[0] / small.shape[0]])
        image = cv2.warpAffine(
            small, np.c_[matrix[:, :2] @ back, matrix[:, 2]], size, borderMode=border, borderValue=fill
        )
    else:
        image = cv2.warpAffine(pixels, matrix, size, borderMode=border, borderValue=fill)
    linear, shift = matrix[:, :2], matrix[:, 2]
    middle = (label.boxes[:, :2] + label.boxes[:, 2:]) / 2 @ linear.T + shift
    # A turned box keeps its size: faces are rather round.
    half = (label.boxes[:, 2:] - label.boxes[:, :2]) / 2 * np.linalg.norm(linear, axis=0)
    boxes = np.concatenate([middle - half, middle + half], 1)
    marks = label.landmarks @ linear.T + shift
    if mirrored:
        marks = marks[:, MIRRORED_POINTS]
    visible = np.clip(boxes, 0, [size[0], size[1]] * 2)
    share = np.prod(visible[:, 2:] - visible[:, :2], 1) / np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], 1), 1e-6)
    certain = label.certain & (share > 0.6) & (np.sqrt(np.prod(2 * half, 1)) >= SMALLEST)
    kept = share > 0.05
    return Canvas(image, boxes[kept], marks[kept], certain[kept])


class Hard(NamedTuple):
    """What the network that a training starts from got wrong.

    Attributes:
        places: (places, 6): number of the street photo, box, weight.
        portraits: (portraits,): weight of each portrait.
    """

    places: Array
    portraits: Array


class SceneMaker:
    """Composes images at random.

    Args:
        street: Street photos with labels.
        portraits: Portraits with labels.
        size: Side of the square images in pixels.
        portrait_share: Share of images that show a portrait, up to a face that fills the image.
        seed: Seed of the random numbers.
        hard: A third of the parts of street photos are around one of these places, and a third of the portraits are of
            these, chosen by weight.
    """

    def __init__(
        self,
        street: Sequence[tuple[Array, Label]],
        portraits: Sequence[tuple[Array, Label]],
        size: int,
        portrait_share: float,
        seed: int,
        hard: Hard,
    ) -> None:
        self.street = street
        self.portraits = portraits
        self.size = size
        self.portrait_share = portrait_share
        self.random = np.random.default_rng(seed)
        self.hard = hard
        self.bounds = np.cumsum(hard.places[:, 5]), np.cumsum(hard.portraits)

    def make(self) -> tuple[Array, Array, Array, Array]:
        """Returns pixels, boxes (32, 4), landmarks (32, 10) and certain (32,)."""
        kind = self.random.random()
        if kind < 0.15:
            canvas = self.mosaic()
        elif kind < 0.15 + self.portrait_share:
            canvas = self.portrait()
        else:
            canvas = self.crop(self.size)
        if self.random.random() < 0.3:
            self.paste_faces(canvas)
        self.hide_parts(canvas)
        pixels = self.spoil(canvas.pixels)
        order = self.random.permutation(len(canvas.boxes))[:MAX_FACES]
        faces = np.zeros((MAX_FACES, 4), np.float32)
        marks = np.full((MAX_FACES, 10), np.nan, np.float32)
        certain = np.zeros(MAX_FACES, bool)
        faces[: len(order)] = canvas.boxes[order]
        marks[: len(order)] = canvas.marks[order].reshape(-1, 10)
        certain[: len(order)] = canvas.certain[order]
        return pixels, faces, marks, certain

    def log_uniform(self, low: float, high: float) -> float:
        """Returns a random number of uniform logarithm."""
        return float(np.exp(self.random.uniform(np.log(low), np.log(high))))

    def weighted(self, bounds: Array) -> int:
        """Returns an index, chosen by weights whose running sums are given."""
        return int(np.searchsorted(bounds, self.random.uniform(0, bounds[-1]), side="right"))

    def affine(self, scale: float, source: Array, target: Array) -> tuple[Array, bool]:
        """Returns a map of random turn, aspect and mirroring that puts the point `source` on `target`."""
        angle = np.deg2rad(self.random.normal(0, 7) if self.random.random() < 0.9 else self.random.uniform(-40, 40))
        aspect = np.exp(self.random.normal(0, 0.06))
        mirrored = bool(self.random.random() < 0.5)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = turn @ np.diag([(-1 if mirrored else 1) * scale * aspect, scale / aspect])
        return np.c_[linear, target - linear @ source], mirrored

    def fill(self) -> Any:
        """Returns a color for what lies outside of a photo: mostly black, as at prediction."""
        return (
            (0, 0, 0) if self.random.random() < 0.6 else tuple(int(value) for value in self.random.integers(0, 256, 3))
        )

    def crop(self, size: int, lowest: float = 9.0) -> Canvas:
        """Returns a part of a street photo, mostly around one of its faces, which gets a random size."""
        number, box = self.random.integers(len(self.street)), None
        if self.random.random() < HARD_SHARE:
            row = self.hard.places[self.weighted(self.bounds[0])]
            number, box = int(row[0]), row[1:5]
        pixels, label = self.street[number]
        faces = np.flatnonzero(label.certain)
        native = self.random.random() < NATIVE_SHARE
        if box is None and not native and len(faces) and self.random.random() < 0.85:
            box = label.boxes[self.random.choice(faces)]
        height, width = pixels.shape[:2]
        if native:
            scale = self.log_uniform(0.75, 1.3)
            source = self.random.uniform(0, 1, 2) * (width, height) if box is None else (box[:2] + box[2:]) / 2
            target = self.random.uniform(0.1, 0.9, 2) * size
        elif box is not None:
            extent = float(np.sqrt(np.prod(box[2:] - box[:2])))
            scale = np.clip(
                self.log_uniform(lowest, size * 0.55) / max(extent, 1), 0.8 * size / min(height, width), 3.5
            )
            source = (box[:2] + box[2:]) / 2
            target = self.random.uniform(0.1, 0.9, 2) * size
        else:
            scale = self.log_uniform(min(0.8 * size / min(height, width), 2.0), 2.0)
            source = self.random.uniform(0, 1, 2) * (width, height)
            target = self.random.uniform(0, 1, 2) * size
        # Little of the image shall lie outside of the photo.
        for axis, extent in enumerate((width, height)):
            if extent * scale >= size:
                target[axis] = np.clip(target[axis], size - (extent - source[axis]) * scale, source[axis] * scale)
        matrix, mirrored = self.affine(scale, source, target)
        return warp(pixels, label, matrix, (size, size), mirrored, self.fill())

    def mosaic(self) -> Canvas:
        """Returns four smaller images side by side."""
        half = self.size // 2
        canvas = Canvas(np.empty((self.size, self.size, 3), np.uint8), *empty())
        for row in (0, 1):
            for column in (0, 1):
                part = self.crop(half, 8.0)
                canvas.pixels[row * half :, column * half :][:half, :half] = part.pixels
                shift = np.array([column * half, row * half])
                part.boxes = part.boxes + np.tile(shift, 2)
                part.marks = part.marks + shift
                canvas.add(part)
        return canvas

    def portrait(self) -> Canvas:
        """Returns a portrait on a street photo, as large as the image at most."""
        hard = self.random.random() < HARD_SHARE and self.bounds[1][-1] > 0
        pixels, label = self.portraits[
            self.weighted(self.bounds[1]) if hard else self.random.integers(len(self.portraits))
        ]
        box = label.boxes[0]
        extent = float(np.sqrt(np.prod(box[2:] - box[:2])))
        scale = self.log_uniform(self.size * 0.15, self.size) / extent
        target = self.random.normal(0.5, 0.08, 2) * self.size
        matrix, mirrored = self.affine(scale, (box[:2] + box[2:]) / 2, target)
        if self.random.random() < 0.6:
            return warp(pixels, label, matrix, (self.size, self.size), mirrored, self.fill())
        canvas = self.crop(self.size)
        self.put(canvas, pixels, label, matrix, mirrored)
        return canvas

    def put(self, canvas: Canvas, pixels: Array, label: Label, matrix: Array, mirrored: bool) -> None:
        """Puts a photo onto the canvas; what it hides is no face any more."""
        part = warp(pixels, label, matrix, (self.size, self.size), mirrored, None)
        ones = np.full(pixels.shape[:2], 255, np.uint8)
        mask = cv2.warpAffine(ones, matrix, (self.size, self.size))
        for index, box in enumerate(canvas.boxes):
            left, upper, right, lower = np.clip(box, 0, self.size).astype(int)
            if right > left and lower > upper:
                hidden = float(mask[upper:lower, left:right].mean()) / 255
                canvas.certain[index] &= hidden < 0.25
                if hidden > 0.75:
                    canvas.boxes[index] = 0
        kept = canvas.boxes[:, 2] > canvas.boxes[:, 0]
        canvas.boxes, canvas.marks, canvas.certain = canvas.boxes[kept], canvas.marks[kept], canvas.certain[kept]
        cv2.copyTo(part.pixels, mask, canvas.pixels)
        canvas.add(part)

    def paste_faces(self, canvas: Canvas) -> None:
        """Puts heads of portraits onto the canvas, small and beside the faces that are there."""
        for _ in range(self.random.integers(1, 5)):
            pixels, label = self.portraits[self.random.integers(len(self.portraits))]
            box = label.boxes[0]
            extent = float(np.sqrt(np.prod(box[2:] - box[:2])))
            wanted = self.log_uniform(9, 70)
            target = self.random.uniform(0.02, 0.98, 2) * self.size
            apart = np.abs((canvas.boxes[:, :2] + canvas.boxes[:, 2:]) / 2 - target)
            reach = (canvas.boxes[:, 2:] - canvas.boxes[:, :2]) / 2 + wanted * 0.8
            if len(apart) and (apart < reach).all(1).any():
                continue
            # Only the window that the head may reach is computed.
            low = np.clip(np.floor(target - 1.5 * wanted), 0, self.size - 1).astype(int)
            high = np.clip(np.ceil(target + 1.5 * wanted), low + 1, self.size).astype(int)
            matrix, mirrored = self.affine(wanted / extent, (box[:2] + box[2:]) / 2, target - low)
            part = warp(pixels, label, matrix, (int(high[0] - low[0]), int(high[1] - low[1])), mirrored, None)
            if not len(part.boxes):
                continue
            mask = np.zeros(part.pixels.shape[:2], np.float32)
            axes = (part.boxes[0, 2:] - part.boxes[0, :2]) * self.random.uniform(0.55, 0.8)
            middle = (part.boxes[0, :2] + part.boxes[0, 2:]) / 2
            cv2.ellipse(mask, (tuple(middle.tolist()), tuple((2 * axes).tolist()), 0.0), 1.0, -1)
            mask = cv2.GaussianBlur(mask, (0, 0), max(wanted / 16, 0.5))[..., None]
            behind = canvas.pixels[low[1] : high[1], low[0] : high[0]]
            behind[:] = part.pixels * mask + behind * (1 - mask)
            part.boxes, part.certain = part.boxes[:1] + np.tile(low, 2), part.certain[:1]
            part.marks = part.marks[:1] + low
            canvas.add(part)

    def hide_parts(self, canvas: Canvas) -> None:
        """Draws a mask or a bar over some faces."""
        for box, marks, certain in zip(canvas.boxes, canvas.marks, canvas.certain, strict=True):
            if not certain or self.random.random() > 0.12:
                continue
            color = tuple(int(value) for value in self.random.integers(0, 256, 3))
            left, upper, right, lower = box
            if np.isfinite(marks).all() and self.random.random() < 0.7:
                nose, mouth = marks[2], marks[3:].mean(0)
                down, across = (mouth - nose) * 1.0, (marks[4] - marks[3]) * 0.9
                corners = [
                    nose - across - down * 0.2,
                    nose + across - down * 0.2,
                    mouth + across * 0.8 + down,
                    mouth - across * 0.8 + down,
                ]
                cv2.fillPoly(canvas.pixels, [np.round(corners).astype(np.int32)], color, cv2.LINE_AA)
            else:
                y = self.random.uniform(upper, lower)
                depth = (lower - upper) * self.random.uniform(0.1, 0.35)
                first = (round(float(left - 5)), round(float(y)))
                cv2.rectangle(canvas.pixels, first, (round(float(right + 5)), round(float(y + depth))), color, -1)

    def spoil(self, pixels: Array) -> Array:
        """Returns the image with other light, colors, sharpness, noise and compression."""
        chance = self.random.random(7)
        curve = np.tile(np.arange(256, dtype=np.float32)[:, None], 3)
        if chance[0] < 0.8:
            curve = curve * self.log_uniform(0.6, 1.6) + self.random.normal(0, 12)
        if chance[1] < 0.4:
            curve = curve * np.exp(self.random.normal(0, 0.12, 3))
        image = cv2.LUT(pixels, np.clip(curve, 0, 255).astype(np.uint8)[None])
        if chance[2] < 0.25:
            share = self.random.uniform(0, 1.2)
            image = cv2.transform(image, np.eye(3) * share + (1 - share) / 3)
        if chance[3] < 0.15:
            image = cv2.GaussianBlur(image, (0, 0), self.random.uniform(0.4, 1.5))
        if chance[4] < 0.12:
            noise = self.random.normal(0, self.random.uniform(2, 12), image.shape)
            image = np.clip(image + noise, 0, 255).astype(np.uint8)
        if chance[5] < 0.12:
            factor = self.random.uniform(0.4, 0.8)
            small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            image = cv2.resize(small, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
        if chance[6] < 0.25:
            quality = int(self.random.integers(25, 90))
            image = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
        return np.ascontiguousarray(image)


def empty() -> tuple[Array, Array, Array]:
    """Returns no boxes, no landmarks, nothing certain."""
    return np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, bool)


class Scenes(IterableDataset):
    """An endless stream of composed images; arguments as of `SceneMaker`."""

    def __init__(
        self,
        street: Sequence[Any],
        portraits: Sequence[Any],
        size: int,
        portrait_share: float,
        seed: int,
        hard: Hard,
    ) -> None:
        self.arguments = street, portraits, size, portrait_share
        self.seed = seed
        self.hard = hard

    def __iter__(self) -> Iterator[tuple[Array, Array, Array, Array]]:
        """Yields images; each worker has its own random numbers."""
        cv2.setNumThreads(1)
        info = get_worker_info()
        maker = SceneMaker(*self.arguments, seed=self.seed * 100 + (info.id if info else 0), hard=self.hard)
        while True:
            yield maker.make()
