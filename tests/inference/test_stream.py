"""Streaming: answers batch by batch are those of all at once, and no more photos are taken than a few batches."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskfit.data import fast_downscale, preprocessing
from maskfit.errors import DataError
from maskfit.inference import image_loading
from maskfit.inference.ensemble_runner import Member, open_members
from maskfit.inference.image_loading import PREFETCH_BATCHES, batched, run_batches_in_parallel
from maskfit.inference.precision_cascade import NUM_APPROXIMATE_PROBES, NUM_PROBE_IMAGES
from maskfit.inference.predictor import Predictor


@pytest.mark.parametrize("num_workers", [1, 3])
def test_batches_in_order_are_the_whole_prediction(models, photos, num_workers):
    members = open_members([models["attributes"], models["joint"]])
    expected = Predictor(members, tta="flip").predict(photos)
    predictor = Predictor(members, tta="flip", batch_size=2, num_workers=num_workers)
    with closing(predictor.stream(iter(photos))) as stream:
        parts = list(stream)
    assert [len(part) for part in parts] == [2, 2, 2, 2, 2, 1]
    assert tuple(name for part in parts for name in part.names) == expected.table.names
    found = np.concatenate([part.probabilities for part in parts])
    assert np.abs(found - expected.table.probabilities).max() < 1e-6
    for member, shares in expected.members.items():
        assert np.abs(np.concatenate([part.members[member] for part in parts]) - shares).max() < 1e-6


def test_photos_without_end_are_taken_as_they_are_needed(models, photos):
    taken = []

    def endless() -> Iterator[bytes]:
        for number in count():
            taken.append(number)
            yield photos[number % len(photos)].read_bytes()

    before = threading.active_count()
    predictor = Predictor(open_members([models["attributes"]]), batch_size=3, num_workers=2)
    with closing(predictor.stream(endless())) as stream:
        first = [next(stream) for _ in range(4)]
    assert [name for part in first for name in part.names] == [f"photo {number}" for number in range(12)]
    assert len(taken) <= 3 * (4 + 2 + PREFETCH_BATCHES)
    assert threading.active_count() == before


def test_what_cannot_be_read_is_told_by_its_batch_or_ends_all(models, photos, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_text("no photo")
    predictor = Predictor(open_members([models["attributes"]]), batch_size=2)
    mixed = [photos[0], bad, photos[1], photos[2]]
    parts = list(predictor.stream(mixed, skip_unreadable=True))
    assert [list(part.unreadable) for part in parts] == [[str(bad)], []]
    assert [part.num_processed for part in parts] == [2, 2]
    answered = []
    with pytest.raises(DataError, match=r"1 photo cannot be read(.|\n)*bad\.jpg"):
        answered += [part.names for part in predictor.stream(iter([*mixed, *photos[3:]]))]
    with pytest.raises(DataError, match="1 photo cannot be read"):
        list(predictor.stream([bad], skip_unreadable=True))
    with pytest.raises(DataError, match="duplicate photo names"):
        next(predictor.stream([photos[0], photos[0]]))


def test_one_batch_of_names_and_bytes(models, photos):
    predictor = Predictor(open_members([models["attributes"]]))
    expected = predictor.predict(photos[:3]).table
    given = [(f"s3://{path.name}", path.read_bytes()) for path in photos[:3]]
    answers = predictor.predict_batch([*given, ("broken", b"\xff\xd8\xff")])
    assert answers.names == tuple(name for name, _ in given)
    assert np.abs(answers.probabilities - expected.probabilities).max() < 1e-6
    assert list(answers.unreadable) == ["broken"]
    assert [record["class"] for record in answers.records()] == expected.predictions.tolist()


class Noisy:
    """A low-precision engine: its logits have random errors; its f32 twin is the engine itself."""

    def __init__(self, engine, size: float) -> None:
        self.f32_twin, self.metadata, self.description, self.size = engine, engine.metadata, "noisy", size
        self.on_gpu, self.pixel_tolerance = False, "none"
        self.low_precision_error = None
        self.asked = 0
        self.seen: list[np.ndarray] = []

    def logits(self, frames):
        self.asked += len(frames)
        self.seen += [frame.copy() for frame in frames] if self.pixel_tolerance != "none" else []
        chance = np.random.default_rng(int(frames.sum()))
        return {
            head: values + chance.normal(0, self.size, values.shape).astype(np.float32)
            for head, values in self.f32_twin.logits(frames).items()
        }


@pytest.mark.parametrize(("size", "num_workers"), [(0.02, 2), (100.0, 1)])
def test_close_answers_of_fewer_bits_are_asked_again(models, size, num_workers):
    """Photos of noise, ten times as many as are asked both ways: no answer differs, or all are asked for exactly."""
    (member,) = open_members([models["attributes"]])
    chance = np.random.default_rng(0)
    pixels = [chance.integers(0, 256, (40, 30, 3), dtype=np.uint8) for _ in range(160)]
    expected = Predictor([member]).predict(pixels).table
    noisy = Noisy(member.engine, size)
    predictor = Predictor([Member("noisy", noisy)], batch_size=8, num_workers=num_workers)
    found = predictor.predict(pixels).table
    assert (found.predictions == expected.predictions).all()
    # Where most answers turn, fewer bits are of no use, and are not asked after the first photos.
    assert noisy.asked == (NUM_PROBE_IMAGES if size > 1 else 160)
    if size < 1:
        assert np.abs(found.probabilities - expected.probabilities).max() > 1e-4
    again = Predictor([Member("noisy", noisy)], batch_size=8, num_workers=num_workers).predict(pixels).table
    assert (again.probabilities == found.probabilities).all()


@pytest.fixture
def portraits() -> list[np.ndarray]:
    """Photos three times as large as the networks take them, ten times as many as are asked both ways."""
    chance = np.random.default_rng(0)
    coarse = [Image.fromarray(chance.integers(0, 256, (24, 18, 3), dtype=np.uint8)) for _ in range(160)]
    return [np.asarray(image.resize((72, 96), Image.Resampling.BICUBIC)) for image in coarse]


def noisy_member(models, size: float = 0.02) -> Member:
    (member,) = open_members([models["attributes"]])
    engine = Noisy(member.engine, size)
    engine.pixel_tolerance = "any"
    return Member("noisy", engine)


@pytest.fixture
def visibly_approximate(monkeypatch):
    """Approximate pixels are off in the first byte: of images this small all may be Pillow's."""
    pytest.importorskip("cykooz_resizer")

    def downscale(*rest):
        image = fast_downscale.downscale(*rest)
        if image is not None:
            image = image.copy()
            image[0, 0, 0] ^= 1
        return image

    monkeypatch.setattr(preprocessing, "downscale", downscale)


