"""Views: what each shows, that chance follows from the photo alone, and twenty members that decode each photo once."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import maskfit.inference.image_loading
from maskfit.config import aliases
from maskfit.data.image_decoding import decode
from maskfit.data.photo_dataset import Photo
from maskfit.data.preprocessing import CropResize
from maskfit.errors import DataError
from maskfit.file_io import write_json
from maskfit.inference.predictor import Predictor
from maskfit.inference.tta import TTA_METHODS, FiveCropTTA, build_tta
from maskfit.model_file import read_model_metadata
from maskfit.registry import ComponentSpec


def frame(seed: int = 0, height: int = 40, width: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("word", [*TTA_METHODS, "crops:n=3,flip=true", "five:flip=true", "five:scale=1"])
def test_views_are_as_many_as_they_say_and_of_the_photos_size(word):
    views = build_tta(word)
    photo = frame()
    before = photo.copy()
    seen = views(photo)
    assert len(seen) == len(views)
    assert all(view.shape == photo.shape and view.dtype == np.uint8 for view in seen)
    assert np.array_equal(photo, before)


@pytest.mark.parametrize("name", TTA_METHODS)
def test_only_views_that_depend_on_pixels_change_with_them(name):
    views, photo = build_tta(name), frame()
    other = photo.copy()
    other[5, 5] ^= 1
    off = [np.abs(a.astype(int) - b).max() for a, b in zip(views(photo), views(other), strict=True)]
    assert (max(off) > 1) == views.depends_on_pixels


def test_original_and_flip():
    photo = frame()
    assert np.array_equal(build_tta("original")(photo)[0], photo)
    first, second = build_tta("flip")(photo)
    assert np.array_equal(first, photo)
    for row in range(40):
        assert [list(pixel) for pixel in second[row]] == [list(pixel) for pixel in photo[row]][::-1]


def test_five_are_the_centre_and_the_corners():
    """Of a photo of four blocks of one colour each; at a part's edge the resize sees the neighbour."""
    photo = np.zeros((40, 40, 3), dtype=np.uint8)
    for row in range(2):
        for column in range(2):
            photo[20 * row : 20 * row + 20, 20 * column : 20 * column + 20] = 50 * (1 + 2 * row + column)
    seen = build_tta("five:scale=0.5")(photo)
    assert [set(view[2:-2, 2:-2].ravel().tolist()) for view in seen[1:]] == [{50}, {100}, {150}, {200}]
    # The centre holds a quarter of each block.
    assert [seen[0][y, x, 0] for y in (5, 35) for x in (5, 35)] == [50, 100, 150, 200]
    mirrored = build_tta("five:scale=0.5,flip=true")(photo)
    assert all(np.array_equal(mirrored[5 + number], seen[number][:, ::-1]) for number in range(5))
    assert all(np.array_equal(view, photo) for view in build_tta("five:scale=1")(photo))


def test_crops_are_parts_of_the_photo_of_the_area_they_should_have():
    """A photo whose two colours say where each pixel came from gives the box of a crop away."""
    side = 200
    ramp = np.linspace(0, 255, side)
    photo = np.zeros((side, side, 3), dtype=np.uint8)
    photo[..., 0], photo[..., 1] = ramp[None, :], ramp[:, None]
    views = build_tta("crops:n=60,seed=3,area=[0.3,0.6],ratio=[0.8,1.25]")(photo)
    spans = np.array([[np.ptp(view[..., channel]) / 255 for channel in (0, 1)] for view in views])
    areas, ratios = spans.prod(axis=1), spans[:, 0] / spans[:, 1]
    assert 0.27 < areas.min() < 0.36
    assert 0.54 < areas.max() < 0.63
    assert 0.78 < ratios.min() < 0.9
    assert 1.1 < ratios.max() < 1.28
    lefts = [int(view[..., 0].min()) for view in views]
    assert min(lefts) < 15
    assert max(lefts) > 80
    # Left stays left, up stays up.
    assert all(
        view[:, -1, 0].mean() > view[:, 0, 0].mean() and view[-1, :, 1].mean() > view[0, :, 1].mean() for view in views
    )


def test_chance_follows_from_the_photo_and_the_seed():
    first, second = (build_tta("crops:n=4,seed=1") for _ in range(2))
    assert np.array_equal(first(frame(0)), second(np.asfortranarray(frame(0))))
    others = build_tta("crops:n=4,seed=2")(frame(0)), first(frame(1))
    assert all(not np.array_equal(first(frame(0)), other) for other in others)
    # Calls in between have no say.
    assert np.array_equal(first(frame(0)), second(frame(0)))
    assert not np.array_equal(first(frame(0))[0], first(frame(0))[1])


