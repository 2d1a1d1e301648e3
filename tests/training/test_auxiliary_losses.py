"""Losses beside the heads: they reach the backbone, are kept and resumed, and have no part in the answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from maskfit.config.recipe import Recipe
from maskfit.data.image_cache.cache import CachedImages
from maskfit.errors import DataError, RecipeError
from maskfit.inference.export import export_model
from maskfit.inference.predictor import Predictor
from maskfit.losses import LOSSES
from maskfit.losses.ldam import LDAM
from maskfit.model_file import load_model, read_model_metadata
from maskfit.models.network import Network, build_network
from maskfit.registry import ComponentSpec
from maskfit.training.augment.batch_mixing import MixedBatch
from maskfit.training.auxiliary_losses import AuxiliaryLosses
from maskfit.training.builders import build_auxiliary_losses
from maskfit.training.plan import make_plan
from maskfit.training.task import ClassificationTask
from maskfit.training.train import train

Make = Callable[..., Recipe]

BOTH = ["metric_loss={name: arcface, weight: 0.05}", "age_regression=mse"]


def network(years: bool = True) -> Network:
    torch.manual_seed(0)
    return build_network(
        ComponentSpec.create("small", width=4),
        ComponentSpec.create("multi_head"),
        {"mask": 3, "age": 3},
        age_regression=years,
    )


def test_years_are_the_numbers_of_the_labels(tiny: Make) -> None:
    plan = make_plan(tiny("age_regression=mse"))
    years = plan.ages
    assert len(years) == len(plan.photos) == 84
    for photo, number in zip(plan.photos, years, strict=True):
        assert number == float(photo.labels["age"])
    assert not make_plan(tiny()).has_age_regression


def test_they_are_none_where_a_recipe_names_none(tiny: Make) -> None:
    plan = make_plan(tiny())
    assert plan.network().age_regressor is None
    assert build_auxiliary_losses(plan, plan.network(), plan.recipe.metric_loss, (0,)) is None


def test_a_years_loss_needs_years(tiny: Make, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="needs an attribute with bin_edges"):
        make_plan(tiny("age_regression=mse", "data.label_schema=mask"))
    plan = make_plan(tiny())
    rows = ["path,person,mask,gender,age"]
    bands = {"<30": 0, "30-59": 0, ">=60": 0}
    for number, photo in enumerate(plan.photos):
        rows.append(f"{photo.path},{photo.person},wear,male,{list(bands)[number % 3]}")
    (tmp_path / "bands.csv").write_text("\n".join(rows) + "\n")
    words = [f"data.path={tmp_path / 'bands.csv'}", "age_regression=smooth_l1"]
    with pytest.raises(DataError, match="as a number"):
        make_plan(tiny(*words))


@pytest.mark.parametrize(
    "word", ["metric_loss=tripel", "age_regression.color=1", "metric_loss={name: supcon, margin: 1}"]
)
def test_unknown_names_and_options_are_found_before_training(tiny: Make, word: str) -> None:
    with pytest.raises(RecipeError):
        tiny(word)


def test_a_run_with_both_keeps_its_years_and_answers_as_its_file_does(tiny: Make, tmp_path: Path) -> None:
    folder, _ = train(tiny(*BOTH, "trainer.full_data_epochs=1"))
    metadata = read_model_metadata(folder.fold(0).model)
    assert metadata.age_regression
    loaded, _ = load_model(folder.fold(0).model)
    assert loaded.age_regressor is not None
    photos = torch.randn(3, 3, 24, 24)
    years = loaded.age_regressor(loaded.forward_features(photos))
    assert years.shape == (3,)
    # What training finished with has the layer too.
    assert load_model(folder.fold(0).full_data_model)[0].age_regressor is not None
    # An exported network has exactly the heads, and answers the same.
    out = export_model(folder.fold(0).model, tmp_path / "a.onnx").files[0]
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    ours, theirs = (Predictor.load(path).predict([pixels]).table.probabilities for path in (folder.fold(0).model, out))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_what_is_learned_beside_changes_the_trunk(tiny: Make, tmp_path: Path) -> None:
    losses = {}
    for name, words in {
        "plain": [],
        "years": ["age_regression=mse"],
        "embedding": ["metric_loss=supcon"],
        "both": BOTH,
    }.items():
        folder, _ = train(tiny(*words, f"output_dir={tmp_path / name}", "trainer.epochs=1", "weight_averaging=none"))
        losses[name] = folder.fold(0).train_loss.read_text()
    assert len(set(losses.values())) == 4


def test_centres_of_classes_are_learned_too() -> None:
    from maskfit.losses.metric_learning import arcface

    net = network(years=False)
    beside = AuxiliaryLosses(arcface(net.backbone.features, 3), None, np.array([0, 1, 2, -1]), np.full(4, np.nan))
    learning = dict(beside.trainable_modules(net).named_parameters())
    assert {id(item) for item in net.parameters()} < {id(item) for item in learning.values()}
    loss = beside(net, net.forward_features(torch.randn(4, 3, 24, 24)), torch.arange(4), None)
    loss.backward()
    centers = next(beside.parameters())
    assert centers.grad is not None
    assert centers.grad.abs().sum() > 0
    # Where nothing of its own is learned an optimizer has the network itself.
    assert AuxiliaryLosses(None, None, np.zeros(4, int), np.full(4, np.nan)).trainable_modules(net) is net


def test_a_mixed_photo_is_of_the_class_of_which_it_has_more() -> None:
    seen = {}

    class Remember(torch.nn.Module):
        def forward(self, features: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
            seen["classes"] = classes.tolist()
            return features.sum()

    net = network()
    beside = AuxiliaryLosses(Remember(), None, np.array([5, 6, 7]), np.full(3, np.nan))  # type: ignore[arg-type]
    mixed = MixedBatch(torch.zeros(2, 3, 24, 24), torch.tensor([1, 0]), torch.tensor([0.7, 0.2]))
    beside(net, torch.zeros(2, net.backbone.features), torch.tensor([2, 0]), mixed)
    assert seen["classes"] == [7, 7]


def test_a_run_with_centres_resumes_as_if_uncut(tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [*BOTH, "trainer.save_every_n_steps=2", "trainer.epochs=2"]
    whole, _ = train(tiny(*settings, f"output_dir={tmp_path / 'whole'}"))
    cut = tiny(*settings, f"output_dir={tmp_path / 'cut'}")
    step = ClassificationTask.training_step

    def dies(self: ClassificationTask, batch: dict[str, object], batch_idx: int) -> torch.Tensor:
        if self.batches_done == 7:
            raise KeyError("killed")
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(ClassificationTask, "training_step", dies)
        with pytest.raises(KeyError):
            train(cut)
    resumed, _ = train(cut, resume=True)
    assert resumed.fold(0).train_loss.read_text() == whole.fold(0).train_loss.read_text()


def test_losses_hear_of_every_epoch_and_the_last_epochs_are_past_the_end(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(LDAM, "begin_epoch", lambda self, epoch, epochs: calls.append((epoch, epochs)))
    train(
        tiny(
            "loss={name: ldam, class_weights: effective, deferred: 0.5}",
            "trainer.epochs=3",
            "trainer.full_data_epochs=2",
        )
    )
    each = [item for index, item in enumerate(calls) if index % 3 == 0]
    assert each == [(0, 3), (1, 3), (2, 3), (3, 3), (4, 3)]


@pytest.mark.parametrize("loss", [name for name in LOSSES if name != "cross_entropy"])
@pytest.mark.parametrize("head", ["single_head", "ordinal", "multi_class_thanet"])
def test_every_loss_goes_with_every_kind_of_head(tiny: Make, loss: str, head: str) -> None:
    from maskfit.training.builders import build_criterion
    from maskfit.training.data_loaders import FoldDataset

    plan = make_plan(tiny(f"loss={loss}", f"model.head={head}"))
    train_side, _ = plan.split(0)
    samples = FoldDataset(CachedImages.__new__(CachedImages), plan.allowed_masks, train_side)
    criterion = build_criterion(plan, samples)
    net = plan.network()
    indices = train_side[:8]
    allowed = {name: torch.from_numpy(rows[indices]) for name, rows in plan.allowed_masks.items()}
    found = criterion(net(torch.randn(8, 3, 24, 24)), allowed)["loss"]
    found.backward()
    assert found.isfinite()
    assert all(item.grad is not None and item.grad.isfinite().all() for item in net.parameters())
