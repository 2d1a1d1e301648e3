"""The page of a review without a browser: its keys are buttons, and Streamlit's own tester presses them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("streamlit", reason="the page needs the extra 'review'")

from streamlit.testing.v1 import AppTest

from maskfit.apps.review import html
from maskfit.apps.review.controller import PAGE_SCRIPT, ReviewController, set_controller, get_controller
from maskfit.apps.review.review_data import load_review_data, read_label_issues
from maskfit.apps.review.state import ReviewAction, ReviewState
from maskfit.apps.streamlit_server import build_url
from maskfit.data.label_corrections import read_corrected
from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.synthesis.drawn import write_train_set

SCHEME = LABEL_SCHEMAS["mask-gender-age"]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_train_set(tmp_path_factory.mktemp("drawn"), 12, size=(48, 64), workers=1)


@pytest.fixture(scope="module")
def table(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What good models say; of the last person they say the other gender, of the first that two masks are swapped."""
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
def open_desk(people: Path, table: Path, tmp_path: Path) -> Iterator[Callable[[], ReviewController]]:
    """Opens the desk; again, it goes on from its log."""
    opened: list[ReviewController] = []

    def open_() -> ReviewController:
        for desk in opened:
            desk.close()
        opened.append(
            ReviewController(
                load_review_data(people, SCHEME, [table]), tmp_path / "log.jsonl", tmp_path / "c.csv", haste=0
            )
        )
        set_controller(opened[-1])
        return opened[-1]

    yield open_
    opened[-1].close()
    set_controller(None)


def page_of(desk: ReviewController) -> AppTest:
    page = AppTest.from_file(str(PAGE_SCRIPT), default_timeout=60)
    page.query_params["key"] = desk.access_token
    page.run()
    assert not page.exception
    return page


def press(page: AppTest, desk: ReviewController, name: str) -> None:
    """Presses a button of the person who is shown."""
    key = name if name.startswith("walk-") or name in ("replace", "leave") else f"{name}@{shown(page, desk)}"
    page.button(key=key).click().run()
    assert not page.exception


def shown(page: AppTest, desk: ReviewController) -> int:
    return desk.person_index[page.session_state.window.person]


def text(page: AppTest) -> str:
    return " ".join(str(item.proto.body) for item in page.get("html"))


def test_the_keys_decide_and_every_key_is_in_the_log(open_desk, people, tmp_path):
    desk = open_desk()
    page = page_of(desk)
    first, second = list(desk.suspects)[:2]
    assert page.session_state.window.person == first
    kinds = {item.attribute for item in (*desk.suspects[first][:1], *desk.suspects[second][:1])}
    assert kinds == {"gender", "mask"}
    assert "nothing looks wrong" not in text(page)
    press(page, desk, "proposal")
    assert desk.review.status(first) == "mended"
    press(page, desk, "right")
    assert page.session_state.window.person == second
    press(page, desk, "wrong")
    press(page, desk, "undo")
    assert (page.session_state.window.person, desk.review.status(second)) == (second, "open")
    press(page, desk, "proposal")
    press(page, desk, "walk-mended")
    press(page, desk, "write")
    assert "Wrote" in page.session_state.window.told
    lines = [json.loads(line) for line in desk.log.read_text().splitlines()]
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


def test_a_photo_alone_gets_a_new_label_and_where_that_does_not_fit_is_shown(open_desk):
    desk = open_desk()
    page = page_of(desk)
    person = page.session_state.window.person
    at = shown(page, desk)
    assert page.button(key=f"mask-0@{at}").disabled  # not for seven photos at once
    gender = "gender-1" if "_male" in person else "gender-0"
    press(page, desk, "choose-2")
    assert not page.button(key=f"mask-0@{at}").disabled
    press(page, desk, gender)
    assert "one person, two labels" in text(page)
    photo = desk.review.of[person][2]
    assert list(desk.review.changes(photo)) == ["gender"]
    press(page, desk, "use")
    assert desk.review.left_out(photo)
    assert "one person, two labels" not in text(page)
    press(page, desk, "use")
    assert not desk.review.left_out(photo)
    press(page, desk, "unsure")  # of the photo: the person stays
    assert (page.session_state.window.person, page.session_state.window.photo) == (person, "")
    press(page, desk, "choose-0")
    press(page, desk, "whole")
    assert page.session_state.window.photo == ""


def test_years_are_typed(open_desk):
    desk = open_desk()
    page = page_of(desk)
    person = page.session_state.window.person
    page.number_input[0].set_value(17).run()
    assert {desk.review.labels(photo)["age"] for photo in desk.review.of[person]} == {17.0}


def test_a_review_resumes_where_it_stopped(open_desk):
    desk = open_desk()
    page = page_of(desk)
    press(page, desk, "wrong")
    press(page, desk, "next")
    place, told = page.session_state.window.person, desk.review.count()
    desk = open_desk()
    assert (desk.num_resumed_actions, desk.review.count()) == (1, told)
    page = page_of(desk)
    assert page.session_state.window.person == place
    press(page, desk, "walk-wrong")
    assert desk.review.status(page.session_state.window.person) == "wrong"
    here = page.session_state.window.person
    press(page, desk, "next")  # nobody else is wrong
    assert (page.session_state.window.person, "Nobody after" in page.session_state.window.told) == (here, True)
    press(page, desk, "walk-unsure")
    assert "Nobody is among" in page.session_state.window.told


