"""The GAN: resuming is bit-exact, and its samples are never used in a fold that holds out its training persons."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from maskfit.config.loader import read_recipe
from maskfit.data.image_cache.cache import open_image_cache
from maskfit.data.photo_dataset import PERSON_SEPARATOR
from maskfit.data.read_dataset import read_photos
from maskfit.data.splits import make_person_splits
from maskfit.errors import DataError, ModelFileError, RunError
from maskfit.labels.schema import LABEL_SCHEMAS, UNKNOWN
from maskfit.registry import ComponentSpec
from maskfit.synthesis.drawn import write_train_set
from maskfit.synthesis.gan import diff_augment, sample_grid
from maskfit.synthesis.gan.checkpoint import KEY, GanMetadata, load_generator
from maskfit.synthesis.gan.frechet_distance import frechet_distance
from maskfit.synthesis.gan.networks import SIZES, Discriminator, Generator
from maskfit.synthesis.gan.pipeline import GanTrainOptions, generate_faces
from maskfit.synthesis.gan.sampling import sample_class, sample_faces, select_classes, write_faces
from maskfit.synthesis.gan.trainer import GanTrainer
from maskfit.training.plan import make_plan

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]
PERSONS = 9


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    """One thread, since small networks are slower with more, and small image grids."""
    threads, side = torch.get_num_threads(), sample_grid.SIDE
    torch.set_num_threads(1)
    sample_grid.SIDE = 8
    yield
    torch.set_num_threads(threads)
    sample_grid.SIDE = side


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_train_set(tmp_path_factory.mktemp("gan") / "drawn", PERSONS, seed=3, size=(36, 48), workers=1)


@pytest.fixture(scope="module")
def folds(root: Path) -> Path:
    return make_person_splits(read_photos(root, SCHEMA), SCHEMA, 3, seed=0).write(root.parent / "folds.csv")


@pytest.fixture(scope="module")
def make(root: Path, folds: Path) -> Callable[..., Any]:
    """Generates faces of 16 pixels with a tiny network; keyword arguments override the options."""

    def run(out: Path, **overrides: Any) -> Any:
        options = {"split_file": folds, "size": 16, "width": 4, "batch_size": 16, "steps": 30, **overrides}
        own = {
            name: options.pop(name)
            for name in ("seed", "classes", "target_count", "judge", "progress_bar")
            if name in options
        }
        return generate_faces(
            root,
            out,
            GanTrainOptions(SCHEMA, ComponentSpec.create("center"), **options),
            cache_dir=root.parent / "stores",
            **own,
        )

    return run


@pytest.fixture(scope="module")
def made(make: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Result after 30 steps."""
    return make(tmp_path_factory.mktemp("gan") / "made")


