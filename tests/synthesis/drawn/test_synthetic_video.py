"""Films of drawn people: what is said to happen is what is to be seen."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
from PIL import Image

from maskfit.errors import DataError
from maskfit.synthesis.drawn.person import sample_person
from maskfit.synthesis.drawn.synthetic_video import PHOTOS, PersonSprites, SyntheticVideo, Walk, draw_film, draw_looks


@pytest.fixture(scope="module")
def film() -> SyntheticVideo:
    return draw_film(3, 2, seconds=6, size=(160, 120), rate=10)


def test_the_same_seed_gives_the_same_film(film):
    other = draw_film(3, 2, seconds=6, size=(160, 120), rate=10)
    assert other.turns == film.turns
    assert (other.frame(3.0) == film.frame(3.0)).all()
    assert draw_film(4, 2, seconds=6, size=(160, 120), rate=10).turns != film.turns


def test_frames_have_their_times_and_size(film):
    frames = list(film.frames())
    assert [time for time, _ in frames] == pytest.approx(np.arange(60) / 10)
    assert {pixels.shape for _, pixels in frames} == {(120, 160, 3)}


@pytest.mark.parametrize("seed", range(2))
def test_everybody_appears_first_and_goes_last_and_something_changes(seed):
    film = draw_film(seed, 3, seconds=12, size=(96, 96), rate=5)
    turns = sorted(film.turns, key=lambda turn: turn.person)
    for _, own in groupby(turns, key=lambda turn: turn.person):
        events = [turn.event for turn in own]
        assert events[0] == "appeared"
        assert events[-1] in ("left", "ended")
        assert set(events[1:-1]) == {"changed"}
    assert [turn.time for turn in film.turns] == sorted(turn.time for turn in film.turns)


def test_a_change_is_to_be_seen_in_the_face_and_nowhere_else(film):
    change = next(turn for turn in film.turns if turn.event == "changed")
    walk = film.walks[change.person]
    left, upper, right, lower = walk.looks.face
    states = [state for _, state in walk.states]
    one, other = (np.asarray(walk.looks.pictures[state], dtype=int) for state in states[:2])
    differs = np.abs(one - other).max(axis=2) > 12
    rows, columns = np.nonzero(differs)
    assert differs.any()
    # Loops and straps go round the ears.
    assert upper < rows.mean() < lower + 0.15 * (lower - upper)
    assert left - 0.35 * (right - left) <= columns.min()
    assert columns.max() <= right + 0.35 * (right - left)


def test_somebody_is_cut_out_of_his_surroundings():
    looks = draw_looks(sample_person(0, 1), 160)
    assert set(looks.pictures) == set(PHOTOS)
    for picture in looks.pictures.values():
        opaque = np.asarray(picture)[..., 3]
        left, upper, right, lower = map(round, looks.face)
        assert opaque[:3].max() == 0
        assert opaque[upper + 5 : lower - 5, left + 10 : right - 10].min() == 255
        assert 0.2 < (opaque > 127).mean() < 0.8


def block(state_colours: dict[str, tuple[int, int, int]]) -> PersonSprites:
    return PersonSprites(
        {state: Image.new("RGBA", (10, 10), (*colour, 255)) for state, colour in state_colours.items()}, (0, 0, 10, 10)
    )


def test_boxes_and_turns_follow_the_way():
    looks = block({"wear": (255, 0, 0), "not_wear": (0, 0, 255)})
    # Half outside at 0 s, whole inside from 0.4 s on, and out again on the right.
    walk = Walk(looks, ((0.0, 0.0, 20.0), (10.0, 100.0, 20.0)), ((0.0, "wear"), (3.0, "not_wear")))
    film = SyntheticVideo(Image.new("RGB", (90, 40)), (walk,), 10.0, 10.0)
    turns = [(turn.event, turn.state, pytest.approx(turn.time)) for turn in film.turns]
    assert turns == [("appeared", "wear", 0.4), ("changed", "not_wear", 3.0), ("left", "not_wear", 8.7)]
    assert film.boxes(5.0) == {0: (45, 15, 55, 25)}
    assert film.boxes(9.5) == {}
    assert tuple(film.frame(2.0)[20, 20]) == (255, 0, 0)
    assert tuple(film.frame(5.0)[20, 50]) == (0, 0, 255)
    assert tuple(film.frame(5.0)[20, 40]) == (0, 0, 0)


@pytest.mark.parametrize("wrong", [{"people": 0}, {"people": 9}, {"seconds": 1}, {"size": (20, 20)}, {"rate": 0}])
def test_a_film_that_cannot_be_is_refused(wrong):
    with pytest.raises(DataError):
        draw_film(0, **wrong)
