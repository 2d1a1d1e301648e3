"""Fills in the frames of a file between two that agree, so that most need neither detection nor a network.

Neighboring frames show nearly the same. So faces are detected in every n-th frame only. Where two of them show the same
faces, the boxes in the frames between are interpolated, and so are the probabilities of a person whose state is clear
and the same in both. At anybody else, the network looks in every frame. Where two frames do not show the same faces,
they are detected in the frame in the middle too, and so on: the frame in which a face appears or disappears is found
as if they were detected in every frame. While a face is new, or unseen within the frame, they are.

What lasts for fewer frames than lie between two that agree must be looked for too. Wherever a frame between them shows
something that neither of them does, as in every pan of the camera, a face may have been there: thumbnails tell. And a
face whose score is near the detector's limit may be found in single frames only.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from maskfit.apps.video.capture import Frame
from maskfit.apps.video.event_detector import EventDetector
from maskfit.data.detectors import Face
from maskfit.evaluation.scenes import intersection_over_union
from maskfit.inference.face_prediction import DetectedFaces, FacePrediction, PhotoPrediction
from maskfit.labels.schema import FloatArray

MAX_GAP_SECONDS = 0.2
"""Time between two frames that are predicted at most, unless single frames are further apart."""

MIN_IOU = 0.4
"""Intersection over union of two boxes from which they are one face. A face that moves by a quarter of its width has
0.6."""

MIN_DISTANCE = 0.5
"""Margin around each face, in its own width and height, into which no margin of another one reaches: where people pass
each other, the tracker must see every step of theirs."""

MAX_SHIFT = 0.15
"""Largest difference of a probability of the state, of the same face in two frames, for its state to be the same."""


MAX_NOVELTY = 12
"""Largest difference in brightness, of 255, of a cell of a thumbnail from the nearer one of two others, for which it
shows nothing that these do not."""

PERSON_MARGINS = (1.5, 1.0, 1.5, 5.0)
"""What belongs to a person beside a face, in its own sides: to the left, above, to the right and below. Somebody who
moves changes what is seen there, and shows no new face."""

FAINT_MARGIN = 0.05
"""Score above the detector's limit below which a face may be missed in the next frame."""


@dataclass(frozen=True)
class PredictedFrame:
    """A frame with the predictions of its faces.

    Attributes:
        frame: The frame.
        prediction: The predictions.
        is_filled: Whether its faces were interpolated, not detected.
    """

    frame: Frame
    prediction: PhotoPrediction
    is_filled: bool = False


def group_frames(frames: Iterable[Frame], every: int) -> Iterator[list[Frame]]:
    """Groups frames, so that the last one of each group is to be predicted.

    Args:
        frames: All frames.
        every: Frames of a group, 1 or more; fewer where `MAX_GAP_SECONDS` or the frames are over.

    Yields:
        The groups; the first one is the first frame alone.
    """
    group: list[Frame] = []
    last_time: float | None = None
    for frame in frames:
        if group and last_time is not None and frame.time - last_time > MAX_GAP_SECONDS:
            last_time = group[-1].time
            yield group
            group = []
        group.append(frame)
        # The first frame has none before it to agree with.
        if last_time is None or len(group) >= every:
            last_time = frame.time
            yield group
            group = []
    if group:
        yield group