def folder_of(made: Any) -> Path:
    folder: Path = made.samples.manifest.parent
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """Content of all files without timings."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in ("losses.csv", "gan.json"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


# Training


def test_samples_approach_the_photos_during_training(root, made, monkeypatch):
    """In coarse colors, and by the scores: the discriminator separates real and generated faces at first."""
    monkeypatch.setattr("maskfit.synthesis.gan.trainer.LEARNING_RATES", (2e-3, 4e-3))
    photos = read_photos(root, SCHEMA)
    frames = open_image_cache(photos.photos, made.metadata.crop_resize, folder=root.parent / "stores")
    trainer = GanTrainer(made.metadata.model_copy(update={"width": 8}), frames, photos.attribute_indices(SCHEMA))
    noise = np.random.default_rng(0).standard_normal((len(photos), made.metadata.latent_dim))

    def measure() -> tuple[float, float]:
        faces = (
            sample_faces(trainer.ema_generator, noise, photos.attribute_indices(SCHEMA)),
            frames.gather(np.arange(len(photos))),
        )
        coarse = [item.reshape(-1, 4, 4, 4, 4, 3).mean(axis=(2, 4)).reshape(-1, 48) / 255 for item in faces]
        return frechet_distance(*coarse), float(faces[0].std())

    before, flat = measure()
    losses = [trainer.step() for _ in range(80)]
    after, contrast = measure()
    assert after < 0.95 * before
    assert contrast > 1.5 * flat
    assert np.isfinite(losses).all()
    assert np.mean([step.real > step.made for step in losses]) > 0.8


def test_conditioning_changes_the_face_and_unknown_has_its_own_embedding():
    torch.manual_seed(0)
    network, judge = Generator(16, 4, 8, SCHEMA.shape).eval(), Discriminator(16, 4, SCHEMA.shape)
    for norm in network.norms:
        for table in norm.tables.tables:
            torch.nn.init.normal_(table.weight)
    codes = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 0, 2], [UNKNOWN, 0, 0]])
    faces = network(torch.ones(4, 8), codes)
    scores = judge(faces[:1].expand(4, -1, -1, -1), codes)
    for place, other in ((0, 1), (0, 2), (0, 3), (1, 3)):
        assert not torch.equal(faces[place], faces[other])
        assert scores[place] != scores[other]


@pytest.mark.parametrize("size", SIZES)
def test_networks_have_the_expected_shapes(size):
    codes = torch.zeros(2, 3, dtype=torch.long)
    faces = Generator(size, 2, 8, SCHEMA.shape)(torch.randn(2, 8), codes)
    assert faces.shape == (2, 3, size, size)
    assert Discriminator(size, 2, SCHEMA.shape)(faces, codes).shape == (2,)


def test_rare_classes_are_oversampled(made, root):
    class Frames:
        pass

    codes = np.repeat(SCHEMA.to_attribute_indices([0, 5]), (400, 4), axis=0)
    trainer = GanTrainer(made.metadata, Frames(), codes)
    share = float(trainer.sampling_probabilities[400:].sum())
    # By the square root of the counts: 20 to 2.
    assert share == pytest.approx(2 / 22)


# Determinism and resuming


def test_seed_determines_the_samples(make, made, tmp_path):
    again, other = content(folder_of(make(tmp_path / "a"))), content(folder_of(make(tmp_path / "b", seed=1)))
    before = content(folder_of(made))
    assert again == before
    assert set(other) == set(before)
    assert all(other[name] != before[name] for name in before if not name.endswith("csv"))


def test_resuming_is_exact_also_after_an_interruption(make, made, tmp_path):
    make(tmp_path / "two", steps=11)
    assert folder_of(make(tmp_path / "two", steps=30, resume=True)) == tmp_path / "two"

    class Stopped:
        def __init__(self, *overrides: str) -> None:
            pass

        def __enter__(self) -> Callable[[int, int], None]:
            return self.advance

        def __exit__(self, *left: object) -> None:
            pass

        def advance(self, done: int, total: int) -> None:
            if total == 30 and done == 17:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "cut", progress_bar=Stopped)
    assert not (tmp_path / "cut" / "manifest.csv").exists()
    make(tmp_path / "cut", resume=True)
    whole = content(folder_of(made))
    for name in ("two", "cut"):
        found = content(tmp_path / name)
        assert {key: found[key] for key in whole} == whole


def test_time_limit_ends_the_training(make, tmp_path):
    made = make(tmp_path / "gan", steps=10**6, minutes=0.005)
    assert 1 <= made.metadata.steps < 10**4
    assert len(list((tmp_path / "gan").rglob("*.png"))) > 2


def test_resuming_with_other_options_raises(make, made, tmp_path, root):
    for overrides, why in (({"seed": 5}, "seed"), ({"width": 5}, "width"), ({"fold": 1}, "persons")):
        with pytest.raises(DataError, match=f"the checkpoint differs in: .*{why}"):
            make(folder_of(made), resume=True, **overrides)
    with pytest.raises(DataError, match="not empty"):
        make(folder_of(made))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "precious").touch()
    with pytest.raises(DataError, match="nothing to resume"):
        make(tmp_path / "taken", resume=True)
    with pytest.raises(DataError, match="among the photos"):
        make(root / "gan")


def test_non_finite_losses_raise_and_are_not_saved(make, made, tmp_path, monkeypatch):
    make(tmp_path / "gan", steps=5)
    before = content(tmp_path / "gan")
    monkeypatch.setattr(diff_augment, "CUTOUT_RATIO", 0.0)
    monkeypatch.setattr("maskfit.synthesis.gan.trainer.diff_augment", lambda faces, rng: faces * float("nan"))
    with pytest.raises(RunError, match="non-finite losses"):
        make(tmp_path / "gan", steps=30, resume=True)
    assert content(tmp_path / "gan") == before


# Augmentation


def test_translation_and_cutout_match_a_slow_loop():
    faces = torch.rand(5, 3, 16, 16)
    moved = diff_augment._translate(faces, torch.Generator().manual_seed(1))
    down, across = torch.randint(0, 5, (2, 5, 1), generator=torch.Generator().manual_seed(1))
    for place in range(5):
        for row in range(16):
            for column in range(16):
                y, x = row + int(down[place]) - 2, column + int(across[place]) - 2
                inside = 0 <= y < 16 and 0 <= x < 16
                want = faces[place, :, y, x] if inside else torch.zeros(3)
                assert torch.equal(moved[place, :, row, column], want)
    cut = diff_augment._cutout(torch.ones(200, 3, 16, 16), torch.Generator().manual_seed(2))
    holes = (cut == 0).flatten(1).sum(dim=1) / 3
    assert holes.max() == 64
    assert holes.min() >= 16


def test_augmentation_is_differentiable_and_not_in_place():
    faces = torch.rand(4, 3, 16, 16, requires_grad=True)
    before = faces.detach().clone()
    diff_augment.diff_augment(faces, torch.Generator().manual_seed(0)).sum().backward()
    assert torch.equal(faces.detach(), before)
    assert faces.grad is not None
    assert (faces.grad.flatten(1).abs().sum(dim=1) > 0).all()


# Output


def test_samples_fill_rare_classes_and_are_reproducible_from_the_file(make, made, root, tmp_path):
    rows = read_photos(made.samples.manifest, SCHEMA)
    classes = SCHEMA.to_class_index(rows.attribute_indices(SCHEMA))
    average = round(sum(made.samples.train_counts.values()) / SCHEMA.num_classes)
    for number, count in made.samples.train_counts.items():
        assert (classes == number).sum() == (max(0, average - count) if count < average else 0)
    again = generate_faces(
        root, tmp_path / "again", folder_of(made) / "gan.safetensors", cache_dir=root.parent / "stores"
    )
    assert again.metadata == made.metadata
    for photo in rows:
        assert (tmp_path / "again" / photo.name).read_bytes() == photo.path.read_bytes()
    generator, metadata = load_generator(folder_of(made) / "gan.safetensors")
    few, many = (sample_class(generator, metadata, 5, count, 0) for count in (3, 70))
    assert np.array_equal(few, many[:3])
    assert np.array_equal(few[0], np.asarray(Image.open(folder_of(made) / "faces-000030" / "05-00000.png")))


@pytest.mark.parametrize(
    ("selection", "target_count", "wanted"),
    [
        ("thin", None, {1: 3}),
        ("thin", 8, {1: 7}),
        ("all", 10, {0: 3, 1: 9}),
        ("0", 9, {0: 2}),
        ("1,0,1", 8, {0: 1, 1: 7}),
    ],
)
def test_classes_are_selected(selection, target_count, wanted):
    assert select_classes(selection, {0: 7, 1: 1}, target_count) == wanted


@pytest.mark.parametrize(
    ("selection", "target_count", "why"),
    [
        ("thick", 9, "must be thin, all or class indices"),
        ("2", 9, "must be 0 to 1, got 2"),
        ("all", 1, "no class needs faces"),
    ],
)
def test_invalid_class_selections_raise(selection, target_count, why):
    with pytest.raises(DataError, match=why):
        select_classes(selection, {0: 7, 1: 1}, target_count)


# Data leakage


def test_no_fold_trains_on_samples_of_a_gan_that_saw_its_held_out_persons(make, made, root, folds, tmp_path):
    """With two GANs, one per fold, a training uses in each fold only the samples of that fold's GAN."""
    second = make(tmp_path / "second", fold=1)
    extra = f"[{made.samples.manifest},{second.samples.manifest}]"
    plan = make_plan(read_recipe("fast", [f"data.path={root}", f"data.extra_train={extra}", f"cv.split_file={folds}"]))
    for fold in range(3):
        train, valid = plan.split(fold)
        held_out = {plan.photos[int(place)].person for place in valid}
        used = [plan.photos[int(place)] for place in train if place >= plan.num_scored_photos]
        assert not any(held_out & set(photo.person.split(PERSON_SEPARATOR)) for photo in used)
        right = {0: made, 1: second}.get(fold)
        assert len(used) == (sum(right.samples.generated.values()) if right else 0)
        if right:
            assert {photo.path.parents[1] for photo in used} == {folder_of(right)}
            assert (
                set(used[0].person.split(PERSON_SEPARATOR))
                == {photo.person for photo in plan.photos.photos[: plan.num_scored_photos]} - held_out
            )


