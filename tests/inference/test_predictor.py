"""The predictor against a slow loop written by hand, and everything that must not change its answers."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

import maskfit.inference.image_loading
from maskfit.config import aliases
from maskfit.data.image_decoding import decode
from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError, ModelFileError
from maskfit.inference.ensemble.voting import combine
from maskfit.inference.ensemble_runner import Member, open_members
from maskfit.inference.predictor import Predictor
from maskfit.labels.schema import JOINT_HEAD
from maskfit.model_file import load_model

BANDS = {"<20": 0, "20-29": 0, "30-39": 1, "40-49": 1, "50-59": 1, ">=60": 2, "<30": 0, "30-59": 1}
"""Every age value as its official band."""


def by_hand(path: Path, model: Path, *, mirrored: bool = False) -> np.ndarray:
    """The 18 probabilities of one photo, one model and one view, without anything of the predictor's."""
    network, facts = load_model(model)
    pixels = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    height, width = facts.preprocessing.crop_resize.size
    options = facts.preprocessing.crop_resize.crop.options
    wide = min(pixels.width, pixels.height * width / height) * options.get("scale", 1)
    high = wide * height / width
    left, upper = (pixels.width - wide) / 2, (pixels.height - high) / 2 + options.get("shift", 0) * pixels.height
    upper = min(max(upper, 0), pixels.height - high)
    seen = np.asarray(
        pixels.resize((width, height), Image.Resampling.BILINEAR, (left, upper, left + wide, upper + high))
    )
    if mirrored:
        seen = seen[:, ::-1]
    normalising = facts.preprocessing.normalization
    numbers = (seen / 255 - np.array(normalising.mean)) / np.array(normalising.std)
    with torch.inference_mode():
        logits = network(torch.from_numpy(numbers.transpose(2, 0, 1)[None].astype(np.float32)))
    shares = {head: torch.softmax(values[0].double(), 0).tolist() for head, values in logits.items()}
    answer = np.zeros(18)
    ages = facts.label_schema["age"].values
    for mask in range(3):
        for gender in range(2):
            for age, name in enumerate(ages):
                if JOINT_HEAD in shares:
                    share = shares[JOINT_HEAD][(mask * 2 + gender) * len(ages) + age]
                else:
                    share = shares["mask"][mask] * shares["gender"][gender] * shares["age"][age]
                answer[6 * mask + 3 * gender + BANDS[name]] += share
    return answer


@pytest.mark.parametrize("name", ["attributes", "joint", "decades", "joint-decades", "cropped"])
def test_one_model_is_the_slow_loop(models, photos, name):
    found = Predictor.load(models[name]).predict(photos).table
    expected = np.stack([by_hand(path, models[name]) for path in photos])
    assert np.abs(found.probabilities - expected).max() < 1e-5
    assert np.ptp(expected, axis=0).max() > 0.05
    assert found.names == tuple(map(str, photos))


def test_members_and_views_are_the_mean_of_the_slow_loop(models, photos):
    names = ["attributes", "joint", "decades", "cropped"]
    prediction = Predictor.load(*(models[name] for name in names), tta="flip").predict(photos)
    each = {
        str(models[name]): np.stack(
            [(by_hand(path, models[name]) + by_hand(path, models[name], mirrored=True)) / 2 for path in photos]
        )
        for name in names
    }
    assert list(prediction.members) == list(each)
    for member, expected in each.items():
        assert np.abs(prediction.members[member] - expected).max() < 1e-5
    assert np.abs(prediction.table.probabilities - np.mean(list(each.values()), axis=0)).max() < 1e-5


@pytest.mark.parametrize("name", ["geometric", "majority", "majority_per_attribute"])
def test_the_vote_is_over_the_members_probabilities(models, photos, name):
    predictor = Predictor.load(models["attributes"], models["sibling"], models["joint"], vote=name)
    prediction = predictor.predict(photos)
    expected = combine(name, list(prediction.members.values()), schema=predictor.schema)
    assert np.array_equal(prediction.table.probabilities, expected)


def test_flip_is_the_mean_of_a_photo_and_its_mirror(models, photos):
    pixels = [decode(path) for path in photos]
    once = Predictor.load(models["joint"])
    both = Predictor.load(models["joint"], tta="flip").predict(pixels).table.probabilities
    as_is = once.predict(pixels).table.probabilities
    mirrored = once.predict([np.ascontiguousarray(photo[:, ::-1]) for photo in pixels]).table.probabilities
    # The crop of a mirrored photo is the mirrored crop only up to the rounding of the resampling.
    assert np.abs(both - (as_is + mirrored) / 2).max() < 2e-2
    assert np.abs(as_is - mirrored).max() > 0.05
    again = Predictor.load(models["joint"], tta="flip").predict([photo[:, ::-1] for photo in pixels]).table
    assert np.abs(both - again.probabilities).max() < 2e-2