@dataclass(frozen=True)
class FrameFiller:
    """Predicts the last frame of each group, and fills in those before it.

    Args:
        detect: Detects the faces of a frame; may be called while another thread calls it.
        crop: Takes known faces of a frame in place of those that `detect` would find.
        predict: Predicts faces.
        detector: Gets each frame that is yielded before the next one is asked for.
        min_score: The lowest score of a face that `detect` finds; None where it is not known.
    """

    detect: Callable[[Frame], DetectedFaces]
    crop: Callable[[Frame, Sequence[Face]], DetectedFaces]
    predict: Callable[[DetectedFaces], PhotoPrediction]
    detector: EventDetector
    min_score: float | None = None

    def fill(self, groups: Iterable[tuple[Sequence[Frame], DetectedFaces]]) -> Generator[PredictedFrame]:
        """Predicts frames.

        Args:
            groups: The frames of each group, and the faces of its last one.

        Yields:
            Every frame, in order.
        """
        before: PredictedFrame | None = None
        for frames, detected in groups:
            *between, frame = frames
            predicted = PredictedFrame(frame, self.predict(detected))
            yield from self._between(before, between, predicted)
            yield predicted
            before = predicted

    def _between(
        self, first: PredictedFrame | None, frames: Sequence[Frame], last: PredictedFrame
    ) -> Iterator[PredictedFrame]:
        """Yields the frames between two, filled in where these show the same faces."""
        if not frames:
            return
        pairs = None
        if first is not None and self.detector.sees_everybody(last.prediction.width, last.prediction.height):
            pairs = match_faces(first.prediction, last.prediction)
        if first is not None and pairs is not None and not self._may_hide_faces(first, frames, last):
            # Before the first of them is yielded, which changes what the detector of events knows.
            is_clear = self._are_clear(pairs)
            for frame in frames:
                share = (frame.time - first.frame.time) / (last.frame.time - first.frame.time)
                faces = [_interpolate(*pair, share) for pair in pairs]
                unclear = [index for index, clear in enumerate(is_clear) if not clear]
                if unclear:
                    boxes = [face.face for face in (faces[index] for index in unclear) if face.face]
                    for index, face in zip(unclear, self.predict(self.crop(frame, boxes)).faces, strict=True):
                        faces[index] = face
                yield PredictedFrame(frame, replace(last.prediction, faces=tuple(faces)), is_filled=True)
            return
        middle = len(frames) // 2
        predicted = PredictedFrame(frames[middle], self.predict(self.detect(frames[middle])))
        yield from self._between(first, frames[:middle], predicted)
        yield predicted
        yield from self._between(predicted, frames[middle + 1 :], last)

    def _may_hide_faces(self, first: PredictedFrame, frames: Sequence[Frame], last: PredictedFrame) -> bool:
        """Whether faces may be seen in the frames between two, or be missed there, that these two do not tell of."""
        faces = (*first.prediction.faces, *last.prediction.faces)
        if self.min_score is not None:
            limit = self.min_score + FAINT_MARGIN
            if any(face.face is not None and face.face.score < limit for face in faces):
                return True
        ends = [item.frame.thumbnail.astype(np.int16) for item in (first, last)]
        if ends[0].shape != ends[1].shape:
            return True
        height, width = ends[0].shape
        scale = np.array([width / last.prediction.width, height / last.prediction.height] * 2)
        is_free = np.ones((height, width), dtype=bool)
        for face in faces:
            if face.box is not None:
                left, upper, right, lower = (_with_margins(np.array([face.box]), PERSON_MARGINS)[0] * scale).tolist()
                is_free[max(int(upper), 0) : int(lower) + 1, max(int(left), 0) : int(right) + 1] = False
        for frame in frames:
            if frame.thumbnail.shape != (height, width):
                return True
            novelty = np.minimum(*(np.abs(frame.thumbnail - end) for end in ends))
            if novelty[is_free].max(initial=0) > MAX_NOVELTY:
                return True
        return False

    def _are_clear(self, pairs: Sequence[tuple[FacePrediction, FacePrediction]]) -> list[bool]:
        """Whether the state of each pair is clear, and the same in both frames."""
        if not pairs:
            return []
        schema, attribute = self.detector.schema, self.detector.state_attribute
        before, after = (
            schema.marginals(np.stack([pair[side].probabilities for pair in pairs]))[attribute] for side in (0, 1)
        )
        same = np.abs(before - after).max(axis=1) <= MAX_SHIFT
        return [
            own and first.box is not None and self.detector.is_settled(first.box)
            for own, (first, _) in zip(same.tolist(), pairs, strict=True)
        ]


def match_faces(first: PhotoPrediction, last: PhotoPrediction) -> list[tuple[FacePrediction, FacePrediction]] | None:
    """Finds out whether two frames show the same faces.

    Args:
        first: The predictions of a frame.
        last: Those of a later one.

    Returns:
        Each face in the one and in the other; None where they do not show the same.
    """
    before, after = first.faces, last.faces
    if len(before) != len(after) or (first.width, first.height) != (last.width, last.height):
        return None
    if not after:
        return []
    boxes = [np.array([face.box for face in faces if face.box], dtype=np.float64) for faces in (before, after)]
    ious = intersection_over_union(*boxes)
    order = ious.argmax(axis=0)
    if len(set(order.tolist())) < len(after) or ious.max(axis=0).min() < MIN_IOU:
        return None
    near = intersection_over_union(*(_with_margins(own, (MIN_DISTANCE,) * 4) for own in boxes)) > 0
    if near.sum() > len(after):
        return None
    return [(before[index], face) for index, face in zip(order.tolist(), after, strict=True)]


def _with_margins(boxes: FloatArray, margins: tuple[float, float, float, float]) -> FloatArray:
    """Widens boxes by margins to the left, above, to the right and below, in their own width and height."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return np.asarray(boxes + np.array(margins) * sides * (-1, -1, 1, 1))


def _interpolate(first: FacePrediction, last: FacePrediction, share: float) -> FacePrediction:
    """A face between two frames; its decided attributes are those of the later one."""
    assert first.face is not None
    assert last.face is not None
    left, upper, right, lower = (
        (1 - share) * before + share * after for before, after in zip(first.face.box, last.face.box, strict=True)
    )
    landmarks = None
    if first.face.landmarks and last.face.landmarks:
        landmarks = tuple(
            ((1 - share) * x + share * other_x, (1 - share) * y + share * other_y)
            for (x, y), (other_x, other_y) in zip(first.face.landmarks, last.face.landmarks, strict=True)
        )
    face = Face((left, upper, right, lower), last.face.score, landmarks)
    return replace(last, face=face, probabilities=(1 - share) * first.probabilities + share * last.probabilities)
