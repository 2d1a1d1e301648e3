"""Heads trained on cached features: computed once, of a backbone that stays, in model files as any other."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from safetensors.torch import save_file

from maskfit.config.loader import read_recipe
from maskfit.data.image_cache.admin import list_caches, remove_cache
from maskfit.data.image_cache.files import FEATURES_FOLDER
from maskfit.data.image_decoding import decode
from maskfit.errors import RecipeError
from maskfit.evaluation.probability_table import read_table
from maskfit.inference.predictor import Predictor
from maskfit.model_file import load_model
from maskfit.models.backbones import build_backbone
from maskfit.registry import ComponentSpec
from maskfit.run_dir import RunDir
from maskfit.training.plan import make_plan
from maskfit.training.train import train
from maskfit.training.warm_start import start_network

ON_FEATURES = ("trainer.cached_features=1", "cv.num_folds=2", "trainer.epochs=2", "batch_mixing=none")


@pytest.fixture(scope="module")
def start(faces, tmp_path_factory) -> Path:
    """A model whose backbone is taken."""
    folder = tmp_path_factory.mktemp("start")
    words = ("data.image_size=24", "model.backbone.width=4", "trainer.epochs=1", "trainer.device=cpu")
    recipe = read_recipe(
        "fast", [f"data.path={faces}", f"data.cache_dir={folder / 'c'}", f"output_dir={folder / 'run'}", *words]
    )
    return train(recipe, console=Console(quiet=True))[0].fold(0).model


@pytest.fixture
def on_features(tiny, start, tmp_path):
    def make(*words: str):
        return tiny(f"data.cache_dir={tmp_path / 'cache'}", f"model.init_from={start}", *ON_FEATURES, *words)

    return make


def feature_files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / FEATURES_FOLDER).glob("*.npy"))


def test_held_out_predictions_are_those_of_the_saved_model_on_photos(on_features, tmp_path):
    recipe = on_features(f"output_dir={tmp_path / 'run'}")
    run, _ = train(recipe, console=Console(quiet=True))
    photos = make_plan(recipe).photos.photos
    for fold in (0, 1):
        table = read_table(run.fold(fold).probabilities)
        own = [photo for photo in photos if photo.name in set(table.names)]
        predicted = Predictor.load(run.fold(fold).model).predict(own).table.reindex(table.names)
        # Temperatures are fitted after the table was written.
        assert (predicted.probabilities.argmax(1) == table.probabilities.argmax(1)).mean() > 0.99


def test_local_features_are_kept_too_and_held_out_predictions_are_those_of_the_saved_model(tiny, tmp_path):
    weights = tmp_path / "start.safetensors"
    save_file(build_backbone(ComponentSpec.create("test_efficientnet")).body.state_dict(), weights)
    recipe = tiny(
        f"data.cache_dir={tmp_path / 'cache'}",
        f"output_dir={tmp_path / 'run'}",
        f"model.pretrained={weights}",
        *ON_FEATURES,
        "model.backbone={name: test_efficientnet, local_stages: [3], local_grid: [2, 1]}",
        "model.head={name: multi_head, dropout: 0.3, global_only: [gender, age]}",
    )
    run, _ = train(recipe, console=Console(quiet=True))
    backbone = load_model(run.fold(0).model)[0].backbone
    assert backbone.local_features
    assert np.load(feature_files(tmp_path)[0], mmap_mode="r").shape[2] == backbone.features
    table = read_table(run.fold(1).probabilities)
    own = [photo for photo in make_plan(recipe).photos.photos if photo.name in set(table.names)]
    predicted = Predictor.load(run.fold(1).model).predict(own).table.reindex(table.names)
    assert (predicted.probabilities.argmax(1) == table.probabilities.argmax(1)).mean() > 0.99


def test_only_the_heads_are_trained(on_features, start, tmp_path):
    run, _ = train(on_features(f"output_dir={tmp_path / 'run'}"), console=Console(quiet=True))
    before, _ = load_model(start)
    for fold in (0, 1):
        after, _ = load_model(run.fold(fold).model)
        for name, value in before.backbone.state_dict().items():
            assert (value == after.backbone.state_dict()[name]).all(), name
        assert any((value != after.head.state_dict()[name]).any() for name, value in before.head.state_dict().items())


def test_features_are_computed_once_for_all_folds_and_later_runs(on_features, tmp_path):
    train(on_features(f"output_dir={tmp_path / 'run'}"), console=Console(quiet=True))
    (file,) = feature_files(tmp_path)
    copies, photos, _ = np.load(file, mmap_mode="r").shape
    assert (copies, photos) == (2, len(make_plan(on_features()).photos))
    before = file.stat().st_ino
    train(on_features(f"output_dir={tmp_path / 'lower'}", "optimizer.lr=1e-4"), console=Console(quiet=True))
    assert feature_files(tmp_path) == [file]
    assert file.stat().st_ino == before
    train(on_features(f"output_dir={tmp_path / 'seed'}", "trainer.seed=1"), console=Console(quiet=True))
    assert len(feature_files(tmp_path)) == 2


def test_a_run_that_computes_features_equals_one_that_reads_them(on_features, tmp_path):
    """Also its first fold, whose network has just computed them: the head's dropout is on in both."""
    dropout = "model.head={name: multi_head, dropout: 0.5}"
    runs = [
        train(on_features(f"output_dir={tmp_path / name}", dropout), console=Console(quiet=True))[0]
        for name in ("computes", "reads")
    ]
    for fold in (0, 1):
        first, second = (read_table(run.fold(fold).probabilities).probabilities for run in runs)
        np.testing.assert_array_equal(first, second)


