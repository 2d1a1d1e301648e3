"""Evaluation of generated faces: distances against slow implementations, independence of the judge, copies."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from maskfit.data.image_cache.cache import open_image_cache
from maskfit.data.preprocessing import CropResize, Preprocessing
from maskfit.data.read_dataset import read_photos
from maskfit.data.splits import make_person_splits
from maskfit.errors import DataError, ModelFileError
from maskfit.inference.predictor import Predictor
from maskfit.labels.schema import LABEL_SCHEMAS, LabelSchema
from maskfit.model_file import ModelMetadata, save_model
from maskfit.models.network import build_network
from maskfit.registry import ComponentSpec
from maskfit.synthesis.drawn import write_train_set
from maskfit.synthesis.gan import evaluation, sample_grid
from maskfit.synthesis.gan.checkpoint import GanMetadata
from maskfit.synthesis.gan.classifier import JudgeClassifier
from maskfit.synthesis.gan.dataset import GanDataset, split_by_fold
from maskfit.synthesis.gan.evaluation import evaluate_generator, nearest
from maskfit.synthesis.gan.frechet_distance import frechet_distance

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    threads, side, each = torch.get_num_threads(), sample_grid.SIDE, evaluation.FACES_PER_CLASS
    torch.set_num_threads(1)
    sample_grid.SIDE, evaluation.FACES_PER_CLASS = 8, 6
    yield
    torch.set_num_threads(threads)
    sample_grid.SIDE, evaluation.FACES_PER_CLASS = side, each


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_train_set(tmp_path_factory.mktemp("judging") / "drawn", 9, seed=3, size=(36, 48), workers=1)


@pytest.fixture(scope="module")
def folds(root: Path) -> Path:
    return make_person_splits(read_photos(root, SCHEMA), SCHEMA, 2, seed=0).write(root.parent / "folds.csv")


@pytest.fixture(scope="module")
def dataset(root: Path, folds: Path) -> GanDataset:
    return split_by_fold(root, SCHEMA, folds, 0)


@pytest.fixture(scope="module")
def metadata(dataset: GanDataset) -> GanMetadata:
    framing = CropResize(size=(32, 32))
    return GanMetadata(label_schema=SCHEMA, crop_resize=framing, photos=len(dataset.train), persons=dataset.persons)


def write_judge(path: Path, schema: LabelSchema = SCHEMA) -> Path:
    torch.manual_seed(0)
    metadata = ModelMetadata(
        label_schema=schema,
        preprocessing=Preprocessing(crop_resize=CropResize(size=(32, 32))),
        backbone=ComponentSpec.create("small", width=4),
        head=ComponentSpec.create("multi_head"),
        heads=schema.names,
    )
    return save_model(path, build_network(metadata.backbone, metadata.head, schema.sizes).state_dict(), metadata)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, folds: Path) -> Path:
    """A run whose fold 0 holds out the persons of fold 0, with a network of random weights."""
    folder = tmp_path_factory.mktemp("judging") / "run"
    for fold in range(2):
        write_judge(folder / f"fold{fold}" / "best.safetensors")
    (folder / "recipe.yaml").write_text("name: made\n")
    shutil.copy(folds, folder / "splits.csv")
    return folder


class Copier(nn.Module):
    """A generator that returns training photos regardless of its input."""

    def __init__(self, dataset: GanDataset, metadata: GanMetadata, cache_dir: Path) -> None:
        super().__init__()
        frames = open_image_cache(dataset.train.photos, metadata.crop_resize, folder=cache_dir).gather(
            range(len(dataset.train))
        )
        self.faces = nn.Parameter(torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1)

    def forward(self, noise: Tensor, codes: Tensor) -> Tensor:
        return self.faces[(noise[:, 0].abs() * 1e4).long() % len(self.faces)]


def slow_root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


@pytest.mark.parametrize(("rows", "features"), [((40, 30), 5), ((7, 9), 20), ((2, 50), 10)])
def test_frechet_distance_matches_the_textbook_formula(rows, features):
    rng = np.random.default_rng(0)
    first, second = (rng.normal(size=(count, features)) @ rng.normal(size=(features, features)) for count in rows)
    one, other = np.cov(first.T), np.cov(second.T)
    root = slow_root(one)
    slow = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(one + other - 2 * slow_root(root @ other @ root))
    assert frechet_distance(first, second) == pytest.approx(slow, rel=1e-5)
    assert frechet_distance(second, first) == pytest.approx(slow, rel=1e-5)


def test_frechet_distance_of_shifted_features_is_the_squared_shift():
    rows = np.random.default_rng(1).normal(size=(30, 6))
    assert frechet_distance(rows, rows) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(rows, rows + np.array([3, 0, 0, 0, 0, 4])) == pytest.approx(25)
    for bad in (rows[:1], rows[:, :5], rows[0], np.where(rows > 2, np.nan, rows)):
        with pytest.raises(ValueError, match="features"):
            frechet_distance(rows, bad)


def test_nearest_matches_a_slow_loop():
    rng = np.random.default_rng(2)
    some, many = rng.normal(size=(5, 4)), rng.normal(size=(11, 4))
    slow = [min(np.linalg.norm(row - other) for other in many) for row in some]
    np.testing.assert_allclose(nearest(some, many), slow)


def test_judge_agrees_with_predictor_and_detects_copies(dataset, metadata, run, root):
    cache_dir = root.parent / "stores"
    calls: list[tuple[int, int]] = []
    path = run / "fold0" / "best.safetensors"
    result = evaluate_generator(
        JudgeClassifier(path, SCHEMA),
        Copier(dataset, metadata, cache_dir),
        metadata,
        dataset,
        cache_dir=cache_dir,
        progress=lambda *pair: calls.append(pair),
    )
    assert calls[-1][0] == calls[-1][1]
    assert result.unknown_to_judge is True
    for kind, photos in (("strangers", dataset.held_out), ("learned", dataset.train)):
        table = Predictor.load(path).predict(list(photos)).table
        predictions, truth = SCHEMA.to_attribute_indices(table.predictions), photos.attribute_indices(SCHEMA)
        whole, *attributes = (getattr(item, kind) for item in result.agreement[:4])
        assert whole == (pytest.approx((predictions == truth).all(axis=1).mean()), len(photos))
        for place, share in enumerate(attributes):
            assert share == (pytest.approx((predictions == truth)[:, place].mean()), len(photos))
        by_class = {item.words: getattr(item, kind) for item in result.agreement[4:]}
        for number in np.unique(SCHEMA.to_class_index(dataset.train.attribute_indices(SCHEMA))):
            own = SCHEMA.to_class_index(truth) == number
            right = float((table.predictions[own] == number).mean()) if own.any() else None
            assert by_class[SCHEMA.describe(number)] == (right, own.sum())
    classes = sum(count > 0 for count in dataset.count_classes().values())
    assert result.agreement[0].made[1] == 6 * classes
    assert result.frechet["real"] < result.frechet["noise"]
    # Faces have the judge's input size: downscaling held-out photos changes nothing, and copies are exact.
    assert result.frechet["small"] == pytest.approx(result.frechet["real"])
    assert result.copies == 1
    assert result.nearest["made"] < 0.05 * result.nearest["small"]


def test_judge_trained_on_held_out_persons_raises(dataset, metadata, run, tmp_path, root):
    cache_dir = root.parent / "stores"
    with pytest.raises(DataError, match="was trained on"):
        evaluate_generator(
            JudgeClassifier(run / "fold1" / "best.safetensors", SCHEMA),
            nn.Identity(),
            metadata,
            dataset,
            cache_dir=cache_dir,
        )
    alone = JudgeClassifier(write_judge(tmp_path / "alone.safetensors"), SCHEMA)
    assert alone.training_persons() is None
    everybody = GanDataset(dataset.source, SCHEMA, dataset.train, dataset.held_out.select(range(19)))
    with pytest.raises(DataError, match="too few held-out photos"):
        evaluate_generator(alone, nn.Identity(), metadata, everybody, cache_dir=cache_dir)


def test_judge_with_another_label_schema_raises(tmp_path):
    other = write_judge(tmp_path / "mask.safetensors", LABEL_SCHEMAS["mask"])
    with pytest.raises(ModelFileError, match="the model predicts mask"):
        JudgeClassifier(other, SCHEMA)
