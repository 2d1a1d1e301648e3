"""The page's modules give the numbers of Python: resampling, crops, detector, metadata, decisions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskfit.calibration import Calibration, DecisionWeights
from maskfit.data.crops import CenterCrop
from maskfit.data.crops.face import portrait_around
from maskfit.data.detectors.bundled import OUTPUTS, STRIDES, Bundled
from maskfit.data.detectors.interface import letterbox, nms
from maskfit.data.preprocessing import FILTERS
from maskfit.inference.decisions import decide
from maskfit.inference.face_prediction import NO_FACE_NOTE
from maskfit.inference.input_resolution import bundled_model_path
from maskfit.labels.schema import LABEL_SCHEMAS, logits_to_probabilities
from maskfit.model_metadata import read_metadata

from .conftest import RunJs, pixels


def random_image(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Noise and flat areas, black and white: bicubic overshoots are clipped."""
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    image[: height // 2, : width // 2] = 255
    image[height // 2 :, width // 2 :] //= 128
    return image


def test_resampling_equals_pillow_to_the_bit(run_js: RunJs):
    rng = np.random.default_rng(0)
    cases, expected = [], []
    for number in range(60):
        height, width = rng.integers(1, 90, 2).tolist()
        size = rng.integers(1, 70, 2).tolist()
        image = random_image(rng, height, width)
        left, upper = rng.uniform(0, [width * 0.6, height * 0.6]).tolist()
        right, lower = rng.uniform([left + 0.01, upper + 0.01], [width, height]).tolist()
        box = [None, (left, upper, right, lower), (0, 0, width, height * 0.5)][number % 3]
        name = sorted(FILTERS)[number % len(FILTERS)]
        if number % 10 == 9:
            size, box = [width, height], None  # nothing to do
        cases.append([pixels(image), *size, name, *([box] if box else [])])
        expected.append(np.asarray(Image.fromarray(image).resize(tuple(size), FILTERS[name], box=box)))
    found = run_js('import { resize } from "./resample.js"; output = input.map((item) => resize(...item).data);', cases)
    for case, own, other in zip(cases, found, expected, strict=True):
        assert np.array_equal(own, other.ravel()), case[1:]


@pytest.mark.parametrize("size", [(512, 300), (700, 1100), (1810, 700), (1400, 2203)])
def test_a_photo_is_downscaled_for_the_detector_to_the_bit(run_js: RunJs, builder, size: tuple[int, int]):
    image = random_image(np.random.default_rng(1), *size)
    scale = min(512 / max(size), 1)
    height, width = round(size[0] * scale), round(size[1] * scale)
    canvas = -(-height // 32) * 32, -(-width // 32) * 32
    found = run_js(
        'import { letterbox } from "./detector.js"; output = letterbox(input.photo, 512, 32, input.minReadScale);',
        {"photo": pixels(image), "minReadScale": builder.page_settings()["detector"]["minReadScale"]},
    )
    expected = letterbox(image, (height, width), canvas, dtype=np.uint8)
    assert np.array_equal(found["canvas"]["data"], expected.canvas.ravel())
    assert [found["scaleX"], found["scaleY"]] == expected.scale.tolist()


def test_crops_equal_pythons(run_js: RunJs, builder):
    rng = np.random.default_rng(2)
    photos = rng.integers(12, 900, (200, 2)).tolist()
    boxes = []
    for width, height in photos:
        left, upper = rng.uniform(-0.3, 0.9, 2) * (width, height)
        boxes.append([left, upper, left + rng.uniform(1, width), upper + rng.uniform(1, height)])
    options = [{"squeeze": 0.5}, {}, {"scale": 0.7, "shift": 0.2}, {"squeeze": 1}]
    rows = [
        [box, {"width": width, "height": height}, 0.5 + index % 3, options[index % 4]]
        for index, (box, (width, height)) in enumerate(zip(boxes, photos, strict=True))
    ]
    found = run_js(
        'import { centerBox, portraitAround } from "./geometry.js";'
        "output = input.rows.map(([box, photo, aspect, options]) =>"
        " [portraitAround(box, photo, input.portrait), centerBox(photo, aspect, options)]);",
        {"rows": rows, "portrait": builder.page_settings()["portrait"]},
    )
    for (box, size, aspect, own), (portrait, center) in zip(rows, found, strict=True):
        assert tuple(portrait) == portrait_around(tuple(box), size["width"], size["height"])
        photo = np.zeros((size["height"], size["width"], 3), np.uint8)
        assert center == pytest.approx(CenterCrop(**own).box(photo, aspect), abs=1e-9)


def test_overlapping_boxes_are_suppressed_as_in_python(run_js: RunJs):
    rng = np.random.default_rng(3)
    corner = rng.integers(0, 40, (300, 2))
    boxes = np.hstack([corner, corner + rng.integers(1, 30, (300, 2))]).astype(np.float64)
    scores = rng.integers(1, 50, 300) / 50  # with equal ones, whose order matters
    found = run_js(
        'import { suppress } from "./geometry.js"; output = suppress(input.boxes, input.scores, 0.4);',
        {"boxes": boxes, "scores": scores},
    )
    assert found == nms(boxes, scores, 0.4)


def test_the_detectors_maps_are_decoded_as_in_python(run_js: RunJs, builder, monkeypatch):
    rng = np.random.default_rng(4)
    photo = random_image(rng, 260, 700)
    maps = {}
    for stride, name in zip(STRIDES, OUTPUTS, strict=True):
        values = rng.normal(0, 1.5, (1, 16, 192 // stride, 512 // stride)).astype(np.float32)
        values[:, 4:6] = values[:, 4:6] / 3 + 0.7  # boxes of a few cells, which are not all one
        values[:, :2] -= 2.5
        maps[name] = values
    detector = Bundled.__new__(Bundled)
    detector.side, detector.score, detector._path, detector._network = 512, 0.5, Path("detector.onnx"), None
    monkeypatch.setattr("maskfit.data.detectors.bundled.run_network", lambda *_: maps)
    (expected,) = detector.detect([photo])
    found = run_js(
        'import { makeDetector } from "./detector.js";'
        "output = await makeDetector(async () => input.maps, input.settings)(input.photo);",
        {
            "maps": {name: {"data": values, "dims": values.shape} for name, values in maps.items()},
            "settings": builder.page_settings()["detector"],
            "photo": pixels(photo),
        },
    )
    assert len(expected) > 5
    assert [face["score"] for face in found] == pytest.approx([face.score for face in expected])
    for own, face in zip(found, expected, strict=True):
        assert own["box"] == pytest.approx(face.box, abs=1e-6)


def test_a_photo_without_faces_is_looked_at_once_more_at_half_the_size(run_js: RunJs, builder):
    photo = pixels(np.zeros((400, 800, 3), np.uint8))
    found = run_js(
        'import { makeDetector } from "./detector.js";'
        "const seen = [];"
        "const empty = { data: new Float32Array(60).fill(-9), dims: [1, 15, 2, 2] };"
        "const run = async (canvas) => (seen.push([canvas.width, canvas.height]),"
        " Object.fromEntries(input.settings.outputs.map((name) => [name, empty])));"
        "output = [await makeDetector(run, input.settings)(input.photo), seen];",
        {"photo": photo, "settings": builder.page_settings()["detector"]},
    )
    assert found == [[], [[512, 256], [256, 128]]]


def test_metadata_is_read_from_the_file(run_js: RunJs):
    content = bundled_model_path().read_bytes()
    found = run_js(
        'import { readModelMetadata } from "./model_metadata.js";'
        "const tell = (file) => { try { return readModelMetadata(file); } catch (error) { return error.message; } };"
        "output = input.map(tell);",
        [content, content[:1000], b"\x08\x0a\x3a\x00", b"text"],
    )
    assert found[0] == json.loads(read_metadata(bundled_model_path())["maskfit"])
    assert "truncated" in found[1] or "exceeds" in found[1]
    assert found[2] == "This ONNX file was not exported by maskfit."
    assert found[3].startswith("This is not an ONNX file")


@pytest.mark.parametrize("kind", ["bundled", "joint", "weighted", "uncalibrated"])
def test_decisions_equal_pythons(run_js: RunJs, kind: str):
    schema = LABEL_SCHEMAS["mask-gender-age"]
    heads = ["joint"] if kind == "joint" else list(schema.names)
    calibration = Calibration(
        temperatures={"joint": 1.7} if kind == "joint" else {"mask": 0.9, "gender": 1.3, "age": 2.0},
        abstain_below={"mask": 0.7, "gender": 0.9},
    )
    metadata = {"label_schema": schema.model_dump(mode="json"), "heads": heads}
    if kind == "bundled":
        own = json.loads(read_metadata(bundled_model_path())["maskfit"])
        schema, calibration = type(schema)(**own["label_schema"]), Calibration(**own["calibration"])
        metadata = own
    elif kind == "uncalibrated":
        calibration = Calibration()
    else:
        if kind == "weighted":
            weights = {"age": (1.4, 0.5, 1.3)}
            judged = DecisionWeights(weights=weights, before=0.5, after=0.6, gain_low=0, gain_high=0.2)
            calibration = calibration.model_copy(update={"decisions": {"macro-f1": judged}})
        metadata["calibration"] = calibration.model_dump(mode="json")
    sizes = {"joint": schema.num_classes} if kind == "joint" else schema.sizes
    rng = np.random.default_rng(5)
    rows = {head: rng.normal(0, 2, (40, size)).astype(np.float32) for head, size in sizes.items()}
    found = run_js(
        'import { decide } from "./decisions.js"; output = input.rows.map((row) => decide(input.metadata, row));',
        {
            "metadata": metadata,
            "rows": [{head: values[index] for head, values in rows.items()} for index in range(40)],
        },
    )
    scored = schema.scored_schema()
    probabilities = calibration.apply_temperature(scored, logits_to_probabilities(schema, rows))
    expected = decide(scored, probabilities, calibration.abstain_below, calibration.decision_weights("macro-f1"))
    for own_row, row in zip(found, expected, strict=True):
        for own, item in zip(own_row, row, strict=True):
            assert (own["attribute"], own["value"], own["displayName"], own["sure"]) == (
                item.attribute,
                item.value,
                item.display_name,
                item.is_confident,
            )
            assert own["probabilities"] == pytest.approx(item.probabilities, abs=1e-12)


def test_a_model_that_needs_more_than_the_page_has_is_refused(run_js: RunJs):
    steps = {"crop": {"name": "face"}, "size": [64, 64], "filter": "bilinear", "unsharp_mask": 0.5}
    found = run_js(
        'import { makeClassifier } from "./classifier.js";'
        "try { makeClassifier(input); } catch (error) { output = error.message; }",
        {"preprocessing": {"crop_resize": steps}},
    )
    assert found == "This page cannot run the model: it needs the crop 'face', sharpening."


def test_a_photo_without_a_face_is_not_sure(run_js: RunJs):
    found = run_js(
        'import { makeFacePredictor } from "./face_predictor.js";'
        "const decisions = [{ value: 'wear', probability: 0.9, sure: true }];"
        "const face = { box: [0, 0, 50, 50], score: 1 };"
        "output = await Promise.all([[], [face]].map((faces) => makeFacePredictor("
        "  async () => faces, async (_, boxes) => boxes.map(() => decisions), input)({ width: 60, height: 60 })));",
        {"minFaceSide": 12, "maxFaces": 5, "noFaceNote": NO_FACE_NOTE},
    )
    assert [(item["found"], item["note"]) for item in found] == [(0, NO_FACE_NOTE), (1, None)]
    assert [item["faces"][0]["decisions"][0]["sure"] for item in found] == [False, True]
    assert [item["faces"][0]["decisions"][0]["probability"] for item in found] == [0.9, 0.9]


def test_an_attribute_of_a_small_face_is_not_sure(run_js: RunJs):
    found = run_js(
        'import { makeFacePredictor } from "./face_predictor.js"; import { answerText } from "./results.js";'
        "const sure = { displayName: 'x', probability: 0.9, sure: true };"
        "const decisions = ['mask', 'age'].map((attribute) => ({ attribute, ...sure }));"
        "const faces = [23, 24].map((side) => ({ box: [0, 0, 40, side], score: 1 }));"
        "const predict = makeFacePredictor(async () => faces, async (_, boxes) => boxes.map(() => decisions), input);"
        "const prediction = await predict({ width: 60, height: 60 });"
        "output = prediction.faces.map((face) => face.decisions.map("
        "  (decision) => answerText(decision, { words: { notSure: 'not sure' } })));",
        {"minFaceSide": 12, "maxFaces": 5, "noFaceNote": NO_FACE_NOTE, "minFace": {"age": 24}},
    )
    # The larger face comes first.
    assert found == [["x 90 %", "x 90 %"], ["x 90 %", "not sure (x 90 %, face too small)"]]
