"""A card says what the file says, no more, and a file is changed in its words alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from maskfit.calibration import AgeCalibration, Calibration, DecisionWeights
from maskfit.data.preprocessing import Preprocessing
from maskfit.errors import ModelFileError
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.model_card import ModelCard, Score
from maskfit.model_card_markdown import LIMITS, render_model_card
from maskfit.model_file import ModelMetadata, read_model_metadata, save_model, update_model_metadata
from maskfit.registry import ComponentSpec

METADATA = ModelMetadata(
    label_schema=LABEL_SCHEMAS["mask-gender-age"],
    preprocessing=Preprocessing(),
    backbone=ComponentSpec.create("small"),
    head=ComponentSpec.create("multi_head"),
    heads=("mask", "gender", "age"),
    description="baseline, fold 0 of 5",
    recipe={"name": "baseline"},
    card=ModelCard(
        photos=1234,
        persons=176,
        counts={"mask": {"wear": 900, "incorrect": 180, "not_wear": 154}},
        n_eval_photos=310,
        n_eval_persons=44,
        scores={"macro F1": Score(value=0.71, low=0.66, high=0.75), "accuracy of age": Score(value=0.8)},
        worst_groups={"worn, male, >=60": Score(value=0.31)},
        training_data="Faces drawn by maskfit.",
        license="MIT",
        intended_use="For trying things out.",
    ),
    calibration=Calibration(temperatures={"age": 1.5}, abstain_below={"age": 0.6}, photos=310, persons=44),
)


def test_a_card_says_what_the_file_says() -> None:
    text = render_model_card(METADATA)
    for words in (
        "baseline, fold 0 of 5",
        "worn wrongly",
        "1,234 photos of 176 persons",
        "900 worn, 180 worn wrongly",
        "310 photos of 44 persons",
        "| macro F1 | 0.710 (0.660 to 0.750) |",
        "| accuracy of age | 0.800 |",
        "The file has no interval for accuracy of age.",
        "worn, male, >=60 0.310",
        "age 1.50",
        "age 60%",
        "Faces drawn by maskfit.",
        "License: MIT",
        "For trying things out.",
        *LIMITS,
    ):
        assert words in text


def test_a_card_whose_scores_all_have_intervals_says_nothing_of_them() -> None:
    scores = {"macro F1": Score(value=0.71, low=0.66, high=0.75)}
    card = METADATA.card.model_copy(update={"scores": scores})
    assert "no interval" not in render_model_card(METADATA.model_copy(update={"card": card}))


def test_a_card_tells_how_good_ages_in_years_are() -> None:
    ages = AgeCalibration(
        age_range=(19, 78), mean_absolute_error=5.83, coverage=0.836, width=19.6, photos=1498, persons=1144
    )
    text = render_model_card(METADATA.model_copy(update={"calibration": Calibration(ages=ages)}))
    assert "from 19 to 78 years" in text
    assert "1,498 photos of 1,144 persons" in text
    assert "off by 5.8 years on average, and 84% of true ages are within the 80% interval, which is 20 years" in text
    unmeasured = Calibration(ages=AgeCalibration(age_range=(19, 78)))
    assert "its error was not measured" in render_model_card(METADATA.model_copy(update={"calibration": unmeasured}))
    assert "Age in years" not in render_model_card(METADATA)


def test_a_threshold_of_nothing_is_said_in_words() -> None:
    sure = Calibration(abstain_below={"mask": 0.0, "age": 0.6})
    text = render_model_card(METADATA.model_copy(update={"calibration": sure}))
    assert '"not sure": age 60%.' in text
    assert 'that never become "not sure": mask.' in text


def test_a_card_warns_of_a_calibration_on_few_persons() -> None:
    few = Calibration(temperatures={"mask": 0.5}, abstain_below={"mask": 0.6}, photos=7, persons=1)
    text = render_model_card(METADATA.model_copy(update={"calibration": few}))
    assert "fitted on 7 photos of 1 person: mask 0.50." in text
    assert "**Warning:** fitted on 7 photos of 1 person, too few" in text
    assert "Warning" not in render_model_card(METADATA)


def test_what_a_file_does_not_say_its_card_does_not_make_up() -> None:
    bare = METADATA.model_copy(update={"card": ModelCard(), "calibration": Calibration(), "recipe": {}})
    text = render_model_card(bare)
    for words in ("Training data", "Temperatures", "not sure", "recipe"):
        assert words not in text
    assert "not stated" in text
    assert "The file contains no scores" in text
    assert LIMITS[0] in text


def test_other_facts_leave_every_weight_as_it_is(tmp_path: Path) -> None:
    weights = {"a": torch.randn(3, 5), "b.weight": torch.arange(7), "half": torch.randn(2).to(torch.bfloat16)}
    path = save_model(tmp_path / "model.safetensors", weights, METADATA.model_copy(update={"description": "x"}))
    for about in ("much longer " * 50, "ü", ""):
        update_model_metadata(path, METADATA.model_copy(update={"description": about}))
        assert read_model_metadata(path) == METADATA.model_copy(update={"description": about})
        kept = load_file(path)
        assert set(kept) == set(weights)
        assert all(torch.equal(kept[name], weights[name]) for name in weights)
    assert [item.name for item in tmp_path.iterdir()] == ["model.safetensors"]
    (tmp_path / "any").touch()
    assert path.stat().st_mode == (tmp_path / "any").stat().st_mode


def test_what_is_no_model_is_not_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"not at all")
    with pytest.raises(ModelFileError):
        update_model_metadata(path, METADATA)
    assert path.read_bytes() == b"not at all"


def test_an_old_file_without_card_and_calibration_still_reads(tmp_path: Path) -> None:
    old = METADATA.model_dump(mode="json", by_alias=True)
    del old["card"], old["calibration"]
    metadata = ModelMetadata.model_validate(old)
    assert (metadata.card, metadata.calibration) == (ModelCard(), Calibration())


def test_a_card_tells_the_decision_weights_and_what_they_gain() -> None:
    assert "Decision weights" not in render_model_card(METADATA)
    decision = DecisionWeights(
        weights={"age": (1.5, 0.7, 1.2)}, before=0.5, after=0.53, gain_low=0.01, gain_high=0.05, photos=310, persons=44
    )
    calibration = METADATA.calibration.model_copy(update={"decisions": {"macro-f1": decision}})
    text = render_model_card(METADATA.model_copy(update={"calibration": calibration}))
    # A paragraph of its own.
    assert "\n\nDecision weights for macro-f1: age <30 x1.50, 30-59 x0.70, >=60 x1.20." in text
    assert "0.500 without, 0.530 with them, gain +0.030 (+0.010 to +0.050)" in text