def exact_frames(member: Member, images: list[np.ndarray]) -> list[np.ndarray]:
    return [member.engine.metadata.preprocessing.crop_resize(pixels) for pixels in images]


@pytest.mark.parametrize("tta", ["original", "flip"])
def test_low_precision_sees_approximate_pixels_and_f32_those_of_training(models, portraits, visibly_approximate, tta):
    member = noisy_member(models)
    expected = Predictor(open_members([models["attributes"]]), tta=tta).predict(portraits).table
    found = Predictor([member], tta=tta, batch_size=8, num_workers=2).predict(portraits).table
    assert (found.predictions == expected.predictions).all()
    # The probes and the photos that were computed again, from the pixels of training.
    again = (np.abs(found.probabilities - expected.probabilities).max(axis=1) < 1e-6).sum()
    assert NUM_APPROXIMATE_PROBES <= again < 80
    assert again > NUM_APPROXIMATE_PROBES or tta == "flip"
    exact = {frame.tobytes() for frame in exact_frames(member, portraits)}
    assert len(member.engine.seen) == 160 * (2 if tta == "flip" else 1)
    assert not any(frame.tobytes() in exact for frame in member.engine.seen)


def test_no_pixels_are_approximate_where_nothing_gains_or_views_depend_on_them(models, portraits, visibly_approximate):
    def is_exact(images, member, **options) -> bool:
        expected = {frame.tobytes() for frame in exact_frames(member, images)}
        list(Predictor([member], **options).stream(iter(images)))
        return all(frame.tobytes() in expected for frame in member.engine.seen)

    assert not is_exact(portraits[:32], noisy_member(models))
    assert is_exact([pixels[:30, :40] for pixels in portraits[:32]], noisy_member(models))  # as small as the input
    member = noisy_member(models)
    member.engine.pixel_tolerance = "none"
    assert is_exact(portraits[:32], member)
    assert not Predictor([noisy_member(models)], tta="crops").runner.allows_approximate_pixels
    assert not Predictor([noisy_member(models)], vote="majority").runner.allows_approximate_pixels
    assert Predictor([noisy_member(models)], tta="five_crop").runner.allows_approximate_pixels


