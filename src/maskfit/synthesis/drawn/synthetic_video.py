"""Synthetic videos of drawn persons who walk through a scene and change how they wear their masks, with ground truth.

Used by tests and the demo of `maskfit video`::

    video = render_video(0, people=3)
    for time, pixels in video.frames(): ...
    video.events  # who appears, changes and leaves, and when
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskfit.errors import DataError
from maskfit.synthesis.drawn import background, head
from maskfit.synthesis.drawn.canvas import SUPERSAMPLING
from maskfit.synthesis.drawn.demographics import sample_demographics
from maskfit.synthesis.drawn.drawing_context import DrawingContext
from maskfit.synthesis.drawn.person import Person, sample_person
from maskfit.synthesis.drawn.render import Rectangle, draw_figure
from maskfit.synthesis.drawn.scene import Scene, sample_scene

Pixels = NDArray[np.uint8]
"""RGB pixels, uint8 of shape (height, width, 3)."""

PHOTOS = {"wear": "mask1", "incorrect": "incorrect_mask", "not_wear": "normal"}
"""Mask state -> photo whose mask is worn in that state."""

MIN_VISIBLE = 0.9
"""Minimum fraction of a face's box inside the frame for the face to count as present."""

BOB_HEIGHT = 0.02
"""Vertical bobbing of a walking head, as a fraction of the sprite's height."""

MAX_PEOPLE = 5
"""Maximum number of persons in a video."""
VIDEO_STREAM = 7
"""Entropy word that separates the random stream of videos from those of persons and photos."""


@dataclass(frozen=True)
class PersonSprites:
    """Cut-out images of a person, one per mask state.

    Attributes:
        images: RGBA images of one size by mask state.
        face: Box of the face on them: left, top, right, bottom.
    """

    images: Mapping[str, Image.Image]
    face: Rectangle


@dataclass(frozen=True)
class Walk:
    """A person's movement and mask states over time.

    Attributes:
        sprites: Images of the person.
        trajectory: (seconds, x, y) of the face's center in the frame, in ascending order; linearly interpolated.
        states: (start in seconds, mask state), the first at the beginning.
    """

    sprites: PersonSprites
    trajectory: tuple[tuple[float, float, float], ...]
    states: tuple[tuple[float, str], ...]

    def top_left(self, time: float) -> tuple[int, int] | None:
        """Computes the top left corner of the sprite at a time; None before and after the trajectory."""
        if not self.trajectory[0][0] <= time <= self.trajectory[-1][0]:
            return None
        times, across, down = zip(*self.trajectory, strict=True)
        left, upper, right, lower = self.sprites.face
        x, y = float(np.interp(time, times, across)), float(np.interp(time, times, down))
        return round(x - (left + right) / 2), round(y - (upper + lower) / 2)

    def state(self, time: float) -> str:
        """Returns the mask state at a time."""
        return [name for since, name in self.states if since <= time or since == self.states[0][0]][-1]


@dataclass(frozen=True)
class GroundTruthEvent:
    """An event in a video.

    Attributes:
        time: Time in seconds.
        person: Index of the walk.
        event: "appeared", "changed", "left", or "ended" at the last frame.
        state: Mask state after the event.
    """

    time: float
    person: int
    event: str
    state: str


