"""Label schemas: codes and class indices of any schema, and the numbers of the competition's own."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from maskfit.config.recipe import DataConfig
from maskfit.errors import LabelError
from maskfit.labels.age_rule import AgeLabelRule
from maskfit.labels.schema import (
    JOINT_HEAD,
    LABEL_SCHEMAS,
    RESERVED_NAMES,
    UNKNOWN,
    Attribute,
    LabelSchema,
    as_number,
    logits_to_probabilities,
    softmax,
)

COMPETITION = LABEL_SCHEMAS["mask-gender-age"]


@st.composite
def schemas(draw: st.DrawFn) -> LabelSchema:
    """Up to four attributes of two to five values, some scored as coarser values."""
    attributes = []
    for place in range(draw(st.integers(1, 4))):
        size = draw(st.integers(2, 5))
        # Where runs of equal coarse values begin; the second value's always does, so that there are two.
        begins = [True, True, *(draw(st.booleans()) for _ in range(size - 2))]
        coarse = np.cumsum(begins) if draw(st.booleans()) else None
        attributes.append(
            Attribute(
                name=f"a{place}",
                values=tuple(f"v{value}" for value in range(size)),
                parent_of=() if coarse is None else tuple(f"c{run}" for run in coarse),
            )
        )
    return LabelSchema(attributes=tuple(attributes))


@st.composite
def labeled(draw: st.DrawFn) -> tuple[LabelSchema, np.ndarray]:
    """A schema, and codes of up to eight photos, some of them unknown."""
    schema = draw(schemas())
    rows = draw(st.lists(st.tuples(*(st.integers(UNKNOWN, size - 1) for size in schema.shape)), max_size=8))
    return schema, np.array(rows, dtype=np.int64).reshape(len(rows), len(schema.names))


def draw_probabilities(schema: LabelSchema, photos: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(schema.num_classes, 0.3), size=photos)


def test_competition_class_is_six_mask_three_gender_age():
    masks, genders, ages = ("wear", "incorrect", "not_wear"), ("male", "female"), ("<30", "30-59", ">=60")
    seen = []
    for mask, mask_name in enumerate(masks):
        for gender, gender_name in enumerate(genders):
            for age, age_name in enumerate(ages):
                codes = COMPETITION.encode({"mask": mask_name, "gender": gender_name, "age": age_name})
                assert COMPETITION.to_class_index([codes]).tolist() == [6 * mask + 3 * gender + age]
                seen.append(6 * mask + 3 * gender + age)
    assert seen == list(range(18)) == list(range(COMPETITION.num_classes))


@pytest.mark.parametrize(
    ("years", "band"),
    [(0, 0), (29, 0), (29.99, 0), (30, 1), (59, 1), (59.99, 1), (60, 2), (120, 2)],
)
def test_age_bands_hold_their_lower_edge(years, band):
    assert COMPETITION["age"].encode(years) == band
    assert COMPETITION["age"].encode(str(years)) == band


@settings(max_examples=80, deadline=None)
@given(labeled())
def test_codes_and_classes_go_round(case):
    schema, codes = case
    classes = schema.to_class_index(codes)
    known = (codes != UNKNOWN).all(axis=1)
    assert (classes[~known] == UNKNOWN).all()
    np.testing.assert_array_equal(schema.to_attribute_indices(classes)[known], codes[known])
    assert (schema.to_attribute_indices(classes)[~known] == UNKNOWN).all()
    # The first attribute counts most: an independent sum of digits.
    for row, number in zip(codes[known], classes[known], strict=True):
        digits = zip(row, [math.prod(schema.shape[place + 1 :]) for place in range(len(row))], strict=True)
        assert number == sum(int(code) * weight for code, weight in digits)


@settings(max_examples=40, deadline=None)
@given(schemas())
def test_every_class_has_its_own_codes_and_names_encode_back(schema):
    every = schema.to_attribute_indices(range(schema.num_classes))
    assert schema.to_class_index(every).tolist() == list(range(schema.num_classes))
    names = [{item.name: item.values[code] for item, code in zip(schema.attributes, row, strict=True)} for row in every]
    np.testing.assert_array_equal(schema.encode_batch(names), every)


@settings(max_examples=60, deadline=None)
@given(labeled())
def test_allowed_classes_are_those_that_agree_with_what_is_known(case):
    schema, codes = case
    joint = schema.allowed_mask_from_indices(codes, JOINT_HEAD)
    every = schema.to_attribute_indices(range(schema.num_classes))
    for row, fits in zip(codes, joint, strict=True):
        for number, other in enumerate(every):
            assert fits[number] == all(mine in (UNKNOWN, theirs) for mine, theirs in zip(row, other, strict=True))
        assert fits.sum() == math.prod(size for code, size in zip(row, schema.shape, strict=True) if code == UNKNOWN)
    for place, name in enumerate(schema.names):
        own = schema.allowed_mask_from_indices(codes, name)
        assert own.shape == (len(codes), schema.shape[place])
        assert (own.sum(axis=1) == np.where(codes[:, place] == UNKNOWN, schema.shape[place], 1)).all()
        known = codes[:, place] != UNKNOWN
        assert own[known, codes[known, place]].all()


@settings(max_examples=60, deadline=None)
@given(labeled())
def test_labels_leave_possible_what_their_codes_do(case):
    schema, codes = case
    labels = [
        {item.name: item.values[code] for item, code in zip(schema.attributes, row, strict=True) if code != UNKNOWN}
        for row in codes
    ]
    for head in (JOINT_HEAD, *schema.names):
        from_labels = schema.allowed_mask_from_labels(labels, head)
        np.testing.assert_array_equal(from_labels, schema.allowed_mask_from_indices(codes, head))


def test_a_band_leaves_the_narrow_bands_in_it_possible():
    trained = AgeLabelRule(bin_width=10).training_schema(COMPETITION)
    labels = [{"age": "30-59"}, {"age": 45.0}, {"age": ">=60"}, {}, {"age": ""}]
    rows = trained.allowed_mask_from_labels(labels, "age").astype(int).tolist()
    assert rows == [[0, 0, 1, 1, 1, 0], [0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 1], [1] * 6, [1] * 6]
    assert trained.allowed_mask_from_labels([{"age": "30-59", "mask": "wear", "gender": "male"}], JOINT_HEAD).sum() == 3
    assert trained.allowed_mask_from_labels([], JOINT_HEAD).shape == (0, trained.num_classes)
    with pytest.raises(LabelError, match="is not a value of age"):
        trained.allowed_mask_from_labels([{"age": "old"}], "age")


def test_a_photo_with_only_its_mask_allows_six_of_eighteen():
    codes = COMPETITION.encode_batch([{"mask": "incorrect"}])
    assert np.flatnonzero(COMPETITION.allowed_mask_from_indices(codes, JOINT_HEAD)[0]).tolist() == [6, 7, 8, 9, 10, 11]


@settings(max_examples=60, deadline=None)
@given(schemas(), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_join_and_marginals_undo_each_other(schema, photos, seed):
    random = np.random.default_rng(seed)
    heads = {name: random.dirichlet(np.ones(size), size=photos) for name, size in schema.sizes.items()}
    joint = schema.joint_probabilities(heads)
    assert joint.shape == (photos, schema.num_classes)
    np.testing.assert_allclose(joint.sum(axis=1), 1)
    for name, values in schema.marginals(joint).items():
        np.testing.assert_allclose(values, heads[name])
    for number, row in enumerate(schema.to_attribute_indices(range(schema.num_classes))):
        product = np.prod([heads[name][:, code] for name, code in zip(schema.names, row, strict=True)], axis=0)
        np.testing.assert_allclose(joint[:, number], product)


@settings(max_examples=60, deadline=None)
@given(schemas(), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_folding_adds_up_the_classes_that_count_as_one(schema, photos, seed):
    probabilities = draw_probabilities(schema, photos, seed)
    official = schema.scored_schema()
    folded = schema.to_scored_probabilities(probabilities)
    assert folded.shape == (photos, official.num_classes)
    expected = np.zeros_like(folded)
    for number, row in enumerate(schema.to_attribute_indices(range(schema.num_classes))):
        names = {
            item.name: (item.parent_of or item.values)[code] for item, code in zip(schema.attributes, row, strict=True)
        }
        expected[:, official.to_class_index([official.encode(names)])[0]] += probabilities[:, number]
    np.testing.assert_allclose(folded, expected)
    np.testing.assert_allclose(folded.sum(axis=1), 1)
    # Folding what is folded changes nothing more.
    np.testing.assert_array_equal(official.to_scored_probabilities(folded), folded)


def test_answer_turns_logits_into_probabilities_before_anything_is_joined():
    schema = LABEL_SCHEMAS["mask-gender"]
    logits = {"mask": np.array([[3.0, 1.0, -2.0]]), "gender": np.array([[0.5, 0.1]])}
    expected = np.outer(np.exp([3, 1, -2]) / np.exp([3, 1, -2]).sum(), np.exp([0.5, 0.1]) / np.exp([0.5, 0.1]).sum())
    np.testing.assert_allclose(logits_to_probabilities(schema, logits)[0], expected.reshape(-1))


def test_softmax_neither_overflows_nor_loses_a_row():
    values = softmax(np.array([[1000.0, 0.0], [-1000.0, -1000.0]], dtype=np.float32))
    np.testing.assert_allclose(values, [[1, 0], [0.5, 0.5]])
    assert values.dtype == np.float64


@pytest.mark.parametrize(
    ("attribute", "text", "code"),
    [
        ("mask", "WEAR", 0),
        ("mask", " worn wrongly ", 1),
        ("mask", "normal", 2),
        ("mask", "2", 2),
        ("mask", 1, 1),
        ("mask", "", UNKNOWN),
        ("mask", None, UNKNOWN),
        ("gender", "F", 1),
        ("age", ">=60", 2),
        ("age", "59", 1),
        # With bands a number is years, never a code.
        ("age", "2", 0),
    ],
)
def test_encode_reads_names_words_aliases_codes_and_years(attribute, text, code):
    assert COMPETITION[attribute].encode(text) == code


@pytest.mark.parametrize(
    ("attribute", "text", "message"),
    [
        ("mask", "waer", "did you mean 'wear'"),
        ("age", "121", r"must be in \[0, 120\]"),
        ("age", -1, r"must be in \[0, 120\]"),
        ("age", "nan", "is not a value of age"),
        ("gender", "2", "known: female, male"),
        ("mask", "1.5", "is not a value of mask"),
    ],
)
def test_encode_names_what_it_does_not_know(attribute, text, message):
    with pytest.raises(LabelError, match=message):
        COMPETITION[attribute].encode(text)


def test_an_alias_that_looks_like_a_code_is_the_alias():
    gender = Attribute(name="gender", values=("male", "female"), aliases={"1": "male", "2": "female"})
    assert [gender.encode(text) for text in ("1", "2")] == [0, 1]


def test_words_for_people():
    assert COMPETITION.describe(10) == "worn wrongly, female, 30-59"
    assert COMPETITION.describe(UNKNOWN) == "unknown, unknown, unknown"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(({"name": name}, "is reserved") for name in RESERVED_NAMES),
        ({"values": ("x", "X", "y")}, "has duplicate values"),
        ({"values": ("x", " x ", "y")}, "has duplicate values"),
        ({"values": ("x",)}, "at least 2 of them"),
        ({"display_names": ("one",)}, "display_names must have one entry"),
        ({"parent_of": ("p", "q")}, "parent_of must have one entry"),
        ({"parent_of": ("p", "q", "p")}, "must be adjacent"),
        ({"parent_of": ("p", "p", "p")}, "at least two parents"),
        ({"bin_edges": (30,)}, "2 ascending bin_edges"),
        ({"bin_edges": (60, 30)}, "2 ascending bin_edges"),
        ({"bin_edges": (30, 30)}, "2 ascending bin_edges"),
        ({"bin_edges": (30, math.nan)}, "finite number"),
        ({"bin_edges": (30, math.inf)}, "finite number"),
        ({"valid_range": (0, math.inf)}, "finite number"),
        ({"valid_range": (120, 0)}, "low <= high"),
        ({"aliases": {"w": "nothing"}}, "refers to 'nothing'"),
        ({"aliases": {"X": "y"}}, "alias 'X' of 'y' is the name of another value"),
        ({"color": "red"}, "color"),
    ],
)
def test_a_wrong_attribute_is_refused(change, message):
    with pytest.raises(LabelError, match=message) as caught:
        Attribute(**{"name": "a", "values": ("x", "y", "z"), **change})
    # None of pydantic's own words, which name its types and its web page.
    assert not re.search("Value error|pydantic|Tuple|validation", str(caught.value))


def test_wrong_schemes_are_refused():
    with pytest.raises(LabelError, match="same name"):
        LabelSchema(attributes=(COMPETITION["mask"], COMPETITION["mask"]))
    wide = [Attribute(name=f"a{i}", values=tuple(map(str, range(100)))) for i in range(3)]
    with pytest.raises(LabelError, match="more than 100,000"):
        LabelSchema(attributes=tuple(wide))
    for values, message in (
        ([], "LabelSchema: attributes: must have at least 1 of them"),
        ([{"name": "a", "values": ["x", "x"]}], "LabelSchema: attributes.0: attribute 'a' has duplicate values"),
        ([{"name": "a"}], "LabelSchema: attributes.0.values: this key is missing"),
        ([{"name": "a", "values": ["x"]}], "LabelSchema: attributes.0.values: must have at least 2 of them"),
    ):
        with pytest.raises(LabelError) as caught:
            LabelSchema(attributes=values)
        assert str(caught.value) == message
    # Within another model it is pydantic's error, which names the place there.
    with pytest.raises(ValidationError):
        DataConfig.model_validate({"label_schema": {"attributes": [{"name": "a", "values": ["x", "x"]}]}})


@pytest.mark.parametrize("codes", [[[3, 0, 0]], [[0, 0, -2]], [0, 0, 0], [[0, 0, 0, 0]], [[0, 0]] * 3])
def test_codes_that_do_not_fit_are_refused(codes):
    with pytest.raises(LabelError, match=r"out of range|one column"):
        COMPETITION.to_class_index(codes)


def test_classes_and_heads_that_do_not_fit_are_refused():
    for number in (18, -2):
        with pytest.raises(LabelError, match="0 to 17"):
            COMPETITION.to_attribute_indices([number])
    with pytest.raises(LabelError, match="there is no head for gender, age"):
        COMPETITION.joint_probabilities({"mask": np.ones((1, 3)) / 3})
    with pytest.raises(LabelError, match="do not match 18 classes"):
        COMPETITION.joint_probabilities({JOINT_HEAD: np.ones((1, 3)) / 3})
    with pytest.raises(LabelError, match="did you mean 'mask'"):
        COMPETITION["maks"]
    with pytest.raises(LabelError, match="no attribute"):
        COMPETITION.allowed_mask_from_indices(np.zeros((1, 3), dtype=np.int64), "color")


@settings(max_examples=40, deadline=None)
@given(schemas())
def test_a_scheme_survives_json(schema):
    assert LabelSchema.model_validate_json(schema.model_dump_json()) == schema


def test_as_number_takes_finite_numbers_only():
    assert as_number("4.5") == 4.5
    assert [as_number(text) for text in ("25세", "25 살", "25 years old")] == [25] * 3
    assert [as_number(text) for text in ("25세 이상", "years", "25 years and over")] == [None] * 3
    assert [as_number(text) for text in ("nan", "inf", "-inf", "", "x", "1e999")] == [None] * 6
