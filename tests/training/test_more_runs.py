"""Runs with options of the two best teams and the source projects: several models, full-data epochs, extra photos."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from maskfit.config.recipe import Recipe
from maskfit.data.splits import PersonSplits
from maskfit.errors import ModelFileError, RecipeError, RunError
from maskfit.evaluation.confusion_image import confusion_image
from maskfit.evaluation.probability_table import read_table
from maskfit.evaluation.scores import confusion_matrices
from maskfit.file_io import read_json
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.model_file import load_model, read_model_metadata
from maskfit.run_dir import RunDir
from maskfit.training.loggers import LOGGERS
from maskfit.training.plan import make_plan
from maskfit.training.train import train
from maskfit.training.warm_start import load_matching_weights

Make = Callable[..., Recipe]


def test_the_best_epochs_are_kept_in_order(tiny: Make) -> None:
    folder, _ = train(tiny("trainer.epochs=5", "trainer.save_top_k=3", "weight_averaging=none"))
    fold = folder.fold(0)
    index = read_json(fold.models_index)
    rows = [line.split(",") for line in fold.metrics.read_text().splitlines()]
    column, loss = rows[0].index("valid_macro_f1"), rows[0].index("valid_loss")
    # Of equal scores the epoch with the lower loss comes first.
    ranked = sorted(((float(row[column]), -float(row[loss]), int(row[0])) for row in rows[1:]), reverse=True)[:3]
    expected = [pytest.approx((score, epoch), abs=1e-5) for score, _, epoch in ranked]
    assert [(item["score"], item["epoch"]) for item in index] == expected
    assert index[0]["file"] == "best.safetensors"
    assert {item["file"] for item in index} == {path.name for path in fold.path.glob("*.safetensors")}
    for item in index:
        assert read_model_metadata(fold.path / item["file"]).scores["epoch"] == item["epoch"]


def read_history(folder: RunDir) -> list[dict[str, float]]:
    with folder.fold(0).metrics.open() as stream:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]


@pytest.mark.parametrize(
    ("monitor", "column", "sign"), [("loss", "valid_loss", -1), ("mask_f1", "valid_mask_f1", 1), ("off", "epoch", 1)]
)
def test_the_best_epoch_is_that_of_the_monitored_metric(tiny: Make, monitor: str, column: str, sign: int) -> None:
    folder, _ = train(
        tiny("trainer.epochs=5", f"trainer.monitor={monitor}", "trainer.save_top_k=2", "weight_averaging=none")
    )
    ranked = sorted(
        read_history(folder),
        key=lambda row: (-sign * row[column], column != "epoch" and row["valid_loss"], row["epoch"]),
    )
    kept = read_json(folder.fold(0).models_index)
    assert [item["epoch"] for item in kept] == [row["epoch"] for row in ranked[:2]]
    assert read_model_metadata(folder.fold(0).model).scores["epoch"] == ranked[0]["epoch"]


def test_training_stops_when_the_monitored_metric_no_longer_improves(tiny: Make, tmp_path: Path) -> None:
    """As a training without early stopping shows: after the first epoch that is no better than all before."""
    settings = ("trainer.epochs=6", "trainer.monitor=age_f1", "optimizer.lr=0.03")
    whole, _ = train(tiny(*settings, f"output_dir={tmp_path / 'whole'}"))
    values = [row["valid_age_f1"] for row in read_history(whole)]
    expected = next(epoch for epoch in range(1, 6) if values[epoch] <= max(values[:epoch])) + 1
    stopped, _ = train(tiny(*settings, "trainer.early_stopping_patience=1", f"output_dir={tmp_path / 'stopped'}"))
    assert len(read_history(stopped)) == expected < 6


@pytest.mark.parametrize("top_k", [1, 2])
def test_the_model_of_every_second_epoch_is_kept_beside_the_best(tiny: Make, top_k: int) -> None:
    settings = ("trainer.epochs=6", "trainer.save_every_n_epochs=2", f"trainer.save_top_k={top_k}")
    folder, _ = train(tiny(*settings, "weight_averaging=none", "optimizer.lr=0.03"))
    fold = folder.fold(0)
    index = read_json(fold.models_index)
    best, *others = [item["epoch"] for item in index]
    names = {path.name for path in fold.path.glob("epoch*.safetensors")}
    assert names == {f"epoch{epoch:03d}.safetensors" for epoch in {1, 3, 5, *others} if epoch != best}
    assert [item["file"] for item in index] == [
        "best.safetensors",
        *(f"epoch{epoch:03d}.safetensors" for epoch in others),
    ]
    assert len(index) == top_k
    for name in names:
        assert read_model_metadata(fold.path / name).scores["epoch"] == int(name[5:8])


def test_a_metric_without_a_held_out_label_is_said_with_those_that_exist(
    tiny: Make, faces: Path, tmp_path: Path
) -> None:
    persons = sorted(item.name for item in faces.iterdir() if item.is_dir())
    labels = [f"wear,{name.split('_')[1]},{name.split('_')[3]}" if name != persons[0] else "wear,," for name in persons]
    rows = [
        f"{photo},{name},{label}"
        for name, label in zip(persons, labels, strict=True)
        for photo in sorted((faces / name).iterdir())
    ]
    data = manifest(tmp_path / "some.csv", rows)
    split = PersonSplits({name: int(name != persons[0]) for name in persons}, 2).write(tmp_path / "split.csv")
    settings = (f"data.path={data}", f"cv.split_file={split}", "cv.train_folds=0", "trainer.epochs=1")
    with pytest.raises(RunError, match="gender_f1") as caught:
        train(tiny(*settings, "trainer.monitor=gender_f1"))
    assert "mask_f1" in str(caught.value.hint)


def test_the_last_epochs_see_everyone_and_leave_the_judged_model_alone(tiny: Make, tmp_path: Path) -> None:
    plain, _ = train(tiny(f"output_dir={tmp_path / 'plain'}"))
    finished, _ = train(tiny(f"output_dir={tmp_path / 'finished'}", "trainer.full_data_epochs=2"))
    fold = finished.fold(0)
    scored, final = load_file(fold.model), load_file(fold.full_data_model)
    assert all(torch.equal(scored[name], item) for name, item in load_file(plain.fold(0).model).items())
    assert any(not torch.equal(scored[name], final[name]) for name in scored)
    assert "on all photos" in read_model_metadata(fold.full_data_model).description
    assert finished.oof_probabilities.read_text() == plain.oof_probabilities.read_text()
    assert not plain.fold(0).full_data_model.exists()


def manifest(path: Path, rows: list[str]) -> Path:
    path.write_text("path,person,mask,gender,age\n" + "".join(f"{row}\n" for row in rows))
    return path


def test_extra_photos_are_trained_on_never_judged_and_never_leak(tiny: Make, faces: Path, tmp_path: Path) -> None:
    folders = sorted(item for item in faces.iterdir() if item.is_dir())
    photo = next(folders[0].iterdir())
    people = ["stranger", folders[0].name, f"{folders[0].name}|{folders[1].name}"]
    extra = [
        manifest(tmp_path / f"{number}.csv", [f"{photo},{person},wear,male,30"]) for number, person in enumerate(people)
    ]
    plan = make_plan(tiny("cv.num_folds=3", f"data.extra_train=[{', '.join(map(str, extra))}]"))
    assert plan.num_scored_photos == 84
    assert len(plan.photos) == 87
    for fold in range(3):
        train_side, valid_side = plan.split(fold)
        held_out = {plan.photos[int(place)].person for place in valid_side}
        used = {plan.photos[int(place)].person for place in train_side if place >= 84}
        assert all(place < 84 for place in valid_side)
        assert used == {person for person in people if not held_out & set(person.split("|"))}
    folder, scores = train(tiny("cv.num_folds=2", "trainer.epochs=1", f"data.extra_train={extra[0]}"))
    assert scores.photos == len(read_table(folder.oof_probabilities)) == 84


def test_a_model_of_another_scheme_gives_its_trunk(tiny: Make, tmp_path: Path) -> None:
    first, _ = train(tiny(f"output_dir={tmp_path / 'first'}", "trainer.epochs=1"))
    recipe = tiny(
        f"output_dir={tmp_path / 'second'}", "data.label_schema=gender", f"model.init_from={first.fold(0).model}"
    )
    network = make_plan(recipe).network()
    started = load_matching_weights(network, first.fold(0).model)
    trunk = load_file(first.fold(0).model)
    assert all(torch.equal(item, trunk[f"backbone.{name}"]) for name, item in network.backbone.state_dict().items())
    assert set(started.new) <= {name for name in network.state_dict() if name.startswith("head.")}
    assert any("head.layers.2" in name for name in started.unused)
    folder, _ = train(recipe)
    assert load_model(folder.fold(0).model)[1].label_schema.names == ("gender",)


def test_a_model_of_another_network_is_no_start(tiny: Make, tmp_path: Path) -> None:
    first, _ = train(tiny(f"output_dir={tmp_path / 'first'}", "trainer.epochs=1"))
    with pytest.raises(ModelFileError, match="less than half"):
        load_matching_weights(make_plan(tiny("model.backbone.width=6")).network(), first.fold(0).model)


def test_every_optimiser_trains_a_run(tiny: Make) -> None:
    folder, scores = train(tiny("optimizer=sam", "model.freeze={name: backbone, epochs: 1}", "lr_scheduler=one_cycle"))
    assert scores.photos > 0
    steps = folder.fold(0).train_loss.read_text().splitlines()
    # SAM looks at each batch twice, and each step is still counted once.
    assert [line.split(",")[0] for line in steps[1:]] == [str(number) for number in range(10)]


def test_sam_with_accumulated_gradients_is_refused(tiny: Make) -> None:
    with pytest.raises(RecipeError, match="SAM"):
        train(tiny("optimizer=sam", "trainer.accumulate_grad_batches=2"))


def logged_pictures(folder: Path, name: str) -> dict[str, list[Image.Image]]:
    """Pictures by tag that a logger kept in a fold's folder, in the order of the epochs."""
    if name == "tensorboard":
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0})
        events.Reload()
        return {
            tag: [Image.open(io.BytesIO(item.encoded_image_string)) for item in events.Images(tag)]
            for tag in events.Tags()["images"]
        }
    root = next((folder / "wandb").glob("offline-run-*")) / "files" / "media" / "images"
    pictures: dict[str, list[tuple[int, Image.Image]]] = {}
    for path in root.rglob("*.png"):
        tag, step, *_ = str(path.relative_to(root)).rsplit("_", 2)
        pictures.setdefault(tag, []).append((int(step), Image.open(path)))
    return {tag: [picture for _, picture in sorted(items, key=lambda item: item[0])] for tag, items in pictures.items()}


