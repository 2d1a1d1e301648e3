"""cv-08's (s4) config as a recipe: the example of its README, key by key, and invalid configs."""

from __future__ import annotations

import json

import pytest

from maskfit.config.loader import read_recipe
from maskfit.config.pytorch_template import import_config
from maskfit.errors import RecipeError

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
    made = import_config(path)
    (tmp_path / "made.yaml").write_text(made.to_yaml("config.json"))
    return made, read_recipe(tmp_path / "made.yaml")


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
    assert [remark.split(":")[0] for remark in made.warnings] == [
        "data_loader.type",
        "data_loader.args.stage",
        "data_loader.args.num_workers",
        "loss",
        "metrics",
        "trainer.save_dir",
        "trainer.save_period",
        "trainer.verbosity",
        "trainer.monitor",
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


def test_every_part_is_in_our_tables():
    from maskfit.config.pytorch_template import LOSSES, LR_SCHEDULERS, OPTIMIZER_OPTIONS, OPTIMIZERS
    from maskfit.registry import ComponentSpec, validate_spec
    from maskfit.training.recipe_registry import RECIPE_REGISTRY

    for name in OPTIMIZERS.values():
        part = ComponentSpec(name=name, options=dict.fromkeys(OPTIMIZER_OPTIONS[name], 0))
        assert (
            validate_spec(
                RECIPE_REGISTRY["optimizer"].table, part, injected=RECIPE_REGISTRY["optimizer"].injected_arguments
            )
            == []
        )
    for name in LOSSES.values():
        part = ComponentSpec.create(name, class_weights=[1.0])
        assert (
            validate_spec(RECIPE_REGISTRY["loss"].table, part, injected=RECIPE_REGISTRY["loss"].injected_arguments)
            == []
        )
    for name, options in LR_SCHEDULERS.values():
        part = ComponentSpec(name=name, options=dict.fromkeys(options.values(), 0))
        assert (
            validate_spec(
                RECIPE_REGISTRY["lr_scheduler"].table, part, injected=RECIPE_REGISTRY["lr_scheduler"].injected_arguments
            )
            == []
        )


def test_every_key_is_read_or_told(tmp_path):
    config = {
        "name": "a b/c",
        "n_gpu": 4,
        "arch": {"type": "CLIPModel", "args": {"model_name": "resnet50", "depth": 3}},
        "optimizer": {"type": "AdamP", "args": {"lr": 0.1}},
        "loss": "focal",
        "lr_scheduler": {"type": "CosineAnnealingLR", "args": {"T_max": 10}},
        "trainer": {"early_stop": 0},
        "extra": {},
        "data_loader": {"args": {}},
    }
    made, recipe = imported(tmp_path, config)
    reported = {remark.split(":")[0] for remark in made.warnings}
    assert reported == {
        "name",
        "n_gpu",
        "arch.type",
        "arch.args.depth",
        "optimizer.type",
        "optimizer.args.lr",
        "lr_scheduler.args.T_max",
        "extra",
        "data_loader.args",
    }
    assert recipe.name == "a-b-c"
    assert recipe.model.backbone.name == "resnet50"
    assert recipe.loss.name == "focal"
    assert recipe.lr_scheduler.model_dump() == {"name": "cosine", "warmup": 0}
    assert recipe.trainer.early_stopping_patience is None
    assert recipe.optimizer == read_recipe(tmp_path / "made.yaml").optimizer


def test_a_processor_and_three_ages(tmp_path):
    losses = [["ce", [1, 1, 1], 1], ["ce", [1, 1], 1], ["arcface", [1, 2, 3], 2]]
    made, recipe = imported(tmp_path, {"n_gpu": 0, "loss_name": losses, "arch": {"args": {"pretrained": False}}})
    assert recipe.trainer.device == "cpu"
    assert recipe.model.pretrained == "none"
    assert not recipe.data.age_labels.by_decade
    assert recipe.heads["age"].loss.name == "cross_entropy"
    assert made.warnings == ["loss_name of age: the loss 'arcface' is unknown; cross_entropy is used"]


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
        import_config(tmp_path / "absent.json")
