"""Parts: names and options, looked up and built."""

from __future__ import annotations

import json
import pickle

import pytest
from pydantic import ValidationError

from maskfit.errors import DataError, MissingExtraError, RecipeError, did_you_mean, format_list
from maskfit.registry import ComponentSpec, instantiate, validate_spec


def make(size: int, width: int = 2, *, depth: float = 1.0) -> tuple[int, int, float]:
    if width < 0:
        raise ValueError("width must be 0 or more")
    return size, width, depth


def loose(**options: int) -> dict[str, int]:
    return options


def shift(pair: list[int]) -> int:
    return pair[0] // pair[1]


TABLE = {"make": make, "loose": loose, "shift": shift}


def test_a_part_is_a_name_or_a_mapping():
    assert ComponentSpec.model_validate("make") == ComponentSpec.create("make") == ComponentSpec(name="make")
    short = ComponentSpec.model_validate({"name": "make", "width": 3})
    assert (
        short
        == ComponentSpec.model_validate({"name": "make", "options": {"width": 3}})
        == ComponentSpec.create("make", width=3)
    )
    assert short.model_dump(mode="json") == {"name": "make", "width": 3}
    assert ComponentSpec.create("make").model_dump(mode="json") == "make"


def test_a_part_equals_the_one_that_is_read_back():
    part = ComponentSpec.create("make", area=(0.1, (1, 2)), names=["a"])
    assert ComponentSpec.model_validate(json.loads(part.model_dump_json())) == part


@pytest.mark.parametrize("value", [3, None, ["make"], {"width": 3}, {}])
def test_what_is_no_part_is_refused(value):
    with pytest.raises(ValidationError):
        ComponentSpec.model_validate(value)


def test_an_option_without_a_name_says_so():
    with pytest.raises(ValidationError, match="option 'width' has no component name"):
        ComponentSpec.model_validate({"width": 3})


def test_build_gives_options_and_what_the_caller_supplies():
    assert instantiate(TABLE, ComponentSpec.create("make", depth=0.5), size=7) == (7, 2, 0.5)
    assert instantiate(TABLE, ComponentSpec.create("loose", a=1)) == {"a": 1}


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (ComponentSpec.create("maek"), "'maek' is unknown; did you mean 'make'?"),
        (ComponentSpec.create("make", widht=1), "'make' has no option 'widht'; did you mean 'width'"),
        # What the caller supplies is no option: a recipe cannot overrule it.
        (ComponentSpec.create("make", size=1), "'make' has no option 'size'"),
        (ComponentSpec.create("make", width=-1), "make: width must be 0 or more"),
        (ComponentSpec.create("make", width="x"), "make: '<' not supported"),
    ],
)
def test_build_says_what_is_wrong(part, message):
    with pytest.raises(RecipeError, match=message.replace("?", r"\?")):
        instantiate(TABLE, part, size=7)


@pytest.mark.parametrize("pair", [[1], [1, 0], 3])
def test_whatever_an_option_makes_a_constructor_raise_is_the_recipes_mistake(pair):
    with pytest.raises(RecipeError, match="shift"):
        instantiate(TABLE, ComponentSpec.create("shift", pair=pair))


def test_a_missing_option_and_all_mistakes_at_once():
    assert validate_spec(TABLE, ComponentSpec.create("make")) == ["'make' needs the option 'size'"]
    problems = validate_spec(TABLE, ComponentSpec.create("make", a=1, b=2), injected=("size",), location="model.head")
    assert len(problems) == 2
    assert all(line.startswith("model.head: 'make' has no option") for line in problems)
    with pytest.raises(RecipeError) as caught:
        instantiate(TABLE, ComponentSpec.create("make", a=1, b=2), size=7)
    assert "'a'" in str(caught.value)
    assert "'b'" in str(caught.value)


def test_an_error_says_what_where_and_what_next():
    error = DataError("it is broken", location="here", hint="mend it")
    assert str(error) == "it is broken\n  at: here\n  next: mend it"
    assert str(DataError("it is broken")) == "it is broken"


@pytest.mark.parametrize("error", [DataError("a", location="b", hint="c"), MissingExtraError("training", "train")])
def test_errors_cross_to_other_processes(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)


def test_several_counts_what_it_does_not_show():
    assert format_list(["a", "b", "c"], shown=2) == "- a\n- b\n- and 1 more"
    assert format_list(["a"]) == "- a"


def test_nearest_names_the_near_the_few_or_their_number():
    assert did_you_mean("resnet43", ["resnet34", "vgg"]) == "did you mean 'resnet34'?"
    assert did_you_mean("q", ["b", "a"]) == "known: a, b"
    assert did_you_mean("q", map(str, range(100, 150))) == "none of the 50 known names is similar"
    assert did_you_mean("q", []) == "there are none"
