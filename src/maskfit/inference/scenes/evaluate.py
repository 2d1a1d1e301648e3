"""Runs a detector and a model on annotated scenes, and matches what they find with the annotated faces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskfit.data.importers import ImportedDataset
from maskfit.data.photo_dataset import Photo, read_band, read_label
from maskfit.errors import DataError, PhotoError
from maskfit.evaluation.scenes import SceneMatch, SceneScores, match_boxes, score_scenes
from maskfit.inference.decisions import AttributePrediction
from maskfit.inference.face_prediction import PhotoPrediction
from maskfit.inference.face_predictor import FacePredictor
from maskfit.labels.schema import IntArray, LabelSchema
from maskfit.text import format_count

IOU_THRESHOLD = 0.4
"""Default intersection over union of a match: detectors differ in how much forehead and chin they take in."""

MIN_FACE = 24.0
"""Default pixels of the shorter side from which on a face counts."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Scene:
    """An annotated photo.

    Attributes:
        photo: The photo.
        boxes: Its faces: left, upper, right, lower in pixels of the upright photo.
        labels: Labels of each face: attribute -> value.
    """

    photo: Photo
    boxes: tuple[tuple[float, float, float, float], ...]
    labels: tuple[Mapping[str, str | float], ...]


@dataclass(frozen=True)
class SceneResult:
    """An annotated photo and what was found on it.

    Attributes:
        scene: The photo.
        match: The faces, matched.
        prediction: The prediction of each detected face.
    """

    scene: Scene
    match: SceneMatch
    prediction: PhotoPrediction


@dataclass(frozen=True)
class SceneEvaluation:
    """The evaluation of annotated scenes.

    Attributes:
        schema: The label schema of the model.
        scores: The scores.
        results: The photos, in their order.
        unreadable: Photos that cannot be read, with the reason; they take no part.
    """

    schema: LabelSchema
    scores: SceneScores
    results: tuple[SceneResult, ...]
    unreadable: Mapping[str, str]

    def num_errors(self, result: SceneResult) -> int:
        """Counts the errors on a photo.

        Args:
            result: One of `results`.

        Returns:
            Faces missed, false faces, and wrong values of the first attribute of found faces.
        """
        min_side, match = self.scores.min_side, result.match
        return len(match.missed(min_side)) + len(match.false_faces(min_side)) + len(match.wrong(min_side, 0))

    def worst(self, limit: int) -> list[SceneResult]:
        """Returns the photos with the most errors.

        Args:
            limit: How many at most.

        Returns:
            The photos, the most errors first; none without an error.
        """
        ranked = sorted(self.results, key=self.num_errors, reverse=True)
        return [result for result in ranked[:limit] if self.num_errors(result)]


def group_scenes(dataset: ImportedDataset, schema: LabelSchema) -> tuple[list[Scene], list[str]]:
    """Groups the rows of an import by photo.

    Args:
        dataset: Rows with boxes.
        schema: The label schema of the model.

    Returns:
        The photos with their faces, and notes on rows that cannot be used.

    Raises:
        DataError: No row has a box, or none has a label of the schema.
    """
    rows: dict[Path, list[tuple[tuple[float, float, float, float], Mapping[str, str | float]]]] = {}
    whole = 0
    for row in dataset.rows:
        if row.box is None:
            whole += 1
            continue
        rows.setdefault(row.photo, []).append((row.box, _read_labels(row.labels, schema)))
    if not rows:
        raise DataError(
            "no row has a box",
            location=dataset.source,
            hint="name annotated scenes: a CSV with boxes, VOC, YOLO or COCO",
        )
    if not any(labels for faces in rows.values() for _, labels in faces):
        known = ", ".join(schema.names)
        raise DataError(f"no face has a label of the model: {known}", location=dataset.source, hint="see --map")
    root = dataset.source if dataset.source.is_dir() else dataset.source.parent
    scenes = []
    for path, faces in rows.items():
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
        boxes, labels = zip(*faces, strict=True)
        scenes.append(Scene(Photo(path, name, name), boxes, labels))
    notes = [f"{format_count(whole, 'row')} without a box took no part"] if whole else []
    return scenes, notes