@pytest.mark.parametrize(("tolerance", "one", "two_views"), [("any", True, True), ("single_pass", True, False)])
def test_bf16_has_approximate_pixels_where_a_photo_passes_one_network_once(models, tolerance, one, two_views):
    pytest.importorskip("cykooz_resizer")
    member, other = noisy_member(models), noisy_member(models)
    member.engine.pixel_tolerance = other.engine.pixel_tolerance = tolerance
    assert Predictor([member]).runner.allows_approximate_pixels is one
    assert Predictor([member], tta="flip").runner.allows_approximate_pixels is two_views
    pair = [member, Member("other", other.engine)]
    assert Predictor(pair).runner.allows_approximate_pixels is two_views


def test_where_low_precision_is_useless_all_is_exact(models, portraits):
    expected = Predictor(open_members([models["attributes"]]), batch_size=8).predict(portraits).table
    found = Predictor([noisy_member(models, 100.0)], batch_size=8).predict(portraits).table
    assert (found.probabilities == expected.probabilities).all()


def test_large_photos_are_read_again_and_not_kept(models, portraits, tmp_path, monkeypatch):
    pytest.importorskip("cykooz_resizer")
    paths = [tmp_path / f"{number:03}.png" for number in range(len(portraits))]
    for path, pixels in zip(paths, portraits, strict=True):
        Image.fromarray(pixels).save(path)
    kept = Predictor([noisy_member(models)], batch_size=8).predict(paths).table
    monkeypatch.setattr(image_loading, "MAX_KEPT_BYTES", 1000)
    read: list[Path] = []
    decode = image_loading.decode
    monkeypatch.setattr(image_loading, "decode", lambda path: read.append(path) or decode(path))
    again = Predictor([noisy_member(models)], batch_size=8).predict(paths).table
    assert (again.probabilities == kept.probabilities).all()
    assert len(paths) + NUM_APPROXIMATE_PROBES < len(read) < 1.5 * len(paths)
    remote = [image_loading.RemotePhoto(path.name, path.read_bytes) for path in paths]
    monkeypatch.setattr(image_loading, "decode", lambda content, name: decode(content, name=name))
    member = noisy_member(models)
    Predictor([member], batch_size=8).predict(remote)
    assert all((a == b).all() for a, b in zip(member.engine.seen, exact_frames(member, portraits), strict=True))


