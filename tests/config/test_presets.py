"""Names that stand for several recipe keys."""

from __future__ import annotations

import pytest

from maskfit.config import aliases
from maskfit.config.loader import read_recipe
from maskfit.config.presets import JITTER_SIZES
from maskfit.errors import RecipeError
from maskfit.training.recipe_registry import available_registries

pytestmark = pytest.mark.filterwarnings("ignore::maskfit.errors.OldNameWarning")


@pytest.mark.parametrize(("name", "resized", "size"), [(name, *sides) for name, sides in JITTER_SIZES.items()])
def test_a_jitter_sets_size_and_crop(name, resized, size):
    recipe = read_recipe("baseline", [f"augmentation={name}"], registries=available_registries())
    assert recipe.augmentation.name == "color_jitter"
    assert recipe.data.image_size == (size, size)
    assert recipe.data.crop.name == "center"
    assert recipe.data.crop.options["scale"] == pytest.approx(size / resized, abs=1e-4)


def test_what_is_set_beside_or_later_wins(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("extends: baseline\naugmentation: {name: b1, hue: 0.1}\ndata: {image_size: 96}\n")
    recipe = read_recipe(path, ["data.crop.scale=0.5"], registries=available_registries())
    assert recipe.augmentation.options == {"hue": 0.1}
    assert recipe.data.image_size == (96, 96)
    assert recipe.data.crop.options == {"scale": 0.5}


def test_the_keys_are_said(monkeypatch):
    monkeypatch.setattr(aliases, "_warned", set())
    with pytest.warns(match="augmentation=b4 is color_jitter with data.image_size=380, data.crop=center"):
        read_recipe("baseline", ["augmentation=b4"])


def test_nlp09_is_the_third(tmp_path):
    own, named = read_recipe("nlp09"), read_recipe("nlp09", ["augmentation=b3"])
    assert own.data == named.data


def test_an_unknown_one_lists_them():
    with pytest.raises(RecipeError) as caught:
        read_recipe("baseline", ["augmentation=b5"], registries=available_registries())
    assert "'b5' is unknown" in caught.value.message
    assert all(name in caught.value.message for name in JITTER_SIZES)
