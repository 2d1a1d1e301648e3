"""The web app without a page: predictions, annotations, CSV, cards and the other tabs."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskfit.apps.streamlit_server import build_url, generate_access_token
from maskfit.apps.webapp import html, session
from maskfit.apps.webapp.app_state import (
    AppState,
    PredictionSettings,
    find_only_run,
    get_app_state,
    load_app_state,
    set_app_state,
)
from maskfit.apps.webapp.csv_export import Row, count_values, to_csv
from maskfit.apps.webapp.session import (
    SAMPLE_PERSONS,
    PhotoResult,
    Session,
    UploadedPhoto,
    deduplicate_names,
    reapply_thresholds,
    sample_photos,
    to_jpeg,
)
from maskfit.apps.webapp.tab_content import TabContent
from maskfit.errors import DataError, ModelFileError
from maskfit.inference import annotation
from maskfit.inference.annotation import annotate_faces, face_color
from maskfit.inference.decisions import AttributePrediction
from maskfit.labels.schema import LABEL_SCHEMAS, Attribute, LabelSchema
from maskfit.registry import ComponentSpec
from maskfit.run_dir import RunDir

from ...inference.conftest import make_model

SCHEME = LABEL_SCHEMAS["mask-gender-age"]
SMALL, LARGE = (10, 20, 50, 70), (80, 10, 180, 130)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(
        tmp_path_factory.mktemp("app_state") / "face.safetensors", crop=ComponentSpec.create("face", top=0.1)
    )


@pytest.fixture
def app_state(model, painted) -> AppState:
    return load_app_state([str(model)])


@pytest.fixture
def two(paint) -> UploadedPhoto:
    return png("two.png", paint(160, 220, SMALL, LARGE))


def png(name: str, pixels: np.ndarray) -> UploadedPhoto:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return UploadedPhoto(name, stream.getvalue())


def row(app_state: AppState, item: UploadedPhoto, settings: PredictionSettings | None = None, **unsure: float) -> Row:
    result = Session(app_state).predict(item, settings or app_state.default_settings)
    return Row(item.name, result, reapply_thresholds(SCHEME, result, unsure))


# Predictions


def test_a_session_predicts_like_the_face_predictor(app_state, two, paint):
    result = Session(app_state).predict(two, app_state.default_settings)
    assert [answer.box for answer in result.faces] == [LARGE, SMALL]
    expected = app_state.face_predictor(app_state.default_settings).predict_one(paint(160, 220, SMALL, LARGE))
    for answer, own in zip(result.faces, expected.faces, strict=True):
        np.testing.assert_array_equal(answer.probabilities, own.probabilities)
    framing = app_state.face_predictor(app_state.default_settings).predictor.crop_resizes[0]
    photo = paint(160, 220, SMALL, LARGE)
    np.testing.assert_array_equal(result.frames[1][0], framing(photo, result.faces[1].crop))
    with Image.open(io.BytesIO(result.preview)) as preview:
        assert (preview.format, preview.size) == ("JPEG", (220, 160))


@pytest.mark.parametrize(
    ("size", "shown"), [((220, 160), (900, 655)), ((30, 60), (240, 480)), ((1000, 500), (1000, 500))]
)
def test_small_photos_are_shown_larger_and_labels_in_that_resolution(app_state, paint, size, shown):
    visitor = Session(app_state)
    result = visitor.predict(png("a.png", paint(size[1], size[0], (5, 5, 20, 25))), app_state.default_settings)
    assert result.faces
    for faces in ((), annotate_faces(SCHEME, result.prediction)):
        with Image.open(io.BytesIO(visitor.annotated_jpeg(result, faces))) as picture:
            assert picture.size == shown


def test_results_are_cached_by_content_and_settings(app_state, two, painted):
    visitor = Session(app_state)
    first = visitor.predict(two, app_state.default_settings)
    looks = len(painted.looks)
    assert visitor.is_cached(two, app_state.default_settings)
    assert visitor.predict(UploadedPhoto("another name.png", two.content), app_state.default_settings) is first
    whole = PredictionSettings(app_state.default_settings.models, find_faces=False)
    assert not visitor.is_cached(two, whole)
    assert [answer.face for answer in visitor.predict(two, whole).faces] == [None]
    assert len(painted.looks) == looks or visitor.predict(two, whole) is visitor.predict(two, whole)
    assert not Session(app_state).is_cached(two, app_state.default_settings)  # nothing of one session is in another


def test_the_cache_of_a_session_is_bounded(app_state, paint, monkeypatch):
    monkeypatch.setattr(session, "MAX_CACHED_RESULTS", 2)
    visitor = Session(app_state)
    items = [png("a.png", paint(20, 30, seed=seed)) for seed in range(3)]
    for item in items:
        visitor.predict(item, app_state.default_settings)
    assert [visitor.is_cached(item, app_state.default_settings) for item in items] == [False, True, True]


def test_a_photo_without_a_face_is_predicted_on_request(app_state, paint):
    item, visitor = png("empty.png", paint(60, 50)), Session(app_state)
    result = visitor.predict(item, app_state.default_settings)
    assert (result.error, result.faces) == ("", ())
    visitor.whole_photo_hashes.add(item.content_hash)
    result = visitor.predict(item, app_state.default_settings)
    assert len(result.faces) == 1
    # Not sure under any threshold, with the reason, and no face of the summary: there may be none.
    predictions = reapply_thresholds(SCHEME, result, {})
    assert [prediction.is_confident for prediction in predictions[0]] == [False] * 3
    own = Row(item.name, result, predictions)
    assert count_values([own]).total() == 0
    (line,) = csv.DictReader(io.StringIO(to_csv(SCHEME, [own]).decode()))
    assert (line["mask"], line["mask_guess"], line["problem"]) == ("not sure", predictions[0][0].value, "no face found")
    assert "no face found, as one portrait" in html.photo_heading(item.name, result)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b"hello", "not a photo"), (b"\xff\xd8\xff\xe0 nothing", "damaged"), (b"GIF89a...", "GIF")],
)
def test_an_unreadable_photo_has_an_error_and_a_hint(app_state, content, message):
    result = Session(app_state).predict(UploadedPhoto("x.jpg", content), app_state.default_settings)
    assert message in result.error
    assert result.hint
    assert result.prediction is None


def test_a_photo_over_the_limits_is_rejected(app_state, two, monkeypatch):
    monkeypatch.setattr(session, "MAX_PIXELS", 100)
    assert "more than the maximum of 100" in Session(app_state).predict(two, app_state.default_settings).error
    monkeypatch.setattr(session, "MAX_UPLOAD_MB", 0)
    assert "bytes" in Session(app_state).predict(two, app_state.default_settings).error


def test_repeated_names_are_numbered():
    items = [UploadedPhoto("a", b"1"), UploadedPhoto("b", b"2"), UploadedPhoto("a", b"3"), UploadedPhoto("a", b"4")]
    assert [item.name for item in deduplicate_names(items)] == ["a", "b", "a (2)", "a (3)"]
    assert [item.content for item in deduplicate_names(items)] == [b"1", b"2", b"3", b"4"]


def test_thresholds_change_decisions_and_not_probabilities(app_state, two):
    result = Session(app_state).predict(two, app_state.default_settings)
    sure, unsure = (
        reapply_thresholds(SCHEME, result, {}),
        reapply_thresholds(SCHEME, result, {"gender": 1.0}),
    )
    assert all(prediction.is_confident for own in sure for prediction in own)
    assert [[prediction.is_confident for prediction in own] for own in unsure] == [[True, False, True]] * 2
    assert [prediction.probabilities for prediction in sure[0]] == [
        prediction.probabilities for prediction in unsure[0]
    ]
    assert reapply_thresholds(SCHEME, PhotoResult("hash"), {}) == ()
    small = reapply_thresholds(SCHEME, result, {}, min_face={"age": 10_000})
    assert [[prediction.is_too_small for prediction in own] for own in small] == [[False, False, True]] * 2


# App state


def test_models_are_opened_once_and_shared_by_settings(tmp_path, painted, two):
    paths = [
        str(make_model(tmp_path / f"{seed}.safetensors", seed=seed, crop=ComponentSpec.create("face")))
        for seed in range(2)
    ]
    app_state = load_app_state(paths)
    assert app_state.default_settings.models == tuple(paths)
    readers = [app_state.face_predictor(PredictionSettings((path,))) for path in paths]
    assert app_state.face_predictor(PredictionSettings((paths[0],))) is readers[0]
    assert (
        readers[0].predictor.members[0].engine
        is app_state.face_predictor(app_state.default_settings).predictor.members[0].engine
    )
    each = [reader.predictor.forward([reader.preprocess(pixels(two)).inputs[0]])[0] for reader in readers]
    both = Session(app_state).predict(two, app_state.default_settings).faces[0].probabilities
    np.testing.assert_allclose(both, np.mean(each, axis=0), atol=1e-5)
    with pytest.raises(ModelFileError, match="no model"):
        app_state.face_predictor(PredictionSettings(()))


def pixels(item: UploadedPhoto) -> np.ndarray:
    with Image.open(io.BytesIO(item.content)) as image:
        return np.asarray(image)


def test_incompatible_models_are_rejected(tmp_path, model, painted):
    other = make_model(tmp_path / "mask.safetensors", scheme=LABEL_SCHEMAS["mask"])
    with pytest.raises(ModelFileError, match="this model predicts mask"):
        load_app_state([str(model), str(other)])


def test_find_only_run(tmp_path):
    with pytest.raises(ModelFileError, match=r"no run in(.|\n)*maskfit demo"):
        find_only_run(tmp_path / "runs")
    for name in ("first", "second", "begun"):
        fold = RunDir(tmp_path / "runs" / name).fold(0)
        fold.path.mkdir(parents=True)
        RunDir(tmp_path / "runs" / name).recipe.write_text("name: made\n")
        if name != "begun":
            fold.scores.write_text("{}")
        if name == "first":
            assert find_only_run(tmp_path / "runs") == str(tmp_path / "runs" / "first")
    with pytest.raises(ModelFileError, match=r"several: .*first.*second"):
        find_only_run(tmp_path / "runs")


def test_get_app_state_needs_a_served_app(app_state):
    with pytest.raises(DataError, match="no app"):
        get_app_state()
    set_app_state(app_state)
    try:
        assert get_app_state() is app_state
    finally:
        set_app_state(None)


def test_grad_cam_returns_the_input_and_a_heat_map(app_state, two):
    pytest.importorskip("pytorch_grad_cam")
    result = Session(app_state).predict(two, app_state.default_settings)
    frame, heat, model = app_state.grad_cam(app_state.default_settings, result.frames[0], "gender", 1)
    np.testing.assert_array_equal(frame, result.frames[0][0])
    assert heat.shape == frame.shape[:2]
    assert heat.max() > 0.5
    assert [model] == list(app_state.models)


def test_an_exported_model_has_no_grad_cam(app_state, monkeypatch):
    pytest.importorskip("pytorch_grad_cam")
    member = next(iter(app_state.models.values()))[0]
    other = AppState({"m": [type(member)("model.onnx", member.engine)]})
    with pytest.raises(DataError, match=r"have no gradients(.|\n)*\.safetensors"):
        other.grad_cam(other.default_settings, [np.zeros((32, 24, 3), np.uint8)], "mask", 0)


# CSV and cards


def test_the_csv_has_a_row_for_every_face_and_every_photo_without(app_state, two, paint):
    rows = [
        row(app_state, two, gender=1.0),
        row(app_state, png("empty, really.png", paint(60, 50))),
        row(app_state, UploadedPhoto("bad.jpg", b"no photo")),
    ]
    found = list(csv.DictReader(io.StringIO(to_csv(SCHEME, rows).decode())))
    assert [(line["photo"], line["face"]) for line in found] == [
        ("two.png", "1"),
        ("two.png", "2"),
        ("empty, really.png", ""),
        ("bad.jpg", ""),
    ]
    first, predicted = found[0], rows[0].predictions[0]
    assert [float(first[edge]) for edge in ("left", "upper", "right", "lower")] == list(map(float, LARGE))
    assert (first["mask"], first["mask_guess"]) == (predicted[0].value, predicted[0].value)
    assert (first["gender"], first["gender_guess"]) == ("not sure", predicted[1].value)
    assert float(first["age_probability"]) == pytest.approx(predicted[2].probability, abs=1e-4)
    assert [line["problem"] for line in found[:2]] == ["", ""]
    assert found[2]["problem"] == "no face found"
    assert "not a photo" in found[3]["problem"]
    assert sum(count_values(rows).values()) == 2


def test_a_whole_photo_has_no_box_in_the_csv(app_state, two):
    whole = row(app_state, two, PredictionSettings(app_state.default_settings.models, find_faces=False))
    (line,) = csv.DictReader(io.StringIO(to_csv(SCHEME, [whole]).decode()))
    assert (line["face"], line["left"], line["score"], line["problem"]) == ("1", "", "", "")


def test_cards_show_every_value_and_abstentions(app_state, two):
    own = row(app_state, two, mask=1.0)
    page = html.cards(SCHEME, own.result, own.predictions, {"mask": 1.0})
    assert page.count("<article") == 2
    for word in ("worn", "worn wrongly", "not worn", "male", "female", "&lt;30", "30-59", "&gt;=60"):
        assert page.count(f"<span>{word}</span>") == 2
    assert page.count("<i>not sure</i>") == 2
    assert "left:100.0%" in page  # where "not sure" ends
    assert face_color(SCHEME, own.predictions[0]) == annotation.ABSTAIN_COLOR


def test_every_text_of_the_page_is_escaped(app_state, two):
    """Names of photos, attributes, values and models come from files and are not trusted."""
    script = "<script>alert('x')</script>"
    attribute = Attribute(name=script, values=(f"{script}a", f"{script}b"))
    schema = LabelSchema(attributes=(attribute,))
    result = Session(app_state).predict(two, app_state.default_settings)
    prediction = AttributePrediction(
        script, f"{script}a", f"{script}a", 0.7, True, {f"{script}a": 0.7, f"{script}b": 0.3}
    )
    for page, count in (
        (html.heading([script, script]), 2),
        (html.note(script, script), 2),
        (html.photo_heading(script, result), 1),
        (html.welcome(script), 1),
        (html.summary(schema, {f"{script}a": 1, f"{script}b": 2}, 1, 3), 2),
        (html.cards(schema, result, ((prediction,),) * 2, {}), 2 * (1 + 2 + 2)),
    ):
        assert "<script" not in page
        assert page.count("&lt;script&gt;") == count
        assert "&#39;x&#39;" in page


def test_no_probability_is_shown_as_0_or_100_percent():
    shown = [html._percent(share) for share in (0, 0.001, 0.004, 0.5, 0.994, 0.999, 1)]
    assert shown == ["<1%", "<1%", "<1%", "50%", "99%", ">99%", ">99%"]


def test_the_sample_photos_cover_every_value():
    group, portrait = sample_photos()
    with Image.open(io.BytesIO(group.content)) as image:
        assert image.size == (1080, 960)
    states = [{"mask": "wear", "inco": "incorrect", "norm": "not_wear"}[name[:4]] for *_, name in SAMPLE_PERSONS]
    codes = SCHEME.encode_batch(
        {"mask": state, "gender": gender, "age": float(age)}
        for state, (_, gender, age, _) in zip(states, SAMPLE_PERSONS, strict=True)
    )
    assert [len(set(column)) for column in codes.T] == [3, 2, 3]
    assert sample_photos()[1] is portrait  # drawn once


def test_to_jpeg_drops_metadata():
    exif = Image.Exif()
    exif[0x010E] = "where it was taken"
    stream = io.BytesIO()
    Image.new("RGB", (40, 30)).save(stream, "JPEG", exif=exif)
    with Image.open(stream) as image:
        assert b"where it was" not in to_jpeg(image.convert("RGB"))


# Other tabs, and URLs


def test_other_tabs_are_loaded_when_they_are_opened(tmp_path):
    from maskfit.synthesis.drawn import write_train_set

    photos = write_train_set(tmp_path / "drawn", 2, size=(48, 64), workers=1)
    tabs = TabContent(photos=photos, log_path=tmp_path / "log.jsonl", corrections_path=tmp_path / "c.csv")
    assert tabs.has_photos
    assert tabs.report is None
    assert not (tmp_path / "log.jsonl").exists()
    controller = tabs.open_review()
    assert tabs.open_review() is controller
    assert (tmp_path / "log.jsonl").exists()
    stages = set()
    page = tabs.explore(lambda stage, done, total: stages.add(stage))
    assert "Key findings" in page
    assert "reading" in stages
    assert tabs.explore() is page is tabs.exploration_page
    tabs.close()
    tabs.open_review()  # the log is free again
    tabs.close()


def test_a_run_provides_its_report_and_photos(tmp_path):
    run = RunDir(tmp_path / "run")
    with pytest.raises(DataError, match="not a run"):
        TabContent(run=run.path)
    run.path.mkdir()
    run.recipe.write_text(f"data: {{path: {tmp_path / 'photos'}, label_schema: mask}}\n")
    run.report.write_text("<p>told</p>")
    tabs = TabContent(run=run.path)
    assert (tabs.photos, tabs.schema.names, tabs.report) == (tmp_path / "photos", ("mask",), run.report)
    assert not TabContent().has_photos
    with pytest.raises(DataError, match="nothing to review"):
        TabContent().open_review()
    with pytest.raises(DataError, match="nothing to explore"):
        TabContent().explore()


def test_urls_contain_the_access_token():
    key = generate_access_token()
    assert key != generate_access_token()
    assert build_url("127.0.0.1", 1, "a/b") == "http://localhost:1/?key=a/b"
    assert build_url("::", 1, key) == f"http://localhost:1/?key={key}"
    assert build_url("fe80::1", 2, key) == f"http://[fe80::1]:2/?key={key}"
    assert build_url("10.0.0.5", 2, key).startswith("http://10.0.0.5:2/")