@pytest.mark.parametrize("change", ["gone", "other size", "damaged"])
def test_a_photo_that_changes_while_it_is_predicted_ends_nothing(models, tmp_path, portraits, monkeypatch, change):
    pytest.importorskip("cykooz_resizer")
    paths = [tmp_path / f"{number:03}.png" for number in range(len(portraits))]
    for path, pixels in zip(paths, portraits, strict=True):
        Image.fromarray(pixels).save(path)
    monkeypatch.setattr(image_loading, "MAX_KEPT_BYTES", 1000)
    expected = Predictor(open_members([models["attributes"]]), batch_size=8).predict(paths).table
    decode = image_loading.decode

    def decode_once(path: Path) -> np.ndarray:
        pixels = decode(path)
        if change == "gone":
            path.unlink()
        elif change == "other size":
            Image.fromarray(pixels[1:]).save(path)
        else:
            path.write_bytes(path.read_bytes()[:200])
        return pixels

    monkeypatch.setattr(image_loading, "decode", decode_once)
    member = noisy_member(models)
    found = Predictor([member], batch_size=8).predict(paths, skip_unreadable=True)
    assert len(found.table) == len(paths)
    assert not found.unreadable
    # f32 saw the pixels of the first pass, and its answers are those of the exact ones but for a hair.
    assert (
        np.abs(
            found.table.probabilities[:NUM_APPROXIMATE_PROBES] - expected.probabilities[:NUM_APPROXIMATE_PROBES]
        ).max()
        < 0.02
    )
    assert (found.table.predictions == expected.predictions).mean() > 0.95


def test_large_images_in_memory_are_not_kept(portraits, monkeypatch):
    monkeypatch.setattr(image_loading, "MAX_KEPT_BYTES", 10_000)
    pixels = portraits[0]
    assert pixels.nbytes > 10_000
    assert image_loading.keep_or_reload(pixels, pixels) is None
    assert image_loading.keep_or_reload(Image.fromarray(pixels), pixels) is None
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG")
    assert len(stream.getvalue()) < 10_000
    reload = image_loading.keep_or_reload(stream.getvalue(), pixels)
    assert reload is not None
    assert reload().shape == pixels.shape
    assert image_loading.keep_or_reload(pixels.tobytes(), pixels) is None
    small = image_loading.keep_or_reload(pixels[:8], pixels[:8])
    assert small is not None
    assert (small() == pixels[:8]).all()


def test_votes_that_jump_are_asked_for_exactly(models, photos):
    members = open_members([models["attributes"], models["sibling"]])
    noisy = [Member(member.name, Noisy(member.engine, 0.1)) for member in members]
    expected = Predictor(members, vote="majority").predict(photos).table
    found = Predictor(noisy, vote="majority").predict(photos).table
    assert (found.probabilities == expected.probabilities).all()
    assert [member.engine.asked for member in noisy] == [0, 0]


def test_lanes_keep_order_and_bounds_and_hand_on_errors():
    begun: list[int] = []
    batches = run_batches_in_parallel(
        batched(range(100), 7), lambda item: begun.append(item) or item * 2, sum, num_workers=3, num_readers=2
    )
    assert next(batches) == sum(range(0, 14, 2))
    assert max(begun) < 7 * (3 + PREFETCH_BATCHES)
    assert sum(batches) + sum(range(0, 14, 2)) == 2 * sum(range(100))
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        list(run_batches_in_parallel(batched(range(50), 5), lambda item: 1 / (item - 20), sum, num_workers=2))
    assert threading.active_count() == before


@pytest.mark.openvino
def test_openvino_in_lanes_checked_answers_as_f32(exported, photos):
    chance = np.random.default_rng(1)
    pixels = [chance.integers(0, 256, (40, 30, 3), dtype=np.uint8) for _ in range(300)]
    path = exported["attributes"]
    expected = Predictor.load(path, engine="openvino").predict(pixels).table
    predictor = Predictor.load(path, engine="openvino:precision=checked", num_images=300, batch_size=None)
    assert (predictor.batch_size, predictor.num_workers >= 1) == (64, True)
    found = predictor.predict(pixels).table
    assert (found.predictions != expected.predictions).sum() <= 1
    assert Path(predictor.members[0].name) == path
    assert predictor.engines == ("OpenVINO, f32 for the first images, then bf16 where that is safe",)


def test_a_process_keeps_to_the_cores_that_it_was_left(monkeypatch):
    monkeypatch.setattr(image_loading, "_cpu_limit", [])
    here = image_loading.available_cpus()
    image_loading.limit_cpus(1)
    assert image_loading.available_cpus() == 1
    image_loading.limit_cpus(here + 5)
    assert image_loading.available_cpus() == here
