"""The public API: what `import maskfit` offers, that it costs nothing, and that every docstring's example runs."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import maskfit
from maskfit.errors import DataError, ModelFileError, RunError
from maskfit.synthesis.drawn import write_train_set

NAMES = [name for name in maskfit.__all__ if name != "__version__"]

TINY = (
    "data.path=photos",
    "data.image_size=24",
    "cv.val_fraction=0.5",
    "trainer.epochs=1",
    "trainer.batch_size=16",
    "model.backbone={name: small, width: 4}",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the examples name: photos, two runs, a truth and a submission, a photo."""
    path = tmp_path_factory.mktemp("api")
    write_train_set(path / "drawn", 12, seed=3, size=(48, 64), workers=1).rename(path / "photos")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.setenv("XDG_CACHE_HOME", str(path / "cache"))
        for name in ("first", "second"):
            maskfit.train("fast", *TINY, f"output_dir=runs/{name}")
    (path / "truth.csv").write_text("ImageID,ans\na.jpg,0\nb.jpg,7\n")
    (path / "submission.csv").write_text("ImageID,ans\nb.jpg,7\na.jpg,1\n")
    shutil.copy(next((path / "photos").rglob("mask1.jpg")), path / "photo.jpg")
    return path


def test_importing_the_package_imports_nothing_else() -> None:
    script = (
        "import sys, json; before = set(sys.modules); import maskfit; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    own = [name for name in json.loads(done.stdout) if name.split(".")[0] not in sys.stdlib_module_names]
    assert own == ["maskfit", "maskfit.version"]


@pytest.mark.parametrize("name", ["Predictor", "FacePredictor", "LabelSchema", "load_dataset", "evaluate", "ensemble"])
def test_what_needs_no_torch_imports_none(name: str) -> None:
    script = f"import sys, maskfit; maskfit.{name}; print(sorted({{'torch', 'lightning', 'timm'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_it_lists_its_names_and_has_no_others() -> None:
    assert dir(maskfit) == sorted(maskfit.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'predictor'"):
        maskfit.predictor  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute '_private'"):
        maskfit._private  # noqa: B018


def example(name: str) -> list[str]:
    """The statements of a docstring's example, continuation lines joined."""
    text = inspect.getdoc(getattr(maskfit, name)) or ""
    return re.findall(r"^\s*(?:>>>|\.\.\.) ?(.*)$", text, flags=re.MULTILINE)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "TrainResult"])
