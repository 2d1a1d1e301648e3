"""Probabilities in words, and when they are rather "not sure"."""

from __future__ import annotations

import numpy as np
import pytest

from maskfit.inference.decisions import NOT_SURE, abstain_on_small_face, decide, format_prediction
from maskfit.labels.schema import LABEL_SCHEMAS

FULL = LABEL_SCHEMAS["mask-gender-age"]


def row(mask: list[float], gender: list[float], age: list[float]) -> np.ndarray:
    return FULL.joint_probabilities({"mask": np.array([mask]), "gender": np.array([gender]), "age": np.array([age])})


def test_each_attribute_is_answered_by_its_own_probabilities():
    (said,) = decide(FULL, row([0.1, 0.8, 0.1], [0.45, 0.55], [0.2, 0.3, 0.5]))
    assert [item.value for item in said] == ["incorrect", "female", ">=60"]
    assert [item.display_name for item in said] == ["worn wrongly", "female", ">=60"]
    assert [item.probability for item in said] == pytest.approx([0.8, 0.55, 0.5])
    assert all(item.is_confident for item in said)
    assert format_prediction(said) == "worn wrongly 80%, female 55%, >=60 50%"


def test_below_its_threshold_an_answer_is_not_sure_and_the_guess_is_still_said():
    (said,) = decide(FULL, row([0.1, 0.8, 0.1], [0.45, 0.55], [0.2, 0.3, 0.5]), {"gender": 0.6, "mask": 0.8 - 1e-9})
    mask, gender, age = said
    assert (mask.is_confident, gender.is_confident, age.is_confident) == (True, False, True)
    assert gender.to_dict() == {
        "answer": NOT_SURE,
        "value": "female",
        "probability": pytest.approx(0.55),
        "sure": False,
        "probabilities": {"male": pytest.approx(0.45), "female": pytest.approx(0.55)},
    }
    assert "not sure (female 55%)" in format_prediction(said)


def test_where_the_model_abstains_the_percentage_does_not_reach_the_threshold():
    (below,) = decide(LABEL_SCHEMAS["gender"], np.array([[0.9496, 0.0504]]), {"gender": 0.95})
    (above,) = decide(LABEL_SCHEMAS["gender"], np.array([[0.9496, 0.0504]]), {"gender": 0.9495})
    assert (str(below[0]), str(above[0])) == ("not sure (male 94%)", "male 95%")
    # 0.29 * 100 is a little less than 29.
    (exact,) = decide(LABEL_SCHEMAS["mask"], np.array([[0.36, 0.35, 0.29]]), {"mask": 0.5}, {"mask": (1, 1, 9)})
    assert str(exact[0]).endswith("29%)")


def test_a_probability_at_the_threshold_is_sure():
    (said,) = decide(LABEL_SCHEMAS["gender"], np.array([[0.5, 0.5]]), {"gender": 0.5})
    assert said[0].is_confident


def test_no_photos_no_answers():
    assert decide(FULL, np.empty((0, 18))) == []


def test_weights_select_the_value_and_leave_its_probability_as_it_is():
    probabilities = row([0.1, 0.8, 0.1], [0.45, 0.55], [0.3, 0.5, 0.2])
    (plain,) = decide(FULL, probabilities)
    (weighted,) = decide(FULL, probabilities, {"age": 0.35}, {"age": (2.0, 1.0, 1.0)})
    assert [item.value for item in plain] == ["incorrect", "female", "30-59"]
    assert [item.value for item in weighted] == ["incorrect", "female", "<30"]
    # Abstention is about the probability of what is answered: 0.3, although another value has 0.5.
    assert weighted[2].probability == pytest.approx(0.3)
    assert not weighted[2].is_confident
    assert weighted[2].probabilities == plain[2].probabilities
    assert weighted[:2] == plain[:2]


def test_an_attribute_of_a_small_face_is_not_sure_and_says_why():
    (decided,) = decide(FULL, row([0.1, 0.8, 0.1], [0.45, 0.55], [0.2, 0.3, 0.5]))
    small = abstain_on_small_face(decided, (10, 10, 33, 60), {"age": 24})
    assert [item.is_confident for item in small] == [True, True, False]
    assert str(small[2]).endswith("%, face too small)")
    assert small[2].to_dict()["too_small"] is True
    assert small[2].to_dict()["answer"] == NOT_SURE
    assert "too_small" not in small[0].to_dict()


@pytest.mark.parametrize("box", [(10, 10, 34, 60), (0, 0, 90, 24), None])
def test_a_face_of_enough_pixels_or_a_whole_photo_is_answered(box):
    (decided,) = decide(FULL, row([0.1, 0.8, 0.1], [0.45, 0.55], [0.2, 0.3, 0.5]))
    assert abstain_on_small_face(decided, box, {"age": 24}) == decided
