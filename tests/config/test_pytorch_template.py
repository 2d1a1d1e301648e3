"""Configs of pytorch-template and its relatives as recipes: cv-08's (s4) own, today's and old forms, invalid ones."""

from __future__ import annotations

import json

import pytest

from maskfit.config.loader import read_recipe
from maskfit.config.pytorch_template import import_config
from maskfit.errors import RecipeError
from maskfit.training.recipe_registry import RECIPE_REGISTRY

EXAMPLE = """{
    "name": "Mask_Base",                    // training session name
    "n_gpu": 1,                             // number of GPUs to use for training.
    "arch": {
        "type": "TimmModelMulti",
        "args": {
            "model_name": "efficientnetv2_rw_s",  // name of model architecture to train
            "pretrained": true
        }
    },
    "data_loader": {
        "type": "setup",                // selecting data loader
        "args": {
            "stage": "train",           // selecting the stage between train and eval
            "input_size": 240,          // image resize size
            "batch_size": 16,           // batch size
            "num_workers": 4            // number of cpu processes to be used for data loading
        }
    },
    "optimizer": {
        "type": "Adam",                 // optimizer type
        "args": {
            "lr": 0.0001,               // learning rate
            "weight_decay": 0,          // weight decay
            "amsgrad": true
        }
    },
    "loss": "all_loss",                 // loss type
    "loss_name": [
        ["focal", [1.4, 7.0, 7.0], 0.375],
        ["focal", [1.6285, 2.5912], 0.25],
        ["focal", [2.8723, 3.9589, 4.5075, 14.0625, 14.0625, 28.4211], 0.375]
    ],
    "metrics": [
        "accuracy", "f1" // list of metrics to evaluate
    ],
    "lr_scheduler": {
        "type": "StepLR", // learning rate scheduler type
        "args": {
            "step_size": 5,
            "gamma": 0.1
        }
    },
    "trainer": {
        "epochs": 50,             // number of training epochs
        "save_dir": "saved/",     // checkpoints are saved in save_dir/models/name
        "save_period": 1,         // save checkpoints every save_freq epochs
        "verbosity": 2,           // 0: quiet, 1: per epoch, 2: full
        "monitor": "min val/loss",// mode and metric for model performance monitoring. set 'off' to disable.
        "early_stop": 3,          // number of epochs to wait before early stop. set 0 to disable.
        "tensorboard": false     // enable tensorboard visualization
    },
    "wandb": true,   // enable wandb logging
    "visualize": false, // enable visualization of wandb visualization
    "submit_dir": "/submit", // submission csv directory
    "info_dir": "/input/data/eval"// eval dataset directory
}
"""


def imported(tmp_path, config):
    path = tmp_path / "config.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    made = import_config(path, RECIPE_REGISTRY)
    (tmp_path / "made.yaml").write_text(made.to_yaml("config.json"))
    return made, read_recipe(tmp_path / "made.yaml", registries=RECIPE_REGISTRY)


def test_the_seeds_own_example(tmp_path):
    made, recipe = imported(tmp_path, EXAMPLE)
    assert recipe.name == "Mask_Base"
    assert recipe.model.model_dump(mode="json", include={"backbone", "pretrained", "head"}) == {
        "backbone": "efficientnetv2_rw_s",
        "pretrained": "timm",
        "head": "multi_head",
    }
    assert recipe.data.image_size == (240, 240)
    assert recipe.data.age_labels.by_decade
    assert recipe.optimizer.model_dump() == {"name": "adam", "lr": 1e-4, "weight_decay": 0, "amsgrad": True}
    assert recipe.lr_scheduler.model_dump() == {"name": "step", "every": 5, "factor": 0.1}
    assert {head: own.loss_weight for head, own in recipe.heads.items()} == {
        "mask": 0.375,
        "gender": 0.25,
        "age": 0.375,
    }
    assert recipe.heads["gender"].loss.model_dump() == {"name": "focal", "class_weights": [1.6285, 2.5912]}
    assert recipe.heads["age"].loss.options["class_weights"] == [2.8723, 3.9589, 4.5075, 14.0625, 14.0625, 28.4211]
    trainer = recipe.trainer
    assert (trainer.epochs, trainer.batch_size, trainer.early_stopping_patience, trainer.loggers) == (
        50,
        16,
        3,
        ("wandb",),
    )
    assert trainer.monitor == "loss"
    assert made.unknown == []
    assert [remark.split(":")[0] for remark in made.warnings] == [
        "loss",
        "data_loader.type",
        "data_loader.args.stage",
        "data_loader.args.num_workers",
        "metrics",
        "trainer.save_dir",
        "trainer.save_period",
        "trainer.verbosity",
        "visualize",
        "submit_dir",
        "info_dir",
    ]
    assert all(len(remark.split(": ", 1)[1]) > 10 for remark in made.warnings)