def test_augmented_copies_differ_where_training_images_have_the_size_of_prediction(on_features, tmp_path):
    train(on_features(f"output_dir={tmp_path / 'run'}", "data.train_resize_scale=1"), console=Console(quiet=True))
    values = np.load(feature_files(tmp_path)[0])
    assert (np.abs(values[1] - values[0]).max(axis=1) > 1e-3).mean() > 0.9


def test_features_are_listed_and_removed_with_the_image_caches(on_features, tmp_path):
    recipe = on_features(f"output_dir={tmp_path / 'run'}")
    train(recipe, console=Console(quiet=True))
    (features,) = [item for item in list_caches(tmp_path / "cache") if item.crop == "features"]
    assert features.photos == len(make_plan(recipe).photos)
    assert features.size_bytes == feature_files(tmp_path)[0].stat().st_size
    remove_cache(features)
    assert list((tmp_path / "cache" / FEATURES_FOLDER).iterdir()) == []


def test_folds_in_parallel_compute_features_once(on_features, tmp_path):
    parallel, _ = train(
        on_features(f"output_dir={tmp_path / 'two'}", "trainer.parallel_folds=2"), console=Console(quiet=True)
    )
    (file,) = feature_files(tmp_path)
    single, _ = train(on_features(f"output_dir={tmp_path / 'one'}"), console=Console(quiet=True))
    assert feature_files(tmp_path) == [file]
    for fold in (0, 1):
        first, second = (read_table(run.fold(fold).probabilities).probabilities for run in (parallel, single))
        np.testing.assert_allclose(first, second, atol=1e-5)


def test_every_fold_measures_the_start_on_the_same_photos(on_features, tmp_path, monkeypatch):
    """The fold that is first computes the features of all: their last bits must not tell which fold it was."""
    measured = []

    def record(network, model, photos, *rest):
        measured.append(photos.indices.tolist())
        return start_network(network, model, photos, *rest)

    monkeypatch.setattr("maskfit.training.train_fold.start_network", record)
    recipe = on_features(f"output_dir={tmp_path / 'run'}")
    train(recipe, console=Console(quiet=True))
    assert measured == [list(range(len(make_plan(recipe).photos)))] * 2