def test_the_example_in_the_docstring_runs(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands, in a folder that holds what it names; training takes a smaller network."""
    lines = example(name)
    assert 2 <= len(lines) <= 5, f"maskfit.{name} needs an example of about three lines"
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    text = "\n".join(lines)
    if name == "train":
        shutil.rmtree("runs/first")
        text = text.replace('"data.path=photos"', ", ".join(map(repr, TINY)))
    scope: dict[str, Any] = {"maskfit": maskfit}
    exec(compile(text, f"maskfit.{name}", "exec"), scope)


def test_evaluate_takes_mappings_and_refuses_other_images() -> None:
    """By hand: one of two right, so 0.5 accuracy; class 0 has F1 1, class 1 none, and class 2 is predicted only."""
    scores = maskfit.evaluate({"a": 0, "b": 1}, {"b": 2, "a": 0})
    assert scores.accuracy == 0.5
    assert scores.macro_f1 == pytest.approx(1 / 3)
    with pytest.raises(DataError, match=r"1 photo has no prediction:\n- b\n1 photo is not in the truth:\n- c"):
        maskfit.evaluate({"a": 0, "b": 1}, {"a": 0, "c": 1})


def test_evaluate_takes_the_truths_that_the_command_takes(tmp_path: Path) -> None:
    """A manifest with a row that lacks a label, its folder, and class folders."""
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).touch()
    manifest = tmp_path / "test.csv"
    manifest.write_text("path,person,mask\na.jpg,p,worn\nb.jpg,q,not worn\nc.jpg,r,\n")
    submission = tmp_path / "submission.csv"
    submission.write_text("ImageID,ans\na.jpg,0\nb.jpg,0\nc.jpg,2\n")
    for truth in (manifest, str(manifest), tmp_path):
        scores = maskfit.evaluate(truth, submission, "mask")
        assert (scores.photos, scores.accuracy) == (2, 0.5)
    assert maskfit.evaluate(manifest, {"a.jpg": 0, "b.jpg": 2, "c.jpg": 1}, "mask").accuracy == 1.0


def test_evaluate_tells_how_codes_were_read_and_takes_their_meanings(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).touch()
    manifest = tmp_path / "test.csv"
    manifest.write_text("path,mask\na.jpg,0\nb.jpg,1\nc.jpg,2\n")
    answers = {"a.jpg": 0, "b.jpg": 1, "c.jpg": 2}
    with pytest.warns(UserWarning, match="1 = incorrect"):
        assert maskfit.evaluate(manifest, answers, "mask").accuracy == 1
    codes = {"mask": {"0": "wear", "1": "not_wear", "2": "incorrect"}}
    with pytest.warns(UserWarning, match="1 = not_wear"):
        assert maskfit.evaluate(manifest, answers, "mask", codes=codes).accuracy == pytest.approx(1 / 3)
    with pytest.warns(UserWarning, match="only by x/ at the start"):
        assert maskfit.evaluate({"a": 0, "b": 1}, {"x/a": 0, "x/b": 1}).accuracy == 1


def test_one_path_in_place_of_a_list_is_refused(tmp_path: Path) -> None:
    for member in ("runs/first", Path("runs/first")):
        for function in (maskfit.find_label_issues, maskfit.ensemble):
            with pytest.raises(DataError, match="a list of members is needed, got one path") as caught:
                function(member)
            assert caught.value.hint == "put it into a list"
    with pytest.raises(DataError, match="a list of label corrections is needed"):
        maskfit.load_dataset(tmp_path, label_corrections="corrections.csv")


def test_unknown_names_are_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="label schema 'masks' is unknown; did you mean 'mask'"):
        maskfit.load_dataset(tmp_path, "masks")
    with pytest.raises(RunError, match="not a run folder"):
        maskfit.calibrate(tmp_path)
    with pytest.raises(TypeError, match="overrides need a recipe by name or file"):
        maskfit.train(maskfit.load_recipe("fast"), "trainer.epochs=1")


@pytest.mark.parametrize("source", ["environment", "file"])
def test_folders_of_the_environment_are_defaults(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """Also from a `.env` file, and without changing the environment; what is named wins."""
    variables = {"SM_CHANNEL_TRAIN": str(folder / "photos"), "SM_MODEL_DIR": str(tmp_path / "out")}
    variables["SM_CHANNEL_MODEL"] = str(folder / "runs" / "first")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    for name in variables:
        monkeypatch.delenv(name, raising=False)
    if source == "file":
        (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    else:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
    run = maskfit.train("fast", *TINY[1:])
    assert run.path == tmp_path / "out"
    named = maskfit.train(maskfit.load_recipe("fast", *TINY[1:], f"data.path={folder / 'photos'}", "output_dir=named"))
    assert named.path == Path("named")
    photo = maskfit.FacePredictor.load().predict_one(folder / "photo.jpg")
    expected = maskfit.FacePredictor.load(folder / "runs" / "first").predict_one(folder / "photo.jpg")
    assert [face["mask"].probabilities for face in photo.faces] == [
        face["mask"].probabilities for face in expected.faces
    ]
    assert (source == "file") == ("SM_MODEL_DIR" not in os.environ)


def test_a_format_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(ModelFileError, match=r"there is no format 'onxx'; did you mean 'onnx'\?"):
        maskfit.export("model.safetensors", tmp_path / "model.onnx", format="onxx")