def test_the_age_weights_are_of_the_ages_that_are_trained(tmp_path):
    _, recipe = imported(tmp_path, EXAMPLE)
    schema = recipe.data.age_labels.training_schema(recipe.data.label_schema)
    for head, own in recipe.heads.items():
        assert len(own.loss.options["class_weights"]) == schema.sizes[head]


def test_every_key_is_read_or_told(tmp_path):
    config = {
        "name": "a b/c",
        "n_gpu": 4,
        "arch": {"type": "CLIPModel", "args": {"model_name": "resnet50", "depth": 3}},
        "optimizer": {"type": "AdamP", "args": {"lr": 0.1, "amsgrad": True}},
        "loss": "focal",
        "lr_scheduler": {"type": "CosineAnnealingLR", "args": {"T_max": 10}},
        "trainer": {"early_stop": 0},
        "extra": {},
        "data_loader": {"args": {}},
    }
    made, recipe = imported(tmp_path, config)
    reported = [remark.split(":")[0] for remark in made.warnings]
    assert reported == ["name", "arch.type", "n_gpu", "lr_scheduler.args.T_max", "optimizer.args.amsgrad"]
    assert made.unknown == ["arch.args.depth", "extra"]
    assert recipe.name == "a-b-c"
    assert recipe.model.backbone.name == "resnet50"
    assert recipe.loss.name == "focal"
    assert recipe.lr_scheduler.model_dump() == {"name": "cosine", "warmup": 0}
    assert recipe.trainer.early_stopping_patience is None
    assert recipe.trainer.devices == 4
    assert recipe.optimizer.model_dump() == {"name": "adamp", "lr": 0.1}


def test_keys_at_the_top_and_in_sections(tmp_path):
    """What teams wrote: epochs and lr at the top, train_loader, a loss of another name, torch's plateau."""
    config = {
        "epochs": 30,
        "batch_size": 64,
        "lr": 1e-4,
        "seed": 7,
        "optimizer": {"type": "AdamW", "args": {"lr": 3e-4}},
        "train_loader": {"args": {"batch_size": 48}},
        "loss": "f1_loss",
        "lr_scheduler": {"type": "ReduceLROnPlateau", "args": {"patience": 5, "mode": "min"}},
        "validation_split": 0.2,
        "n_gpu": 2,
        "monitor": "max val_f1",
        "foo": 1,
    }
    made, recipe = imported(tmp_path, config)
    trainer = recipe.trainer
    assert (trainer.epochs, trainer.batch_size, trainer.seed, trainer.devices) == (30, 48, 7, 2)
    assert recipe.optimizer.model_dump() == {"name": "adamw", "lr": 3e-4}
    assert recipe.loss.name == "soft_macro_f1"
    assert recipe.lr_scheduler.model_dump() == {"name": "reduce_on_plateau", "factor": 0.1, "patience": 5}
    assert recipe.cv.val_fraction == 0.2
    assert made.unknown == ["foo"]
    told = {line.split(":")[0]: line for line in made.warnings}
    assert set(told) == {"batch_size", "lr", "lr_scheduler.args.mode", "model", "n_gpu"}
    assert "small with random weights is used" in told["model"]
    assert "64 is not used, since train_loader.args.batch_size is 48" in told["batch_size"]
    assert trainer.monitor == "macro_f1"


@pytest.mark.parametrize(
    ("text", "monitor"),
    [
        ("min val_loss", "loss"),
        ("min val/loss", "loss"),
        ("max val_accuracy", "accuracy"),
        ("max val_acc", "accuracy"),
        ("max val_f1_score", "macro_f1"),
        ("max macro_f1", "macro_f1"),
        ("off", "off"),
        (False, "off"),
        ("max val_auc", "macro_f1"),
    ],
)
def test_the_metric_that_is_watched(tmp_path, text, monitor):
    made, recipe = imported(tmp_path, {"epochs": 3, "optimizer": "adam", "trainer": {"monitor": text}})
    assert recipe.trainer.monitor == monitor
    assert any("'max val_auc' is no metric here" in line for line in made.warnings) == (text == "max val_auc")


