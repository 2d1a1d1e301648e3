"""Tests of what words and codes mean."""

from __future__ import annotations

import pytest

from maskfit.data.importers.word_reader import ANY, WordReader
from maskfit.errors import DataError
from maskfit.labels.schema import LABEL_SCHEMAS, Attribute, LabelSchema

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]


@pytest.mark.parametrize(
    ("key", "word", "labels"),
    [
        (ANY, "with_mask", {"mask": "wear"}),
        (ANY, "Sin Mascarilla", {"mask": "not_wear"}),
        (ANY, "여", {"gender": "female"}),
        (ANY, "WithoutMask", {"mask": "not_wear"}),
        (ANY, "withmask", {"mask": "wear"}),
        (ANY, "MaskFemale", {"mask": "wear", "gender": "female"}),
        (ANY, "IMFD", {"mask": "incorrect"}),
        (ANY, "face_with_mask_incorrect", {"mask": "incorrect"}),
        (ANY, "20-29", {"age": "20 to 29"}),
        (ANY, "60+", {"age": "60+"}),
        (ANY, "<30", {"age": "<30"}),
        (ANY, "female_with_mask", {"gender": "female", "mask": "wear"}),
        (ANY, "mask weared incorrect male 20-29", {"mask": "incorrect", "gender": "male", "age": "20 to 29"}),
        ("mask", "No-Mask", {"mask": "not_wear"}),
        ("age", "34", {"age": "34"}),
        ("age", "34.0", {"age": "34"}),
        ("age", "(25, 32)", {"age": "25 to 32"}),
        ("age", "more than 70", {"age": "71+"}),
        ("age", "under 20", {"age": "up to 19"}),
        ("age", "None", {}),
        ("age_band", "30-59", {"age": "30-59"}),
        ("gender", "u", {}),
    ],
)
def test_spellings(key, word, labels):
    reading = WordReader(SCHEMA).read(key, word)
    assert (dict(reading.labels), reading.problem) == (labels, "")


@pytest.mark.parametrize("cell", ["20 to 29", "60+", "71+", "up to 19", "25 to 32"])
def test_bands_are_written_so_that_manifests_read_them(cell):
    assert SCHEMA["age"].allowed_mask(cell).any()


@pytest.mark.parametrize(
    ("key", "word"),
    [(ANY, "0"), (ANY, "cat"), ("mask", "0"), ("gender", "1.0"), ("age_band", "2"), (ANY, "male_female")],
)
def test_without_a_meaning(key, word):
    words = WordReader(SCHEMA)
    assert words.read(key, word).problem
    with pytest.raises(DataError, match="1 word is no value"):
        words.finish()


@pytest.mark.parametrize("word", ["w_mask", "w_incorrect", "w_partial_mask", "m_worn", "wear-f", "w o mask"])
def test_a_letter_is_no_part_of_a_word(word):
    """The w is "with" rather than "woman"; alone, a letter is a gender."""
    words = WordReader(SCHEMA)
    assert words.read(ANY, word).problem == "no value of the label schema"
    assert words.read(ANY, "w").labels == words.read("gender", "F").labels == {"gender": "female"}
    assert words.read(ANY, "여_마스크착용").labels == {"gender": "female", "mask": "wear"}
    assert WordReader(SCHEMA, maps=[f"{word}=incorrect"]).read(ANY, word).labels == {"mask": "incorrect"}


def test_maps_come_before_the_format_and_spellings():
    codes = {"gender": {"0": "male", "1": "female"}}
    words = WordReader(SCHEMA, codes, ["gender:0=female", "with_mask=incorrect", "1=male", "lady=wear,female"])
    assert words.read("gender", "0").labels == {"gender": "female"}
    assert words.read("gender", "1").labels == {"gender": "male"}
    assert words.read(ANY, "With Mask").labels == {"mask": "incorrect"}
    assert words.read(ANY, "lady").labels == {"mask": "wear", "gender": "female"}
    assert words.finish() == ()


def test_a_map_of_another_attribute_does_not_apply():
    words = WordReader(SCHEMA, {"mask": {"1": "wear"}}, ["1=male"])
    assert words.read("mask", "1").labels == {"mask": "wear"}
    assert words.finish() == ("1=male",)


def test_skip_unknown_and_all_other_words():
    words = WordReader(SCHEMA, maps=["rest=skip", "blurred=unknown", "*=skip"])
    assert words.read(ANY, "rest").skip
    assert (words.read(ANY, "blurred").skip, words.read(ANY, "blurred").labels) == (False, {})
    assert words.read(ANY, "cat").skip
    assert words.read(ANY, "with_mask").labels == {"mask": "wear"}
    assert words.finish() == ()


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("mask", "'mask' is not WORD=VALUE"),
        ("=wear", "is not WORD=VALUE"),
        ("a=", "is not WORD=VALUE"),
        ("a=worm", "'worm' is no value"),
        ("gender:a=wear", "'wear' is not a value of gender"),
        ("age:a=300", "age must be in"),
    ],
)
def test_mistakes_in_maps(item, message):
    with pytest.raises(DataError) as error:
        WordReader(SCHEMA, maps=[item])
    assert message in error.value.message
    assert error.value.location == "--map"