def test_samples_of_a_gan_trained_on_everybody_are_used_in_no_fold(make, root, folds, tmp_path):
    made = make(tmp_path / "gan", split_file=None, steps=1)
    assert len(made.metadata.persons) == PERSONS
    plan = make_plan(
        read_recipe(
            "fast", [f"data.path={root}", f"data.extra_train={made.samples.manifest}", f"cv.split_file={folds}"]
        )
    )
    assert all(plan.split(fold)[0].max() < plan.num_scored_photos for fold in range(3))


def test_resampled_faces_list_the_same_persons(made, root, tmp_path):
    again = generate_faces(root, tmp_path / "a", folder_of(made) / "gan.safetensors", target_count=3, classes="all")
    assert read_photos(again.samples.manifest, SCHEMA)[0].person == read_photos(made.samples.manifest, SCHEMA)[0].person
    strangers = write_train_set(tmp_path / "others", 1, seed=8, size=(36, 48), workers=1)
    (strangers / next(strangers.iterdir()).name).rename(strangers / "000777_female_Drawn_33")
    with pytest.raises(DataError, match="no photo of a person that the generator was trained on"):
        generate_faces(strangers, tmp_path / "b", folder_of(made) / "gan.safetensors")


# Untrusted files


@pytest.fixture
def forged(made, tmp_path) -> Callable[..., Path]:
    """A generator's file with other metadata or tensors."""
    path = folder_of(made) / "gan.safetensors"
    tensors = load_file(path)

    def forge(change: dict[str, Any], *, text: str | None = None, **others: torch.Tensor) -> Path:
        metadata = {**made.metadata.model_dump(mode="json"), **change}
        forged = tmp_path / "forged.safetensors"
        save_file({**tensors, **others}, forged, {KEY: json.dumps(metadata) if text is None else text})
        return forged

    return forge


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"width": 512, "latent_dim": 1024}, "do not match the metadata"),
        ({"width": 10**9}, "damaged"),
        ({"format": 2}, "damaged"),
        ({"code": "import os"}, "damaged"),
        ({"persons": []}, "damaged"),
        ({"crop_resize": {"crop": "center", "size": [4096, 4096]}}, "none of 16, 32"),
        ({"crop_resize": {"crop": "os.system", "size": [128, 128]}}, "do not match the metadata"),
        ({"label_schema": {"attributes": [{"name": "a", "values": ["b", "c"]}]}}, "do not match the metadata"),
    ],
)
def test_forged_metadata_raises(forged, change, why):
    with pytest.raises(ModelFileError, match=why):
        load_generator(forged(change))