def test_without_a_metric_nothing_stops_early_and_it_is_said(tmp_path):
    made, recipe = imported(tmp_path, {"epochs": 3, "trainer": {"monitor": "off", "early_stop": 5}})
    assert (recipe.trainer.monitor, recipe.trainer.early_stopping_patience) == ("off", None)
    assert any(line.startswith("trainer.monitor: without a metric") for line in made.warnings)


@pytest.mark.parametrize("section", ["argument", "arguments", "hyperparameters", "trainer", "train"])
def test_a_section_that_only_groups_changes_nothing(tmp_path, section):
    made, recipe = imported(
        tmp_path, {section: {"EPOCHS": 20, "batchSize": 32, "learning_rate": 3e-4, "weight_decay": 0.1, "SEED": 3}}
    )
    assert (recipe.trainer.epochs, recipe.trainer.batch_size, recipe.trainer.seed) == (20, 32, 3)
    assert recipe.optimizer.model_dump() == {"name": "adamw", "lr": 3e-4, "weight_decay": 0.1}
    assert [line.split(";")[0] for line in made.warnings] == [
        "model: the config names none",
        "optimizer: the config names none",
    ]
    assert made.unknown == []


def test_the_competitions_baseline_and_its_yaml(tmp_path):
    config = {
        "seed": 42,
        "epochs": 10,
        "dataset": "MaskSplitByProfileDataset",
        "augmentation": "BaseAugmentation",
        "resize": [128, 96],
        "valid_batch_size": 1000,
        "model": "EfficientNet-B3",
        "optimizer": "SGD",
        "momentum": 0.9,
        "lr": 0.1,
        "val_ratio": 0.2,
        "criterion": "label_smoothing",
        "lr_decay_step": 20,
        "data_dir": "/data/train/images",
    }
    made, recipe = imported(tmp_path, config)
    assert recipe.model.backbone.name == "efficientnet_b3"
    assert recipe.data.image_size == (128, 96)
    assert recipe.data.path == "/data/train/images"
    assert recipe.optimizer.model_dump() == {"name": "sgd", "lr": 0.1, "momentum": 0.9}
    assert recipe.loss.model_dump() == {"name": "cross_entropy", "smoothing": 0.1}
    assert recipe.lr_scheduler.model_dump() == {"name": "step", "factor": 0.5, "every": 20}
    assert recipe.trainer.batch_size == 32
    told = {line.split(":")[0] for line in made.warnings}
    assert told == {"criterion", "lr_decay_step", "dataset", "augmentation", "valid_batch_size"}
    (tmp_path / "config.yaml").write_text("train:\n  lr: 1e-4\n  epochs: 4\n  model: tf_efficientnet_b3_ns\n")
    made = import_config(tmp_path / "config.yaml", RECIPE_REGISTRY)
    assert made.values["optimizer"] == {"name": "adamw", "lr": 1e-4}
    assert made.values["model"]["backbone"] == "tf_efficientnet_b3"
    assert any("tf_efficientnet_b3_ns" in line and "weights" in line for line in made.warnings)


def test_the_first_form_of_pytorch_template(tmp_path):
    config = {
        "cuda": True,
        "data_loader": {"type": "FaceLoader", "batch_size": 16, "shuffle": True},
        "validation": {"validation_split": 0.1, "batch_size": 1000},
        "lr_scheduler_type": "ExponentialLR",
        "lr_scheduler": {"gamma": 0.9},
        "optimizer_type": "adam",
        "optimizer": {"lr": 0.001},
        "arch": "resnet18",
        "model": {},
    }
    made, recipe = imported(tmp_path, config)
    assert recipe.trainer.batch_size == 16
    assert recipe.cv.val_fraction == 0.1
    assert recipe.lr_scheduler.model_dump() == {"name": "exponential", "factor": 0.9}
    assert recipe.optimizer.model_dump() == {"name": "adam", "lr": 0.001}
    assert recipe.model.backbone.name == "resnet18"
    assert recipe.name == "imported"
    assert made.unknown == []


def test_unknown_components_are_told_and_the_recipe_is_valid(tmp_path):
    config = {
        "epochs": 3,
        "arch": {"type": "MyNet"},
        "optimizer": {"type": "Ranger", "args": {"lr": 0.01}},
        "loss": "my_loss",
        "lr_scheduler": {"type": "MultiStepLR", "args": {"milestones": [2, 4]}},
    }
    made, recipe = imported(tmp_path, config)
    assert recipe.optimizer.model_dump() == {"name": "adamw", "lr": 0.01}
    told = {line.split(":")[0]: line for line in made.warnings}
    assert set(told) == {"arch.type", "optimizer.type", "loss", "lr_scheduler.type", "lr_scheduler.args.milestones"}
    assert "'Ranger' is unknown, adamw is used" in told["optimizer.type"]
    assert "set model.backbone" in told["arch.type"]