@dataclass(frozen=True)
class SyntheticVideo:
    """A video of drawn persons, rendered frame by frame.

    Attributes:
        background: RGB image of the video's size.
        walks: The persons, from back to front.
        seconds: Duration.
        fps: Frames per second.
    """

    background: Image.Image
    walks: tuple[Walk, ...]
    seconds: float
    fps: float

    @cached_property
    def times(self) -> tuple[float, ...]:
        """Times of the frames in seconds."""
        return tuple((np.arange(round(self.seconds * self.fps)) / self.fps).tolist())

    def frames(self) -> Iterator[tuple[float, Pixels]]:
        """Renders the frames one after the other.

        Yields:
            (time in seconds, pixels) of each frame.
        """
        for time in self.times:
            yield time, self.frame(time)

    def frame(self, time: float) -> Pixels:
        """Renders the frame at a time.

        Args:
            time: Time in seconds.

        Returns:
            Pixels of shape (height, width, 3).
        """
        image = self.background.copy()
        for walk in self.walks:
            top_left = walk.top_left(time)
            if top_left is not None:
                picture = walk.sprites.images[walk.state(time)]
                image.paste(picture, top_left, picture)
        return np.asarray(image, dtype=np.uint8)

    def boxes(self, time: float) -> dict[int, Rectangle]:
        """Computes the boxes of the faces in the frame at a time.

        Args:
            time: Time in seconds.

        Returns:
            Boxes by index of the walk; faces occluded by others are included.
        """
        boxes = {}
        for index, walk in enumerate(self.walks):
            top_left = walk.top_left(time)
            if top_left is not None:
                left, upper, right, lower = walk.sprites.face
                box = (left + top_left[0], upper + top_left[1], right + top_left[0], lower + top_left[1])
                if _visible_fraction(box, self.background.size) >= MIN_VISIBLE:
                    boxes[index] = box
        return boxes

    @cached_property
    def events(self) -> tuple[GroundTruthEvent, ...]:
        """All events in order of time."""
        there: dict[int, str] = {}
        events = []
        for time in self.times:
            boxes = self.boxes(time)
            events += [
                GroundTruthEvent(time, index, "left", there.pop(index)) for index in sorted(set(there) - set(boxes))
            ]
            for index in boxes:
                state = self.walks[index].state(time)
                if there.get(index) != state:
                    events.append(GroundTruthEvent(time, index, "changed" if index in there else "appeared", state))
                there[index] = state
        events += [GroundTruthEvent(self.times[-1], index, "ended", state) for index, state in there.items()]
        return tuple(events)


def render_video(
    seed: int, people: int = 3, *, seconds: float = 12.0, size: tuple[int, int] = (640, 480), fps: float = 25.0
) -> SyntheticVideo:
    """Creates a video: persons enter from the sides, stand, change how they wear their masks, and some leave.

    Args:
        seed: Seed of the video, >= 0.
        people: Number of persons, 1 to `MAX_PEOPLE`.
        seconds: Duration, >= 4.
        size: Width and height in pixels, each >= 96.
        fps: Frames per second, > 0.

    Returns:
        The video; frames are rendered on demand.

    Raises:
        DataError: An argument is out of its range.
    """
    if not 1 <= people <= MAX_PEOPLE or seconds < 4 or min(size) < 96 or fps <= 0 or seed < 0:
        raise DataError(
            f"video out of range: people={people}, seconds={seconds:g}, size={size[0]} x {size[1]}, fps={fps:g}, "
            f"seed={seed}",
            hint=f"people must be 1 to {MAX_PEOPLE}, seconds >= 4, size >= 96 each, fps > 0, seed >= 0",
        )
    rng = np.random.default_rng([seed, VIDEO_STREAM])
    persons = [
        sample_person(seed, number, gender=gender, age=age)
        for number, (gender, age) in enumerate(sample_demographics(seed, max(people, 6))[:people], start=1)
    ]
    heights = np.sort(rng.uniform(0.62, 0.8, people)) * size[1]
    walks = [
        _sample_walk(rng, render_sprites(person, round(height)), index, people, seconds, size)
        for index, (person, height) in enumerate(zip(persons, heights, strict=True))
    ]
    return SyntheticVideo(_draw_background(persons[0], size), tuple(walks), seconds, fps)


def render_sprites(person: Person, height: int) -> PersonSprites:
    """Renders the cut-out images of a person from head to chest; only the mask differs between the states.

    Args:
        person: The person.
        height: Height of the images in pixels.

    Returns:
        The images and the box of the face.
    """
    scene = sample_scene(person, "normal")
    # Upright and frontal, so that nothing but the mask changes on the face.
    scene = replace(
        scene, yaw=scene.yaw / 3, pitch=0.0, roll=scene.roll / 3, shift=(0.0, 0.0), scale=1.0, mouth_open=0.0
    )
    size = (round(height * 3 / 4), height)
    images = {}
    for state, photo in PHOTOS.items():
        mask = sample_scene(person, photo).mask
        images[state] = _cut_out(person, replace(scene, mask=mask), size)
    rim = head.outline_pixels(DrawingContext(person, scene, size)) / SUPERSAMPLING
    (left, upper), (right, lower) = rim.min(axis=0).tolist(), rim.max(axis=0).tolist()
    return PersonSprites(images, (left, upper, right, lower))