def test_a_word_of_two_attributes_is_asked_for():
    states = [Attribute(name=name, values=("yes", "no")) for name in ("helmet", "vest")]
    words = WordReader(LabelSchema(attributes=tuple(states)))
    assert words.read(ANY, "yes").problem == "a value of helmet and of vest"
    mapped = WordReader(LabelSchema(attributes=tuple(states)), maps=["helmet:1=yes"])
    assert mapped.read("helmet", "1").labels == {"helmet": "yes"}


def test_numbers_that_look_like_bands_are_a_question():
    words = WordReader(SCHEMA)
    for word in ("0", "1", "2"):
        words.read("age", word)
    with pytest.raises(DataError, match="looks like codes of bands") as error:
        words.finish()
    assert "--map 'age:0=<30' --map 'age:1=30-59' --map 'age:2=>=60'" in error.value.hint
    mapped = WordReader(SCHEMA, maps=["age:0=<30", "age:1=30-59", "age:2=>=60"])
    assert [dict(mapped.read("age", word).labels) for word in ("0", "1", "2")] == [
        {"age": "<30"},
        {"age": "30-59"},
        {"age": ">=60"},
    ]


def test_an_age_out_of_range_is_the_row_s_problem():
    words = WordReader(SCHEMA)
    assert words.read("age", "300").is_invalid
    assert words.finish() == ()


def test_the_table_lists_words_by_count_and_sums_up_numbers():
    words = WordReader(SCHEMA, {"gender": {"0": "female"}})
    for age in range(20, 60):
        words.read("age", str(age))
    for key, word in [(ANY, "mask"), (ANY, "no_mask"), (ANY, "no_mask"), ("gender", "0")]:
        words.read(key, word)
    assert [(line.key, line.word, line.meaning, line.how, line.count) for line in words.table()] == [
        ("any", "no_mask", "mask not_wear", "spelling", 2),
        ("any", "mask", "mask wear", "spelling", 1),
        ("gender", "0", "gender female", "format", 1),
        ("age", "40 numbers, 20 to 59", "age as it is", "number", 40),
    ]


@pytest.mark.parametrize(
    ("name", "key"),
    [("mask", "mask"), ("Sex", "gender"), ("age_group", "age_band"), ("성별", "gender"), ("choice", None)],
)
def test_keys_of_columns_and_controls(name, key):
    assert WordReader(SCHEMA).find_key(name) == key


def test_a_code_of_an_attribute_is_also_that_of_a_folder():
    """`--map mask:0=wear` for class folders named 0 and 1, whose words have no key."""
    words = WordReader(SCHEMA, maps=["mask:0=wear", "mask:1=not_wear", "gender:1=male", "mask:2=skip"])
    assert words.read(ANY, "0").labels == {"mask": "wear"}
    assert words.read(ANY, "1").labels == {"mask": "not_wear", "gender": "male"}
    assert words.read(ANY, "2").skip
    assert words.finish() == ()


@pytest.mark.parametrize(
    ("word", "alone"),
    [("with_mask", True), ("Mask On", True), ("female", True), ("Not_Worn", False), ("normal", False)],
)
def test_words_that_answer_other_questions_say_nothing_alone(word, alone):
    words = WordReader(LABEL_SCHEMAS["mask-gender-age"])
    assert words.knows("", word)
    assert words.knows_alone(word) == alone
    assert WordReader(LABEL_SCHEMAS["mask-gender-age"], maps=[f"{word}=wear"]).knows_alone(word)


def test_yes_and_no_need_a_question_where_there_are_several_attributes():
    """Under `label` nobody knows whether a mask or glasses were asked for; the schema of masks says so."""
    words = WordReader(SCHEMA)
    assert words.read(ANY, "Yes").problem == "it answers a question that is not named"
    assert words.read("mask", "no").labels == {"mask": "not_wear"}
    assert WordReader(LABEL_SCHEMAS["mask"]).read(ANY, "Yes").labels == {"mask": "wear"}
    mapped = WordReader(SCHEMA, maps=["yes=wear"])
    assert mapped.read(ANY, "Yes").labels == {"mask": "wear"}
    with pytest.raises(DataError, match=r"'Yes' \(1 row\): it answers a question that is not named"):
        words.finish()


def test_two_meanings_of_one_word_are_an_error():
    with pytest.raises(DataError, match="'lady=wear' and 'Lady=female' give one word two meanings") as caught:
        WordReader(SCHEMA, maps=["lady=wear", "Lady=female"])
    assert "--map WORD=wear,female" in caught.value.hint
    words = WordReader(SCHEMA, maps=["1=wear", "1.0=wear", "gender:1=male"])
    assert words.read(ANY, "1").labels == {"mask": "wear"}
    assert words.read("gender", "1").labels == {"gender": "male"}
