"""A run on photos with several faces each: each table has a row per face, and prediction equals validation."""

from __future__ import annotations

from io import StringIO

import numpy as np
from PIL import Image
from rich.console import Console

from maskfit.config.loader import read_recipe
from maskfit.data.image_lists import read_image_list
from maskfit.evaluation.probability_table import read_table
from maskfit.file_io import read_csv
from maskfit.inference.label_issues import rank_label_issues
from maskfit.inference.predictor import Predictor
from maskfit.training.recipe_registry import RECIPE_REGISTRY
from maskfit.training.train import train

BOXES = ((5, 6, 35, 40), (50, 10, 80, 44))


def test_a_run_on_faces_of_photos(tmp_path, paint, painted):
    rows = []
    for number in range(8):
        Image.fromarray(paint(64, 96, *BOXES, seed=number)).save(tmp_path / f"{number}.png")
        for place, box in enumerate(BOXES):
            mask = ("wear", "incorrect", "not_wear")[(number + place) % 3]
            rows.append(f"{number}.png,{mask},{','.join(map(str, box))}")
    manifest = tmp_path / "faces.csv"
    manifest.write_text("path,mask,left,upper,right,lower\n" + "\n".join(rows) + "\n")
    words = [
        f"data.path={manifest}",
        "data.label_schema=mask",
        f"data.cache_dir={tmp_path / 'stores'}",
        "data.crop=face",
        "data.image_size=16",
        "model.backbone.width=4",
        "trainer.epochs=1",
        "trainer.device=cpu",
        "cv.num_folds=2",
        f"output_dir={tmp_path / 'run'}",
    ]
    output = StringIO()
    folder, _ = train(read_recipe("fast", words, registries=RECIPE_REGISTRY), console=Console(file=output, width=1000))
    assert "16 faces on 8 photos, 8 with several;" in output.getvalue()
    # No face was looked for: each row has its own.
    assert painted.looks == []
    names = [f"{number}.png[{','.join(map(str, box))}]" for number in range(8) for box in BOXES]
    oof = read_table(folder.oof_probabilities, 3)
    assert sorted(oof.names) == names
    # Persons of the split are photos, so the faces of one are validated together.
    assert sorted(row["person"] for row in read_csv(folder.splits, ("person", "fold"))) == [
        f"{n}.png" for n in range(8)
    ]
    held_out = read_table(folder.fold(0).probabilities, 3)
    assert len(held_out.names) == 8
    assert {name.partition("[")[0] for name in held_out.names} == {name[:5] for name in held_out.names}
    listed = tmp_path / "list.csv"
    listed.write_text("ImageID\n" + "".join(f'"{name}"\n' for name in held_out.names))
    predicted = Predictor.load(folder.fold(0).model, engine="torch").predict(read_image_list(listed, tmp_path))
    assert predicted.table.names == held_out.names
    expected = oof.reindex(held_out.names).probabilities
    np.testing.assert_allclose(predicted.table.probabilities, expected, atol=1e-4)
    issues, _ = rank_label_issues([folder.path])
    assert issues
    assert {photo for issue in issues for photo in issue.photos} <= set(names)
