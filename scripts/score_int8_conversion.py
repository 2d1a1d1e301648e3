"""Compares the bundled model's int8 conversion with f32 on detected faces, for the table in docs/precision-cascade.md.

    python scripts/score_int8_conversion.py PHOTOS... [--faces N]

For each folder: the part of the faces whose class the int8 network alone changes, the part that a service computes
again in f32, how many differ then and the part of each attribute's "not sure" that does; and by how much probabilities
that are taken from int8 are off.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskfit.data.image_lists import ImageFolder
from maskfit.errors import PhotoError
from maskfit.inference.decisions import decide
from maskfit.inference.engines.engine import OnnxEngine
from maskfit.inference.engines.int8_files import read_int8_error
from maskfit.inference.face_predictor import FacePredictor
from maskfit.inference.image_loading import load_image
from maskfit.labels.schema import FloatArray, logits_to_probabilities
from maskfit.model_file import bundled_int8_path, bundled_model_path

BATCH_SIZE = 8


def collect_faces(folder: Path, count: int, predictor: FacePredictor) -> list[tuple[NDArray[np.uint8], ...]]:
    """Returns the network's inputs of the faces of photos in random order: exact, and with approximate pixels."""
    crop_resize = predictor.predictor.runner.crop_resizes[0]
    photos = list(ImageFolder(folder))
    faces: list[tuple[NDArray[np.uint8], ...]] = []
    for photo in random.Random(1).sample(photos, len(photos)):
        if len(faces) >= count:
            break
        try:
            pixels = load_image(photo)
        except PhotoError:
            continue
        for item in predictor.preprocess(pixels).inputs:
            exact, approximate = item.tta_views[0][0], crop_resize.approximate(pixels, item.crops[0])
            faces.append((exact, exact if approximate is None else approximate))
    return faces[:count]


def compute_probabilities(engine: OnnxEngine, frames: list[NDArray[np.uint8]]) -> FloatArray:
    """Returns the calibrated probabilities of the scored classes, (faces, classes)."""
    metadata, parts = engine.metadata, []
    for start in range(0, len(frames), BATCH_SIZE):
        logits = engine.logits(np.stack(frames[start : start + BATCH_SIZE]))
        parts.append(logits_to_probabilities(metadata.label_schema, logits))
    return metadata.calibration.apply_temperature(metadata.label_schema.scored_schema(), np.concatenate(parts))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path, help="folders of photos")
    parser.add_argument("--faces", type=int, default=750, help="faces of a folder at most; default: 750")
    args = parser.parse_args()
    predictor = FacePredictor.load(bundled_model_path(), faces="find", engine="onnx", threads=1)
    exact_engine, fast_engine = OnnxEngine(bundled_model_path()), OnnxEngine(bundled_int8_path())
    metadata = exact_engine.metadata
    schema, thresholds = metadata.label_schema.scored_schema(), metadata.calibration.abstain_below
    error = read_int8_error(bundled_int8_path(), schema)
    if error is None:
        raise SystemExit("the conversion has no measured error")
    print("| faces | differs in int8 alone | computed again | differs then | not sure: differs | off: most, mean |")
    for folder in args.photos:
        faces = collect_faces(folder, args.faces, predictor)
        exact = compute_probabilities(exact_engine, [own for own, _ in faces])
        fast = compute_probabilities(fast_engine, [approximate for _, approximate in faces])
        debiased = error.debias(fast)
        close = error.needs_f32(debiased)
        answered = np.where(close[:, None], exact, debiased)
        sure = [
            np.array([[item.is_confident for item in row] for row in decide(schema, table, thresholds)])
            for table in (exact, answered)
        ]
        sides = ", ".join(f"{share:.1%}" for share in (sure[0] != sure[1]).mean(axis=0))
        marginals = [np.concatenate(list(schema.marginals(table).values()), axis=1) for table in (exact, debiased)]
        off = np.abs(marginals[0] - marginals[1])[~close]
        alone = (fast.argmax(axis=1) != exact.argmax(axis=1)).mean()
        then = (answered.argmax(axis=1) != exact.argmax(axis=1)).sum()
        print(
            f"| {folder}, {len(faces)} | {alone:.1%} | {close.mean():.1%} | {then} | {sides} | "
            f"{off.max():.2f}, {off.mean():.4f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
