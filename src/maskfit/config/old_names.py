"""Old names of recipe keys, components, options, model metadata keys and weights; `aliases.py` replaces them.

One table for each kind of name; nothing else in maskfit knows the old names.
"""

from __future__ import annotations

from typing import Any

RECIPE_KEYS: dict[str, str] = {
    "about": "description",
    "average": "weight_averaging",
    "base": "extends",
    "embedding": "metric_loss",
    "fold": "cv.train_folds",
    "folds": "cv.num_folds",
    "holdout": "cv.val_fraction",
    "mixing": "batch_mixing",
    "optimiser": "optimizer",
    "run": "output_dir",
    "sampling": "sampler",
    "schedule": "lr_scheduler",
    "years": "age_regression",
    "card.licence": "card.license",
    "card.material": "card.training_data",
    "card.use": "card.intended_use",
    "data.age": "data.age_labels",
    "data.age_labels.decades": "data.age_labels.by_decade",
    "data.age_labels.drop": "data.age_labels.exclude",
    "data.age_labels.old_from": "data.age_labels.old_from_age",
    "data.age_labels.step": "data.age_labels.bin_width",
    "data.background": "data.background_removal",
    "data.corrections": "data.label_corrections",
    "data.extra": "data.extra_train",
    "data.known_errors": "data.known_label_errors",
    "data.normalise": "data.normalization",
    "data.root": "data.path",
    "data.scheme": "data.label_schema",
    "data.label_schema.attributes.*.edges": "data.label_schema.attributes.*.bin_edges",
    "data.label_schema.attributes.*.span": "data.label_schema.attributes.*.valid_range",
    "data.label_schema.attributes.*.coarse": "data.label_schema.attributes.*.parent_of",
    "data.label_schema.attributes.*.words": "data.label_schema.attributes.*.display_names",
    "data.sharpen": "data.unsharp_mask",
    "data.size": "data.image_size",
    "data.store": "data.cache_dir",
    "data.train_scale": "data.train_resize_scale",
    "heads.*.share": "heads.*.loss_weight",
    "model.start": "model.init_from",
    "model.weights": "model.pretrained",
    "trainer.accumulate": "trainer.accumulate_grad_batches",
    "trainer.checkpoint_steps": "trainer.save_every_n_steps",
    "trainer.checkpointing": "trainer.gradient_checkpointing",
    "trainer.clip": "trainer.gradient_clip_val",
    "trainer.finish": "trainer.full_data_epochs",
    "trainer.finish_lr": "trainer.full_data_lr_factor",
    "trainer.folds_at_once": "trainer.parallel_folds",
    "trainer.nodes": "trainer.num_nodes",
    "trainer.patience": "trainer.early_stopping_patience",
    "trainer.top": "trainer.save_top_k",
}
"""Old key -> new key, dotted; `*` is any head or list index. Keys inside a renamed section use its new name."""

SPLIT_FILE_KEYS = {"folds": "cv.split_file"}
"""Old key -> new key where the value is a path: `folds` was a number of folds or a split file."""

RECIPE_VALUES: dict[str, dict[Any, Any]] = {
    "data.normalization": {"dataset": "pretrained", "photo": "per_image"},
    "model.pretrained": {"hub": "timm"},
    "trainer.precision": {32: "32-true", "32": "32-true", "bf16": "bf16-mixed", 16: "16-mixed", "16": "16-mixed"},
}
"""New key -> old value -> new value."""

COMPONENTS: dict[str, dict[str, str]] = {
    "augmentation": {
        "base": "random_resized_crop",
        "complex": "crop_color_blur",
        "facecrop": "rand_augment",
        "jitter": "color_jitter",
        "one_of": "one_of_color",
        "random": "rand_augment",
        "shift_scale": "shift_scale_rotate",
        "tta": "rand_augment",
        "wild": "unconstrained",
    },
    "batch_mixing": {"strip": "vertical_cutmix"},
    "data.crop": {"centre": "center", "pixels": "variance", "salient": "saliency", "whole": "resize"},
    "ensemble": {"hard": "majority", "hard_attribute": "majority_per_attribute"},
    "loss": {
        "binary": "bce",
        "macro_f1": "soft_macro_f1",
        "neighbours": "ordinal_smoothing",
        "symmetric": "symmetric_cross_entropy",
    },
    "lr_scheduler": {"plateau": "reduce_on_plateau"},
    "model.freeze": {"gradual": "gradual_unfreeze", "trunk": "backbone"},
    "model.head": {
        "attributes": "multi_head",
        "hidden": "mlp_1",
        "joint": "single_head",
        "vanilla": "bn_dropout_linear",
    },
    "sampler": {"balanced": "class_balanced", "over": "oversample", "shuffle": "random", "under": "undersample"},
    "tta": {"five": "five_crop"},
}
"""Registry -> old component name -> new component name. Registries are recipe keys, `engine`, `ensemble` and `tta`."""

