"""The review page without a browser: every key is a button, which Streamlit's AppTest clicks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("streamlit", reason="the page needs the extra 'review'")

from streamlit.testing.v1 import AppTest

from maskfit.apps.review import html
from maskfit.apps.review.controller import PAGE_SCRIPT, ReviewController, get_controller, set_controller
from maskfit.apps.review.review_data import load_review_data, read_label_issues
from maskfit.apps.review.state import ReviewAction, ReviewState
from maskfit.apps.streamlit_server import build_url
from maskfit.data.label_corrections import read_corrected
from maskfit.data.photo_dataset import Photo, PhotoDataset
from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError
from maskfit.evaluation.label_issues import LabelIssue
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.labels.schema import LABEL_SCHEMAS, Attribute, LabelSchema
from maskfit.synthesis.drawn import write_train_set

SCHEME = LABEL_SCHEMAS["mask-gender-age"]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_train_set(tmp_path_factory.mktemp("drawn"), 12, size=(48, 64), workers=1)


@pytest.fixture(scope="module")
def table(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good predictions, except the last person's gender and two swapped masks of the first person."""
    photos = read_photos(people, SCHEME)
    truth = SCHEME.to_class_index(photos.attribute_indices(SCHEME))
    seen = truth.copy()
    for place, photo in enumerate(photos):
        if photo.person == photos.persons[-1]:
            seen[place] = seen[place] // 6 * 6 + (seen[place] + 3) % 6
        elif photo.person == photos.persons[0] and "mask" not in photo.name.replace("incorrect_mask", ""):
            seen[place] = seen[place] % 6 + {6: 12, 12: 6}[seen[place] // 6 * 6]
    rows = np.full((len(photos), 18), 0.02 / 17)
    rows[np.arange(len(photos)), seen] = 0.98
    names = tuple(photo.name for photo in photos)
    return ProbabilityTable(names, rows, truth).write(tmp_path_factory.mktemp("table") / "oof.csv")


@pytest.fixture
def open_review(people: Path, table: Path, tmp_path: Path) -> Iterator[Callable[[], ReviewController]]:
    """Opens the review; again, it goes on from its log."""
    opened: list[ReviewController] = []

    def open_() -> ReviewController:
        for controller in opened:
            controller.close()
        opened.append(
            ReviewController(
                load_review_data(people, SCHEME, [table]),
                tmp_path / "log.jsonl",
                tmp_path / "c.csv",
                min_view_seconds=0,
            )
        )
        set_controller(opened[-1])
        return opened[-1]

    yield open_
    opened[-1].close()
    set_controller(None)


def page_of(controller: ReviewController) -> AppTest:
    page = AppTest.from_file(str(PAGE_SCRIPT), default_timeout=60)
    page.query_params["key"] = controller.access_token
    page.run()
    assert not page.exception
    return page


def press(page: AppTest, controller: ReviewController, name: str) -> None:
    """Presses a button of the person who is shown."""
    key = name if name.startswith("filter-") or name in ("replace", "leave") else f"{name}@{shown(page, controller)}"
    page.button(key=key).click().run()
    assert not page.exception


def shown(page: AppTest, controller: ReviewController) -> int:
    return controller.person_index[page.session_state.view_model.person]


def text(page: AppTest) -> str:
    return " ".join(str(item.proto.body) for item in page.get("html"))


def test_every_key_acts_and_is_logged(open_review, people, tmp_path):
    controller = open_review()
    page = page_of(controller)
    first, second = list(controller.issues_by_person)[:2]
    assert page.session_state.view_model.person == first
    kinds = {
        item.attribute for item in (*controller.issues_by_person[first][:1], *controller.issues_by_person[second][:1])
    }
    assert kinds == {"gender", "mask"}
    assert "nothing looks wrong" not in text(page)
    press(page, controller, "suggestion")
    assert controller.review.status(first) == "relabeled"
    press(page, controller, "right")
    assert page.session_state.view_model.person == second
    press(page, controller, "wrong")
    press(page, controller, "undo")
    assert (page.session_state.view_model.person, controller.review.status(second)) == (second, "open")
    press(page, controller, "suggestion")
    press(page, controller, "filter-relabeled")
    press(page, controller, "export")
    assert "Wrote" in page.session_state.view_model.message
    lines = [json.loads(line) for line in controller.log_path.read_text().splitlines()]
    done = [line["do"] for line in lines[1:] if line["do"] != "look"]
    assert done == ["label", "mark", "mark", "undo", "label"]
    photos, after = read_photos(people, SCHEME), read_corrected(people, SCHEME, [tmp_path / "c.csv"])[0]
    changed = [
        (a.person, name)
        for a, b in zip(photos, after, strict=True)
        for name in a.labels
        if a.labels[name] != b.labels[name]
    ]
    last = photos.persons[-1]
    assert changed == [(photos.persons[0], "mask")] * 2 + [(last, "gender")] * 7


def test_relabeling_one_photo_shows_the_disagreement(open_review):
    controller = open_review()
    page = page_of(controller)
    person = page.session_state.view_model.person
    at = shown(page, controller)
    assert page.button(key=f"mask-0@{at}").disabled  # not for seven photos at once
    gender = "gender-1" if "_male" in person else "gender-0"
    press(page, controller, "choose-2")
    assert not page.button(key=f"mask-0@{at}").disabled
    press(page, controller, gender)
    assert "one person, two labels" in text(page)
    photo = controller.review.photos_by_person[person][2]
    assert list(controller.review.changes(photo)) == ["gender"]
    press(page, controller, "use")
    assert controller.review.is_excluded(photo)
    assert "one person, two labels" not in text(page)
    press(page, controller, "use")
    assert not controller.review.is_excluded(photo)
    press(page, controller, "unsure")  # of the photo: the person stays
    assert (page.session_state.view_model.person, page.session_state.view_model.photo) == (person, "")
    press(page, controller, "choose-0")
    press(page, controller, "whole")
    assert page.session_state.view_model.photo == ""


def test_a_number_field_sets_the_age(open_review):
    controller = open_review()
    page = page_of(controller)
    person = page.session_state.view_model.person
    page.number_input[0].set_value(17).run()
    assert {controller.review.labels(photo)["age"] for photo in controller.review.photos_by_person[person]} == {17.0}


def test_a_review_resumes_where_it_stopped(open_review):
    controller = open_review()
    page = page_of(controller)
    press(page, controller, "wrong")
    press(page, controller, "next")
    place, counts = page.session_state.view_model.person, controller.review.status_counts()
    controller = open_review()
    assert (controller.num_resumed_actions, controller.review.status_counts()) == (1, counts)
    page = page_of(controller)
    assert page.session_state.view_model.person == place
    press(page, controller, "filter-wrong")
    assert controller.review.status(page.session_state.view_model.person) == "wrong"
    here = page.session_state.view_model.person
    press(page, controller, "next")  # nobody else is wrong
    assert (page.session_state.view_model.person, "Nobody after" in page.session_state.view_model.message) == (
        here,
        True,
    )
    press(page, controller, "filter-unsure")
    assert "Nobody is among" in page.session_state.view_model.message


def test_two_windows_share_one_state(open_review):
    controller = open_review()
    one, other = page_of(controller), page_of(controller)
    person = one.session_state.view_model.person
    press(one, controller, "wrong")
    other.run()
    assert "marked wrong" in text(other)
    # A press on a page that is out of date is about the person it shows.
    press(other, controller, "unsure")
    assert controller.review.status(person) == "unsure"


def test_a_verdict_right_after_the_last_one_is_ignored(open_review):
    controller = open_review()
    controller.min_view_seconds = 60
    page = page_of(controller)
    press(page, controller, "right")
    assert controller.review.status_counts()["right"] == 0
    assert "does not count" in page.session_state.view_model.message


def test_an_existing_corrections_file_is_replaced_only_after_confirmation(open_review, tmp_path):
    controller = open_review()
    (tmp_path / "c.csv").write_text("mine")
    page = page_of(controller)
    press(page, controller, "export")
    assert (tmp_path / "c.csv").read_text() == "mine"
    press(page, controller, "leave")
    press(page, controller, "export")
    press(page, controller, "replace")
    assert (tmp_path / "c.csv").read_text().startswith("person,photo")
    (tmp_path / "c.csv").unlink()
    press(page, controller, "export")  # from now on its own
    press(page, controller, "export")
    assert "Wrote" in page.session_state.view_model.message


def test_without_the_access_token_nothing_is_shown(open_review):
    controller = open_review()
    page = AppTest.from_file(str(PAGE_SCRIPT), default_timeout=60).run()
    assert not page.button
    assert "lacks its key" in text(page)
    assert controller.persons[0] not in text(page)
    assert controller.access_token in build_url("127.0.0.1", 8501, controller.access_token)
    set_controller(None)
    with pytest.raises(DataError, match="no review is open"):
        get_controller()


SCRIPT = "<script>alert('x')</script>"


def test_every_text_of_the_page_is_escaped():
    """Names of persons, photos, attributes and values, reasons and messages come from files and are not trusted."""
    attribute = Attribute(name=SCRIPT, values=(f"{SCRIPT}a", f"{SCRIPT}b"))
    photos = tuple(
        Photo(Path("a.jpg"), f"{number}{SCRIPT}.jpg", SCRIPT, {SCRIPT: value})
        for number, value in enumerate((f"{SCRIPT}a", f"{SCRIPT}a", f"{SCRIPT}b"))
    )
    steady = tuple(
        Photo(Path("a.jpg"), f"{person}-{number}.jpg", str(person), {SCRIPT: f"{SCRIPT}a"})
        for person in range(30)
        for number in range(2)
    )
    review = ReviewState(PhotoDataset(Path(), (*photos, *steady)), LabelSchema(attributes=(attribute,)))
    review.apply(ReviewAction.verdict_action("wrong", SCRIPT, photos[0].name))
    review.apply(ReviewAction.relabel_action(SCRIPT, f"{SCRIPT}b", SCRIPT, photos[1].name))
    review.apply(ReviewAction.relabel_action("use", "no", "0"))
    issue = LabelIssue(SCRIPT, (), SCRIPT, (f"{SCRIPT}a",), (f"{SCRIPT}b",), 0.9, SCRIPT)
    assert review.disagreements(SCRIPT)
    for page, count in (
        (html.heading(review, SCRIPT, SCRIPT), 2),
        (html.issue_reasons(review, SCRIPT, [issue]), 1 + 1 + 1 + 2),
        (html.note(SCRIPT), 1),
        (html.unreadable_placeholder(SCRIPT), 1),
        (html.scope(SCRIPT), 1),
        (html.card(review, photos[0], {SCRIPT: [0.4, 0.6]}, [issue]), 1 + 2),
        (html.card(review, photos[1], {}, [issue]), 1 + 1 + 1),
    ):
        assert "<script" not in page
        assert page.count("&lt;script&gt;") == count
        assert "&#39;x&#39;" in page


def test_button_labels_are_not_read_as_markdown():
    assert "![" not in html.escape_markdown("![a](http://b/c.png)")
    assert html.escape_markdown(":red[x] $y$\n# z") == r"\:red\[x\] \$y\$ \# z"


def test_an_unreadable_photo_shows_its_error(people, tmp_path):
    manifest = tmp_path / "photos.csv"
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff nothing")
    manifest.write_text("path,person,gender\nbad.jpg,p,male\n")
    controller = ReviewController(
        load_review_data(manifest, SCHEME), tmp_path / "log.jsonl", tmp_path / "c.csv", min_view_seconds=0
    )
    set_controller(controller)
    try:
        assert "damaged" in text(page_of(controller))
    finally:
        controller.close()
        set_controller(None)


def test_the_page_gets_photos_without_metadata(open_review):
    controller = open_review()
    content = controller.photo_jpeg(controller.review.photos[0])
    assert content.startswith(b"\xff\xd8\xff")
    assert b"Exif" not in content
    assert controller.photo_jpeg(controller.review.photos[0]) is content


def test_a_label_issues_file_gives_the_order(people, tmp_path):
    review = ReviewState(read_photos(people, SCHEME), SCHEME)
    last, first = list(review.photos_by_person)[-1], next(iter(review.photos_by_person))
    path = tmp_path / "suspects.csv"
    path.write_text(
        "person,attribute,label,proposed,score,reason\n"
        f'{last},mask,"incorrect, not_wear","not_wear, incorrect",0.9,swapped\n{first},gender,male,female,0.4,so\n'
    )
    material = load_review_data(people, SCHEME, label_issues=path)
    controller = ReviewController(material, tmp_path / "log.jsonl", tmp_path / "c.csv")
    assert controller.persons[:2] == [last, first]
    assert controller.suggested_action(last) is None  # the file does not say which photos
    assert controller.suggested_action(first) == ReviewAction.relabel_action("gender", "female", first)
    controller.close()
    path.write_text("person,attribute,label,proposed,score\na,beard,x,y,often\n")
    with pytest.raises(DataError, match=r"often(.|\n)*beard"):
        read_label_issues(path, review)
