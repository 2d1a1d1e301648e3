"""Boxes on photos, and the colours of answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from maskfit.data.boxes import CropBox
from maskfit.data.detectors import Face
from maskfit.inference import annotation
from maskfit.inference.annotation import ABSTAIN_COLOR, FaceAnnotation, annotate_faces, draw_annotations
from maskfit.inference.decisions import abstain, decide
from maskfit.inference.face_prediction import NO_FACE_NOTE, FacePrediction, PhotoPrediction
from maskfit.labels.age_distribution import AgeEstimate
from maskfit.labels.schema import LABEL_SCHEMAS

GREY = Image.new("RGB", (400, 300), (128, 128, 128))


def test_a_box_lies_where_the_face_is_in_the_colour_of_its_answer():
    drawn = np.asarray(
        draw_annotations(GREY, [FaceAnnotation((0.25, 0.5, 0.5, 0.75), 1, "worn", annotation.VALUE_COLORS[0])])
    )
    assert tuple(np.asarray(GREY)[0, 0]) == (128, 128, 128)  # the photo itself is as it was
    own = (drawn == annotation.VALUE_COLORS[0].background).all(axis=2)
    assert own[180, 99:102].any()
    assert own[180, 198:201].any()
    assert own[223:226, 150].any()
    assert not own[160:215, 110:190].any()  # the face itself is not covered
    rows, _ = np.nonzero(own)
    assert rows.min() < 145  # the tag stands above


@pytest.mark.parametrize("box", [(-0.5, -0.5, 0.2, 0.2), (0.9, 0.9, 1.5, 1.5), (0, 0, 1, 1), (0.5, 0.5, 0.5, 0.5)])
@pytest.mark.parametrize("sure", [True, False])
@pytest.mark.parametrize("size", [(400, 300), (20, 900), (1, 1)])
def test_boxes_at_and_beyond_the_edge_are_drawn(box, sure, size):
    image = Image.new("RGB", size, (128, 128, 128))
    drawn = draw_annotations(image, [FaceAnnotation(box, 12, "worn wrongly", annotation.VALUE_COLORS[1], sure)])
    assert drawn.size == size
    assert np.asarray(drawn).std() > 0 or size == (1, 1)


def test_words_give_way_where_faces_are_close():
    """Of many faces side by side, tags with words would cover each other; numbers do not."""

    def inked(many: int) -> int:
        marks = [
            FaceAnnotation((k / many, 0.4, (k + 0.9) / many, 0.6), k + 1, "worn wrongly", annotation.VALUE_COLORS[1])
            for k in range(many)
        ]
        drawn = np.asarray(draw_annotations(Image.new("RGB", (700, 500), (128, 128, 128)), marks))
        return int((drawn == annotation.VALUE_COLORS[1].background).all(axis=2).sum())

    assert inked(20) < 20 * inked(1) / 2


def test_who_is_not_sure_is_dashed():
    marks = [FaceAnnotation((0.1, 0.3, 0.9, 0.9), 1, "x", annotation.ABSTAIN_COLOR, sure) for sure in (True, False)]
    full, dashed = (
        (np.asarray(draw_annotations(GREY, [mark])) == annotation.ABSTAIN_COLOR.background).all(axis=2)
        for mark in marks
    )
    assert full[268:273].sum() > 1.5 * dashed[268:273].sum() > 0


MACHADO = {
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
    "all": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "none": ((0.2126, 0.7152, 0.0722),) * 3,
}
"""What is left of linear red, green and blue to eyes that lack a kind of cone (Machado et al. 2009), or all."""


@pytest.mark.parametrize("eyes", MACHADO)
def test_answers_are_told_apart_by_eyes_of_every_kind(eyes):
    """CIELAB distances of the three mask states and "not sure"; from about 2.3 on a difference is seen."""
    shown = [*(colour.background for colour in annotation.VALUE_COLORS[:3]), annotation.ABSTAIN_COLOR.background]
    labs = np.array([lab(np.array(MACHADO[eyes]) @ linear(np.array(rgb) / 255)) for rgb in shown])
    distances = np.linalg.norm(labs[:, None] - labs[None], axis=2)[np.triu_indices(4, 1)]
    assert distances.min() > (20 if eyes != "none" else 2.3)


def test_words_are_read_on_their_colour():
    for colour in (*annotation.VALUE_COLORS, annotation.ABSTAIN_COLOR):
        light, dark = sorted((luminance(colour.background), luminance(colour.text)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2, AA


def linear(share: np.ndarray) -> np.ndarray:
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def luminance(rgb: tuple[int, int, int]) -> float:
    return float(linear(np.array(rgb) / 255) @ (0.2126, 0.7152, 0.0722))


def lab(rgb: np.ndarray) -> np.ndarray:
    to_xyz = np.array(((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505)))
    xyz = to_xyz @ np.clip(rgb, 0, 1) / (0.95047, 1, 1.08883)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array((116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])))


@pytest.mark.parametrize(
    ("mark", "options"),
    [
        ({"number": 2}, [("2",), ("2 worn",), ("2 mask worn 97%",), ("2 mask worn 97%", "female", "<30")]),
        ({"number": 0}, [("worn",), ("mask worn 97%",), ("mask worn 97%", "female", "<30")]),
        ({"number": 2, "short_label": "", "extra_lines": ()}, [("2",), ("2 mask worn 97%",)]),
    ],
)
def test_lines_give_way_before_words_and_words_before_numbers(mark, options):
    settings = {"label": "mask worn 97%", "short_label": "worn", "extra_lines": ("female", "<30"), **mark}
    face = FaceAnnotation((0, 0, 1, 1), color=annotation.VALUE_COLORS[0], **settings)
    assert list(face.tag_options) == options


def test_labels_and_lines_grow_with_photo_and_face():
    def tag_height(side: int, fraction: float) -> int:
        box = (0.3, 0.3, 0.3 + fraction, 0.3 + fraction)
        photo = Image.new("RGB", (side, side), (128, 128, 128))
        drawn = np.asarray(draw_annotations(photo, [FaceAnnotation(box, 1, "worn", annotation.VALUE_COLORS[0])]))
        own = (drawn == annotation.VALUE_COLORS[0].background).all(axis=2)
        return int(own[: int(0.3 * side) - 1].any(axis=1).sum())

    assert tag_height(2000, 0.1) > 3 * tag_height(400, 0.1)
    assert tag_height(2000, 0.3) > 1.3 * tag_height(2000, 0.05) > 30
    assert tag_height(400, 0.05) >= 14


def test_no_label_of_a_crowd_covers_another_face():
    """Faces in white on gray: their inner pixels stay white."""
    rng = np.random.default_rng(3)
    photo = np.full((480, 640, 3), 128, dtype=np.uint8)
    marks = []
    for column in range(7):
        for row in range(4):
            left, upper, side = 20 + 86 * column + rng.integers(20), 30 + 110 * row + rng.integers(30), 22
            photo[upper : upper + side, left : left + side] = 255
            box = (left / 640, upper / 480, (left + side) / 640, (upper + side) / 480)
            marks.append(
                FaceAnnotation(
                    box,
                    len(marks) + 1,
                    "mask worn wrongly 97%",
                    annotation.VALUE_COLORS[1],
                    extra_lines=("gender female 88%", "age not sure"),
                    short_label="worn wrongly",
                )
            )
    drawn = np.asarray(draw_annotations(Image.fromarray(photo), marks))
    for mark in marks:
        left, upper, right, lower = np.array(mark.box) * (640, 480, 640, 480)
        inner = drawn[round(upper) + 5 : round(lower) - 5, round(left) + 5 : round(right) - 5]
        assert (inner == 255).all(), mark.number


def test_one_face_that_fills_the_photo_is_told_in_its_own_box():
    marks = [
        FaceAnnotation((0, 0, 1, 1), 0, "mask worn 97%", annotation.VALUE_COLORS[0], extra_lines=("gender female 88%",))
    ]
    drawn = np.asarray(draw_annotations(GREY, marks))
    own = (drawn == annotation.VALUE_COLORS[0].background).all(axis=2)
    assert own[250:290, 10:120].mean() > 0.3
    assert not own[10:200, 10:390].any()


SCHEME = LABEL_SCHEMAS["mask-gender-age"]


def reading(*faces: Face | None) -> PhotoPrediction:
    rows = np.full((len(faces), 18), 0.02)
    rows[:, 4] = 1 - 17 * 0.02
    said = decide(SCHEME, rows, {"age": 0.9})
    answers = [
        FacePrediction(own, row, face, CropBox((0, 0, 1, 1))) for own, row, face in zip(said, rows, faces, strict=True)
    ]
    return PhotoPrediction(200, 100, tuple(answers))


def test_faces_are_marked_in_shares_of_the_photo_with_what_is_said_of_them():
    two = reading(Face((20, 10, 60, 90), 0.9), Face((100, 20, 120, 40), 0.9))
    short = annotate_faces(SCHEME, two)
    assert [(mark.box, mark.number, mark.label, mark.extra_lines) for mark in short] == [
        ((0.1, 0.1, 0.3, 0.9), 1, "worn", ()),
        ((0.5, 0.2, 0.6, 0.4), 2, "worn", ()),
    ]
    first = annotate_faces(SCHEME, two, full=True)[0]
    assert (first.number, first.label) == (1, "mask worn 76%")
    assert first.extra_lines == ("gender female 82%", "age not sure")
    assert first.color == annotation.VALUE_COLORS[0]


def test_an_unsure_age_with_years_says_both_as_the_text_does():
    age = AgeEstimate(40.0, (23, 33, 44), {60: 0.01})
    rows = np.full((1, 18), 1 / 18)
    for threshold, drawn in ((0.9, "age not sure: 33 (23 to 44)"), (0.0, "age 33 (23 to 44)")):
        (own,) = decide(SCHEME, rows, {"age": threshold}, ages=[age])
        assert ("not sure" in str(own[2])) == ("not sure" in drawn)
        face = FacePrediction(own, rows[0], Face((20, 10, 60, 90), 0.9), CropBox((0, 0, 1, 1)))
        (mark,) = annotate_faces(SCHEME, PhotoPrediction(200, 100, (face,)), full=True)
        assert mark.extra_lines[-1] == drawn


def test_a_photo_taken_as_one_face_says_so_first():
    noted = replace(reading(None), note="no face detector: whole photo taken as one face")
    (mark,) = annotate_faces(SCHEME, noted, full=True)
    assert mark.label == noted.note
    assert mark.extra_lines[0] == annotate_faces(SCHEME, reading(None), full=True)[0].label
    assert annotate_faces(SCHEME, noted) == ()


def test_a_whole_photo_is_marked_only_in_full():
    assert annotate_faces(SCHEME, reading(None)) == ()
    (mark,) = annotate_faces(SCHEME, reading(None), full=True)
    assert (mark.box, mark.number) == ((0, 0, 1, 1), 0)


def test_a_photo_without_a_face_is_gray_and_dashed():
    own = reading(None)
    unsure = tuple(replace(face, attributes=abstain(face.attributes)) for face in own.faces)
    (mark,) = annotate_faces(SCHEME, replace(own, faces=unsure, note=NO_FACE_NOTE), full=True)
    assert (mark.color, mark.is_confident, mark.label) == (ABSTAIN_COLOR, False, NO_FACE_NOTE)
    assert mark.extra_lines[0] == "mask not sure"