def test_each_photo_is_decoded_once(models, photos, monkeypatch):
    decoded: list[Path] = []
    lock = threading.Lock()

    def count(path: Path) -> np.ndarray:
        with lock:
            decoded.append(path)
        return decode(path)

    monkeypatch.setattr(maskfit.inference.image_loading, "decode", count)
    names = ["attributes", "sibling", "joint", "decades", "cropped"]
    Predictor.load(*(models[name] for name in names), tta="flip", batch_size=4).predict(photos)
    assert sorted(decoded) == sorted(photos)


def test_the_order_of_the_list_is_kept(models, photos):
    predictor = Predictor.load(models["attributes"], models["joint"], batch_size=3)
    straight = predictor.predict(photos).table
    rows = dict(zip(straight.names, straight.probabilities, strict=True))
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(photos))
        shuffled = [photos[place] for place in order]
        table = predictor.predict(shuffled).table
        assert table.names == tuple(map(str, shuffled))
        expected = np.stack([rows[name] for name in table.names])
        assert np.abs(table.probabilities - expected).max() < 1e-6


@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_the_batch_size_changes_no_answer(models, exported, photos, engine):
    model = {"torch": models, "onnx": exported}[engine]["attributes"]
    tables = [
        Predictor.load(model, tta="flip", batch_size=size).predict(photos).table.probabilities for size in (1, 7, 64)
    ]
    assert np.abs(tables[0] - tables[1]).max() < 1e-6
    assert np.abs(tables[0] - tables[2]).max() < 1e-6


def test_pixels_paths_and_photos_are_the_same(models, photos):
    predictor = Predictor.load(models["attributes"])
    expected = predictor.predict(photos).table.probabilities
    pixels = [decode(path) for path in photos]
    kinds = {
        "text": [str(path) for path in photos],
        "photos": [Photo(path, f"eval/{number}", "someone") for number, path in enumerate(photos)],
        "pixels": pixels,
        "read only": [photo.copy() for photo in pixels],
        "a view of BGR": [np.ascontiguousarray(photo[..., ::-1])[..., ::-1] for photo in pixels],
    }
    for photo in kinds["read only"]:
        photo.flags.writeable = False
    for kind, given in kinds.items():
        table = predictor.predict(given).table
        assert np.abs(table.probabilities - expected).max() < 1e-6, kind
    assert predictor.predict(kinds["photos"][:2]).table.names == ("eval/0", "eval/1")
    assert predictor.predict(pixels[:2]).table.names == ("photo 0", "photo 1")


def test_a_prediction_reads_as_words(models, photos):
    prediction = Predictor.load(models["attributes"]).predict(photos)
    rows = list(prediction)
    assert [name for name, _, _ in rows] == [str(path) for path in photos]
    for (_, words, share), row in zip(rows, prediction.table.probabilities, strict=True):
        assert words == prediction.schema.describe(int(row.argmax()))
        assert share == row.max()


@pytest.fixture
def spoilt(tmp_path, photos) -> list[Path]:
    """Good photos and bad ones: 0 and 5 cannot be read, 3 is missing."""
    paths = [tmp_path / f"{number}.jpg" for number in range(7)]
    for number, path in enumerate(paths):
        if number != 3:
            path.write_bytes(photos[1].read_bytes())
    paths[0].write_text("no photo at all")
    paths[5].write_bytes(b"")
    return paths


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_all_unreadable_photos_of_a_list_are_named(models, spoilt, batch_size):
    with pytest.raises(DataError) as caught:
        Predictor.load(models["attributes"], batch_size=batch_size).predict(spoilt)
    said = str(caught.value)
    assert said.startswith("3 photos cannot be read")
    assert [f"{number}.jpg:" in said for number in range(7)] == [True, False, False, True, False, True, False]
    assert "there is no such photo" in said
    assert "the file is empty" in said


def test_many_unreadable_photos_are_all_named(models, tmp_path):
    with pytest.raises(DataError) as caught:
        Predictor.load(models["attributes"]).predict([tmp_path / f"{number}.jpg" for number in range(150)])
    assert all(f"/{number}.jpg:" in str(caught.value) for number in range(150))


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_unreadable_photos_can_be_set_aside(models, spoilt, batch_size):
    prediction = Predictor.load(models["attributes"], batch_size=batch_size).predict(spoilt, skip_unreadable=True)
    assert prediction.table.names == tuple(str(spoilt[number]) for number in (1, 2, 4, 6))
    assert list(prediction.unreadable) == [str(spoilt[number]) for number in (0, 3, 5)]
    assert len(prediction.members[str(models["attributes"])]) == 4
    assert "no such photo" in prediction.unreadable[str(spoilt[3])]


