"""Review state and audit log without a page: actions, undo, replay, incomplete logs and export."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskfit.apps.review.audit_log import AuditLog, replay_log
from maskfit.apps.review.export_corrections import corrections_from_review, export_corrections
from maskfit.apps.review.state import VERDICTS, ReviewAction, ReviewState
from maskfit.data.label_corrections import apply_corrections, read_corrections
from maskfit.data.photo_dataset import Photo, PhotoDataset
from maskfit.errors import DataError, MaskfitError
from maskfit.evaluation.label_issues import LabelIssue
from maskfit.labels.schema import LABEL_SCHEMAS, Attribute, LabelSchema

SCHEME = LABEL_SCHEMAS["mask-gender-age"]
STEMS = ("incorrect_mask", "mask1", "mask2", "normal")
HOSTILE = "7_<b>&\"'`_x, y\n=1"


def photo_set(persons: int = 3) -> PhotoDataset:
    """Persons with four photos each, one of a name that no page or CSV should trip over; one photo has no label."""
    photos = []
    for number in range(persons):
        person = HOSTILE if number == 1 else f"{number:06d}_male_Asian_{28 + number}"
        for stem in STEMS:
            wear = {"normal": "not_wear", "incorrect_mask": "incorrect"}.get(stem, "wear")
            labels = {"mask": wear, "gender": "male", "age": 28.0 + number}
            photos.append(Photo(Path(f"{stem}.jpg"), f"{number}/{stem}.jpg", person, labels))
    photos.append(Photo(Path("lone.png"), "lone.png", "lone.png"))
    return PhotoDataset(Path("here"), tuple(photos))


PHOTOS = photo_set()
PEOPLE = PHOTOS.persons


def snapshot(review: ReviewState) -> dict[str, object]:
    """Returns everything observable of a review."""
    return {
        "labels": [(review.labels(photo), review.is_excluded(photo)) for photo in review.photos],
        "verdicts": [
            (review.verdict(person), *(review.verdict(person, photo.name) for photo in review.photos_by_person[person]))
            for person in review.photos_by_person
        ],
        "status": [review.status(person) for person in review.photos_by_person],
        "count": review.status_counts(),
        "apart": [review.disagreements(person) for person in review.photos_by_person],
    }


@st.composite
def actions(draw: st.DrawFn) -> ReviewAction:
    person = draw(st.sampled_from(PEOPLE))
    names = [photo.name for photo in PHOTOS if photo.person == person]
    photo = draw(st.sampled_from(["", *names]))
    if draw(st.booleans()):
        return ReviewAction.verdict_action(draw(st.sampled_from(VERDICTS)), person, photo)
    values = {
        "mask": ("wear", "incorrect", "not_wear"),
        "gender": ("male", "female"),
        "age": ("<30", "30-59", ">=60", "28", "29.5", "64"),
        "use": ("yes", "no"),
    }
    labels = []
    for _ in range(draw(st.integers(1, 2))):
        attribute = draw(st.sampled_from(sorted(values)))
        labels.append((draw(st.sampled_from(["", *names])), attribute, draw(st.sampled_from(values[attribute]))))
    return ReviewAction(person, labels=tuple(labels))


@settings(max_examples=50, deadline=None)
@given(st.lists(actions(), max_size=14))
def test_undo_restores_every_earlier_state(done):
    review = ReviewState(PHOTOS, SCHEME)
    states = [snapshot(review)]
    for action in done:
        review.apply(action)
        states.append(snapshot(review))
    for action, state in zip(reversed(done), reversed(states[:-1]), strict=True):
        assert review.undo() == action
        assert snapshot(review) == state
    assert review.undo() is None


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(actions(), st.just("undo"), st.sampled_from(PEOPLE)), max_size=14))
def test_replaying_the_log_gives_the_same_state(tmp_path_factory, done):
    log = tmp_path_factory.mktemp("log") / "review.jsonl"
    review = ReviewState(PHOTOS, SCHEME)
    audit_log = AuditLog(log, review, "here")
    for item in done:
        if item == "undo":
            audit_log.undo()
        elif isinstance(item, ReviewAction):
            audit_log.append(item)
        else:
            audit_log.record_view(item)
    audit_log.close()
    again = ReviewState(PHOTOS, SCHEME)
    read = replay_log(log, again)
    assert snapshot(again) == snapshot(review)
    assert (read.warnings, read.num_actions) == ((), len(review.actions))
    looks = [item for item in done if item in PEOPLE]
    assert read.last_person == (looks[-1] if looks else "")


@settings(max_examples=50, deadline=None)
@given(st.lists(actions(), max_size=14))
def test_applying_the_exported_corrections_gives_the_reviewed_labels(tmp_path_factory, done):
    review = ReviewState(PHOTOS, SCHEME)
    for action in done:
        review.apply(action)
    path = tmp_path_factory.mktemp("out") / "corrections.csv"
    rows = export_corrections(path, review)
    # CSV readers strip cells and turn no line ends, so even the hostile name comes back.
    result = apply_corrections(PHOTOS, read_corrections(path), SCHEME)
    kept = [photo for photo in PHOTOS if not review.is_excluded(photo)]
    assert [(photo.name, dict(photo.labels)) for photo in result.photos] == [
        (photo.name, review.labels(photo)) for photo in kept
    ]
    assert bool(rows) == any(review.changes(photo) for photo in PHOTOS)


def test_a_label_for_all_photos_is_one_row_with_its_reason():
    review = ReviewState(PHOTOS, SCHEME)
    first, second = PEOPLE[:2]
    suspect = LabelIssue(first, (), "gender", ("male",), ("female",), 0.9, "7 of 7 photos read female")
    review.apply(ReviewAction.relabel_action("gender", "female", first))
    review.apply(ReviewAction.relabel_action("mask", "wear", second, "1/normal.jpg"))
    review.apply(ReviewAction.verdict_action("unsure", second))
    rows = [
        (row.person, row.photo, row.attribute, row.value, row.tier, row.reason)
        for row in corrections_from_review(review, [suspect])
    ]
    assert rows == [
        (first, "", "gender", "female", "certain", "was male; models: 7 of 7 photos read female"),
        (second, "normal.jpg", "mask", "wear", "likely", "was not_wear"),
    ]


def test_a_label_equal_to_the_original_is_no_correction():
    review = ReviewState(PHOTOS, SCHEME)
    first = PEOPLE[0]
    review.apply(ReviewAction.relabel_action("age", "<30", first))  # 28 is under 30
    assert corrections_from_review(review) == []
    review.apply(ReviewAction.relabel_action("age", "29", first))
    assert [row.value for row in corrections_from_review(review)] == ["29"]
    review.apply(ReviewAction.relabel_action("age", "28", first))
    assert (corrections_from_review(review), review.status(first)) == ([], "open")


def test_the_status_follows_the_last_actions():
    review = ReviewState(PHOTOS, SCHEME)
    first, names = PEOPLE[0], [photo.name for photo in PHOTOS if photo.person == PEOPLE[0]]
    statuses = [review.status(first)]
    for action in (
        ReviewAction.verdict_action("wrong", first),
        ReviewAction.relabel_action("gender", "female", first),
        ReviewAction.verdict_action("unsure", first, names[0]),
        ReviewAction.verdict_action("right", first),
        ReviewAction.verdict_action("wrong", first, names[1]),
        ReviewAction.relabel_action("gender", "male", first),
    ):
        review.apply(action)
        statuses.append(review.status(first))
    assert statuses == ["open", "wrong", "relabeled", "unsure", "relabeled", "wrong", "open"]
    for name in names:
        assert review.status(first) == "open"
        review.apply(ReviewAction.verdict_action("right", first, name))
    assert review.status(first) == "right"
    assert review.status_counts() == {"open": 3, "right": 1, "relabeled": 0, "wrong": 0, "unsure": 0}


def test_disagreeing_person_level_labels_are_found():
    review = ReviewState(PHOTOS, SCHEME)
    assert review.person_level_attributes == {"gender", "age"}
    review.apply(ReviewAction.relabel_action("gender", "female", PEOPLE[0], "0/normal.jpg"))
    apart = {"gender": {"male": ["0/incorrect_mask.jpg", "0/mask1.jpg", "0/mask2.jpg"], "female": ["0/normal.jpg"]}}
    assert review.disagreements(PEOPLE[0]) == apart
    review.apply(ReviewAction.relabel_action("use", "no", PEOPLE[0], "0/normal.jpg"))
    assert review.disagreements(PEOPLE[0]) == {}


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (ReviewAction.verdict_action("right", "nobody"), "no person"),
        (ReviewAction.verdict_action("right", PEOPLE[0], "1/normal.jpg"), "no photo"),
        (ReviewAction(PEOPLE[0], verdict="fine"), "not a verdict"),
        (ReviewAction(PEOPLE[0]), "not a verdict"),
        (ReviewAction.relabel_action("beard", "yes", PEOPLE[0]), "no attribute"),
        (ReviewAction.relabel_action("gender", "robot", PEOPLE[0]), "not a value of gender"),
        (ReviewAction.relabel_action("age", "300", PEOPLE[0]), r"must be in \[0, 120\]"),
        (ReviewAction.relabel_action("mask", "", PEOPLE[0]), "empty"),
        (ReviewAction.relabel_action("use", "maybe", PEOPLE[0]), "not a value of use"),
    ],
)
def test_an_invalid_action_is_rejected(action, message):
    review = ReviewState(PHOTOS, SCHEME)
    with pytest.raises(MaskfitError, match=message):
        review.apply(action)
    assert (review.actions, review.status_counts()["open"]) == ([], 4)


def test_coarse_values_are_compared_in_the_scored_schema(tmp_path):
    decades = Attribute(name="age", values=("0s", "30s", "40s"), bin_edges=(30, 40), parent_of=("young", "old", "old"))
    scheme = LabelSchema(attributes=(decades,))
    photos = PhotoDataset(Path(), (Photo(Path("a"), "a.jpg", "p", {"age": 44.0}), Photo(Path("b"), "b.jpg", "q", {})))
    review = ReviewState(photos, scheme)
    review.apply(ReviewAction.relabel_action("age", "old", "p"))  # 44 is old
    review.apply(ReviewAction.relabel_action("age", "old", "q"))
    assert [(row.person, row.value) for row in corrections_from_review(review)] == [("q", "old")]
    export_corrections(tmp_path / "c.csv", review)
    assert apply_corrections(photos, read_corrections(tmp_path / "c.csv"), scheme).relabeled == 1


def test_ambiguous_photo_names_are_an_error():
    photos = PhotoDataset(
        Path(), tuple(Photo(Path(name), name, "p", {"gender": "male"}) for name in ("1.jpg", "b/1.jpg"))
    )
    review = ReviewState(photos, LABEL_SCHEMAS["gender"])
    review.apply(ReviewAction.relabel_action("gender", "female", "p", "b/1.jpg"))
    assert [row.photo for row in corrections_from_review(review)] == ["b/1.jpg"]
    review.apply(ReviewAction.relabel_action("gender", "female", "p"))
    assert [row.photo for row in corrections_from_review(review)] == [""]
    review.undo()
    review.undo()
    review.apply(ReviewAction.relabel_action("gender", "female", "p", "1.jpg"))
    with pytest.raises(DataError, match=r"1\.jpg"):
        corrections_from_review(review)


def test_a_dataset_without_photos_is_rejected():
    with pytest.raises(DataError, match="no photo"):
        ReviewState(PhotoDataset(Path("empty"), ()), SCHEME)


# Audit log


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of two actions, one of them undone."""
    path = tmp_path / "logs" / "review.jsonl"
    audit_log = AuditLog(path, ReviewState(PHOTOS, SCHEME), "here", lambda: datetime(2026, 1, 2, tzinfo=UTC))
    audit_log.append(ReviewAction.verdict_action("right", PEOPLE[0]))
    audit_log.append(ReviewAction.relabel_action("gender", "female", PEOPLE[1]))
    audit_log.undo()
    audit_log.close()
    return path


