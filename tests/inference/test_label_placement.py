"""Labels lie in the photo and cover no other face and no other label where that can be avoided."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskfit.inference.label_placement import PixelBox, Placement, place_labels

PHOTO = (640, 480)
OPTIONS = ((16.0, 14.0), (60.0, 14.0), (110.0, 14.0), (110.0, 46.0))
"""A number, a word, a line and three lines."""


def place(faces: list[PixelBox], photo: tuple[int, int] = PHOTO) -> list[Placement | None]:
    return place_labels(photo, faces, [OPTIONS] * len(faces), [12.0] * len(faces))


def overlap(one: PixelBox, other: PixelBox) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@st.composite
def crowds(draw: st.DrawFn) -> list[PixelBox]:
    faces = []
    for _ in range(draw(st.integers(1, 25))):
        side = draw(st.integers(4, 120))
        left, upper = draw(st.integers(0, PHOTO[0] - side - 2)), draw(st.integers(0, PHOTO[1] - side - 2))
        faces.append((float(left), float(upper), float(left + side), float(upper + side)))
    return faces


@settings(max_examples=80, deadline=None)
@given(crowds())
def test_labels_of_any_crowd_lie_in_the_photo_and_only_the_shortest_may_cover(faces):
    placements = place(faces)
    assert placements == place(faces)
    for number, placement in enumerate(placements):
        assert placement is not None
        left, upper, right, lower = placement.box
        assert left >= 0
        assert right <= PHOTO[0]
        assert upper >= 0
        assert lower <= PHOTO[1]
        assert (right - left, lower - upper) == pytest.approx(OPTIONS[placement.option])
        if placement.option:
            assert not any(overlap(placement.box, face) for other, face in enumerate(faces) if other != number)
            others = [item.box for other, item in enumerate(placements) if item and other != number]
            assert not any(overlap(placement.box, box) for box in others)


@pytest.mark.parametrize(("columns", "rows"), [(1, 1), (3, 2), (6, 5), (10, 8)])
def test_where_there_is_room_nothing_is_covered(columns, rows):
    width, height = PHOTO[0] / columns, PHOTO[1] / rows
    faces = [
        (width * (column + 0.3), height * (row + 0.35), width * (column + 0.6), height * (row + 0.65))
        for column in range(columns)
        for row in range(rows)
    ]
    placements = place(faces)
    boxes = [placement.box for placement in placements if placement]
    assert len(boxes) == len(faces)
    assert not any(
        overlap(box, face) for number, box in enumerate(boxes) for other, face in enumerate(faces) if other != number
    )
    assert not any(overlap(one, other) for one, other in combinations(boxes, 2))
    if len(faces) <= 6:
        assert {placement.option for placement in placements if placement} == {3}


def test_a_neighbor_moves_a_label_away_and_a_line_joins_it_to_its_face():
    # Walled in on all sides, its label goes beyond the neighbors.
    faces = [(300.0, 200.0, 340.0, 240.0)]
    assert place(faces)[0] == Placement(3, (300.0, 200.0 - 46 - 1, 410.0, 199.0))
    walls = [
        (230.0, 130.0, 410.0, 198.0),
        (230.0, 242.0, 410.0, 300.0),
        (230.0, 200.0, 298.0, 240.0),
        (342.0, 200.0, 410.0, 240.0),
    ]
    surrounded = place([*faces, *walls])[0]
    assert surrounded is not None
    assert surrounded.option == 0  # no line to it would keep clear of the walls
    apart = place_labels(
        PHOTO,
        [
            *faces,
            (290.0, 186.0, 296.0, 254.0),
            (344.0, 186.0, 350.0, 254.0),
            (342.0, 186.0, 343.0, 190.0),
            (297.0, 186.0, 298.0, 190.0),
            (297.0, 250.0, 343.0, 254.0),
        ],
        [[(60.0, 14.0)]] + [[]] * 5,
        [12.0] * 6,
    )[0]
    assert apart is not None
    assert apart.leader is not None
    x0, y0, x1, y1 = apart.leader
    assert (x0, x1) == pytest.approx((320, 320))
    assert y0 == pytest.approx(apart.box[3])
    assert y1 == pytest.approx(200)


def test_larger_faces_choose_first_but_every_face_gets_its_shortest_label():
    faces = [(100.0 + 18 * number, 100.0, 116.0 + 18 * number, 116.0) for number in range(12)]
    placements = place(faces)
    assert all(placement is not None for placement in placements)
    assert len({placement.box for placement in placements if placement}) == 12


def test_a_label_that_does_not_fit_into_the_photo_is_left_out():
    assert place([(1.0, 1.0, 9.0, 9.0)], (10, 10)) == [None]
    (only,) = place([(1.0, 1.0, 9.0, 9.0)], (70, 30))
    assert only is not None
    assert only.option == 1
    assert place([]) == []


def test_inside_its_box_a_label_is_small():
    whole = place([(0.0, 0.0, 639.0, 479.0)])[0]
    assert whole is not None
    assert whole.option == 3
    left, upper, right, lower = whole.box
    assert (right - left) * (lower - upper) < 0.2 * np.prod(PHOTO)
    assert upper > 400  # at the bottom, not on the eyes