def test_words_and_parts_are_the_same():
    photo = frame()
    expected = build_tta(ComponentSpec.create("crops", n=2, seed=5, area=[0.2, 0.5]))(photo)
    for word in ("crops:n=2,seed=5,area=[0.2,0.5]", "{name: crops, n: 2, seed: 5, area: [0.2, 0.5]}"):
        assert np.array_equal(build_tta(word)(photo), expected)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("flop", "there is no TTA method 'flop'; did you mean 'flip'"),
        ("crops:m=2", "no option 'm'"),
        ("crops:n", "an option has no value"),
        ("crops:n=1,n=2", "duplicate key n"),
        ("crops:n=0", "n must be in 1 to 100, got 0"),
        ("crops:area=[0.9,0.1]", "two ascending fractions"),
        ("crops:ratio=[0,1]", "two ascending numbers"),
        ("five:scale=2", "must be in"),
        ("{n: 2}", "is not a name with options"),
        ("", "is not a name with options"),
    ],
)
def test_what_is_wrong_with_views_is_said(word, said):
    with pytest.raises(DataError, match=r"TTA method|test-time augmentation") as caught:
        build_tta(word)
    assert said in str(caught.value)


def test_an_old_name_is_accepted_with_one_warning(monkeypatch):
    monkeypatch.setattr(aliases, "_warned", set())
    with pytest.warns(FutureWarning, match="five is now .*five_crop") as caught:
        built = [build_tta("five:scale=0.8"), build_tta(ComponentSpec.create("five", scale=0.8))]
    assert built == [FiveCropTTA(scale=0.8)] * 2
    assert len(caught) == 1


def test_the_answer_is_the_mean_over_the_views(models, photos):
    """Each view is given to the network by hand, as a photo that already has the frame's size."""
    size = read_model_metadata(models["attributes"]).preprocessing.crop_resize.size
    views = build_tta("crops:n=3,seed=7")
    predictor = Predictor.load(models["attributes"])
    framing = CropResize(size=size)
    seen = [[np.ascontiguousarray(view) for view in views(framing(decode(path)))] for path in photos]
    rows = [predictor.predict([each[number] for each in seen]).table.probabilities for number in range(3)]
    found = Predictor.load(models["attributes"], tta=ComponentSpec.create("crops", n=3, seed=7)).predict(photos)
    assert np.abs(found.table.probabilities - np.mean(rows, axis=0)).max() < 1e-6
    assert np.ptp(rows, axis=0).max() > 0.05


def test_a_second_run_writes_the_same_file_whatever_the_batches_names_and_order(models, photos, tmp_path):
    words = {"tta": "crops:n=3", "batch_size": 4}
    first = Predictor.load(models["joint"], models["decades"], **words).predict(photos).table
    again = Predictor.load(models["joint"], models["decades"], **words).predict(photos).table
    files = [first.write(tmp_path / "a.csv"), again.write(tmp_path / "b.csv")]
    assert files[0].read_bytes() == files[1].read_bytes()
    words["batch_size"] = 7
    renamed = [Photo(path, f"other {path.name}", "x") for path in reversed(photos)]
    turned = Predictor.load(models["joint"], models["decades"], **words).predict(renamed).table
    assert np.abs(turned.probabilities[::-1] - first.probabilities).max() < 1e-6


def test_five_folds_with_two_checkpoints_and_two_views_decode_each_photo_once(
    tmp_path, models, photos, write_run, monkeypatch
):
    """Seed s1's twenty members."""
    run = write_run(tmp_path / "run", ["attributes", "sibling", "joint", "decades", "cropped"])
    seconds = ["sibling", "attributes", "decades", "joint", "attributes"]
    for number, name in enumerate(seconds):
        fold = run / f"fold{number}"
        (fold / "epoch003.safetensors").write_bytes(models[name].read_bytes())
        rows = [("best.safetensors", 5, 0.7), ("epoch003.safetensors", 3, 0.6)]
        write_json(
            fold / "models.json", [{"file": file, "epoch": epoch, "score": score} for file, epoch, score in rows]
        )
    decoded: list[Path] = []
    looks: list[int] = []
    lock = threading.Lock()

    def count(path: Path) -> np.ndarray:
        with lock:
            decoded.append(path)
        return decode(path)

    monkeypatch.setattr(maskfit.inference.image_loading, "decode", count)
    predictor = Predictor.load(run, tta="flip", top_k=2, batch_size=len(photos))
    for member in predictor.members:
        real = member.engine.logits
        monkeypatch.setattr(
            member.engine, "logits", lambda batch, real=real: looks.append(len(batch)) or real(batch), raising=False
        )
    prediction = predictor.predict(photos)
    assert sorted(decoded) == sorted(photos)
    assert looks == [len(photos)] * 20
    assert len(prediction.members) == 10
    monkeypatch.undo()
    each = [
        Predictor.load(models[name], tta="flip").predict(photos).table.probabilities
        for name in ["attributes", "sibling", "joint", "decades", "cropped", *seconds]
    ]
    assert np.abs(prediction.table.probabilities - np.mean(each, axis=0)).max() < 1e-6


def test_images_of_one_colour_have_views_too():
    photo = np.asarray(Image.new("RGB", (8, 8), (9, 9, 9)))
    for name in TTA_METHODS:
        assert all((view == 9).all() for view in build_tta(name)(photo))


def test_random_resized_crop_has_torchvisions_ranges():
    views = build_tta("random_resized_crop")
    assert len(views) == 2
    assert (tuple(views.area), tuple(views.ratio)) == ((0.08, 1.0), (3 / 4, 4 / 3))
    assert len(build_tta("random_resized_crop:n=3,flip=true")) == 6