@pytest.mark.parametrize(
    ("count", "devices", "device"), [(0, 1, "cpu"), (1, 1, "auto"), (3, 3, "auto"), ("all", 1, "auto")]
)
def test_gpus(tmp_path, count, devices, device):
    made, recipe = imported(tmp_path, {"epochs": 1, "model": "resnet18", "n_gpu": count})
    assert (recipe.trainer.devices, recipe.trainer.device) == (devices, device)
    assert [line.split(":")[0] for line in made.warnings] == (["n_gpu"] if count in (3, "all") else [])


def test_the_lowest_rate_of_a_cosine_is_a_factor(tmp_path):
    scheduler = {"type": "CosineAnnealingWarmRestarts", "args": {"T_0": 5, "T_mult": 2, "eta_min": 1e-6}}
    config = {"optimizer": {"type": "Adam", "args": {"lr": 1e-4}}, "lr_scheduler": scheduler}
    _, recipe = imported(tmp_path, config)
    options = {"name": "cosine_restarts", "floor": 0.01, "period": 5, "stretch": 2}
    assert recipe.lr_scheduler.model_dump() == options


def test_one_config_leaves_nothing_behind_for_the_next(tmp_path):
    optimizer = {"type": "Adam", "args": {"lr": 1e-3}}
    scheduler = {"type": "CosineAnnealingWarmRestarts", "args": {"T_0": 5, "eta_min": 1e-5}}
    _, first = imported(tmp_path, {"optimizer": optimizer, "lr_scheduler": scheduler})
    del scheduler["args"]["eta_min"]
    _, second = imported(tmp_path, {"optimizer": optimizer, "lr_scheduler": scheduler})
    assert first.lr_scheduler.options["floor"] == 0.01
    assert "floor" not in second.lr_scheduler.options


@pytest.mark.parametrize("config", [{"foo": 1}, {"name": "a", "foo": {"bar": 2}}, {"verbosity": 2}])
def test_a_config_of_which_nothing_is_understood_is_an_error(tmp_path, config):
    with pytest.raises(RecipeError, match="nothing of this config is understood") as caught:
        imported(tmp_path, config)
    assert next(iter(set(config) - {"name"})) in str(caught.value)


def test_a_processor_and_three_ages(tmp_path):
    losses = [["ce", [1, 1, 1], 1], ["ce", [1, 1], 1], ["arcface", [1, 2, 3], 2]]
    made, recipe = imported(tmp_path, {"n_gpu": 0, "loss_name": losses, "arch": {"args": {"pretrained": False}}})
    assert recipe.trainer.device == "cpu"
    assert recipe.model.pretrained == "none"
    assert not recipe.data.age_labels.by_decade
    assert recipe.heads["age"].loss.name == "cross_entropy"
    assert len(made.warnings) == 2
    assert made.warnings[0].startswith("model: the config names none")
    assert made.warnings[1].startswith("loss_name of age: 'arcface' is unknown, cross_entropy is used")


def test_slashes_in_texts_are_no_comments(tmp_path):
    _, recipe = imported(
        tmp_path, '{"name": "a", // "quoted"\n "info_dir": "http://x//y \\" // z", "trainer": {"epochs": 7}}'
    )
    assert recipe.trainer.epochs == 7


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "invalid JSON"),
        ("[1]", "a mapping of keys"),
        ("{}", "a mapping of keys"),
        ({"trainer": {"epochs": 0}}, "trainer.epochs"),
        ({"trainer": {"epochs": "many"}}, "trainer.epochs"),
        ({"data_loader": {"args": {"input_size": 2}}}, "data.image_size"),
        ({"loss_name": [["focal", [1, 1, 1], 1]]}, "one entry for each of mask, gender, age"),
        ({"loss_name": [["focal", 1, 1]] * 3}, "does not have the type"),
        ({"loss_name": [1, 2, 3]}, "does not have the type"),
    ],
)
def test_what_is_no_config_is_refused(tmp_path, config, message):
    with pytest.raises(RecipeError) as caught:
        imported(tmp_path, config)
    assert message in str(caught.value)
    assert "config.json" in str(caught.value)


def test_a_config_that_is_not_there(tmp_path):
    with pytest.raises(RecipeError, match="cannot be read"):
        import_config(tmp_path / "absent.json", RECIPE_REGISTRY)
