"""Int8 conversions whose error was measured: making one, running one, and the bundled model's."""

from __future__ import annotations

import re
import shutil
import threading
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from maskfit import cpu_features
from maskfit.cli.int8_options import describe_int8
from maskfit.data.image_lists import ImageFolder
from maskfit.errors import DataError, ModelFileError
from maskfit.inference import image_loading
from maskfit.inference.engines import int8_files, open_engine
from maskfit.inference.engines.engine import OnnxEngine
from maskfit.inference.engines.int8_conversion import convert_to_int8
from maskfit.inference.engines.int8_files import (
    CONVERSION_OF_KEY,
    ERROR_KEY,
    add_checksum,
    content_hash,
    conversion_path,
    find_int8,
    find_measured_int8,
    read_int8_error,
)
from maskfit.inference.engines.selection import select_continuous_engine
from maskfit.inference.face_predictor import FacePredictor
from maskfit.inference.int8_calibration import MIN_INPUTS, calibrate_int8, calibrate_where_missing
from maskfit.inference.predictor import Predictor
from maskfit.inference.tta import make_exact
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.model_file import bundled_int8_path, bundled_model_path
from maskfit.model_metadata import read_metadata
from maskfit.synthesis.drawn import write_train_set

MEASURED = "onnx:precision=int8"


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def vnni(monkeypatch):
    monkeypatch.setattr(cpu_features, "cpu_isa_level", lambda: "AVX512_CORE_VNNI")
    for name in cpu_features.ISA_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Two hundred drawn faces."""
    return write_train_set(tmp_path_factory.mktemp("drawn"), 30, workers=1)


def whole(path: Path, engine: str = "onnx", **options: object) -> FacePredictor:
    return FacePredictor(Predictor.load(path, engine=engine, threads=1, **options), detect=False)


def test_a_conversion_is_calibrated_on_a_third_and_measured_on_the_others(vnni, model, folder):
    assert select_continuous_engine([model], "auto").name == "auto"
    made = calibrate_int8(model, whole(model), ImageFolder(folder))
    assert (made.path, made.calibrated, made.measured) == (find_int8(model), 34, 66)
    assert made.path == find_measured_int8(model) == conversion_path(content_hash(model))
    assert 0 <= made.changed_then <= 0.02
    assert made.recomputed < 0.4
    assert select_continuous_engine([model], "auto").options == {"precision": "int8"}
    assert select_continuous_engine([model], "onnx").options == {}
    assert select_continuous_engine([model, model], "auto").name == "auto"


def test_a_measured_conversion_predicts_each_photo_alike_whenever_it_comes(model, folder):
    calibrate_int8(model, whole(model), ImageFolder(folder))
    photos = [photo.path for photo in ImageFolder(folder)]
    exact, fast = whole(model), whole(model, MEASURED)
    in_order, reverse = (fast.predict(own) for own in (photos, photos[::-1]))
    alone = [fast.predict_one(path) for path in photos[:20]]
    expected = exact.predict(photos)
    tables = [
        np.stack([item.faces[0].probabilities for item in own]) for own in (in_order, reverse[::-1], alone, expected)
    ]
    assert np.abs(tables[0] - tables[1]).max() < 1e-5
    assert np.abs(tables[0][:20] - tables[2]).max() < 1e-5
    assert (tables[0].argmax(1) != tables[3].argmax(1)).sum() <= 1
    # Some come from int8, and some were computed again.
    errors = np.abs(tables[0] - tables[3]).max(axis=1)
    assert (errors > 1e-5).any()
    assert (errors < 1e-6).any()


def test_an_ensemble_and_moved_age_bands_run_in_f32(model, folder):
    calibrate_int8(model, whole(model), ImageFolder(folder))
    assert Predictor.load(model, engine=MEASURED).runner.low_precision_error is not None
    assert Predictor.load(model, engine=MEASURED, vote="majority").runner.low_precision_error is None
    twice = Path(shutil.copy(model, model.with_name("twice.onnx")))
    assert Predictor.load(model, twice, engine=MEASURED).runner.low_precision_error is None
    moved = Predictor.load(bundled_model_path(), engine=MEASURED, age_borders=[25, 55])
    assert moved.runner.low_precision_error is None
    photo = next(iter(ImageFolder(folder))).path
    f32 = whole(bundled_model_path(), age_borders=[25, 55]).predict_one(photo).faces[0].probabilities
    assert np.abs(FacePredictor(moved, detect=False).predict_one(photo).faces[0].probabilities - f32).max() < 1e-6


def test_decision_weights_select_what_is_close(model, folder):
    calibrate_int8(model, whole(model), ImageFolder(folder))
    error = read_int8_error(find_int8(model), LABEL_SCHEMAS["mask-gender-age"])
    assert error is not None
    tie = np.full((1, 18), 1e-3)
    tie[0, 0], tie[0, 1] = 0.6, 0.3
    assert not error.needs_f32(tie)[0]
    assert error.with_decisions({"age": np.array([1.0, 2.0, 1.0])}, {}).needs_f32(tie)[0]


def test_what_cannot_be_calibrated_is_refused_with_the_next_step(vnni, model, folder, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    for photo in list(ImageFolder(folder))[:20]:
        shutil.copy(photo.path, few)
    with pytest.raises(DataError, match=f"{MIN_INPUTS} faces or more, these photos have 20"):
        calibrate_int8(model, whole(model), ImageFolder(few))
    (few / "broken.jpg").write_bytes(b"no photo")
    with pytest.raises(DataError, match="have 20; 1 photo cannot be read") as error:
        calibrate_where_missing([str(model)], lambda: whole(model), list(ImageFolder(few)), print, few)
    assert error.value.location == str(few)
    assert find_int8(model) is None


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (["a.onnx", "b.onnx"], "name one of them"),
        (["runs/my door"], r"maskfit export 'runs/my door' --format onnx --out model\.onnx writes one"),
        (["a.xml"], r"name the model as \.onnx"),
    ],
)
def test_what_is_no_onnx_model_is_refused_with_the_command_that_makes_one(names, hint, folder):
    with pytest.raises(ModelFileError, match=r"takes one \.onnx model") as error:
        calibrate_where_missing(names, lambda: pytest.fail("was opened"), list(ImageFolder(folder)), print)
    assert re.search(hint, error.value.hint)


def test_a_missing_model_is_named_as_without_calibration(folder):
    with pytest.raises(ModelFileError, match="there is no such model"):
        calibrate_where_missing(["a.onnx"], lambda: pytest.fail("was opened"), list(ImageFolder(folder)), print)


def test_calibrate_does_nothing_where_it_is_done_or_of_no_use(vnni, model, folder, monkeypatch):
    said: list[str] = []
    for _ in range(2):
        calibrate_where_missing([str(model)], lambda: whole(model), list(ImageFolder(folder)), said.append)
    assert [line.split()[0] for line in said] == ["calibrating", "calibrated", "kept", "the"]
    assert "34 faces; of 66 others" in said[1]
    assert all(str(find_int8(model)) in line for line in said[2:])
    find_int8(model).unlink()
    monkeypatch.setattr(cpu_features, "cpu_isa_level", lambda: "AVX512_CORE")
    calibrate_where_missing([str(model)], lambda: whole(model), list(ImageFolder(folder)), said.append)
    assert "not measured to gain from int8" in said[-1]
    assert find_int8(model) is None


def test_nobody_is_told_to_remove_the_conversion_of_the_bundled_model(vnni, folder):
    said: list[str] = []
    model = str(bundled_model_path())
    calibrate_where_missing([model], lambda: pytest.fail("was opened"), list(ImageFolder(folder)), said.append)
    assert said == ["the bundled model comes with its int8 conversion, so nothing is calibrated"]


def test_the_start_says_which_conversion_runs_or_that_none_does(vnni, model, folder):
    made = calibrate_int8(model, whole(model), ImageFolder(folder))
    assert describe_int8(Predictor.load(model, engine=MEASURED), "auto", False).startswith(
        f"int8 ({made.path}), and f32 where"
    )
    assert describe_int8(Predictor.load(bundled_model_path(), engine=MEASURED), "auto", True).startswith(
        "int8, and f32 where"
    )
    moved = Predictor.load(bundled_model_path(), engine=MEASURED, age_borders=[25, 55])
    assert describe_int8(moved, "auto", True).startswith("f32: other borders of age bands")
    assert describe_int8(moved, "auto", False) == ""
    made.path.write_bytes(made.path.read_bytes()[:1000])
    f32 = Predictor.load(model, engine=select_continuous_engine([model], "auto"))
    assert describe_int8(f32, "auto", False).startswith(f"f32: the int8 conversion {made.path} cannot be used: ")
    assert describe_int8(f32, "onnx", False) == ""


def test_a_damaged_error_is_named(model, folder):
    made = calibrate_int8(model, whole(model), ImageFolder(folder))
    program = onnx.load(made.path)
    for item in program.metadata_props:
        if item.key == ERROR_KEY:
            item.value = item.value.replace("[", "[9, ", 1)
    made.path.write_bytes(program.SerializeToString())
    with pytest.raises(ModelFileError, match=r"maskfit\.int8_error' is damaged") as error:
        open_engine(model, engine=MEASURED)
    assert error.value.location == str(made.path)


def _with_entry(content: bytes, key: str, value: str) -> bytes:
    program = onnx.load_from_string(content)
    for item in program.metadata_props:
        if item.key == key:
            item.value = value
    return program.SerializeToString()


DAMAGES = {
    "a truncated file": (lambda content: content[: len(content) // 2], "invalid ONNX network"),
    "zeros among its weights": (
        lambda content: content[:-8000] + bytes(600) + content[-7400:],
        "its content is not what was written|invalid ONNX network",
    ),
    "one changed bit": (
        lambda content: content.replace(b"QLinear", b"QLineas").replace(b"Dequant", b"Dequanu", 1),
        "its content is not what was written|invalid ONNX network",
    ),
    "another model's": (lambda content: _with_entry(content, CONVERSION_OF_KEY, "0" * 32), "made of another model"),
    "no error": (lambda content: _with_entry(content, ERROR_KEY, "[]"), r"maskfit\.int8_error' is damaged"),
    "an error for another schema": (
        lambda content: _with_entry(
            content,
            ERROR_KEY,
            '{"log_bias": {"smile": [0, 0]}, "log_ratio_std": {"smile": 1}, "margin_stds": 3, '
            '"covers_approximate_pixels": true}',
        ),
        "for another schema",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_conversion_is_not_run_and_is_made_again(damage, vnni, model, folder):
    """Its measured error says that nothing is close, so nothing else would tell what a damaged network computes."""
    change, reason = DAMAGES[damage]
    path = calibrate_int8(model, whole(model), ImageFolder(folder)).path
    assert int8_files.find_damage(path, model) is None
    good = path.read_bytes()
    path.write_bytes(change(good))
    assert path.read_bytes() != good
    assert find_measured_int8(model) is None
    assert select_continuous_engine([model], "auto").name == "auto"
    for engine in (MEASURED, "openvino:precision=int8"):
        with pytest.raises(ModelFileError, match=f"int8 conversion is damaged: .*({reason})") as error:
            open_engine(model, engine=engine)
        assert error.value.location == str(path)
        assert error.value.hint == int8_files.REMOVE_CONVERSION_HINT
    said: list[str] = []
    convert_to_int8(model, list(ImageFolder(folder)), said.append)
    assert "is damaged, and is made again" in said[0]
    open_engine(model, engine=MEASURED)
    path.write_bytes(change(good))
    calibrate_where_missing([str(model)], lambda: whole(model), list(ImageFolder(folder)), said.append)
    assert find_measured_int8(model) == path


def test_a_checksum_is_read_back_as_metadata(tmp_path):
    source = bundled_int8_path().read_bytes()
    path = tmp_path / "a.onnx"
    path.write_bytes(add_checksum(source))
    entries = read_metadata(path)
    assert entries.keys() - read_metadata(bundled_int8_path()).keys() == {int8_files.CHECKSUM_KEY}
    assert int8_files.find_damage(path, bundled_model_path()) is None
    path.write_bytes(add_checksum(source).replace(b"QuantizeLinear", b"QuantizeLineaR", 1))
    assert int8_files.find_damage(path, bundled_model_path()) == "its content is not what was written"


def test_a_model_without_a_readable_cache_runs_in_f32(vnni, model, folder, monkeypatch):
    """As that of a service's user without a home, or with another user's in HOME."""
    is_file = Path.is_file

    def refuse(path):
        if path.is_relative_to(conversion_path("x").parent):
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "is_file", refuse)
        assert find_int8(model) is None
        assert select_continuous_engine([model], "auto").name == "auto"
        with pytest.raises(ModelFileError, match="no int8 conversion of this model"):
            open_engine(model, engine=MEASURED)

    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    assert select_continuous_engine([model], "auto").name == "auto"
    assert int8_files.compiled_folder(bundled_int8_path()) is None
    with pytest.raises(DataError, match="no home folder") as error:
        calibrate_where_missing([str(model)], lambda: whole(model), list(ImageFolder(folder)), print)
    assert "XDG_CACHE_HOME" in error.value.hint


def test_a_damaged_conversion_of_the_bundled_model_is_as_none(vnni, model, tmp_path, monkeypatch):
    damaged = tmp_path / "bundled_int8.onnx"
    for content in (b"", bundled_int8_path().read_bytes()[:1000]):
        damaged.write_bytes(content)
        monkeypatch.setattr(int8_files, "bundled_int8_path", lambda: damaged)
        assert find_int8(model) is None
        assert select_continuous_engine([bundled_model_path()], "auto").name == "auto"


def test_a_cache_that_cannot_be_written_is_named_before_anything_is_computed(
    vnni, model, folder, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match="the cache folder cannot be written"):
        calibrate_where_missing([str(model)], lambda: pytest.fail("opened"), list(ImageFolder(folder)), print)


def test_two_services_that_start_together_calibrate_once(vnni, model, folder):
    said: list[str] = []
    photos = list(ImageFolder(folder))
    threads = [
        threading.Thread(target=calibrate_where_missing, args=([str(model)], lambda: whole(model), photos, said.append))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(line.split()[0] for line in said) == ["another", "calibrated", "calibrating", "kept", "the"]
    assert f"another process is calibrating an int8 conversion of {model}; waiting until it is done" in said


@pytest.mark.parametrize("which", ["every network", "its conversion"])
def test_a_network_without_finite_answers_is_not_calibrated(which, vnni, model, folder, monkeypatch):
    """NaN in the estimate would be written, and the file be damaged from the start."""
    run = OnnxEngine.logits

    def overflow(engine, frames):
        nan = which == "every network" or engine.path != model
        return {name: values * (np.nan if nan else 1) for name, values in run(engine, frames).items()}

    predictor = whole(model)
    monkeypatch.setattr(OnnxEngine, "logits", overflow)
    with pytest.raises(ModelFileError, match="non-finite probabilities") as error:
        calibrate_int8(model, predictor, ImageFolder(folder))
    assert error.value.location == str(model)
    assert find_int8(model) is None


def test_a_small_temporary_folder_does_not_matter(vnni, model, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    made = calibrate_int8(model, whole(model), ImageFolder(folder))
    assert [path.name for path in made.path.parent.iterdir() if path.suffix != ".lock"] == [made.path.name]


def test_the_bundled_model_comes_with_its_conversion():
    """Where this fails after a new edition: scripts/calibrate_bundled_model.py makes the conversion again."""
    assert find_measured_int8(bundled_model_path()) == bundled_int8_path()
    assert read_metadata(bundled_int8_path())["maskfit.int8_of"] == content_hash(bundled_model_path())
    assert bundled_int8_path().stat().st_size < 4e6


def test_the_bundled_conversion_predicts_as_f32(vnni, faces):
    photos = [photo.path for photo in ImageFolder(faces)]
    exact, fast = (FacePredictor.load(engine=engine, threads=1) for engine in ("onnx", MEASURED))
    assert fast.predictor.runner.has_low_precision
    assert select_continuous_engine([bundled_model_path()], "auto").options == {"precision": "int8"}
    pairs = list(zip(exact.predict(photos), fast.predict(photos), strict=True))
    rows = [(one, two) for old, new in pairs for one, two in zip(old.faces, new.faces, strict=True)]
    assert len(rows) >= len(photos)
    assert sum(one.probabilities.argmax() != two.probabilities.argmax() for one, two in rows) <= 1
    assert all(one.box == two.box for one, two in rows)
    differences = np.array([np.abs(one.probabilities - two.probabilities).max() for one, two in rows])
    assert 0 < np.median(differences) < 0.02
    ages = np.array([[one.age.mean, two.age.mean] for one, two in rows])
    assert np.abs(np.diff(ages)).mean() < 1


def test_large_photos_are_not_kept_for_what_is_close(faces):
    """The pixels of small photos are kept, large ones are decoded again from the file's bytes."""
    fast = FacePredictor.load(engine=MEASURED, threads=1, faces="whole")
    if not fast.predictor.runner.allows_approximate_pixels:
        pytest.skip("needs cykooz-resizer, the extra fast")
    pixels = np.random.default_rng(0).integers(0, 256, (900, 900, 3)).astype(np.uint8)
    inputs = [fast.preprocess(own).inputs[0] for own in (pixels, pixels[:300, :300])]
    assert [item.reload is None for item in inputs] == [True, False]
    exact = FacePredictor.load(engine="onnx", threads=1, faces="whole")
    assert np.array_equal(inputs[0].tta_views[0][0], exact.preprocess(pixels).inputs[0].tta_views[0][0])
    (again,) = make_exact(inputs[1:], fast.predictor.runner.crop_resizes, fast.predictor.runner.tta)
    assert np.array_equal(again.tta_views[0][0], exact.preprocess(pixels[:300, :300]).inputs[0].tta_views[0][0])
    assert all(one.shape == two.shape for one, two in pairwise(item.tta_views[0][0] for item in inputs))


