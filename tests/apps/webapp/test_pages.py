"""The web app's pages without a browser: Streamlit's AppTest uploads, selects and clicks."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("streamlit", reason="the page needs the extra 'app'")

from streamlit.testing.v1 import AppTest

from maskfit.apps.webapp import csv_export, session
from maskfit.apps.webapp.app_state import MAIN_SCRIPT, AppState, load_app_state, set_app_state
from maskfit.apps.webapp.csv_export import to_csv
from maskfit.apps.webapp.tab_content import TabContent
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.registry import ComponentSpec

from ...inference.conftest import make_model

BAD = 'class="ms-note ms-error"'
SMALL, LARGE = (10, 20, 50, 70), (80, 10, 180, 130)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(
        make_model(tmp_path_factory.mktemp("page") / "face.safetensors", crop=ComponentSpec.create("face", top=0.1))
    )


@pytest.fixture
def open_page(model, painted) -> Iterator[Callable[..., AppTest]]:
    """Opens the page with `model`, or with other models."""

    def open_(app_state: AppState | None = None) -> AppTest:
        app_state = app_state or load_app_state([model])
        set_app_state(app_state)
        page = AppTest.from_file(str(MAIN_SCRIPT), default_timeout=120)
        page.query_params["key"] = app_state.access_token
        return run(page)

    yield open_
    set_app_state(None)


def run(page: AppTest) -> AppTest:
    page.run()
    assert not page.exception
    return page


def text(page: AppTest) -> str:
    return " ".join(str(item.proto.body) for item in page.get("html"))


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def upload(page: AppTest, **photos: bytes) -> AppTest:
    page.file_uploader(key="uploads").set_value(
        [(f"{name}.png", content, "image/png") for name, content in photos.items()]
    )
    return run(page)


def test_faces_are_predicted_and_unreadable_photos_show_errors(open_page, paint, monkeypatch):
    tables: list[bytes] = []
    monkeypatch.setattr(csv_export, "to_csv", lambda scheme, rows: tables.append(to_csv(scheme, rows)) or tables[-1])
    page = open_page()
    assert "Add photos" in text(page)
    assert not page.get("download_button")
    upload(page, two=png(paint(160, 220, SMALL, LARGE)), bad=b"no photo", none=png(paint(50, 60)))
    page_text = text(page)
    assert "<b>2</b> faces on <b>3</b> photos" in page_text
    assert page_text.count("<article") == 2
    assert "not a photo" in page_text
    assert "No face was found" in page_text
    assert len(page.image) == 2
    rows = list(csv.DictReader(io.StringIO(tables[-1].decode())))
    assert [(row["photo"], row["face"]) for row in rows] == [
        ("two.png", "1"),
        ("two.png", "2"),
        ("bad.png", ""),
        ("none.png", ""),
    ]
    page.button[0].click()  # read the photo without a face as a portrait
    run(page)
    assert text(page).count("<article") == 3
    assert "as one portrait" in text(page)


def test_settings_change_the_predictions(open_page, paint):
    page = upload(open_page(), two=png(paint(160, 220, SMALL, LARGE)))
    assert "not sure" not in text(page)
    page.slider(key="unsure-gender").set_value(1.0)
    assert text(run(page)).count("<i>not sure</i>") == 2
    page.slider(key="unsure-mask").set_value(1.0)
    assert "<b>2</b> not sure" in text(run(page))
    page.button_group(key="about").set_value("the whole photo")
    assert text(run(page)).count("<article") == 1
    page.button_group(key="about").set_value("every face")
    run(page)
    page.selectbox(key="detector").set_value("painted_by_file")
    page_text = text(run(page))
    assert "painted.onnx" in page_text  # its weights are nowhere, which is page_text with what to do
    assert "<article" not in page_text
    page.selectbox(key="detector").set_value("")
    assert text(run(page)).count("<article") == 2  # the photo is still there


def test_a_face_is_explained(open_page, paint):
    pytest.importorskip("pytorch_grad_cam")
    page = upload(open_page(), two=png(paint(160, 220, SMALL, LARGE)))
    (closer,) = [group for group in page.button_group if group.key and group.key.startswith("closer-")]
    closer.set_value(2)
    run(page)
    assert len(page.image) == 2
    (heat,) = [group for group in page.button_group if group.key and group.key.startswith("heat-")]
    heat.set_value("gender")
    run(page)
    assert len(page.image) == 3 or "There is no evidence" in text(page)
    value = page.selectbox(key=next(box.key for box in page.selectbox if box.key.startswith("value-")))
    assert sum("(predicted)" in option for option in value.options) == 1


def test_selected_models_vote(tmp_path, open_page, paint):
    paths = [
        str(make_model(tmp_path / f"{seed}.safetensors", seed=seed, crop=ComponentSpec.create("face")))
        for seed in range(2)
    ]
    page = upload(open_page(load_app_state(paths)), two=png(paint(160, 220, SMALL, LARGE)))
    assert "2 models vote" in text(page)
    both = text(page)
    page.selectbox(key="vote").set_value("geometric")
    assert text(run(page)) != both
    page.multiselect(key="models").set_value(paths[:1])
    assert "models vote" not in text(run(page))


def test_an_incompatible_selection_falls_back_to_all_models(tmp_path, open_page):
    paths = [
        str(make_model(tmp_path / f"{name}.safetensors", scheme=LABEL_SCHEMAS[name]))
        for name in ("mask", "gender", "age")
    ]
    page = open_page(load_app_state(paths))
    assert "mask, gender, age" in text(page)
    page.multiselect(key="models").set_value([paths[0], paths[2]])
    page_text = text(run(page))
    assert BAD in page_text
    assert "mask, gender, age" in page_text
    page.multiselect(key="models").set_value(paths[:2])
    assert BAD not in text(run(page))


def test_no_path_of_the_server_is_shown(tmp_path, open_page, paint, monkeypatch):
    pytest.importorskip("pytorch_grad_cam")
    paths = [
        str(make_model(tmp_path / folder / "mine.safetensors", crop=ComponentSpec.create("face"), seed=seed))
        for seed, folder in enumerate(("first", "second"))
    ]
    beside = TabContent(photos=tmp_path / "photos", log_path=tmp_path / "log.jsonl")
    page = upload(open_page(load_app_state(paths, beside)), two=png(paint(160, 220, SMALL, LARGE)))
    assert "mine.safetensors, mine.safetensors (2) · 2 models vote" in text(page)
    assert page.multiselect(key="models").options == ["mine.safetensors", "mine.safetensors (2)"]
    (closer,) = [group for group in page.button_group if group.key and group.key.startswith("closer-")]
    closer.set_value(2)
    run(page)
    (heat,) = [group for group in page.button_group if group.key and group.key.startswith("heat-")]
    heat.set_value("gender")
    run(page)
    shown = str(page.main) + str(page.sidebar) + text(page)
    assert "mine" in shown
    run(page.switch_page("dataset.py"))
    shown += str(page.main) + text(page)
    assert "The photos in photos have not" in shown
    assert str(tmp_path) not in shown


def test_photos_over_the_limit_are_left_out_with_a_message(open_page, paint, monkeypatch):
    monkeypatch.setattr(session, "MAX_PHOTOS", 1)
    page = upload(open_page(), a=png(paint(50, 60)), b=png(paint(60, 50)))
    assert "1 photo was left out" in text(page)
    assert len(page.image) == 1


def test_without_the_access_token_nothing_is_shown(open_page):
    page = open_page()
    stranger = AppTest.from_file(str(MAIN_SCRIPT), default_timeout=60)
    for key in (None, "wrong"):
        if key:
            stranger.query_params["key"] = key
        run(stranger)
        assert "lacks its key" in text(stranger)
        assert not stranger.file_uploader
    page.query_params.clear()  # as when one page leads to another: the session keeps its right, the address its key
    assert run(page).file_uploader
    assert page.query_params["key"]


def test_without_a_model_the_page_shows_how_to_get_one(open_page):
    page = open_page(load_app_state([]))
    assert "maskfit demo" in text(page)
    assert not page.file_uploader


def test_review_exploration_and_report_are_tabs(tmp_path, open_page, model):
    from maskfit.synthesis.drawn import write_train_set

    photos = write_train_set(tmp_path / "drawn", 2, size=(48, 64), workers=1)
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    (run_folder / "recipe.yaml").write_text("name: made\n")
    (run_folder / "report.html").write_text("<p>content of the report</p>")
    beside = TabContent(run_folder, photos, log_path=tmp_path / "log.jsonl", corrections_path=tmp_path / "c.csv")
    page = open_page(load_app_state([model], beside))
    run(page.switch_page("review.py"))
    assert "0 of 2 persons decided" in text(page)
    run(page.switch_page("dataset.py"))
    page.button(key="explore").click()
    run(page)
    assert "Key findings" in page.get("iframe")[0].proto.srcdoc
    run(page.switch_page("report.py"))
    assert "content of the report" in page.get("iframe")[0].proto.srcdoc
    beside.close()


def test_a_missing_dataset_shows_an_error(tmp_path, open_page, model):
    beside = TabContent(photos=tmp_path / "nowhere", log_path=tmp_path / "log.jsonl")
    page = open_page(load_app_state([model], beside))
    run(page.switch_page("review.py"))
    assert BAD in text(page)
    assert "nowhere" in text(page) or "no such" in text(page)
    run(page.switch_page("dataset.py"))
    page.button(key="explore").click()
    assert BAD in text(run(page))