@pytest.mark.parametrize("name", ["tensorboard", pytest.param("wandb", marks=pytest.mark.slow)])
def test_a_logger_gets_pictures_and_changes_nothing(
    tiny: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    pytest.importorskip(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    settings = ("batch_mixing=cutmix", "batch_mixing.prob=1", "trainer.monitor=off")
    plain, _ = train(tiny(*settings, f"output_dir={tmp_path / 'plain'}"))
    folder, _ = train(tiny(*settings, f"trainer.loggers={name}"))
    pictures = logged_pictures(folder.fold(0).path, name)
    attributes = {f"confusion/{item}" for item in ("mask", "gender", "age", "classes")}
    assert set(pictures) == {"training photos", "held-out photos", *attributes}
    assert {tag: len(items) for tag, items in pictures.items()} == dict.fromkeys(pictures, 2) | {"training photos": 1}
    # Twelve photos of 24 pixels in rows of four.
    assert pictures["training photos"][0].size == (96, 72)
    assert np.asarray(pictures["training photos"][0]).std() > 20
    # The last matrix has the counts of the probabilities that the run kept, which are those of the last epoch.
    table = read_table(folder.fold(0).probabilities)
    schema = LABEL_SCHEMAS["mask-gender-age"]
    counts = confusion_matrices(schema, schema.to_attribute_indices(table.truth), table.predictions)["gender"]
    drawn = confusion_image(counts, ["male", "female"], "gender")
    assert np.array_equal(np.asarray(pictures["confusion/gender"][1].convert("RGB")), np.asarray(drawn))
    left, right = (load_file(item.fold(0).model) for item in (plain, folder))
    assert all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize("source", ["recipe", "variables", "nothing"])
def test_wandb_is_told_where_the_run_belongs(tiny: Make, monkeypatch: pytest.MonkeyPatch, tmp_path, source) -> None:
    """By the recipe, otherwise by wandb's own variables, otherwise by names of ours."""
    pytest.importorskip("wandb")
    seen: dict[str, object] = {}
    monkeypatch.setattr("maskfit.training.loggers.WandbLogger", lambda **options: seen.update(options))
    for name in ("PROJECT", "ENTITY", "NAME", "TAGS", "RUN_GROUP"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
        if source != "nothing":
            monkeypatch.setenv(f"WANDB_{name}", f"env-{name.lower()}")
    keys = ["project=p", "entity=e", "name=n", "tags=[a,b]"] if source == "recipe" else []
    recipe = tiny(*(f"trainer.wandb.{key}" for key in keys))
    LOGGERS["wandb"](recipe, tmp_path, f"{recipe.name}, fold 1 of 5")
    expected = {
        "recipe": ("p", "e", "n, fold 1 of 5", ["a", "b"]),
        "variables": ("env-project", "env-entity", "env-name, fold 1 of 5", ["env-tags"]),
        "nothing": ("maskfit", None, f"{recipe.name}, fold 1 of 5", None),
    }[source]
    assert (seen["project"], seen["entity"], seen["name"], seen["tags"]) == expected