def test_two_windows_see_one_state(open_desk):
    desk = open_desk()
    one, other = page_of(desk), page_of(desk)
    person = one.session_state.window.person
    press(one, desk, "wrong")
    other.run()
    assert "marked wrong" in text(other)
    # A press on a page that is out of date is about the person it shows.
    press(other, desk, "unsure")
    assert desk.review.status(person) == "unsure"


def test_a_second_press_at_once_does_not_count(open_desk):
    desk = open_desk()
    desk.min_view_seconds = 60
    page = page_of(desk)
    press(page, desk, "right")
    assert desk.review.count()["right"] == 0
    assert "does not count" in page.session_state.window.told


def test_a_file_of_somebody_elses_is_not_replaced_unasked(open_desk, tmp_path):
    desk = open_desk()
    (tmp_path / "c.csv").write_text("mine")
    page = page_of(desk)
    press(page, desk, "write")
    assert (tmp_path / "c.csv").read_text() == "mine"
    press(page, desk, "leave")
    press(page, desk, "write")
    press(page, desk, "replace")
    assert (tmp_path / "c.csv").read_text().startswith("person,photo")
    (tmp_path / "c.csv").unlink()
    press(page, desk, "write")  # from now on its own
    press(page, desk, "write")
    assert "Wrote" in page.session_state.window.told


def test_without_the_key_nothing_is_shown(open_desk):
    desk = open_desk()
    page = AppTest.from_file(str(PAGE_SCRIPT), default_timeout=60).run()
    assert not page.button
    assert "lacks its key" in text(page)
    assert desk.persons[0] not in text(page)
    assert desk.key in build_url("127.0.0.1", 8501, desk.key)
    set_controller(None)
    with pytest.raises(DataError, match="no review is open"):
        get_controller()


def test_names_are_shown_and_never_obeyed(people):
    """What stands in a manifest or a file of suspects comes out as text."""
    bad = '<img src=x onerror="alert(1)">![a](http://b/c.png)'
    photo = read_photos(people, SCHEME)[0]
    photos = read_photos(people, SCHEME)
    hostile = type(photos)(photos.root, (type(photo)(photo.path, f"{bad}.jpg", bad, photo.labels),))
    review = ReviewState(hostile, SCHEME)
    review.apply(ReviewAction.verdict_action("wrong", bad, f"{bad}.jpg"))
    from maskfit.evaluation.label_issues import LabelIssue

    suspect = LabelIssue(bad, (), "gender", ("male",), ("female",), 0.9, bad)
    for page in (
        html.heading(review, bad, bad),
        html.issue_reasons(review, bad, [suspect]),
        html.note(bad),
        html.unreadable_placeholder(bad),
        html.card(review, hostile[0], {"gender": [0.4, 0.6]}, [suspect]),
    ):
        assert "<img" not in page
    assert "![" not in html.escape_markdown(bad)
    assert html.escape_markdown(":red[x] $y$\n# z") == r"\:red\[x\] \$y\$ \# z"


def test_a_photo_that_cannot_be_read_is_said(people, tmp_path):
    manifest = tmp_path / "photos.csv"
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff nothing")
    manifest.write_text("path,person,gender\nbad.jpg,p,male\n")
    desk = ReviewController(load_review_data(manifest, SCHEME), tmp_path / "log.jsonl", tmp_path / "c.csv", haste=0)
    set_controller(desk)
    try:
        assert "damaged" in text(page_of(desk))
    finally:
        desk.close()
        set_controller(None)


def test_the_page_gets_pixels_and_nothing_else_of_a_photo(open_desk):
    desk = open_desk()
    content = desk.picture(desk.review.photos[0])
    assert content.startswith(b"\xff\xd8\xff")
    assert b"Exif" not in content
    assert desk.picture(desk.review.photos[0]) is content


def test_a_file_of_suspects_gives_the_order(people, tmp_path):
    review = ReviewState(read_photos(people, SCHEME), SCHEME)
    last, first = list(review.photos_by_person)[-1], next(iter(review.photos_by_person))
    path = tmp_path / "suspects.csv"
    path.write_text(
        "person,attribute,label,proposed,score,reason\n"
        f'{last},mask,"incorrect, not_wear","not_wear, incorrect",0.9,swapped\n{first},gender,male,female,0.4,so\n'
    )
    material = load_review_data(people, SCHEME, suspects=path)
    desk = ReviewController(material, tmp_path / "log.jsonl", tmp_path / "c.csv")
    assert desk.persons[:2] == [last, first]
    assert desk.suggested_action(last) is None  # the file does not say which photos
    assert desk.suggested_action(first) == ReviewAction.relabel_action("gender", "female", first)
    desk.close()
    path.write_text("person,attribute,label,proposed,score\na,beard,x,y,often\n")
    with pytest.raises(DataError, match=r"often(.|\n)*beard"):
        read_label_issues(path, review)
