"""Which models a user's words stand for, and which of them may answer together."""

from __future__ import annotations

import shutil

import pytest

from maskfit.errors import ModelFileError, RunError
from maskfit.inference.ensemble_runner import Member, check_compatible, open_members
from maskfit.inference.input_resolution import find_models
from maskfit.labels.schema import LABEL_SCHEMAS


def test_a_file_stands_for_itself(models):
    assert find_models([models["joint"], str(models["mask"])]) == [models["joint"], models["mask"]]


def test_a_run_stands_for_its_folds_in_order(tmp_path, write_run):
    run = write_run(tmp_path / "run", ["attributes"] * 11)
    assert find_models([run]) == [run / f"fold{number}" / "best.safetensors" for number in range(11)]
    (run / "fold1.old").mkdir()
    (run / "folder").mkdir()
    (run / "fold99").write_text("no folder")
    assert len(find_models([str(run)])) == 11


def test_a_fold_stands_for_its_best_model(tmp_path, write_run):
    run = write_run(tmp_path / "run", ["attributes", "sibling"])
    assert find_models([run / "fold1"]) == [run / "fold1" / "best.safetensors"]


def test_folds_that_are_not_done_are_left_out(tmp_path, write_run):
    run = write_run(tmp_path / "run", ["attributes"], begun=["sibling"])
    assert find_models([run]) == [run / "fold0" / "best.safetensors"]
    # Named by itself it is meant.
    assert find_models([run / "fold1"]) == [run / "fold1" / "best.safetensors"]


def test_a_run_without_a_done_fold_is_refused(tmp_path, write_run):
    run = write_run(tmp_path / "run", [], begun=["attributes"])
    with pytest.raises(RunError, match="no fold of this run is complete") as caught:
        find_models([run])
    assert "--resume" in str(caught.value)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(ModelFileError, match="no run") as caught:
        find_models([tmp_path / "photos"])
    assert str(tmp_path / "photos") in str(caught.value)


def test_no_words_stand_for_no_model():
    with pytest.raises(ModelFileError, match="no model was named"):
        find_models([])
    with pytest.raises(ModelFileError, match="no model was named"):
        open_members([])


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(ModelFileError, match="there is no such model"):
        open_members([tmp_path / "absent.safetensors"])
    with pytest.raises(ModelFileError, match="there is no such model"):
        open_members([tmp_path / "absnt"])


def test_a_model_named_twice_counts_once(tmp_path, write_run, monkeypatch):
    run = write_run(tmp_path / "run", ["attributes", "sibling"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(run)
    found = find_models([run / "fold1", "run", run, "link", "run/fold0/../fold1/best.safetensors"])
    assert [path.resolve() for path in found] == [run / f"fold{number}" / "best.safetensors" for number in (1, 0)]


def test_a_copy_is_a_model_of_its_own(tmp_path, models):
    copy = shutil.copy(models["attributes"], tmp_path / "copy.safetensors")
    assert find_models([models["attributes"], copy]) == [models["attributes"], copy]


def test_members_bear_their_paths_and_say_what_they_answer(models):
    first, second = open_members([models["joint"], models["decades"]])
    assert (first.name, second.name) == (str(models["joint"]), str(models["decades"]))
    assert first.scored_schema == LABEL_SCHEMAS["mask-gender-age"]
    assert second.scored_schema.sizes == first.scored_schema.sizes
    assert second.engine.metadata.label_schema.sizes["age"] == 6


def test_members_of_different_schemes_are_refused(models):
    with pytest.raises(ModelFileError, match=r"predicts mask \(3\), .* mask \(3\) x gender \(2\)") as caught:
        open_members([models["joint"], models["decades"], models["mask"]])
    assert str(models["mask"]) in str(caught.value)


def test_mixed_members_are_refused_however_they_were_opened(models):
    engines = {name: open_members([models[name]])[0].engine for name in ("joint", "mask")}
    with pytest.raises(ModelFileError, match="name models of one schema"):
        check_compatible([Member("a", engines["joint"]), Member("b", engines["mask"])])
    with pytest.raises(ModelFileError, match="a member twice"):
        check_compatible([Member("a", engines["joint"]), Member("b", engines["joint"]), Member("a", engines["joint"])])
