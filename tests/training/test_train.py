"""Whole runs on drawn faces: the folder, the scores, resuming, and the promises of honest judging."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from maskfit.config.recipe import Recipe
from maskfit.data.image_decoding import decode
from maskfit.errors import DataError, ModelFileError, RecipeError, RunError
from maskfit.evaluation.ages import read_age_table
from maskfit.evaluation.probability_table import read_table
from maskfit.file_io import read_csv, read_json, write_json
from maskfit.inference.predictor import Predictor
from maskfit.labels.schema import JOINT_HEAD, LABEL_SCHEMAS
from maskfit.model_file import load_model, read_model_metadata
from maskfit.models.backbones import build_backbone
from maskfit.models.network import Network, build_network
from maskfit.registry import ComponentSpec
from maskfit.run_dir import RunDir
from maskfit.training.builders import build_criterion
from maskfit.training.plan import make_plan
from maskfit.training.progress_reporting import ConsoleReporter
from maskfit.training.run_session import prepare_run
from maskfit.training.task import ClassificationTask
from maskfit.training.train import train
from maskfit.training.train_fold import build_fold_data

Make = Callable[..., Recipe]

RUN_FILES = {"recipe.yaml", "splits.csv", "environment.json", "oof_probabilities.csv", "scores.json", "report.html"}
FOLD_FILES = {"best.safetensors", "models.json", "last.ckpt", "metrics.csv", "train_loss.csv"}
FOLD_FILES |= {"probabilities.csv", "scores.json"}


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_run_is_exactly_these_files(tiny: Make) -> None:
    folder, scores = train(tiny("cv.num_folds=2"))
    assert files_of(folder.path) == RUN_FILES | {f"fold{fold}/{name}" for fold in (0, 1) for name in FOLD_FILES}
    written = read_json(folder.scores)
    assert written["macro_f1"] == scores.macro_f1
    assert set(written["per_fold"]) == {"0", "1"}


def test_out_of_fold_has_every_photo_once_judged_by_a_fold_that_never_saw_the_person(tiny: Make) -> None:
    recipe = tiny("cv.num_folds=3", "trainer.epochs=1")
    folder, _ = train(recipe)
    plan = make_plan(recipe)
    table = read_table(folder.oof_probabilities)
    assert sorted(table.names) == sorted(photo.name for photo in plan.photos)
    for fold in range(3):
        train_side, valid_side = plan.split(fold)
        names = set(read_table(folder.fold(fold).probabilities).names)
        assert names == {plan.photos[int(place)].name for place in valid_side}
        trained_on = {plan.photos[int(place)].person for place in train_side}
        assert not trained_on & {plan.photos[int(place)].person for place in valid_side}


def test_held_out_probabilities_are_what_prediction_says_of_the_files(tiny: Make) -> None:
    """The crop, the size, the normalization and the weights of validation are those of prediction."""
    recipe = tiny("data.crop={name: center, scale: 0.8}", "data.image_size=[32, 24]")
    folder, _ = train(recipe)
    assert folder.read_working_dir() == Path.cwd()
    table = read_table(folder.oof_probabilities)
    photos = [photo for photo in make_plan(recipe).photos if photo.name in set(table.names)]
    predicted = Predictor.load(folder.path).predict(photos).table.reindex(table.names)
    np.testing.assert_allclose(predicted.probabilities, table.probabilities, atol=1e-5)


def test_models_leave_a_run_calibrated_on_all_folds_with_a_card_that_counts(tiny: Make, tmp_path: Path) -> None:
    # A photo that counts several times in training is still one photo.
    photos = make_plan(tiny()).photos
    rows = [f"{photo.path},{photo.person},{','.join(map(str, photo.labels.values()))},2" for photo in photos]
    (tmp_path / "twice.csv").write_text("\n".join([f"path,person,{','.join(photos[0].labels)},times", *rows]))
    recipe = tiny("cv.num_folds=2", "trainer.epochs=1", "card.license=MIT", f"data.path={tmp_path / 'twice.csv'}")
    folder, scores = train(recipe)
    plan = make_plan(recipe)
    whole = read_table(folder.oof_probabilities)
    for fold in (0, 1):
        metadata = read_model_metadata(folder.fold(fold).model)
        raw = read_table(folder.fold(fold).probabilities)
        tempered = metadata.calibration.apply_temperature(plan.scored_schema, raw.probabilities)
        own = whole.probabilities[[whole.names.index(name) for name in raw.names]]
        np.testing.assert_allclose(own, tempered, atol=1e-6)
        learnt = np.unique(plan.split(fold)[0])
        assert 2 * len(learnt) == len(plan.split(fold)[0])
        assert metadata.card.photos == len(learnt)
        assert metadata.card.n_eval_photos == len(whole)
        assert metadata.card.scores["macro F1"].value == scores.macro_f1
        right, interval = metadata.card.scores["accuracy of gender"], scores.per_attribute["gender"].accuracy_interval
        assert (right.value, right.low, right.high) == (interval.value, interval.low, interval.high)
        assert right.low < right.high
        assert sum(metadata.card.counts["gender"].values()) == len(learnt)
        assert metadata.card.license == "MIT"
        assert set(metadata.calibration.temperatures) == set(plan.scored_schema.names)
        assert metadata.calibration.persons == len(plan.photos.persons)


def test_the_best_epoch_is_kept_and_its_file_says_its_score(tiny: Make) -> None:
    folder, scores = train(tiny("trainer.epochs=4", "weight_averaging=none"))
    rows = [line.split(",") for line in folder.fold(0).metrics.read_text().splitlines()]
    column = rows[0].index("valid_macro_f1")
    best = max(float(row[column]) for row in rows[1:])
    metadata = read_model_metadata(folder.fold(0).model)
    assert metadata.scores["valid_macro_f1"] == pytest.approx(best, abs=1e-5)
    # The score of the whole set is not a mean over batches: the file's own answers give it again.
    assert scores.macro_f1 == pytest.approx(best, abs=1e-5)


class Killed(Exception):  # noqa: N818 (no error of the program's)
    """Stands for kill -9: nothing after it runs."""


def kill_at(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """Makes training stop dead in the middle of the step of this batch."""
    whole = ClassificationTask.training_step

    def step(self: ClassificationTask, data: dict[str, object], batch_idx: int) -> torch.Tensor:
        if self.batches_done == batch:
            raise Killed
        return whole(self, data, batch_idx)

    monkeypatch.setattr(ClassificationTask, "training_step", step)


KILLED_RECIPES = (
    ["trainer.save_every_n_steps=2"],
    ["trainer.accumulate_grad_batches=2", "trainer.early_stopping_patience=9"],
    [
        "trainer.save_top_k=2",
        "weight_averaging={name: swa, start: 0.3}",
        "lr_scheduler=reduce_on_plateau",
        "optimizer=madgrad",
    ],
    ["progressive_resizing={name: linear, size_increment: 4}", "trainer.save_every_n_steps=2", "weight_averaging=ema"],
)
# Every place with the recipe that saves within epochs; of the others one within an epoch and one past it, others slow.
KILLED = [
    pytest.param(words, place, marks=[] if number == 0 or place in (2, 9) else pytest.mark.slow)
    for number, words in enumerate(KILLED_RECIPES)
    for place in (0, 2, 5, 9, 13)
]


@pytest.mark.parametrize(("words", "killed_at"), KILLED)
def test_a_killed_run_resumed_is_the_uncut_run(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int, words: list[str]
) -> None:
    settings = ["trainer.epochs=3", "model.head.dropout=0.3", *words]
    whole, _ = train(tiny(f"output_dir={tmp_path / 'whole'}", *settings))
    cut = tiny(f"output_dir={tmp_path / 'cut'}", *settings)
    with monkeypatch.context() as patch:
        kill_at(patch, killed_at)
        with pytest.raises(Killed):
            train(cut)
    resumed, _ = train(cut, resume=True)
    # Every loss from first to last, to the last digit.
    assert resumed.fold(0).train_loss.read_text() == whole.fold(0).train_loss.read_text()
    ours, theirs = load_file(resumed.fold(0).model), load_file(whole.fold(0).model)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert resumed.oof_probabilities.read_text() == whole.oof_probabilities.read_text()


def test_a_checkpoint_with_other_weights_is_refused_with_what_to_do(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As versions wrote it that called the backbone `trunk`."""
    recipe = tiny(f"output_dir={tmp_path / 'cut'}", "trainer.epochs=3")
    with monkeypatch.context() as patch:
        kill_at(patch, 5)
        with pytest.raises(Killed):
            train(recipe)
    path = RunDir(tmp_path / "cut").fold(0).checkpoint
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["state_dict"] = {
        name.replace("backbone", "trunk"): value for name, value in checkpoint["state_dict"].items()
    }
    torch.save(checkpoint, path)
    with pytest.raises(RunError, match=r"weights are unknown and \d+ missing, such as .*trunk") as caught:
        train(recipe, resume=True)
    assert "delete this file and --resume" in str(caught.value)
    path.unlink()
    assert train(recipe, resume=True)[0].fold(0).done


