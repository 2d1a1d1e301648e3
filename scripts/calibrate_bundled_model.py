"""Makes the int8 conversion of the bundled model, which a service and a camera run.

    uv run python scripts/calibrate_bundled_model.py PHOTOS... [--out FILE]

From each folder of photos as many faces are taken, as the bundled detector finds them; folders of different kinds make
a conversion that suits all of them. To be run again whenever the bundled model changes: a test compares their hashes.
Before and after it, list the networks of the package with their checksums, or a changed one counts as damaged:

    (cd src/maskfit/weights && sha256sum *.onnx > SHA256SUMS)
"""

from __future__ import annotations

import argparse
import random
from itertools import chain, zip_longest
from pathlib import Path

from maskfit.data.image_lists import ImageFolder
from maskfit.data.photo_dataset import Photo
from maskfit.inference.face_predictor import FacePredictor
from maskfit.inference.int8_calibration import MAX_INPUTS, calibrate_int8
from maskfit.model_file import bundled_int8_path, bundled_model_path


def main() -> None:
    """Runs the calibration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path, help="folders of photos")
    parser.add_argument("--out", type=Path, default=bundled_int8_path())
    args = parser.parse_args()
    by_folder: list[list[Photo]] = []
    for folder in args.photos:
        photos = list(ImageFolder(folder))
        by_folder.append(random.Random(0).sample(photos, min(len(photos), MAX_INPUTS)))
    # One photo of each folder in turn.
    mixed = [photo for photo in chain.from_iterable(zip_longest(*by_folder)) if photo is not None]
    predictor = FacePredictor.load(bundled_model_path(), faces="find", engine="onnx", threads=1)
    made = calibrate_int8(bundled_model_path(), predictor, mixed, args.out)
    print(f"{made.path}: {made.path.stat().st_size / 1e6:.1f} MB, calibrated on {made.calibrated} faces")
    print(
        f"of {made.measured} other faces {made.changed:.2%} differ from f32 in int8 alone, {made.recomputed:.1%} are "
        f"recomputed in f32, {made.changed_then:.2%} differ then"
    )


if __name__ == "__main__":
    main()
