"""Tests of YAML from strangers: a value or one line, whatever is written."""

from __future__ import annotations

import time

import pytest

from maskfit.config.loader import read_recipe
from maskfit.errors import RecipeError
from maskfit.safe_yaml import MAX_DEPTH, parse_yaml
from maskfit.training.recipe_registry import RECIPE_REGISTRY

NESTED = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 7)
)
"""Aliases that stand for ten million values; harmless where they are counted before they are followed."""


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('a: !!int ""', "'' is no int (line 1, column 4)"),
        ("b: 1\na: !!int x", "'x' is no int (line 2, column 4)"),
        ("a: !!timestamp x", "'x' is no timestamp"),
        ("a: !!float ''", "'' is no float"),
        ("a: !!bool maybe", "'maybe' is no bool"),
        ("a: !!binary 'ä'", "!!binary is no plain value"),
        ("a: !!set {b, c}", "!!set is no plain value"),
        ("a: 2020-13-45", "is no timestamp"),
        ("a: " + "9" * 5000, "is no int"),
        ("a: " + "9" * 19, "a number of more than 18 digits"),
        ("a: 0x" + "f" * 400, "a number of more than 18 digits"),
        ("a: " + "[" * 200 + "]" * 200, f"more than {MAX_DEPTH} levels of nesting"),
        ("a: " + "{a: " * 200 + "}" * 200, f"more than {MAX_DEPTH} levels of nesting"),
        ("a: &a [*a]", "an alias to what it is part of"),
        ("a: &a {<<: *a}", "an alias to what it is part of"),
        ("&a {b: {c: *a}}", "an alias to what it is part of"),
        (NESTED, "more than 100,000 values, aliases included"),
        ("[1]: 2", "a key must be a word"),
        ("? {a: b}\n: c", "a key must be a word"),
        ("a: 1\nb: 2\na: 3", "duplicate key a"),
        ("1: x\n'1': y", "duplicate key 1"),
        ("a: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("a: [", "expected the node content"),
        ("a: 1\n---\nb: 2", "but found another document"),
        ("a: \x07", "special characters are not allowed"),
        ('a: "b\\0c"', "a text with a null character or half of a surrogate pair (line 1, column 4)"),
        ('a: "b\\ud800c"', "a text with a null character"),
        ('"b\\0c": 1', "a text with a null character"),
        ("x" * 1_000_001, "more than the maximum of 1,000,000"),
    ],
)
def test_one_line(text, part):
    begin = time.monotonic()
    with pytest.raises(ValueError, match=r"\A[^\n]*\Z") as caught:
        parse_yaml(text)
    assert part in str(caught.value)
    assert len(str(caught.value)) < 400
    assert time.monotonic() - begin < 20


def test_values_are_plain():
    text = "a: [1, 1e-4, yes, null, 2.5, -3]\nb: &x {c: d}\ne: *x\nf: {<<: *x, g: h}\n1: one\nyes: two\n0x10: three"
    assert parse_yaml(text) == {
        "a": [1, 1e-4, True, None, 2.5, -3],
        "b": {"c": "d"},
        "e": {"c": "d"},
        "f": {"c": "d", "g": "h"},
        # Keys are the words that were written.
        "1": "one",
        "yes": "two",
        "0x10": "three",
    }
    assert parse_yaml("") is None
    assert parse_yaml("9" * 18) == 10**18 - 1
    assert parse_yaml("[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)) is not None


@pytest.mark.parametrize(
    "text",
    [
        "1: x",
        "loss: {1: 2}",
        "data: {1: {2: 3}}",
        'trainer: {epochs: !!int ""}',
        "trainer: {epochs: !!timestamp x}",
        "loss: " + "[" * 400 + "]" * 400,
        "data: &a {path: *a}",
        NESTED,
        "trainer: {epochs: " + "9" * 5000 + "}",
        "trainer: {seed: 1e400}",
        "optimizer: {name: adamw, lr: " + "9" * 400 + "}",
        "data: {codes: {gender: {0: [1]}}}",
        "heads: {mask: !!set {a, b}}",
        "extends: !!binary aGVsbG8=",
        "data: {image_size: !!omap [a: 1]}",
    ],
)
def test_recipes(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        read_recipe(path, registries=RECIPE_REGISTRY)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_deep_json(tmp_path):
    path = tmp_path / "mine.json"
    depth = 100_000  # The limit of CPython 3.13 is several times that of 3.11.
    path.write_text("[" * depth + "]" * depth)
    with pytest.raises(RecipeError, match="nests too deep"):
        read_recipe(path)


def test_codes_may_have_numbers_as_keys(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("data: {codes: {gender: {0: female, 1: male}}}")
    assert read_recipe(path).data.codes == {"gender": {"0": "female", "1": "male"}}
