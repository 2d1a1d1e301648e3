"""Old names are read with one warning each and mean what the new names mean; files of version 0.1 still open."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskfit.config import aliases
from maskfit.config.aliases import upgrade_component, upgrade_model_metadata, upgrade_recipe, upgrade_weight_names
from maskfit.config.loader import parse_component, read_recipe
from maskfit.config.old_names import (
    COMPONENTS,
    MODEL_METADATA,
    MODEL_METADATA_COMPONENTS,
    MODEL_METADATA_VALUES,
    OPTIONS,
    RECIPE_COMPONENTS,
    RECIPE_KEYS,
    RECIPE_VALUES,
)
from maskfit.config.recipe import Recipe
from maskfit.data.detectors import DETECTORS
from maskfit.errors import ModelFileError, OldNameWarning, RecipeError
from maskfit.inference.engines import ENGINES
from maskfit.inference.ensemble.comparison import ENSEMBLES
from maskfit.inference.predictor import Predictor
from maskfit.inference.tta import TTA_METHODS, build_tta
from maskfit.model_file import METADATA_KEY, load_model, read_model_metadata, save_model
from maskfit.registry import ComponentSpec
from maskfit.run_dir import RunDir
from maskfit.training.recipe_registry import RECIPE_REGISTRY

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

OLD_RUN = Path(__file__).parents[1] / "data_files" / "run_0_1"
"""A run folder of version 0.1 with a model of one fold, its ONNX export, three photos and their probabilities."""

DEFAULTS = ("pretrained", "center", "multi_head", "random")
"""New names of defaults, with which a recipe is that of an empty file."""

ATTRIBUTE = {"name": "years", "values": ["young", "old"]}

VALUES: dict[str, Any] = {
    "description": "text",
    "weight_averaging": "ema",
    "extends": "fast",
    "metric_loss": "triplet",
    "cv.train_folds": [1],
    "cv.num_folds": 3,
    "cv.val_fraction": 0.2,
    "batch_mixing": "cutmix",
    "optimizer": {"name": "sgd", "lr": 0.1},
    "output_dir": "runs/a",
    "sampler": "weighted",
    "lr_scheduler": "constant",
    "age_regression": "l1",
    "card.license": "MIT",
    "card.training_data": "drawn faces",
    "card.intended_use": "tests",
    "data.age_labels": {"by_decade": True},
    "data.age_labels.by_decade": True,
    "data.age_labels.exclude": [[27, 29]],
    "data.age_labels.old_from_age": 58,
    "data.age_labels.bin_width": 5,
    "data.background_removal": "grabcut",
    "data.label_corrections": ["a.csv"],
    "data.extra_train": ["a.csv"],
    "data.known_label_errors": "certain",
    "data.normalization": "per_image",
    "data.path": "photos",
    "data.label_schema": "mask",
    "data.label_schema.attributes.*.bin_edges": [30],
    "data.label_schema.attributes.*.valid_range": [0, 120],
    "data.label_schema.attributes.*.parent_of": ["a", "b"],
    "data.label_schema.attributes.*.display_names": ["a", "b"],
    "data.unsharp_mask": 0.5,
    "data.image_size": 64,
    "data.cache_dir": "cache",
    "data.train_resize_scale": 1.5,
    "heads.*.loss_weight": 2.0,
    "model.init_from": "a.safetensors",
    "model.pretrained": "timm",
    "trainer.accumulate_grad_batches": 2,
    "trainer.save_every_n_steps": 100,
    "trainer.gradient_checkpointing": True,
    "trainer.gradient_clip_val": 1.0,
    "trainer.full_data_epochs": 2,
    "trainer.full_data_lr_factor": 0.1,
    "trainer.parallel_folds": 2,
    "trainer.num_nodes": 2,
    "trainer.early_stopping_patience": 3,
    "trainer.save_top_k": 2,
}
"""For every renamed recipe key a value that is not its default."""


@pytest.fixture(autouse=True)
def nothing_warned_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aliases, "_warned", set())


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Recipe]:
    def read_values(values: dict[str, Any], *overrides: str) -> Recipe:
        path = tmp_path / "recipe.json"
        path.write_text(json.dumps(values))
        return read_recipe(path, overrides)

    return read_values


def nest(key: str, value: Any) -> dict[str, Any]:
    """A recipe or metadata with one dotted key; `*` is the head of mask, or the only attribute of a schema."""
    first, _, rest = key.partition(".")
    if first == "heads" and rest.startswith("*."):
        return {"heads": {"mask": nest(rest.removeprefix("*."), value)}}
    if first == "attributes" and rest.startswith("*."):
        return {"attributes": [{**ATTRIBUTE, **nest(rest.removeprefix("*."), value)}]}
    return {first: nest(rest, value) if rest else value}


def merge(one: Any, two: Any) -> Any:
    if isinstance(one, dict) and isinstance(two, dict):
        return {key: merge(one.get(key, two.get(key)), two.get(key, one.get(key))) for key in {**one, **two}}
    if isinstance(one, list) and one and isinstance(one[0], dict):
        return [merge(*items) for items in zip(one, two, strict=True)]
    return one


def caught_lines(call: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What a call returns, and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    assert {item.category for item in caught} <= {OldNameWarning}
    return result, [str(item.message) for item in caught]


def old_and_new() -> Iterator[tuple[str, str, Any, Any]]:
    """(old key, new key, old value, new value) of every old key, value and component name of a recipe."""
    for old, new in RECIPE_KEYS.items():
        yield old, new, VALUES[new], VALUES[new]
    for key, values in RECIPE_VALUES.items():
        for old_value, new_value in values.items():
            yield key, key, old_value, new_value
    for key, registry in RECIPE_COMPONENTS.items():
        if key == "data.crop.detector":
            continue
        for old_name, new_name in COMPONENTS.get(registry, {}).items():
            yield key, key, old_name, new_name
            yield key, key, {"name": old_name, "a": 1}, {"name": new_name, "a": 1}
            yield key, key, {"name": old_name, "options": {"a": 1}}, {"name": new_name, "a": 1}
        for name, options in OPTIONS.get(registry, {}).items():
            for old_option, new_option in options.items():
                yield key, key, {"name": name, old_option: 1}, {"name": name, new_option: 1}
                yield key, key, {"name": name, "options": {old_option: 1}}, {"name": name, new_option: 1}
    for key in ("loss", "heads.*.loss"):
        old_value = {"name": "focal", "class_weights": "complement", "gamma": 1}
        yield key, key, old_value, {**old_value, "class_weights": "one_minus_frequency"}
        yield (
            key,
            key,
            {"name": "focal", "options": {"class_weights": "complement"}},
            {
                "name": "focal",
                "class_weights": "one_minus_frequency",
            },
        )
    for name, options in OPTIONS["data.crop.detector"].items():
        for old_option, new_option in options.items():
            yield (
                "data.crop",
                "data.crop",
                {"name": "face", "detector": {"name": name, old_option: 1}},
                {"name": "face", "detector": {"name": name, new_option: 1}},
            )


CASES = list(old_and_new())


# Recipes


@pytest.mark.parametrize(("old", "new", "old_value", "new_value"), CASES, ids=[f"{c[0]}={c[2]}" for c in CASES])
def test_an_old_name_gives_one_warning_and_the_recipe_of_the_new_name(read, old, new, old_value, new_value):
    expected, lines = caught_lines(lambda: read(nest(new, new_value)))
    assert lines == []
    assert expected != Recipe() or new_value in DEFAULTS
    recipe, lines = caught_lines(lambda: read(nest(old, old_value)))
    assert recipe == expected
    assert len(lines) == 1
    assert lines[0].startswith("recipe: ")
    assert " is now " in lines[0]
    # Reading it once more in the same process is silent.
    assert caught_lines(lambda: read(nest(old, old_value))) == (expected, [])


@pytest.mark.parametrize(
    ("old", "new", "old_value", "new_value"),
    [case for case in CASES if "*" not in case[0] and case[1] != "extends"],
    ids=lambda value: str(value),
)
def test_an_override_may_use_the_old_name(old, new, old_value, new_value):
    expected = read_recipe("fast", [f"{new}={json.dumps(new_value)}"])
    recipe, lines = caught_lines(lambda: read_recipe("fast", [f"{old}={json.dumps(old_value)}"]))
    assert recipe == expected
    assert len(lines) == 1


@pytest.mark.parametrize(("old", "new"), RECIPE_KEYS.items())
def test_old_and_new_name_at_once_are_an_error_that_names_both(read, old, new):
    values = merge(nest(old, VALUES[new]), nest(new, VALUES[new]))
    with pytest.raises(RecipeError) as caught:
        read(values)
    assert old in caught.value.message
    assert new in caught.value.message
    assert caught.value.location is not None


def test_old_and_new_option_at_once_are_an_error_that_names_both(read):
    with pytest.raises(RecipeError, match=r"data\.crop\.of and data\.crop\.scale_relative_to are both given"):
        read({"data": {"crop": {"name": "face", "of": "photo", "scale_relative_to": "face"}}})


def test_every_renamed_key_has_a_value_above():
    assert set(VALUES) == set(RECIPE_KEYS.values())


def test_new_names_exist_and_old_ones_do_not():
    tables = {key: entry.table for key, entry in RECIPE_REGISTRY.items()}
    tables |= {"tta": TTA_METHODS, "ensemble": ENSEMBLES, "data.crop.detector": DETECTORS, "engine": ENGINES}
    for registry, names in COMPONENTS.items():
        assert set(names.values()) <= set(tables[registry])
        assert not set(names) & set(tables[registry])
    for registry, components in OPTIONS.items():
        for name, renamed in components.items():
            options = set(inspect.signature(tables[registry][name]).parameters)
            assert set(renamed.values()) <= options, (registry, name)
            assert not set(renamed) & options, (registry, name)


def test_folds_was_a_number_or_a_file(read):
    recipe, lines = caught_lines(lambda: read({"folds": "split.csv"}))
    assert recipe.cv.split_file == "split.csv"
    assert lines == ["recipe: folds is now cv.split_file"]
    assert read({"folds": 4, "holdout": 0.3, "fold": 2}).cv.model_dump() == {
        "num_folds": 4,
        "val_fraction": 0.3,
        "split_file": None,
        "train_folds": (2,),
    }


def test_the_loss_of_a_joint_head_and_a_whole_old_recipe(read):
    values = {
        "optimiser": {"name": "adamw", "lr": 1e-3},
        "data": {"age": {"old_from": 58, "drop": [[27, 29]]}, "scheme": "mask-gender-age", "normalise": "photo"},
        "heads": {
            "joint": {"share": 2, "loss": {"name": "neighbours", "class_weights": "complement"}},
            "age": {"loss": "binary"},
        },
        "model": {"head": "joint", "weights": "hub"},
        "trainer": {"precision": 16, "clip": 1.0},
    }
    recipe, lines = caught_lines(lambda: read(values))
    assert recipe.heads["joint"].loss == ComponentSpec.create("ordinal_smoothing", class_weights="one_minus_frequency")
    assert recipe.heads["joint"].loss_weight == 2
    assert recipe.heads["age"].loss == ComponentSpec.create("bce")
    assert recipe.data.age_labels.old_from_age == 58
    assert (recipe.data.normalization, recipe.model.pretrained) == ("per_image", "timm")
    assert (recipe.model.head.name, recipe.trainer.precision) == ("single_head", "16-mixed")
    # One line for many old names: a complete recipe has dozens.
    assert len(lines) == 1
    assert "has 16 old names, such as: optimiser is now optimizer" in lines[0]


def test_a_bare_old_option_is_merged_into_the_component_of_the_recipe(tmp_path):
    recipe, lines = caught_lines(lambda: read_recipe("champion", ["data.crop.of=photo"]))
    assert recipe.data.crop.name == "face"
    assert recipe.data.crop.options["scale_relative_to"] == "photo"
    assert lines == ["recipe: data.crop.of is now data.crop.scale_relative_to"]
    # The option of another component with the same name is not touched.
    lines = caught_lines(lambda: read_recipe("fast", ["augmentation=flip", "augmentation.turn=3"]))[1]
    assert lines == []
    # A file merges its options into the recipe that it extends.
    path = tmp_path / "more.yaml"
    path.write_text("extends: champion\ndata: {crop: {squeeze: true}}\n")
    assert read_recipe(path).data.crop.options["ignore_aspect"] is True
    loss = read_recipe("fast", ["loss.class_weights=complement"]).loss
    assert loss == ComponentSpec.create("cross_entropy", class_weights="one_minus_frequency")


@pytest.mark.parametrize(
    "values",
    [
        {"folds": 5, "cv": 3},
        {"data": 5, "trainer": None, "heads": [1, {"share": 2}]},
        {"loss": {"name": ["a"], "class_weights": ["complement"]}, "data": {"crop": {"name": {}, "options": 3}}},
        {"trainer": {"precision": True, "top": []}, "model": {"head": 3, "weights": {}}},
        {"data": {"scheme": {"attributes": "x"}}, "sampling": None},
    ],
)
def test_malformed_values_are_left_to_validation(values):
    before = json.dumps(values)
    upgrade_recipe(values, lambda line: None)
    assert json.dumps(values) == before
    with pytest.raises(RecipeError):
        read_recipe("fast", [f"{key}={json.dumps(value)}" for key, value in values.items()])


# Components on the command line


@pytest.mark.parametrize("registry", ["tta", "ensemble"])
def test_old_component_names_on_the_command_line(registry):
    for old, new in COMPONENTS[registry].items():
        spec, lines = caught_lines(lambda name=old: parse_component(name, registry))
        assert spec == ComponentSpec.create(new)
        assert len(lines) == 1
    assert caught_lines(lambda: parse_component("greedy", registry)) == (ComponentSpec.create("greedy"), [])


def test_old_options_on_the_command_line():
    spec, lines = caught_lines(lambda: parse_component("greedy:bags=3,part=0.5", "ensemble"))
    assert spec == ComponentSpec.create("greedy", num_bags=3, bag_fraction=0.5)
    assert len(lines) == 2
    assert parse_component("stack:strength=0.1", "ensemble") == ComponentSpec.create("stack", l2=0.1)
    assert parse_component("five") == ComponentSpec.create("five")
    assert len(build_tta("five")) == len(build_tta("five_crop"))
    with pytest.raises(RecipeError, match="are both given"):
        upgrade_component("ensemble", ComponentSpec.create("greedy", bags=1, num_bags=2), lambda line: None)


# Model files


@pytest.mark.parametrize(("old", "new"), MODEL_METADATA.items())
def test_an_old_metadata_key_gives_one_line_and_the_new_key(old, new):
    lines: list[str] = []
    assert upgrade_model_metadata(nest(old, 1), lines.append) == nest(new, 1)
    assert lines == [f"{old} is now {new}"]
    with pytest.raises(RecipeError, match="both given"):
        upgrade_model_metadata(merge(nest(old, 1), nest(new, 1)), lines.append)


def test_old_metadata_values_and_components():
    for key, values in MODEL_METADATA_VALUES.items():
        for old, new in values.items():
            assert upgrade_model_metadata(nest(key, old), lambda line: None) == nest(key, new)
    for key, registry in MODEL_METADATA_COMPONENTS.items():
        for old, new in COMPONENTS.get(registry, {}).items():
            assert upgrade_model_metadata(nest(key, old), lambda line: None) == nest(key, new)


def test_old_weight_names_become_new_ones_and_never_collide():
    assert upgrade_weight_names({"trunk.a": 1, "head.trunk.b": 2, "years.c": 3}) == {
        "backbone.a": 1,
        "head.trunk.b": 2,
        "age_regressor.c": 3,
    }
    assert upgrade_weight_names({"trunk.a": 1, "backbone.a": 2}) == {"trunk.a": 1, "backbone.a": 2}


@pytest.mark.parametrize("name", ["fold0/best.safetensors", "model.onnx"])
def test_a_model_file_of_an_earlier_version_opens_with_one_warning_and_predicts_the_same(name):
    photos = [OLD_RUN / f"{number}.png" for number in range(3)]
    predictor, lines = caught_lines(lambda: Predictor.load(OLD_RUN / name))
    assert len(lines) == 1
    assert f"{OLD_RUN / name} was written by an earlier maskfit" in lines[0]
    found = predictor.predict(photos).table.probabilities
    assert np.abs(found - np.loadtxt(OLD_RUN / "expected.txt")).max() < 1e-6


def test_the_metadata_of_an_earlier_version_is_complete():
    metadata = read_model_metadata(OLD_RUN / "fold0" / "best.safetensors")
    assert metadata.description == "old, fold 0 of 2"
    assert metadata.age_regression
    assert metadata.label_schema["age"].parent_of == ("<30", "<30", "30-59", "30-59", "30-59", ">=60")
    assert metadata.label_schema["mask"].display_name(1) == "worn wrongly"
    assert metadata.preprocessing.crop_resize.crop == ComponentSpec.create("center", scale=0.9)
    assert metadata.preprocessing.crop_resize.unsharp_mask == 0.5
    assert metadata.preprocessing.normalization.mode == "per_image"
    assert metadata.calibration.abstain_below == {"mask": 0.5, "age": 0.6}
    assert (metadata.card.n_eval_photos, metadata.card.license, metadata.card.training_data) == (
        10,
        "MIT",
        "drawn faces",
    )
    assert metadata.card.worst_groups["worn, male, <30"].value == 0.1
    # The recipe in it is a recipe of today.
    assert Recipe.model_validate(metadata.recipe) == read_recipe(OLD_RUN / "recipe.yaml")


def test_an_old_model_file_is_written_again_under_the_new_names(tmp_path):
    network, metadata = load_model(OLD_RUN / "fold0" / "best.safetensors")
    path = save_model(tmp_path / "new.safetensors", network.state_dict(), metadata)
    again, lines = caught_lines(lambda: read_model_metadata(path))
    assert (again, lines) == (metadata, [])


def test_metadata_with_both_names_is_refused(tmp_path):
    network, metadata = load_model(OLD_RUN / "fold0" / "best.safetensors")
    values = json.loads(metadata.to_metadata()[METADATA_KEY]) | {"about": "again"}

    class Both:
        def to_metadata(self) -> dict[str, str]:
            return {METADATA_KEY: json.dumps(values)}

    path = save_model(tmp_path / "both.safetensors", network.state_dict(), Both())  # type: ignore[arg-type]
    with pytest.raises(ModelFileError, match="about and description are both given"):
        read_model_metadata(path)


# Run folders


def test_a_run_folder_of_an_earlier_version_is_read():
    run = RunDir(OLD_RUN)
    recipe, lines = caught_lines(lambda: read_recipe(run.recipe, registries=RECIPE_REGISTRY))
    assert len(lines) == 1
    assert (recipe.name, recipe.cv.split_file, recipe.cv.train_folds) == ("old", "folds.csv", (0,))
    assert recipe.trainer.precision == "32-true"
    assert recipe.trainer.full_data_epochs == 1
    assert recipe.sampler == ComponentSpec.create("class_balanced")
    assert recipe.lr_scheduler == ComponentSpec.create("reduce_on_plateau")
    assert run.splits.is_file()
    assert run.oof_probabilities.is_file()
    assert run.fold(0).train_loss.is_file()
    assert run.models() == [OLD_RUN / "fold0" / "best.safetensors"]
