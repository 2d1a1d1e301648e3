"""Decision weights of a model file on their way into every kind of prediction."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from maskfit.calibration import Calibration, DecisionWeights, weighted_classes
from maskfit.errors import DataError, ModelFileError
from maskfit.inference.face_predictor import FacePredictor
from maskfit.inference.prediction_writers import open_prediction_writers
from maskfit.inference.predictor import Predictor
from maskfit.inference.submission import read_submission
from maskfit.model_file import read_model_metadata, update_model_metadata

WEIGHTS = {"gender": (0.5, 2.0), "age": (1.5, 0.5, 1.4)}


def decided(weights: dict[str, tuple[float, ...]]) -> Calibration:
    decision = DecisionWeights(weights=weights, before=0.5, after=0.6, gain_low=0.0, gain_high=0.2)
    return Calibration(decisions={"macro-f1": decision}, abstain_below={"age": 0.4})


@pytest.fixture
def weighted(make, tmp_path: Path) -> Path:
    """The model `attributes` with decision weights."""
    return make(tmp_path / "weighted.safetensors", calibration=decided(WEIGHTS))


def test_classes_are_chosen_by_weights_and_probabilities_stay(weighted, models, photos):
    plain, found = Predictor.load(models["attributes"]).predict(photos), Predictor.load(weighted).predict(photos)
    np.testing.assert_array_equal(found.table.probabilities, plain.table.probabilities)
    expected = weighted_classes(found.schema, plain.table.probabilities, WEIGHTS)
    assert found.classes.tolist() == expected.tolist()
    assert (expected != plain.classes).any()
    assert [text for _, text, _ in found] == [found.schema.describe(number) for number in expected.tolist()]
    for row, number, (_, _, probability) in zip(found.table.probabilities, expected, found, strict=True):
        assert probability == row[number]
    codes = found.schema.to_attribute_indices(expected)
    for item, own in zip(found.decide(), codes.tolist(), strict=True):
        values = [attribute.values[code] for attribute, code in zip(found.schema.attributes, own, strict=True)]
        assert [attribute.value for attribute in item] == values
        assert item[2].is_confident == (item[2].probability >= 0.4)


@pytest.mark.parametrize("mode", ["argmax", "accuracy"])
def test_argmax_and_objectives_without_weights_choose_the_most_probable(weighted, photos, mode: str):
    predictor = Predictor.load(weighted, decide=mode)
    assert predictor.decision_weights == {}
    found = predictor.predict(photos)
    assert found.classes.tolist() == found.table.predictions.tolist()
    text = predictor.describe_decisions()
    assert text == "the most probable class" + ("" if mode == "argmax" else "; no model holds weights for accuracy")


def test_a_model_of_an_earlier_version_is_argmax(models, photos):
    predictor = Predictor.load(models["attributes"])
    assert predictor.predict(photos).classes.tolist() == predictor.predict(photos).table.predictions.tolist()
    assert predictor.describe_decisions() == "the most probable class; no model holds weights for macro-f1"


def test_an_ensemble_says_how_many_members_have_weights(weighted, models, photos):
    predictor = Predictor.load(weighted, models["sibling"])
    np.testing.assert_allclose(predictor.decision_weights["age"], np.sqrt(WEIGHTS["age"]))
    assert "(1 of 2 models hold weights, the others count as 1)" in predictor.describe_decisions()
    found = predictor.predict(photos)
    half = {name: tuple(np.sqrt(values)) for name, values in WEIGHTS.items()}
    assert found.classes.tolist() == weighted_classes(found.schema, found.table.probabilities, half).tolist()


def test_every_file_holds_the_weighted_class(weighted, photos, tmp_path: Path):
    predictor = Predictor.load(weighted)
    expected = predictor.predict(photos)
    paths = {"submission": tmp_path / "s.csv", "attributes": tmp_path / "a.csv", "jsonl": tmp_path / "j.jsonl"}
    with open_prediction_writers(paths, predictor.schema) as add:
        for batch in predictor.stream(photos):
            add(batch)
    names = dict(zip(expected.table.names, expected.classes.tolist(), strict=True))
    assert read_submission(paths["submission"]) == names
    for line in paths["jsonl"].read_text().splitlines():
        record = json.loads(line)
        assert record["class"] == names[record["photo"]]
        assert record["probability"] == pytest.approx(record["probabilities"][record["class"]])
        for own in record["attributes"].values():
            assert own["value"] in own["probabilities"]
    shown = [line.split(",")[1:4] for line in paths["attributes"].read_text().splitlines()[1:]]
    assert [", ".join(cells) for cells in shown] == [predictor.schema.describe(number) for number in names.values()]


def test_faces_are_decided_by_weights_too(weighted, photos):
    whole = FacePredictor.load(weighted, faces="whole").predict(photos)
    expected = Predictor.load(weighted).predict(photos).decide()
    assert [[item.value for item in photo.faces[0].attributes] for photo in whole] == [
        [item.value for item in row] for row in expected
    ]


def test_an_exported_model_keeps_its_weights(weighted, exported, photos, tmp_path: Path, quick):
    from maskfit.inference.export.onnx_export import write_onnx

    write_onnx(weighted, tmp_path / "weighted.onnx")
    assert read_model_metadata(tmp_path / "weighted.onnx").calibration == decided(WEIGHTS)
    found, expected = (Predictor.load(path).predict(photos) for path in (tmp_path / "weighted.onnx", weighted))
    assert found.classes.tolist() == expected.classes.tolist()


def test_weights_that_do_not_fit_the_labels_are_refused(weighted):
    metadata = read_model_metadata(weighted)
    update_model_metadata(weighted, metadata.model_copy(update={"calibration": decided({"age": (1.0, 2.0)})}))
    with pytest.raises(ModelFileError, match="macro-f1 weights of age do not match its values"):
        read_model_metadata(weighted)


def test_an_unknown_way_to_decide_is_refused(weighted):
    with pytest.raises(DataError, match="there is no way 'best' to decide"):
        Predictor.load(weighted, decide="best")
