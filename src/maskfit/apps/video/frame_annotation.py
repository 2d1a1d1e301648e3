"""What is drawn on a frame: a box round everybody who is to be seen, with his number and his state; or blur."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image

from maskfit.apps.video.event_detector import EventDetector, format_state
from maskfit.data.boxes import Box, clip_box
from maskfit.data.image_decoding import Pixels
from maskfit.inference.annotation import FaceAnnotation, value_color, draw_annotations

BLUR_TILES = 6
"""Squares across a face that is blurred: each is one colour, so that nothing of a face can be got back."""

BLUR_MARGIN = 0.25
"""Of a face, how much round it is blurred as well: hair, chin and ears."""

MAX_DRAWN_UNSEEN_SECONDS = 0.3
"""Seconds for which a box is still drawn where somebody is expected, so that it does not flicker."""


def draw(pixels: Pixels, crowd: EventDetector, time: float) -> Pixels:
    """A copy of a frame (height, width, 3) with everybody marked who is to be seen at that time."""
    return np.asarray(
        draw_annotations(Image.fromarray(pixels), visible_boxes(crowd, time, pixels.shape[:2])), dtype=np.uint8
    )


def visible_boxes(crowd: EventDetector, time: float, size: tuple[int, ...]) -> list[FaceAnnotation]:
    """Everybody who is to be seen now, where he is or is expected, on a frame of (height, width)."""
    height, width = size
    values = crowd.schema[crowd.state_attribute].values
    marks = []
    for person in crowd.persons:
        if time - person.track.last_seen > MAX_DRAWN_UNSEEN_SECONDS:
            continue
        left, upper, right, lower = person.track.predict(time)
        if right <= 0 or lower <= 0 or left >= width or upper >= height:
            continue  # gone on beyond the edge
        # Of more words than these the tags of neighbours would hide each other.
        state = next(own for own in crowd.current_states(person) if own.attribute == crowd.state_attribute)
        box = (left / width, upper / height, right / width, lower / height)
        colour = value_color(values.index(state.value), state.is_confident)
        marks.append(FaceAnnotation(box, person.track.track_id, format_state(state), colour, state.is_confident))
    return marks


def blur(pixels: Pixels, boxes: Iterable[Box]) -> Pixels:
    """A copy of a frame (height, width, 3) on which nobody in these boxes can be known."""
    image = Image.fromarray(pixels)
    for left, upper, right, lower in boxes:
        across, down = (right - left) * BLUR_MARGIN, (lower - upper) * BLUR_MARGIN
        wide = (left - across, upper - down, right + across, lower + down)
        part = [round(edge) for edge in clip_box(wide, image.width, image.height)]
        size = (part[2] - part[0], part[3] - part[1])
        if min(size) < 1:
            continue
        tile = max((right - left) / BLUR_TILES, 1)
        tiles = (max(round(size[0] / tile), 1), max(round(size[1] / tile), 1))
        small = image.crop((part[0], part[1], part[2], part[3])).resize(tiles, Image.Resampling.BOX)
        image.paste(small.resize(size, Image.Resampling.NEAREST), (part[0], part[1]))
    return np.asarray(image, dtype=np.uint8)