def test_every_action_is_a_line_and_nothing_is_erased(log):
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    assert [line.get("do") for line in lines] == [None, "mark", "label", "undo"]
    assert {line["at"] for line in lines} == {"2026-01-02T00:00:00.000+00:00"}
    assert (lines[0]["photos"], lines[1]["verdict"]) == ("here", "right")
    assert lines[2]["labels"] == [["", "gender", "female"]]
    before = log.read_bytes()
    audit_log = AuditLog(log, ReviewState(PHOTOS, SCHEME), "here")
    audit_log.append(ReviewAction.verdict_action("wrong", PEOPLE[2]))
    assert log.read_bytes().startswith(before)
    audit_log.close()


@pytest.mark.parametrize("cut", [1, 9, 40])
def test_an_incomplete_last_line_is_ignored_with_a_warning(log, cut):
    whole = log.read_bytes()
    log.write_bytes(whole[:-cut])
    review = ReviewState(PHOTOS, SCHEME)
    audit_log = AuditLog(log, review, "here")
    assert "incomplete" in audit_log.replay.warnings[0]
    assert review.status(PEOPLE[1]) == "relabeled"  # its undoing was cut off
    audit_log.append(ReviewAction.verdict_action("wrong", PEOPLE[2]))
    audit_log.close()
    again = ReviewState(PHOTOS, SCHEME)
    assert replay_log(log, again).warnings == ()
    assert snapshot(again) == snapshot(review)


