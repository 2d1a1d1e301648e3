"""Files of earlier versions go on meaning what they meant where a default has changed since: the detector of crops."""

from __future__ import annotations

from inspect import signature

import pytest
import yaml

from maskfit.config.aliases import upgrade_gan_metadata, upgrade_model_metadata, upgrade_recipe
from maskfit.config.loader import read_recipe, recipe_to_yaml
from maskfit.config.recipe import DEFAULT_FACE_DETECTOR, Recipe
from maskfit.data.crops import FaceCrop
from maskfit.registry import ComponentSpec

FORMS = ["face", {"name": "face"}, {"name": "face", "options": {}}]


def write_dump(path, crop):
    """Writes a recipe as a run of an earlier version kept it: with all keys, and the crop as it was typed."""
    values = yaml.safe_load(recipe_to_yaml(Recipe()))
    values["data"]["crop"] = crop
    path.write_text(yaml.safe_dump(values))
    return path


def detector_of(path, *overrides):
    return read_recipe(path, overrides).data.crop.options["detector"]


def test_the_recipe_and_the_crop_have_the_same_default():
    assert signature(FaceCrop).parameters["detector"].default == DEFAULT_FACE_DETECTOR
    assert ComponentSpec.model_validate(FaceCrop().detector).name == FaceCrop().detector_name == "bundled"


@pytest.mark.parametrize("crop", ["face", {"name": "face"}])
def test_a_run_of_an_earlier_version_without_a_detector_means_yunet(tmp_path, crop):
    path = write_dump(tmp_path / "recipe.yaml", crop)
    assert detector_of(path) == "yunet"
    assert detector_of(path, "data.crop.align=true", "data.crop.detector.side=640") == {"name": "yunet", "side": 640}
    # Also where another recipe extends it.
    (tmp_path / "mine.yaml").write_text("extends: recipe.yaml\ndata: {crop: {top: 0.4}}\n")
    assert detector_of(tmp_path / "mine.yaml") == "yunet"
    # A crop that is named anew has the default of today.
    assert detector_of(path, "data.crop=face") == "bundled"


@pytest.mark.parametrize("crop", [{"name": "face", "detector": "mtcnn"}, {"name": "face", "detector": "bundled"}])
def test_a_detector_that_is_named_stays(tmp_path, crop):
    assert detector_of(write_dump(tmp_path / "recipe.yaml", crop)) == crop["detector"]


@pytest.mark.parametrize("crop", FORMS)
def test_a_recipe_of_ones_own_means_the_bundled_detector_and_is_kept_with_its_name(tmp_path, crop):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"extends": "champion", "data": {"crop": crop}}))
    recipe = read_recipe(path)
    assert recipe.data.crop == ComponentSpec.create("face", detector="bundled")
    (tmp_path / "recipe.yaml").write_text(recipe_to_yaml(recipe))
    assert read_recipe(tmp_path / "recipe.yaml") == recipe


def test_options_of_the_default_detector_can_be_set_alone():
    recipe = read_recipe("fast", ["data.crop=face", "data.crop.detector.side=640"])
    assert recipe.data.crop.options["detector"] == {"name": "bundled", "side": 640}


def test_weights_without_a_detector_are_those_of_yunet():
    recipe = read_recipe("fast", ["data.crop={name: face, weights: my.onnx}"])
    assert recipe.data.crop.options == {"weights": "my.onnx", "detector": "yunet"}


def test_other_crops_are_left_as_they_are():
    assert read_recipe("fast", ["data.crop=level1_06"]).data.crop == ComponentSpec.create("level1_06")


@pytest.mark.parametrize("crop", [*FORMS, {"name": "face", "weights": "yunet.onnx", "sha256": "a" * 64}])
def test_model_files_without_a_detector_mean_yunet(tmp_path, crop):
    dump = yaml.safe_load(write_dump(tmp_path / "recipe.yaml", crop).read_text())
    values = {"preprocessing": {"crop_resize": {"crop": crop}}, "recipe": dump}
    said = []
    upgraded = upgrade_model_metadata(values, said.append)
    read = ComponentSpec.model_validate(upgraded["preprocessing"]["crop_resize"]["crop"])
    assert read.options["detector"] == "yunet"
    assert ComponentSpec.model_validate(upgraded["recipe"]["data"]["crop"]).options["detector"] == "yunet"
    assert upgrade_gan_metadata({"crop_resize": {"crop": crop}}, said.append) == {
        "crop_resize": upgraded["preprocessing"]["crop_resize"]
    }
    # What is read means the same as before, so nothing is said; and nothing of the caller's is changed.
    assert said == []
    assert values["preprocessing"]["crop_resize"]["crop"] == crop


def test_other_values_of_a_file_are_left_to_validation():
    for crop in (None, 3, ["face"], {"detector": "mtcnn"}, {"name": 5}):
        values = {"preprocessing": {"crop_resize": {"crop": crop}}}
        assert upgrade_model_metadata(values, print) == values
    assert upgrade_recipe({"data": {"crop": "face"}}, print) == {"data": {"crop": "face"}}