def test_metadata_of_earlier_versions_is_converted(made, tmp_path):
    path = folder_of(made) / "gan.safetensors"
    values = made.metadata.model_dump(mode="json")
    crop_resize = values.pop("crop_resize")
    assert crop_resize["crop"] == "center"
    old = {
        **{key: item for key, item in values.items() if key not in ("label_schema", "latent_dim", "batch_size")},
        "scheme": values["label_schema"],
        "latent": values["latent_dim"],
        "batch": values["batch_size"],
        "framing": {**crop_resize, "background": "none", "crop": "centre"},
    }
    save_file(load_file(path), tmp_path / "old.safetensors", {KEY: json.dumps(old)})
    with pytest.warns(FutureWarning, match="6 old names are converted"):
        assert load_generator(tmp_path / "old.safetensors")[1] == made.metadata


def test_forged_tensors_raise(forged, tmp_path, made):
    for others, why in (
        ({"start.weight": torch.full((4 * 2 * 16, 128), float("nan"))}, "non-finite weights"),
        ({"start.weight": torch.zeros(2, 2)}, "do not match the metadata"),
        ({"more": torch.zeros(2)}, "do not match the metadata"),
    ):
        with pytest.raises(ModelFileError, match=why):
            load_generator(forged({}, **others))
    with pytest.raises(ModelFileError, match="damaged"):
        load_generator(forged({}, text="[" * 10**5))
    save_file({"start.weight": torch.zeros(2)}, tmp_path / "bare.safetensors")
    with pytest.raises(ModelFileError, match="not a generator file"):
        load_generator(tmp_path / "bare.safetensors")
    whole = (folder_of(made) / "gan.safetensors").read_bytes()
    for name, data in (("cut", whole[: len(whole) // 2]), ("pickle", b"\x80\x04."), ("empty", b"")):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(data)
        with pytest.raises(ModelFileError):
            load_generator(path)
    for path in (tmp_path / "none.safetensors", tmp_path, folder_of(made) / "sheet.png"):
        with pytest.raises(ModelFileError):
            load_generator(path)


def test_a_checkpoint_is_not_a_generator(made):
    with pytest.raises(ModelFileError, match="do not match the metadata"):
        load_generator(folder_of(made) / "last.safetensors")


def test_interrupted_sampling_leaves_no_manifest(made, tmp_path):
    generator, metadata = load_generator(folder_of(made) / "gan.safetensors")

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_faces(generator, metadata, tmp_path / "out", {5: 0}, {5: 4}, progress=stop)
    assert not (tmp_path / "out" / "manifest.csv").exists()
    assert isinstance(metadata, GanMetadata)
