"""A run whose crop is a detector's: what its model file records, and what the console says of photos without a face."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from PIL import Image
from rich.console import Console

from maskfit.config.loader import read_recipe
from maskfit.model_file import read_model_metadata
from maskfit.training.recipe_registry import RECIPE_REGISTRY
from maskfit.training.train import train


def test_a_run_records_its_detector_by_content_and_counts_guesses(tmp_path, paint, painted):
    for number in range(8):
        gender, age = ("male", "female")[number % 2], 20 + 30 * (number // 4)
        folder = tmp_path / "photos" / f"00000{number}_{gender}_Asian_{age}"
        folder.mkdir(parents=True)
        for index, stem in enumerate(("mask1", "incorrect_mask", "normal")):
            face = [] if (number, index) == (0, 0) else [(5, 6, 25 + index, 36)]
            Image.fromarray(paint(48, 36, *face, seed=3 * number + index)).save(folder / f"{stem}.png")
    (tmp_path / "mine.onnx").write_bytes(b"weights")
    crop = f"{{name: face, detector: painted_by_file, weights: {tmp_path / 'mine.onnx'}}}"
    words = [
        f"data.path={tmp_path / 'photos'}",
        f"data.cache_dir={tmp_path / 'stores'}",
        f"data.crop={crop}",
        "data.image_size=16",
        "data.train_resize_scale=1.5",
        "model.backbone.width=4",
        "trainer.epochs=1",
        "trainer.device=cpu",
        "cv.val_fraction=0.3",
        f"output_dir={tmp_path / 'run'}",
    ]
    output = StringIO()
    folder, _ = train(read_recipe("fast", words, registries=RECIPE_REGISTRY), console=Console(file=output, width=1000))
    assert "no face found in 1 of 24 photos: the crop's fallback was used; they are listed in " in output.getvalue()
    listed = output.getvalue().split("they are listed in ")[1].split("\n")[0]
    assert "000000_male_Asian_20/mask1.png" in Path(listed).read_text()
    recorded = read_model_metadata(folder.fold(0).model).preprocessing.crop_resize.crop
    assert recorded.options["weights"] == "mine.onnx"
    assert len(recorded.options["sha256"]) == 64
    # Two framings, one look.
    assert len(painted.looks) == 24
