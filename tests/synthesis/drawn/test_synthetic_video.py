"""Videos of drawn persons: the ground-truth events match the frames."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
from PIL import Image

from maskfit.errors import DataError
from maskfit.synthesis.drawn.person import sample_person
from maskfit.synthesis.drawn.synthetic_video import (
    PHOTOS,
    PersonSprites,
    SyntheticVideo,
    Walk,
    render_sprites,
    render_video,
)


@pytest.fixture(scope="module")
def video() -> SyntheticVideo:
    return render_video(3, 2, seconds=6, size=(160, 120), fps=10)


def test_seed_determines_the_video(video):
    other = render_video(3, 2, seconds=6, size=(160, 120), fps=10)
    assert other.events == video.events
    assert (other.frame(3.0) == video.frame(3.0)).all()
    assert render_video(4, 2, seconds=6, size=(160, 120), fps=10).events != video.events


def test_frames_have_the_expected_times_and_size(video):
    frames = list(video.frames())
    assert [time for time, _ in frames] == pytest.approx(np.arange(60) / 10)
    assert {pixels.shape for _, pixels in frames} == {(120, 160, 3)}


@pytest.mark.parametrize("seed", range(2))
def test_each_person_appears_changes_and_leaves(seed):
    video = render_video(seed, 3, seconds=12, size=(96, 96), fps=5)
    events = sorted(video.events, key=lambda event: event.person)
    for _, own in groupby(events, key=lambda event: event.person):
        events = [event.event for event in own]
        assert events[0] == "appeared"
        assert events[-1] in ("left", "ended")
        assert set(events[1:-1]) == {"changed"}
    assert [event.time for event in video.events] == sorted(event.time for event in video.events)


def test_state_change_only_alters_the_face(video):
    change = next(event for event in video.events if event.event == "changed")
    walk = video.walks[change.person]
    left, upper, right, lower = walk.sprites.face
    states = [state for _, state in walk.states]
    one, other = (np.asarray(walk.sprites.images[state], dtype=int) for state in states[:2])
    differs = np.abs(one - other).max(axis=2) > 12
    rows, columns = np.nonzero(differs)
    assert differs.any()
    # Loops and straps extend to the ears.
    assert upper < rows.mean() < lower + 0.15 * (lower - upper)
    assert left - 0.35 * (right - left) <= columns.min()
    assert columns.max() <= right + 0.35 * (right - left)


def test_sprites_have_no_background():
    sprites = render_sprites(sample_person(0, 1), 160)
    assert set(sprites.images) == set(PHOTOS)
    for picture in sprites.images.values():
        opaque = np.asarray(picture)[..., 3]
        left, upper, right, lower = map(round, sprites.face)
        assert opaque[:3].max() == 0
        assert opaque[upper + 5 : lower - 5, left + 10 : right - 10].min() == 255
        assert 0.2 < (opaque > 127).mean() < 0.8


def block(state_colours: dict[str, tuple[int, int, int]]) -> PersonSprites:
    return PersonSprites(
        {state: Image.new("RGBA", (10, 10), (*color, 255)) for state, color in state_colours.items()}, (0, 0, 10, 10)
    )


def test_boxes_and_events_follow_the_trajectory():
    sprites = block({"wear": (255, 0, 0), "not_wear": (0, 0, 255)})
    # Half outside at 0 s, whole inside from 0.4 s on, and out again on the right.
    walk = Walk(sprites, ((0.0, 0.0, 20.0), (10.0, 100.0, 20.0)), ((0.0, "wear"), (3.0, "not_wear")))
    video = SyntheticVideo(Image.new("RGB", (90, 40)), (walk,), 10.0, 10.0)
    events = [(event.event, event.state, pytest.approx(event.time)) for event in video.events]
    assert events == [("appeared", "wear", 0.4), ("changed", "not_wear", 3.0), ("left", "not_wear", 8.7)]
    assert video.boxes(5.0) == {0: (45, 15, 55, 25)}
    assert video.boxes(9.5) == {}
    assert tuple(video.frame(2.0)[20, 20]) == (255, 0, 0)
    assert tuple(video.frame(5.0)[20, 50]) == (0, 0, 255)
    assert tuple(video.frame(5.0)[20, 40]) == (0, 0, 0)


@pytest.mark.parametrize("wrong", [{"people": 0}, {"people": 9}, {"seconds": 1}, {"size": (20, 20)}, {"fps": 0}])
def test_invalid_arguments_raise(wrong):
    with pytest.raises(DataError):
        render_video(0, **wrong)
