"""Which model a recipe starts from: found, compared with the recipe before anything is written, and loaded."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from tests.face_weights_archive import use_as_package, write_mobilenet

from maskfit.config.aliases import OldNameWarning
from maskfit.config.recipe import Recipe
from maskfit.errors import ModelFileError, RecipeError
from maskfit.model_file import bundled_model_path, load_model, read_model_metadata
from maskfit.training.plan import make_plan
from maskfit.training.train import train
from maskfit.training.warm_start import start_path, validate_start

Make = Callable[..., Recipe]
BACKBONE = "model.backbone={name: mobilenetv1_100, pad_type: same}"


def test_bundled_stands_for_the_bundled_model(tiny: Make) -> None:
    assert start_path(tiny().model) is None
    assert start_path(tiny("model.init_from=bundled").model) == bundled_model_path()
    assert str(start_path(tiny("model.init_from=a/b.safetensors").model)) == "a/b.safetensors"


def test_another_backbone_is_refused_before_anything_is_written(tiny: Make) -> None:
    recipe = tiny("model.init_from=bundled")
    with pytest.raises(RecipeError) as caught:
        make_plan(recipe)
    assert caught.value.location == "model.init_from"
    assert caught.value.hint == "model.backbone='{name: mobilenetv1_100, pad_type: same}'"


def test_local_features_do_not_make_it_another_backbone(tiny: Make) -> None:
    bundled = read_model_metadata(bundled_model_path()).backbone
    model = tiny("model.init_from=bundled").model
    with_local = bundled.model_copy(update={"options": {**bundled.options, "local_stages": [3]}})
    assert validate_start(model.model_copy(update={"backbone": with_local}))
    padded = bundled.model_copy(update={"options": {**bundled.options, "pad_type": ""}})
    with pytest.raises(RecipeError, match="or with other options"):
        validate_start(model.model_copy(update={"backbone": padded}))


def test_a_missing_model_is_refused_before_anything_is_written(tiny: Make) -> None:
    with pytest.raises(ModelFileError, match="there is no such model"):
        make_plan(tiny("model.init_from=missing.safetensors"))


def test_the_plan_says_what_the_bundled_model_has_seen(tiny: Make) -> None:
    recipe = tiny("model.init_from=bundled", BACKBONE)
    (line,) = validate_start(recipe.model)
    assert "All-Age-Faces" in line
    assert "optimistic" in line
    assert line in make_plan(recipe).warnings


def test_an_old_name_still_works(tiny: Make) -> None:
    with pytest.warns(OldNameWarning, match=r"model\.start is now model\.init_from"):
        recipe = tiny("model.start=bundled")
    assert recipe.model.init_from == "bundled"


@pytest.mark.slow
def test_a_run_starts_from_the_bundled_backbone_with_new_heads(tiny: Make) -> None:
    recipe = tiny("model.init_from=bundled", BACKBONE, "trainer.epochs=1", "data.image_size=32")
    folder, scores = train(recipe)
    network, metadata = load_model(folder.fold(0).model)
    assert metadata.recipe["model"]["init_from"] == "bundled"
    assert set(network.heads) == {"mask", "gender", "age"}
    assert scores.photos > 0


@pytest.mark.slow
def test_a_run_starts_from_the_weights_of_faces(tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write_mobilenet(tmp_path / "human-3.3.6.tgz")
    use_as_package(archive, monkeypatch)
    console = Console(record=True, width=200, file=io.StringIO())
    recipe = tiny("model.pretrained=faces", BACKBONE, "trainer.epochs=1", "data.image_size=32")
    folder, _ = train(recipe, console=console)
    assert "model.pretrained: a MobileNet that was trained to recognize faces" in console.export_text()
    _, metadata = load_model(folder.fold(0).model)
    assert metadata.recipe["model"]["pretrained"] == "faces"