def test_nothing_readable_is_an_error_even_when_set_aside(models, spoilt):
    with pytest.raises(DataError, match="2 photos cannot be read"):
        Predictor.load(models["attributes"]).predict([spoilt[0], spoilt[5]], skip_unreadable=True)


@pytest.mark.parametrize("set_aside", [True, False])
def test_no_photos_are_an_error(models, set_aside):
    with pytest.raises(DataError, match="there are no photos"):
        Predictor.load(models["attributes"]).predict([], skip_unreadable=set_aside)


def test_photos_of_one_name_are_refused_before_anything_is_looked_at(models, photos):
    done = []
    with pytest.raises(DataError, match=r"duplicate photo names(.|\n)*b0\.png"):
        Predictor.load(models["attributes"]).predict(
            [photos[0], photos[1], str(photos[0])], progress=lambda *both: done.append(both)
        )
    assert done == []


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((9, 9), np.uint8),
        np.zeros((9, 9, 4), np.uint8),
        np.zeros((9, 9, 3), np.float32),
        np.zeros((0, 9, 3), np.uint8),
        np.zeros((1, 9, 9, 3), np.uint8),
    ],
)
def test_pixels_that_are_no_photo_are_refused(models, pixels):
    good = np.zeros((9, 9, 3), np.uint8)
    predictor = Predictor.load(models["attributes"])
    with pytest.raises(DataError, match="photo 1: pixels must be"):
        predictor.predict([good, pixels])
    assert predictor.predict([good, pixels], skip_unreadable=True).table.names == ("photo 0",)


def test_progress_reaches_the_end(models, photos):
    steps: list[tuple[int, int]] = []
    Predictor.load(models["attributes"], batch_size=4).predict(photos, progress=lambda *both: steps.append(both))
    assert steps == [(4, 11), (8, 11), (11, 11)]


def test_what_stops_a_prediction_stops_the_decoding(models, photos, monkeypatch):
    decoded = []

    def slow(path: Path) -> np.ndarray:
        decoded.append(path)
        return np.zeros((9, 9, 3), np.uint8)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(maskfit.inference.image_loading, "decode", slow)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt) as caught:
        Predictor.load(models["attributes"], batch_size=2).predict(
            [f"{number}.jpg" for number in range(500)], progress=interrupt
        )
    assert caught.traceback
    assert len(decoded) <= 10
    assert threading.active_count() == before


def test_members_of_different_schemes_are_refused(models):
    with pytest.raises(ModelFileError, match="this model predicts"):
        Predictor.load(models["attributes"], models["mask"])
    members = open_members([models["attributes"]]) + open_members([models["mask"]])
    with pytest.raises(ModelFileError, match="this model predicts"):
        Predictor(members)


def test_no_members_and_one_twice_are_refused(models):
    with pytest.raises(ModelFileError, match="no model was named"):
        Predictor([])
    engine = open_members([models["mask"]])[0].engine
    with pytest.raises(ModelFileError, match="twice"):
        Predictor([Member("a", engine), Member("a", engine)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tta": "flop"}, "did you mean 'flip'"),
        ({"vote": "geometrc"}, "did you mean 'geometric'"),
        ({"vote": "median"}, "there is no vote 'median'; known"),
        ({"batch_size": 0}, "batch_size must be >= 1, got 0"),
    ],
)
def test_options_are_checked_before_photos_are_looked_at(models, options, message):
    with pytest.raises(DataError, match=message):
        Predictor.load(models["mask"], **options)


def test_an_old_name_of_a_vote_is_accepted_with_one_warning(models, monkeypatch):
    monkeypatch.setattr(aliases, "_warned", set())
    with pytest.warns(FutureWarning, match="hard is now .*majority") as caught:
        predictors = [Predictor.load(models["mask"], vote="hard") for _ in range(2)]
    assert [predictor.vote for predictor in predictors] == ["majority", "majority"]
    assert len(caught) == 1


def test_one_photo_in_place_of_a_list_is_refused(models, photos):
    with pytest.raises(DataError, match="a sequence of photos is needed") as caught:
        Predictor.load(models["mask"]).predict(str(photos[0]))
    assert caught.value.hint == "put it into a list"


def test_probabilities_that_are_no_numbers_are_an_error(models, photos):
    (member,) = open_members([models["mask"]])
    logits = member.engine.logits
    member.engine.logits = lambda frames: {head: values * np.nan for head, values in logits(frames).items()}
    with pytest.raises(ModelFileError, match="non-finite probabilities"):
        Predictor([member]).predict(photos[:2])