def _cut_out(person: Person, scene: Scene, size: tuple[int, int]) -> Image.Image:
    """Renders a person without the background, RGBA.

    Rendered on black and on white: the difference is the transparency (difference matting).
    """
    drawn = []
    for ground in ((0, 0, 0), (255, 255, 255)):
        ctx = DrawingContext(person, scene, size)
        ctx.canvas.image.paste(ground, (0, 0, *ctx.canvas.size))
        draw_figure(ctx)
        drawn.append(np.asarray(ctx.canvas.finished(), dtype=np.float64))
    black, white = drawn
    transparency = ((white - black).mean(axis=2) / 255).clip(0, 1)
    opacity = 1 - transparency
    color = np.where(opacity[..., None] > 0.02, black / np.maximum(opacity, 0.02)[..., None], 0)
    return Image.fromarray(np.dstack([color.clip(0, 255), opacity * 255]).round().astype(np.uint8), "RGBA")


def _draw_background(person: Person, size: tuple[int, int]) -> Image.Image:
    ctx = DrawingContext(person, replace(sample_scene(person, "normal"), background="room"), size)
    background.draw_background(ctx)
    return ctx.canvas.finished()


def _sample_walk(
    rng: np.random.Generator, sprites: PersonSprites, index: int, people: int, seconds: float, size: tuple[int, int]
) -> Walk:
    """Samples a walk: in from a side, to a place, and for every second person out again."""
    picture = sprites.images["wear"]
    stand = size[0] * (index + 0.5) / people
    # Entering from either side, so that some persons pass in front of others.
    from_left = bool(index % 2)
    outside = (-picture.width / 2, size[0] + picture.width / 2)
    begins = seconds * (0.02 + 0.3 * index / people)
    arrives = begins + seconds * 0.2
    high = size[1] - picture.height + (sprites.face[1] + sprites.face[3]) / 2 + BOB_HEIGHT * picture.height
    points = [(begins, outside[not from_left], high), (arrives, stand, high)]
    leaves = index % 2 == 0 and people > 1
    until = seconds * 0.8 if leaves else seconds
    points.append((until, stand, high))
    if leaves:
        points.append((seconds * 0.97, outside[from_left], high))
    first, second, third = (list(PHOTOS)[at] for at in rng.permutation(3))
    change = float(rng.uniform(arrives + 0.3, (arrives + until) / 2))
    back = float(rng.uniform(change + seconds * 0.12, until))
    states = [(0.0, first), (round(change, 2), second)]
    if back - change > seconds * 0.12:
        states.append((round(back, 2), third))
    return Walk(sprites, _bobbing_path(points, BOB_HEIGHT * picture.height), tuple(states))


def _bobbing_path(points: list[tuple[float, float, float]], high: float) -> tuple[tuple[float, float, float], ...]:
    """Returns a trajectory on which the head bobs while the person walks."""
    trajectory = []
    for (start, x, y), (stop, other_x, other_y) in pairwise(points):
        count = max(round((stop - start) / 0.1), 1)
        walks = x != other_x
        for fraction in np.linspace(0, 1, count, endpoint=False).tolist():
            time = start + fraction * (stop - start)
            bob = -high * abs(np.sin(2 * np.pi * (time - start) / 0.9)) if walks else 0.0
            trajectory.append((time, x + fraction * (other_x - x), y + fraction * (other_y - y) + float(bob)))
    return (*trajectory, points[-1])


def _visible_fraction(box: Rectangle, size: tuple[int, int]) -> float:
    """Computes the fraction of a box that is inside the frame."""
    left, upper, right, lower = box
    wide = max(min(right, size[0]) - max(left, 0), 0)
    high = max(min(lower, size[1]) - max(upper, 0), 0)
    return wide * high / ((right - left) * (lower - upper))
