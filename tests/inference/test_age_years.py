"""Ages in years through the predictor: files, ensembles, moved borders, pooling, faces."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from maskfit.calibration import AgeCalibration, Calibration, DecisionWeights
from maskfit.errors import DataError
from maskfit.inference.face_predictor import FacePredictor
from maskfit.inference.person_pooling import pool_predictions
from maskfit.inference.prediction_writers import open_prediction_writers
from maskfit.inference.predictor import Predictor
from maskfit.inference.table_formats import write_csv_table
from maskfit.labels.age_rule import AgeLabelRule
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.model_file import read_model_metadata, update_model_metadata

FULL = LABEL_SCHEMAS["mask-gender-age"]


def test_ages_agree_with_the_bands_and_change_no_probability(models, photos):
    predictor = Predictor.load(models["decades"])
    assert predictor.gives_ages
    predictions = predictor.predict(photos)
    ages = predictions.age_estimates()
    assert ages is not None
    bands = FULL.marginals(predictions.table.probabilities)["age"]
    for own, row in zip(ages, bands, strict=True):
        assert own.at_least[60] == pytest.approx(row[2])
        assert own.at_least[30] == pytest.approx(row[1] + row[2])
        low, median, high = own.quantiles
        assert low <= median <= high
    # The estimates are no constant.
    assert len({own.quantiles[1] for own in ages}) > 1
    assert str(predictions.decide()[0][2]).endswith(f": {ages[0]}")


def test_models_without_narrow_bands_have_no_ages(models, photos):
    predictor = Predictor.load(models["attributes"])
    assert not predictor.gives_ages
    assert predictor.predict(photos[:2]).age_estimates() is None
    with pytest.raises(DataError, match=r"cannot be moved(.|\n)*bin_width=5"):
        Predictor.load(models["attributes"], age_borders=(30, 57))
    # The models' own borders are no change.
    assert Predictor.load(models["attributes"], age_borders=(30, 60)).schema == FULL
    with pytest.raises(DataError, match="none of them in bands of years"):
        Predictor.load(models["mask"], age_borders=(30, 57))


@pytest.mark.parametrize("name", ["decades", "joint-decades"])
def test_borders_move_without_training(models, photos, name):
    plain = Predictor.load(models[name]).predict(photos).table.probabilities
    same = Predictor.load(models[name], age_borders=(30, 60)).predict(photos).table.probabilities
    assert (plain == same).all()
    moved = Predictor.load(models[name], age_borders=(30, 50))
    table = moved.predict(photos).table.probabilities
    assert moved.schema["age"].values == ("<30", "30-49", ">=50")
    before, after = FULL.marginals(plain)["age"], moved.schema.marginals(table)["age"]
    assert after[:, 0] == pytest.approx(before[:, 0])
    assert (after[:, 2] > before[:, 2]).all()
    for attribute in ("mask", "gender"):
        assert moved.schema.marginals(table)[attribute] == pytest.approx(FULL.marginals(plain)[attribute])


def test_decision_weights_of_moved_bands_are_left_out(make, tmp_path, photos):
    path = make(tmp_path / "m.safetensors", scheme=AgeLabelRule(bin_width=5).training_schema(FULL))
    weights = DecisionWeights(
        weights={"age": (2.0, 0.5, 2.0), "gender": (1.5, 1.0)}, before=0.5, after=0.6, gain_low=0, gain_high=0.2
    )
    metadata = read_model_metadata(path)
    update_model_metadata(
        path, metadata.model_copy(update={"calibration": Calibration(decisions={"macro-f1": weights})})
    )
    assert set(Predictor.load(path).decision_weights) == {"age", "gender"}
    assert set(Predictor.load(path, age_borders=(30, 57)).decision_weights) == {"gender"}


def test_an_ensemble_averages_the_ages_of_those_that_have_them(models, photos):
    alone = Predictor.load(models["decades"]).predict(photos)
    both = Predictor.load(models["decades"], models["attributes"]).predict(photos)
    ages = both.age_estimates()
    assert ages is not None
    bands = FULL.marginals(both.table.probabilities)["age"]
    assert [own.at_least[60] for own in ages] == pytest.approx(bands[:, 2].tolist())
    assert both.ages is not None
    assert alone.ages is not None
    inside = slice(30, 60)
    shapes = [item.shares[:, inside] / item.shares[:, inside].sum(1, keepdims=True) for item in (alone.ages, both.ages)]
    assert shapes[0] == pytest.approx(shapes[1], abs=1e-6)


def test_the_calibration_of_a_file_is_used(make, tmp_path, photos):
    path = make(tmp_path / "m.safetensors", scheme=AgeLabelRule(bin_width=5).training_schema(FULL))
    metadata = read_model_metadata(path)
    fitted = Calibration(ages=AgeCalibration(temperature=1.0, age_range=(18, 61)))
    update_model_metadata(path, metadata.model_copy(update={"calibration": fitted}))
    ages = Predictor.load(path).predict(photos).age_estimates()
    assert ages is not None
    assert max(own.quantiles[2] for own in ages) <= 61


def test_files_hold_mean_and_quantiles(models, photos, tmp_path):
    predictor = Predictor.load(models["decades"], batch_size=3)
    predictions = predictor.predict(photos)
    ages = predictions.age_estimates()
    assert ages is not None
    paths = {"attributes": tmp_path / "a.csv", "jsonl": tmp_path / "a.jsonl", "submission": tmp_path / "s.csv"}
    batches = list(predictor.stream(photos))
    with open_prediction_writers(paths, predictor.schema, ages=predictor.gives_ages) as add:
        for batch in batches:
            add(batch)
    rows = list(csv.DictReader(paths["attributes"].open(encoding="utf-8")))
    years = ["age_mean", "age_q10", "age_q50", "age_q90"]
    sure = ["mask_sure", "gender_sure", "age_sure"]
    assert list(rows[0]) == ["ImageID", "mask", "gender", "age", *years, *sure]
    assert [int(row["age_q50"]) for row in rows] == [own.quantiles[1] for own in ages]
    assert [float(row["age_mean"]) for row in rows] == pytest.approx([own.mean for own in ages], abs=0.006)
    lines = [json.loads(line) for line in paths["jsonl"].read_text().splitlines()]
    assert [line["attributes"]["age"]["years"] for line in lines] == [own.to_dict() for own in ages]
    assert "years" not in lines[0]["attributes"]["gender"]
    assert paths["submission"].read_text().startswith("ImageID,ans\n")
    write_csv_table(tmp_path / "t.csv", predictor.schema, batches)
    table = list(csv.DictReader((tmp_path / "t.csv").open(encoding="utf-8")))
    assert [float(row["age_q90"]) for row in table] == [own.quantiles[2] for own in ages]


def test_an_attribute_file_reads_as_a_manifest(models, photos, tmp_path):
    from maskfit.data.manifest import read_manifest

    predictor = Predictor.load(models["decades"])
    path = tmp_path / "a.csv"
    with open_prediction_writers({"attributes": path}, predictor.schema, ages=True) as add:
        add(next(predictor.stream([photos[0]])))
    (photo,) = read_manifest(path, FULL)
    assert photo.labels["age"] in ("<30", "30-59", ">=60")


def test_the_ages_of_a_person_are_pooled(models, photos):
    predictor = Predictor.load(models["decades"])
    (batch,) = predictor.stream(photos[:3])
    pooled = pool_predictions([batch], ["one", "one", "two"]).predictions
    ages, own = pooled.age_estimates, batch.age_estimates
    assert ages is not None
    assert own is not None
    assert ages[0].mean == pytest.approx(ages[1].mean)
    low, high = sorted((own[0].mean, own[1].mean))
    assert low - 0.5 <= ages[0].mean <= high + 0.5
    assert ages[2].mean == pytest.approx(own[2].mean)
    assert np.isclose(ages[0].at_least[60], FULL.marginals(pooled.probabilities)["age"][0, 2])


def test_faces_have_ages(models, photos):
    predictor = FacePredictor(Predictor.load(models["decades"], age_borders=(18, 40, 65)), detect=False)
    (photo,) = predictor.predict([photos[0]])
    age = photo.faces[0].age
    assert age is not None
    assert set(age.at_least) == {18, 40, 65}
    assert photo.faces[0].to_dict()["age"]["years"] == age.to_dict()
    assert photo.faces[0]["gender"].age is None
