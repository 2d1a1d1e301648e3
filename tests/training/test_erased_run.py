"""A run without backgrounds: training, validation and prediction see the same; the model file says what they saw."""

from __future__ import annotations

from io import StringIO

import numpy as np
from rich.console import Console

from maskfit.data.image_cache.cache import open_image_cache
from maskfit.data.read_dataset import read_photos
from maskfit.evaluation.probability_table import read_table
from maskfit.inference.predictor import Predictor
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.model_file import METADATA_KEY, read_model_metadata
from maskfit.registry import ComponentSpec
from maskfit.training.train import train


def test_a_run_without_backgrounds_is_predicted_without_them(tmp_path, tiny, faces):
    words = [
        "data.background_removal={name: grabcut, side: 48}",
        "data.unsharp_mask=0.5",
        "data.train_resize_scale=1.5",
    ]
    folder, _ = train(tiny(*words, "trainer.epochs=1", "cv.val_fraction=0.2"), console=Console(file=StringIO()))
    model = folder.fold(0).model
    facts = read_model_metadata(model)
    framing = facts.preprocessing.crop_resize
    assert framing.background_removal == ComponentSpec.create("grabcut", side=48)
    assert framing.unsharp_mask == 0.5
    # Validation's answers, tempered as the model file says, are a new prediction's.
    scored = read_table(folder.fold(0).probabilities)
    photos = {photo.name: photo for photo in read_photos(str(faces), LABEL_SCHEMAS["mask-gender-age"])}
    predicted = Predictor.load(model).predict([photos[name] for name in scored.names])
    tempered = facts.calibration.apply_temperature(facts.label_schema.scored_schema(), scored.probabilities)
    np.testing.assert_allclose(predicted.table.probabilities, tempered, atol=1e-5)
    # And they are no answers to photos with backgrounds.
    store = tmp_path / "stores"
    assert len(list(store.iterdir())) == 2
    erased = open_image_cache(list(photos.values()), framing, folder=store)
    plain = open_image_cache(
        list(photos.values()),
        framing.model_copy(update={"background_removal": ComponentSpec.create("none")}),
        folder=store,
    )
    assert (erased.gather(range(len(photos))) != plain.gather(range(len(photos)))).any()
    assert len(list(store.iterdir())) == 3


def test_a_model_without_any_is_written_as_before(tiny):
    """So a model file from before there were backgrounds, which says nothing of them, is the same file."""
    folder, _ = train(tiny("trainer.epochs=1", "cv.val_fraction=0.2"), console=Console(file=StringIO()))
    facts = read_model_metadata(folder.fold(0).model)
    framing = facts.preprocessing.crop_resize
    assert list(framing.model_dump(mode="json")) == ["crop", "size", "filter"]
    text = facts.to_metadata()[METADATA_KEY].partition('"recipe"')[0]
    assert "background" not in text
    assert "unsharp" not in text
    assert Predictor.load(folder.fold(0).model).members[0].engine.metadata == facts