def _read_labels(cells: Mapping[str, str], schema: LabelSchema) -> dict[str, str | float]:
    labels: dict[str, str | float] = {}
    for attribute in schema.attributes:
        if text := cells.get(attribute.name, ""):
            is_band = bool(attribute.bin_edges) and text in attribute.values
            labels[attribute.name] = read_band(attribute, text) if is_band else read_label(attribute, text)
    return labels


def evaluate_scenes(
    predictor: FacePredictor,
    scenes: Sequence[Scene],
    *,
    iou_threshold: float = IOU_THRESHOLD,
    min_face: float = MIN_FACE,
    progress: Progress | None = None,
) -> SceneEvaluation:
    """Evaluates a detector and a model on annotated scenes.

    Args:
        predictor: The detector and the model. An image without a face must get no prediction
            (`predict_whole_image=False`).
        scenes: The photos.
        iou_threshold: Intersection over union of a match, in (0, 1].
        min_face: Pixels of the shorter side from which on a face counts, >= 0.
        progress: Called with (photos done, photos).

    Returns:
        The evaluation.

    Raises:
        DataError: A threshold is out of range, there is no detector, or no photo can be read.
    """
    if not 0 < iou_threshold <= 1:
        raise DataError(f"the IoU threshold must be in (0, 1], got {iou_threshold:g}", hint="--iou 0.4")
    if min_face < 0:
        raise DataError(f"the smallest face must be >= 0 pixels, got {min_face:g}", hint="--min-face 24")
    if predictor.detector is None or predictor.predict_whole_image:
        raise DataError("scenes need a face detector", hint="--detector yunet")
    schema = predictor.predictor.schema
    by_name = {scene.photo.name: scene for scene in scenes}
    results: list[SceneResult] = []
    unreadable: dict[str, str] = {}
    with closing(predictor.stream(scene.photo for scene in scenes)) as stream:
        for photo, prediction in stream:
            if isinstance(prediction, PhotoError):
                unreadable[photo.name] = prediction.message
            else:
                scene = by_name[photo.name]
                results.append(SceneResult(scene, _match(scene, prediction, schema, iou_threshold), prediction))
            if progress:
                progress(len(results) + len(unreadable), len(scenes))
    if not results:
        raise DataError("no photo can be read", hint="maskfit data check lists the reasons")
    matches = [result.match for result in results]
    scores = score_scenes(matches, schema, min_side=min_face, iou_threshold=iou_threshold)
    return SceneEvaluation(schema, scores, tuple(results), unreadable)


def _match(scene: Scene, prediction: PhotoPrediction, schema: LabelSchema, iou_threshold: float) -> SceneMatch:
    truth = np.array(scene.boxes, dtype=np.float64).reshape(-1, 4)
    # Detectors extend boxes beyond the photo; annotated ones end at its edge.
    limits = np.array([prediction.width, prediction.height] * 2, dtype=np.float64)
    boxes = np.array([face.box for face in prediction.faces if face.box], dtype=np.float64).reshape(-1, 4)
    boxes = np.clip(boxes, 0, limits)
    predictions = np.array([_encode(face.attributes, schema) for face in prediction.faces], dtype=np.int64)
    found = match_boxes(truth, boxes, iou_threshold)
    labels: IntArray = schema.encode_batch(scene.labels)
    sure = np.array([[item.is_confident for item in face.attributes] for face in prediction.faces], dtype=np.bool_)
    shape = (-1, len(schema.names))
    return SceneMatch(truth, labels, boxes, predictions.reshape(shape), found, sure.reshape(shape))


def _encode(attributes: Sequence[AttributePrediction], schema: LabelSchema) -> list[int]:
    values = {item.attribute: item.value for item in attributes}
    return [attribute.values.index(values[attribute.name]) for attribute in schema.attributes]