def test_a_resumed_run_leaves_finished_folds_alone(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny("cv.num_folds=2", "trainer.epochs=1")
    folder, scores = train(recipe)
    before = folder.fold(0).model.stat().st_mtime_ns
    folder.fold(1).scores.unlink()
    again, rescored = train(recipe, resume=True)
    assert again.fold(0).model.stat().st_mtime_ns == before
    assert rescored.macro_f1 == scores.macro_f1
    # The epochs that were trained before the resume took their time too.
    epochs = sum(float(row["seconds"]) for row in read_csv(again.fold(1).metrics, ["seconds"]))
    assert read_json(again.fold(1).scores)["seconds"] > epochs * 0.999


def test_two_runs_with_one_seed_are_equal_and_with_another_differ(tiny: Make, tmp_path: Path) -> None:
    first, second, other = (
        train(tiny(f"output_dir={tmp_path / name}", f"trainer.seed={seed}", "trainer.epochs=1"))[0]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first.fold(0).train_loss.read_text() == second.fold(0).train_loss.read_text()
    assert first.fold(0).train_loss.read_text() != other.fold(0).train_loss.read_text()


def test_each_fold_starts_from_its_own_weights(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[torch.Tensor] = []
    begin = ClassificationTask.on_fit_start

    def remember(self: ClassificationTask) -> None:
        starts.append(torch.cat([item.detach().flatten().clone() for item in self.network.parameters()]))
        begin(self)

    monkeypatch.setattr(ClassificationTask, "on_fit_start", remember)
    folder, _ = train(tiny("cv.num_folds=2", "trainer.epochs=1"))
    assert not torch.equal(starts[0], starts[1])
    # Nothing that fold 0 learned is in what fold 1 began with.
    network, _ = load_model(folder.fold(0).model)
    learned = torch.cat([item.detach().flatten() for item in network.parameters()])
    assert not torch.allclose(starts[1], learned)


def test_a_folder_with_something_in_it_is_not_written_to(tiny: Make, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="not empty"):
        train(tiny())
    assert files_of(tmp_path / "run") == {"mine.txt"}


def test_weights_that_do_not_fit_are_an_error_before_any_photo_is_decoded(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file({"other": torch.zeros(1)}, tmp_path / "weights.safetensors")
    monkeypatch.setattr("maskfit.training.run_session._open_caches", lambda *_: pytest.fail("photos were decoded"))
    recipe = tiny("model.backbone=resnet10t", f"model.pretrained={tmp_path / 'weights.safetensors'}")
    with pytest.raises(ModelFileError):
        train(recipe)
    assert recipe.output_dir is not None
    assert not Path(recipe.output_dir).exists()


@pytest.mark.parametrize("words", [("cv.num_folds=2",), ("trainer.cached_features=1",)])
def test_the_network_whose_weights_were_checked_is_the_first_folds_start(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """It is built once, and the fold is that of a network which is built when the fold begins."""
    backbone = build_backbone(ComponentSpec.create("resnet10t"))
    save_file(backbone.body.state_dict(), tmp_path / "weights.safetensors")
    monkeypatch.chdir(tmp_path)
    recipe = tiny(
        "model.backbone=resnet10t", "model.pretrained=weights.safetensors", "trainer.epochs=1", "sampler=random", *words
    )
    built = []

    def build(
        backbone: ComponentSpec, head: ComponentSpec, sizes: Any, weights: str = "none", **options: Any
    ) -> Network:
        built.append(weights)
        return build_network(backbone, head, sizes, weights, **options)

    monkeypatch.setattr("maskfit.training.plan.build_network", build)
    run = prepare_run(recipe)
    assert built.count("weights.safetensors") == 1
    run.train_fold(0, ConsoleReporter(Console(quiet=True)))
    assert built.count("weights.safetensors") == 1
    assert run.start_networks == {}
    other = prepare_run(recipe.model_copy(update={"output_dir": str(tmp_path / "other")}))
    other.start_networks.clear()
    other.train_fold(0, ConsoleReporter(Console(quiet=True)))
    for name in ("probabilities.csv", "best.safetensors"):
        one, two = ((folder.path / "fold0" / name).read_bytes() for folder in (run.folder, other.folder))
        assert one == two, name


def test_resuming_with_another_recipe_is_refused_and_says_what_differs(tiny: Make) -> None:
    train(tiny("trainer.epochs=1", "optimizer.lr=0.01"))
    with pytest.raises(RunError, match=r"optimizer\.lr was 0\.01, is 0\.1"):
        train(tiny("trainer.epochs=1", "optimizer.lr=0.1"), resume=True)


def test_resuming_with_other_labels_is_refused(tiny: Make, tmp_path: Path) -> None:
    corrections, votes = tmp_path / "corrections.csv", tmp_path / "votes.csv"
    person = make_plan(tiny()).photos[0].person
    photo = make_plan(tiny()).photos[0].name
    corrections.write_text(f"person,photo,attribute,value,tier,reason\n{person},,age,33,certain,x\n")
    votes.write_text(f"path,mask=wear,mask=incorrect\n{photo},1,2\n")
    recipe = tiny("trainer.epochs=1", f"data.label_corrections={corrections}", f"data.soft_labels={votes}")
    train(recipe)
    train(recipe, resume=True)
    for path, old, new in ((corrections, ",33,", ",34,"), (votes, ",1,2", ",2,1")):
        text = path.read_text()
        path.write_text(text.replace(old, new))
        with pytest.raises(RunError, match="the labels of the photos, or the soft labels, have changed"):
            train(recipe, resume=True)
        path.write_text(text)
    # A run of an earlier version says nothing about it.
    environment = RunDir(Path(recipe.output_dir or "")).environment
    stored = read_json(environment)
    assert stored.pop("labels")
    write_json(environment, stored)
    votes.write_text(votes.read_text().replace(",1,2", ",2,1"))
    train(recipe, resume=True)


def test_resuming_what_is_no_run_is_refused(tiny: Make) -> None:
    with pytest.raises(RunError, match="no run to resume"):
        train(tiny(), resume=True)


def test_only_the_named_folds_are_trained(tiny: Make) -> None:
    folder, scores = train(tiny("cv.num_folds=3", "cv.train_folds=[2]", "trainer.epochs=1"))
    assert folder.fold_numbers() == [2]
    assert scores.photos == len(read_table(folder.fold(2).probabilities))
    with pytest.raises(RecipeError, match=r"cv\.train_folds=7"):
        train(tiny("cv.num_folds=3", "cv.train_folds=[7]", f"output_dir={folder.path}-other"))


def test_a_split_file_is_kept_to(tiny: Make, tmp_path: Path) -> None:
    plan = make_plan(tiny("cv.num_folds=2"))
    turned = {person: 1 - fold for person, fold in plan.folds.fold_of_person.items()}
    path = tmp_path / "folds.csv"
    path.write_text("person,fold\n" + "".join(f"{person},{fold}\n" for person, fold in turned.items()))
    assert dict(make_plan(tiny(f"cv.split_file={path}")).folds.fold_of_person) == turned


@pytest.mark.parametrize("head", ["multi_head", "single_head"])
def test_photos_with_part_of_the_labels_train_the_heads_they_can(
    tiny: Make, faces: Path, tmp_path: Path, head: str
) -> None:
    rows = ["path,person,mask,gender,age"]
    for number, folder in enumerate(sorted(faces.iterdir())):
        _, gender, _, age = folder.name.split("_")
        for photo in sorted(folder.iterdir()):
            mask = {"incorrect_mask": "incorrect", "normal": "not_wear"}.get(photo.stem, "wear")
            known = [f"{mask},,", f",{gender},{age}", f"{mask},{gender},{age}", ",,"][number % 4]
            rows.append(f"{photo},{folder.name},{known}")
    manifest = tmp_path / "photos.csv"
    manifest.write_text("\n".join(rows) + "\n")
    recipe = tiny(f"data.path={manifest}", f"model.head={head}", "cv.num_folds=2")
    folder, scores = train(recipe)
    assert scores.photos == 84
    assert 0 < scores.known < 84
    assert scores.per_attribute["mask"].photos > scores.known
    losses = np.array([float(line.split(",")[1]) for line in folder.fold(0).train_loss.read_text().splitlines()[1:]])
    assert np.isfinite(losses).all()


def test_a_set_that_never_says_an_attribute_is_refused_with_the_remedy(tiny: Make, faces: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "photos.csv"
    photos = sorted(faces.rglob("*.*"))
    manifest.write_text("path,mask\n" + "".join(f"{photo},wear\n" for photo in photos))
    with pytest.raises(DataError, match="gender or age"):
        train(tiny(f"data.path={manifest}"))


def test_decades_are_trained_on_and_the_official_bands_answered(tiny: Make) -> None:
    folder, scores = train(tiny("data.age_labels={by_decade: true, old_from_age: 58}", "trainer.epochs=1"))
    metadata = read_model_metadata(folder.fold(0).model)
    assert metadata.label_schema.sizes["age"] == 6
    assert metadata.label_schema["age"].bin_edges[-1] == 58
    assert len(scores.per_class) == LABEL_SCHEMAS["mask-gender-age"].num_classes
    # Ages in years come with narrow bands: out of fold, in the model files and in the report.
    names = read_table(folder.oof_probabilities).names
    ages = read_age_table(folder.oof_ages, names)
    edges = LABEL_SCHEMAS["mask-gender-age"]["age"].bin_edges
    bands = LABEL_SCHEMAS["mask-gender-age"].marginals(read_table(folder.oof_probabilities).probabilities)["age"]
    assert ages.band_sums(edges) == pytest.approx(bands, abs=2e-3)
    assert metadata.calibration.ages is not None
    assert metadata.calibration.ages.photos == len(names)
    assert "The age in years" in folder.report.read_text(encoding="utf-8")
    assert set(RUN_FILES) | {"oof_ages.csv"} == {item.name for item in folder.path.iterdir() if item.is_file()}
    assert folder.fold(0).age_bands.is_file()


def test_dropped_ages_are_not_trained_on_but_judged(tiny: Make) -> None:
    plan = make_plan(tiny("data.age_labels={exclude: [[18, 40]]}", "cv.num_folds=2"))
    train_side, valid_side = plan.split(0)
    assert all(plan.photos[int(place)].labels["age"] > 40 for place in train_side)
    assert any(plan.photos[int(place)].labels["age"] <= 40 for place in valid_side)


def test_class_weights_are_counted_on_the_training_photos_of_the_fold(tiny: Make) -> None:
    plan = make_plan(tiny("loss.class_weights=inverse", "cv.num_folds=2"))
    frames = np.zeros((len(plan.photos), 1, 1, 3), dtype=np.uint8)
    from maskfit.data.image_cache.cache import CachedImages

    cached = CachedImages(np.arange(len(plan.photos)), frames)
    data = build_fold_data(plan, 0, cached, cached)
    criterion = build_criterion(plan, data.train)
    weights = criterion.losses[criterion.names.index("mask")].weights
    codes = plan.photos.attribute_indices(plan.train_schema)[data.train.indices, 0]
    counts = np.bincount(codes, minlength=3)
    expected = (1 / counts) / np.mean((1 / counts)[codes])
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


def test_no_validation_photo_passes_the_augmentation(tiny: Make) -> None:
    """Held-out photos are evaluated as the evaluation transform gives them, whatever training does to its own."""
    recipe = tiny("augmentation={name: light, brightness: 0.5}", "trainer.epochs=1", "data.train_resize_scale=1.5")
    folder, _ = train(recipe)
    table = read_table(folder.fold(0).probabilities)
    network, metadata = load_model(folder.fold(0).model)
    plan = make_plan(recipe)
    photo = next(item for item in plan.photos if item.name == table.names[0])
    from maskfit.labels.schema import logits_to_probabilities

    with torch.inference_mode():
        logits = network(torch.from_numpy(metadata.preprocessing(decode(photo.path))))
    by_hand = logits_to_probabilities(metadata.label_schema, {head: values.numpy() for head, values in logits.items()})
    np.testing.assert_allclose(by_hand[0], table.probabilities[0], atol=1e-5)


def test_a_model_does_not_tell_where_the_photos_lay(tiny: Make, tmp_path: Path) -> None:
    folder, _ = train(tiny("trainer.epochs=1"))
    text = read_model_metadata(folder.fold(0).model).model_dump_json()
    assert str(tmp_path.parent) not in text


def test_joint_head_answers_with_one_class_number(tiny: Make) -> None:
    folder, scores = train(tiny("model.head=single_head", "trainer.epochs=1"))
    assert read_model_metadata(folder.fold(0).model).heads == (JOINT_HEAD,)
    assert scores.macro_f1 is not None


def test_answers_that_are_no_numbers_stop_with_the_remedy(tiny: Make) -> None:
    with pytest.raises(RunError, match=r"non-finite logits") as raised:
        train(
            tiny(
                "optimizer.lr=1e30", "trainer.gradient_clip_val=null", "weight_averaging=none", "lr_scheduler=constant"
            )
        )
    assert "optimizer.lr" in str(raised.value)


def test_run_folder_without_a_finished_fold_has_no_models(tmp_path: Path) -> None:
    (tmp_path / "fold0").mkdir()
    with pytest.raises(RunError, match="no fold"):
        RunDir(tmp_path).models()


def test_a_plan_tells_how_codes_were_read_and_that_folds_may_leak(tiny: Make, tmp_path: Path) -> None:
    photos = make_plan(tiny()).photos
    genders = {"male": 1.0, "female": 0.0}
    rows = [f"{photo.path},{genders[str(photo.labels['gender'])]}" for photo in photos]
    (tmp_path / "codes.csv").write_text("\n".join(["path,gender", *rows]))
    overrides = (f"data.path={tmp_path / 'codes.csv'}", "data.label_schema=gender", "cv.num_folds=2")
    default = make_plan(tiny(*overrides))
    swapped = make_plan(tiny(*overrides, "data.codes={gender: {0: female, 1: male}}"))
    assert default.warnings[0] == "gender: 0 = male, 1 = female (codes without words)"
    assert swapped.warnings[0] == "gender: 0 = female, 1 = male (data.codes)"
    assert (default.targets == 1 - swapped.targets).all()
    # The photos lie in folders of persons, which says who is on them.
    assert len(swapped.warnings) == 1
    for number, photo in enumerate(photos):
        (tmp_path / f"{number}.jpg").write_bytes(photo.path.read_bytes())
    rows = [f"{number}.jpg,{photo.labels['gender']}" for number, photo in enumerate(photos)]
    (tmp_path / "codes.csv").write_text("\n".join(["path,gender", *rows]))
    (warning,) = make_plan(tiny(*overrides)).warnings
    assert "folds may leak" in warning


def test_a_manifest_without_labels_names_the_column_that_is_meant(tiny: Make, tmp_path: Path) -> None:
    rows = [f"{photo.path},{photo.labels['mask']}" for photo in make_plan(tiny()).photos]
    (tmp_path / "export.csv").write_text("\n".join(["path,choice", *rows]))
    with pytest.raises(DataError, match="rename column choice to mask"):
        make_plan(tiny(f"data.path={tmp_path / 'export.csv'}", "data.label_schema=mask"))
