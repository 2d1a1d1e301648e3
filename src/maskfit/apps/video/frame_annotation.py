"""Draws boxes with ids and states on frames, or blurs faces."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image

from maskfit.apps.video.event_detector import EventDetector, format_state
from maskfit.data.boxes import Box, clip_box
from maskfit.data.image_decoding import Pixels
from maskfit.inference.annotation import FaceAnnotation, draw_annotations, value_color

BLUR_TILES = 6
"""Squares across a blurred face: each has one color, so that the face cannot be reconstructed."""

BLUR_MARGIN = 0.25
"""Fraction of a face's size that is blurred around it as well: hair, chin and ears."""

MAX_DRAWN_UNSEEN_SECONDS = 0.3
"""Seconds for which the box of an unseen person is still drawn at its predicted position, to avoid flicker."""


def draw(pixels: Pixels, detector: EventDetector, time: float) -> Pixels:
    """Draws the box, id and state of every visible person.

    Args:
        pixels: Frame of shape (height, width, 3), uint8 RGB; not modified.
        detector: The detector, after it processed the frame.
        time: Time of the frame in seconds.

    Returns:
        A copy with the annotations.
    """
    annotations = visible_boxes(detector, time, pixels.shape[:2])
    return np.asarray(draw_annotations(Image.fromarray(pixels), annotations), dtype=np.uint8)


def visible_boxes(detector: EventDetector, time: float, size: tuple[int, ...]) -> list[FaceAnnotation]:
    """Returns the annotation of every visible person, at the detected or predicted position.

    Args:
        detector: The detector, after it processed the frame.
        time: Time of the frame in seconds.
        size: Height and width of the frame.

    Returns:
        The annotations, with boxes as fractions of the frame.
    """
    height, width = size
    values = detector.schema[detector.state_attribute].values
    annotations = []
    for person in detector.persons:
        if time - person.track.last_seen > MAX_DRAWN_UNSEEN_SECONDS:
            continue
        left, upper, right, lower = person.track.predict(time)
        if right <= 0 or lower <= 0 or left >= width or upper >= height:
            continue  # moved out of the frame
        # The state alone: longer labels would cover those of neighbors.
        states = detector.current_states(person)
        state = next(item for item in states if item.attribute == detector.state_attribute)
        box = (left / width, upper / height, right / width, lower / height)
        color = value_color(values.index(state.value), state.is_confident)
        annotations.append(FaceAnnotation(box, person.track.track_id, format_state(state), color, state.is_confident))
    return annotations


def blur(pixels: Pixels, boxes: Iterable[Box]) -> Pixels:
    """Pixelates faces beyond recognition.

    Args:
        pixels: Frame of shape (height, width, 3), uint8 RGB; not modified.
        boxes: Boxes of the faces in pixels.

    Returns:
        A copy with every face as `BLUR_TILES` squares across.
    """
    image = Image.fromarray(pixels)
    for left, upper, right, lower in boxes:
        across, down = (right - left) * BLUR_MARGIN, (lower - upper) * BLUR_MARGIN
        enlarged = (left - across, upper - down, right + across, lower + down)
        x0, y0, x1, y1 = (round(edge) for edge in clip_box(enlarged, image.width, image.height))
        size = (x1 - x0, y1 - y0)
        if min(size) < 1:
            continue
        tile = max((right - left) / BLUR_TILES, 1)
        tiles = (max(round(size[0] / tile), 1), max(round(size[1] / tile), 1))
        small = image.crop((x0, y0, x1, y1)).resize(tiles, Image.Resampling.BOX)
        image.paste(small.resize(size, Image.Resampling.NEAREST), (x0, y0))
    return np.asarray(image, dtype=np.uint8)