OPTIONS: dict[str, dict[str, dict[str, str]]] = {
    "age_regression": {"mse": {"share": "weight"}, "smooth_l1": {"share": "weight"}},
    "augmentation": {
        "crop_color_blur": {"blurred": "blur_prob", "turn": "degrees"},
        "light": {"turn": "degrees"},
        "shift_scale_rotate": {"turn": "degrees"},
        "strong": {
            "damage": "degrade",
            "grey": "gray",
            "light": "jitter",
            "turn": "degrees",
        },
        "unconstrained": {
            "coarse": "downscale",
            "damage": "degrade",
            "grey": "gray",
            "light": "jitter",
            "turn": "degrees",
        },
    },
    "batch_mixing": {
        name: {"chance": "prob"}
        for name in ("cutmix", "half_face", "half_face_old", "half_face_same", "mixup", "vertical_cutmix")
    },
    "data.background_removal": {"grabcut": {"colour": "color"}, "saliency": {"colour": "color"}},
    "data.crop": {"face": {"choose": "face_selection", "of": "scale_relative_to", "squeeze": "ignore_aspect"}},
    "data.crop.detector": {"mtcnn": {"least": "min_face_size"}},
    "engine": {name: {"at_once": "infer_batch_size"} for name in ("onnx", "openvino")},
    "loss": {"ce_f1": {"share": "f1_weight"}, "symmetric_cross_entropy": {"floor": "log_zero"}},
    "metric_loss": {name: {"share": "weight"} for name in ("arcface", "multi_similarity", "supcon", "triplet")},
    "model.head": {
        name: {"start": "init"}
        for name in ("bn_dropout_linear", "mlp", "mlp_1", "multi_head", "multi_sample", "ordinal", "single_head")
    },
    "ensemble": {"greedy": {"bags": "num_bags", "part": "bag_fraction"}, "stack": {"strength": "l2"}},
}
"""Registry -> component -> old option -> new option."""

OPTION_VALUES: dict[str, dict[str, dict[str, str]]] = {
    "loss": {"class_weights": {"complement": "one_minus_frequency"}},
}
"""Registry -> option of any component -> old value -> new value."""

OLD_DEFAULTS: dict[str, dict[str, dict[str, Any]]] = {
    "data.crop": {"face": {"detector": "yunet"}},
}
"""Registry -> component -> option -> value that an earlier version meant where its files do not name the option."""

COMPLETE_RECIPE = frozenset(
    {
        "name",
        "description",
        "data",
        "model",
        "loss",
        "heads",
        "metric_loss",
        "age_regression",
        "augmentation",
        "batch_mixing",
        "sampler",
        "optimizer",
        "lr_scheduler",
        "weight_averaging",
        "trainer",
        "cv",
        "output_dir",
    }
)
"""Keys that every recipe has which a run wrote, with all defaults; a person's recipe never has all of them."""

RECIPE_COMPONENTS: dict[str, str] = {
    **{key: key for key in (*COMPONENTS, *OPTIONS) if key not in ("engine", "ensemble", "tta")},
    "heads.*.loss": "loss",
}
"""Recipe key of a component -> its registry in the tables above."""

MODEL_METADATA: dict[str, str] = {
    "about": "description",
    "scheme": "label_schema",
    "years": "age_regression",
    "label_schema.attributes.*.edges": "label_schema.attributes.*.bin_edges",
    "label_schema.attributes.*.span": "label_schema.attributes.*.valid_range",
    "label_schema.attributes.*.coarse": "label_schema.attributes.*.parent_of",
    "label_schema.attributes.*.words": "label_schema.attributes.*.display_names",
    "preprocessing.framing": "preprocessing.crop_resize",
    "preprocessing.normalising": "preprocessing.normalization",
    "preprocessing.crop_resize.background": "preprocessing.crop_resize.background_removal",
    "preprocessing.crop_resize.sharpen": "preprocessing.crop_resize.unsharp_mask",
    "calibration.unsure_below": "calibration.abstain_below",
    "card.judged_persons": "card.n_eval_persons",
    "card.judged_photos": "card.n_eval_photos",
    "card.licence": "card.license",
    "card.material": "card.training_data",
    "card.use": "card.intended_use",
    "card.weakest": "card.worst_groups",
}
"""Old key -> new key in the metadata of a model file."""

MODEL_METADATA_VALUES: dict[str, dict[Any, Any]] = {
    "preprocessing.normalization.mode": {"dataset": "pretrained", "photo": "per_image"},
}
"""New key -> old value -> new value in the metadata of a model file."""

MODEL_METADATA_COMPONENTS: dict[str, str] = {
    "head": "model.head",
    "preprocessing.crop_resize.background_removal": "data.background_removal",
    "preprocessing.crop_resize.crop": "data.crop",
    "preprocessing.crop_resize.crop.detector": "data.crop.detector",
}
"""Metadata key of a component -> its registry in the tables above."""

GAN_METADATA: dict[str, str] = {
    "batch": "batch_size",
    "framing": "crop_resize",
    "latent": "latent_dim",
    "scheme": "label_schema",
    **{old: new for old, new in MODEL_METADATA.items() if old.startswith("label_schema.")},
    "crop_resize.background": "crop_resize.background_removal",
    "crop_resize.sharpen": "crop_resize.unsharp_mask",
}
"""Old key -> new key in the metadata of a GAN generator's file."""

GAN_METADATA_COMPONENTS: dict[str, str] = {
    key.removeprefix("preprocessing."): registry
    for key, registry in MODEL_METADATA_COMPONENTS.items()
    if key.startswith("preprocessing.")
}
"""Metadata key of a component in a GAN generator's file -> its registry in the tables above."""

WEIGHT_PREFIXES: dict[str, str] = {"trunk.": "backbone.", "years.": "age_regressor."}
"""Old prefix -> new prefix of the names of a model file's tensors."""