def test_the_first_copy_is_the_photo_as_prediction_sees_it(on_features, tmp_path):
    recipe = on_features(f"output_dir={tmp_path / 'run'}", "augmentation=light")
    run, _ = train(recipe, console=Console(quiet=True))
    values = np.load(feature_files(tmp_path)[0])
    network, metadata = load_model(run.fold(0).model)
    photos = make_plan(recipe).photos.photos
    frames = np.stack([metadata.preprocessing.crop_resize(decode(photo.path)) for photo in photos[:8]])
    expected = network.eval().forward_features(_tensor(metadata.preprocessing.normalization(frames)))
    np.testing.assert_allclose(values[0, :8], expected.detach().numpy(), rtol=1e-3, atol=1e-4)
    assert np.abs(values[1, :8] - values[0, :8]).max() > 1e-3


def _tensor(values):
    import torch

    return torch.from_numpy(values)


@pytest.mark.parametrize("damage", ["empty", "short", "other bytes", "other shape", "other type"])
def test_a_damaged_file_of_features_is_computed_again(damage, on_features, tmp_path):
    run, _ = train(on_features(f"output_dir={tmp_path / 'run'}"), console=Console(quiet=True))
    (file,) = feature_files(tmp_path)
    whole = file.read_bytes()
    values = np.load(file)
    if damage == "other shape":
        np.save(file, values[:, :-1])
    elif damage == "other type":
        np.save(file, values.astype(np.float64))
    else:
        file.write_bytes({"empty": b"", "short": whole[:-40], "other bytes": b"x" * len(whole)}[damage])
    output = Console(record=True, width=1000, file=io.StringIO())
    again, _ = train(on_features(f"output_dir={tmp_path / 'again'}"), console=output)
    assert output.export_text().count(f"{file} is damaged; they are computed again") == 1
    assert file.read_bytes() == whole
    for fold in (0, 1):
        assert again.fold(fold).probabilities.read_bytes() == run.fold(fold).probabilities.read_bytes()


def test_a_resumed_fold_ends_as_an_uninterrupted_one(on_features, tmp_path):
    whole, _ = train(on_features(f"output_dir={tmp_path / 'whole'}", "trainer.epochs=3"), console=Console(quiet=True))

    class StopError(Exception):
        pass

    def stop(fold: int, epoch: int, score: float) -> None:
        if (fold, epoch) == (1, 1):
            raise StopError

    from maskfit.training.progress_reporting import ConsoleReporter
    from maskfit.training.run_session import load_run, prepare_run

    recipe = on_features(f"output_dir={tmp_path / 'part'}", "trainer.epochs=3")
    prepared = prepare_run(recipe)
    reporter = ConsoleReporter(Console(quiet=True))
    prepared.train_fold(0, reporter)
    with pytest.raises(StopError):
        prepared.train_fold(1, reporter, stop)
    load_run(tmp_path / "part").train_fold(1, reporter)
    tables = [read_table(RunDir(path).fold(1).probabilities) for path in (whole.path, tmp_path / "part")]
    np.testing.assert_array_equal(tables[0].probabilities, tables[1].probabilities)


@pytest.mark.parametrize(
    "word",
    [
        "batch_mixing={name: mixup}",
        "model.freeze={name: backbone, epochs: 1}",
        "trainer.full_data_epochs=1",
        "trainer.devices=2",
    ],
)
def test_what_needs_pixels_or_trains_the_backbone_is_refused(word):
    key = word.partition("=")[0]
    with pytest.raises(RecipeError, match=f"{key}: does not go together with trainer.cached_features"):
        read_recipe("quick", [word])


def test_the_recipe_is_complete():
    recipe = read_recipe("quick", ["trainer.cached_features=null", "batch_mixing={name: mixup}"])
    assert recipe.trainer.cached_features is None


def test_a_backbone_without_weights_is_refused():
    with pytest.raises(RecipeError, match="needs weights: set model"):
        read_recipe("fast", ["trainer.cached_features=1"])


def test_heads_on_features_are_logged_without_training_photos(on_features, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe = on_features(f"output_dir={tmp_path / 'run'}", "trainer.loggers=tensorboard", "cv.train_folds=[0]")
    run, _ = train(recipe, console=Console(quiet=True))
    events = EventAccumulator(str(run.fold(0).path / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    tags = events.Tags()["images"]
    assert "held-out photos" in tags
    assert "training photos" not in tags