def test_two_reviews_cannot_write_one_log(log):
    audit_log = AuditLog(log, ReviewState(PHOTOS, SCHEME), "here")
    with pytest.raises(DataError, match="another review"):
        AuditLog(log, ReviewState(PHOTOS, SCHEME), "here")
    assert replay_log(log, ReviewState(PHOTOS, SCHEME)).num_actions == 1  # to read is free
    audit_log.close()
    AuditLog(log, ReviewState(PHOTOS, SCHEME), "here").close()


def test_a_log_about_other_labels_is_rejected(log):
    other = PhotoDataset(Path(), tuple(photo.with_labels({"gender": "female"}) for photo in PHOTOS))
    with pytest.raises(DataError, match="the labels of 000000_male_Asian_28 have changed since"):
        AuditLog(log, ReviewState(other, SCHEME), "here")
    more = ReviewState(PhotoDataset(Path(), (*PHOTOS, Photo(Path("x"), "x.jpg", "new"))), SCHEME)
    assert replay_log(log, more).num_actions == 1  # a set that grew is the same set
    gone = ReviewState(PhotoDataset(Path(), tuple(photo for photo in PHOTOS if photo.person != PEOPLE[0])), SCHEME)
    with pytest.raises(DataError, match="no person '000000_male_Asian_28'"):
        replay_log(log, gone)
    # Refused, it is free for the right one.
    AuditLog(log, ReviewState(PHOTOS, SCHEME), "here").close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("person,photo\n", "not a line of a review log"),
        ('{"at": 1}\n', "not a review log"),
        ("[]\n", "not a line of a review log"),
        ('{"format": 1}\n{"do": "mark", "person": "lone.png"}\n', "line 2: it is malformed"),
        ('{"format": 1}\n{"do": "undo", "person": "lone.png"}\n', "undoes an action"),
        ('{"format": 1}\n{"do": "sing", "person": "lone.png"}\n', "not an action of a review"),
        ('{"format": 1}\n{"do": "look", "person": ["lone.png"]}\n', "line 2: it is malformed"),
    ],
)
def test_a_foreign_or_damaged_log_is_rejected_and_not_modified(tmp_path, text, message):
    path = tmp_path / "other.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        AuditLog(path, ReviewState(PHOTOS, SCHEME), "here")
    assert path.read_text() == text


def test_a_folder_is_not_a_log(tmp_path):
    with pytest.raises(DataError, match="not a regular file"):
        AuditLog(tmp_path, ReviewState(PHOTOS, SCHEME), "here")


def test_an_action_that_cannot_be_logged_is_not_applied(log, monkeypatch):
    review = ReviewState(PHOTOS, SCHEME)
    audit_log = AuditLog(log, review, "here")
    before = log.read_bytes(), snapshot(review)

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("maskfit.apps.review.audit_log.os.fsync", fail)
    with pytest.raises(DataError, match="No space left"):
        audit_log.append(ReviewAction.verdict_action("wrong", PEOPLE[2]))
    with pytest.raises(DataError, match="No space left"):
        audit_log.undo()
    assert (log.read_bytes(), snapshot(review)) == before
    audit_log.close()