def test_a_large_photo_is_decoded_once_for_all_its_close_faces(faces, monkeypatch):
    fast = FacePredictor.load(engine=MEASURED, threads=1)
    if not fast.predictor.runner.allows_approximate_pixels:
        pytest.skip("needs cykooz-resizer, the extra fast")
    error = fast.predictor.runner.low_precision_error
    assert error is not None
    monkeypatch.setattr(type(error), "needs_f32", lambda error, table: np.ones(len(table), dtype=bool))
    stream = BytesIO()
    Image.open("docs/images/street.jpg").resize((4000, 3000)).save(stream, "JPEG")
    decoded: list[object] = []
    pixels, load = image_loading.load_image(stream.getvalue()), image_loading.load_image

    def load_counted(image):
        decoded.append(image)
        return load(image)

    monkeypatch.setattr(image_loading, "load_image", load_counted)
    detected = [fast.preprocess(pixels, image=stream.getvalue()) for _ in range(2)]
    assert sum(item.reload is not None for item in detected[0].inputs) > 3
    predicted = fast.predict_batch(detected)
    assert len(decoded) == 2
    exact = FacePredictor.load(engine="onnx", threads=1).predict([stream.getvalue()])
    for own in predicted:
        tables = (np.stack([face.probabilities for face in photo.faces]) for photo in (own, *exact))
        assert np.abs(np.subtract(*tables)).max() < 1e-5
