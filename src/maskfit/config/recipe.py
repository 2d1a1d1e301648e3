"""Typed, immutable configuration of one experiment: every recipe key with its meaning and default.

`config/loader.py` reads and writes recipes as YAML. Names of components are looked up in the registries of
`training/recipe_registry.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
)

from maskfit.config.monitor import OFF
from maskfit.errors import did_you_mean
from maskfit.labels.age_rule import AgeLabelRule
from maskfit.labels.schema import LABEL_SCHEMAS, Attribute, LabelSchema
from maskfit.registry import ComponentSpec


def _parse_image_size(value: Any) -> Any:
    if isinstance(value, list | tuple) and len(value) != 2:
        raise ValueError(f"must be one number, or [height, width], got {value!r:.60}")
    return (value, value) if isinstance(value, int) else value


def _to_tuple(value: Any) -> Any:
    """Wraps a scalar in a tuple, so that `cv.train_folds=0` and `data.label_corrections=mine.csv` are valid."""
    return (value,) if isinstance(value, int | str) else value


def _to_loggers(value: Any) -> Any:
    """Reads `none` as no logger, as other keys have it."""
    return () if value == "none" else _to_tuple(value)


def _parse_codes(value: Any) -> Any:
    """Writes codes and values as text: YAML reads `{0: no}` as a number and a boolean."""
    if not isinstance(value, dict):
        return value
    words = {True: "yes", False: "no"}
    return {
        column: {str(code): words[word] if isinstance(word, bool) else word for code, word in meaning.items()}
        if isinstance(meaning, dict)
        else meaning
        for column, meaning in value.items()
    }


def _parse_monitor_word(value: Any) -> Any:
    """YAML reads a bare `off` as false."""
    return OFF if value is False else value


def _reject_duplicates(values: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(values)) < len(values):
        raise ValueError("a fold is listed twice")
    return values


def _parse_label_schema(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in LABEL_SCHEMAS:
        raise ValueError(f"'{value}' is not a label schema; {did_you_mean(value, LABEL_SCHEMAS)}")
    return LABEL_SCHEMAS[value]


def _dump_label_schema(schema: LabelSchema) -> Any:
    return next((name for name, known in LABEL_SCHEMAS.items() if known == schema), schema.model_dump(mode="json"))


DEFAULT_FACE_DETECTOR = "bundled"
"""Detector of `data.crop=face`; the default of `data.crops.face.FaceCrop`, which this package cannot import."""
WEIGHTS_DETECTOR = "yunet"
"""Detector of `data.crop=face` with `weights` alone, which were YuNet's before another detector was the default."""


def _name_face_detector(crop: ComponentSpec) -> ComponentSpec:
    """Writes the default detector out: a recipe that is kept with its run must mean the same in a later version."""
    if crop.name != "face":
        return crop
    detector = crop.options.get("detector")
    default = DEFAULT_FACE_DETECTOR if crop.options.get("weights") is None else WEIGHTS_DETECTOR
    if isinstance(detector, dict) and detector and "name" not in detector:
        detector = {"name": default, **detector}  # As of `data.crop=face data.crop.detector.side=640`.
    return crop.model_copy(update={"options": {**crop.options, "detector": detector or default}})


Pixels = Annotated[int, Field(ge=8, le=4096)]
"""Height or width of an image."""
ImageSize = Annotated[
    # The tag of the size begins like the places in pydantic's errors that messages leave out.
    Annotated[tuple[Pixels, Pixels], BeforeValidator(_parse_image_size), Tag("tuple[size]")]
    | Annotated[Literal["auto"], Tag("auto")],
    Discriminator(lambda value: "auto" if value == "auto" else "tuple[size]"),
]
"""(height, width) in pixels; one number for a square; `auto` for the size of the backbone's published weights."""
NamedLabelSchema = Annotated[LabelSchema, BeforeValidator(_parse_label_schema), PlainSerializer(_dump_label_schema)]
"""A label schema, written as a name in `LABEL_SCHEMAS` where it has one."""
Count = Annotated[int, Field(ge=1)]
"""An integer >= 1."""


class FrozenConfig(BaseModel):
    """Immutable configuration section that rejects unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(FrozenConfig):
    """Dataset, labels and preprocessing.

    Attributes:
        path: Dataset folder in the competition's layout, of class folders, or with labels in file names; or a CSV
            manifest.
        label_schema: What to read from a photo: a name in `labels.schema.LABEL_SCHEMAS`, or attributes written out.
        age_labels: How ages become training labels.
        extra_train: Manifests of train-only photos (pseudo-labels, synthetic photos), never validated on. A photo of a
            held-out person is left out with that person; `a|b` as a person stands for both.
        codes: Meanings of codes without words, or of unknown words, in a manifest, by column, such as
            `{gender: {0: female, 1: male}}`; in place of them `years` or `band` for an age column of numbers, `class`
            for class indices. The order of the label schema's values by default.
        label_corrections: CSV files laid over the labels, in order.
        soft_labels: CSV with a distribution over values for each photo, of another model or of several annotators
            (`training/soft_labels.py`); used in training alone.
        soft_label_weight: Weight of a photo's soft label in its loss, in (0, 1]; the rest is its label's. A photo
            without a label has the soft one alone.
        known_label_errors: Applies the competition's publicly known label errors, up to this confidence tier.
        crop: Crop of the face, the same in training, validation and prediction.
        background_removal: Background removal, the same everywhere, and part of the cached image.
        unsharp_mask: Amount of sharpening after resizing, in [0, 5].
        image_size: (height, width) of the network input in pixels; one number for a square; `auto` for the size of the
            backbone's published weights.
        normalization: `pretrained` uses the backbone's mean and std, `per_image` each image's own (boostup).
        train_resize_scale: How much larger than `image_size` the cached training images are, in [1, 4]; augmentation
            crops from them.
        cache_dir: Folder of the image cache; the user's cache folder by default.
    """

    path: str | None = None
    label_schema: NamedLabelSchema = LABEL_SCHEMAS["mask-gender-age"]
    age_labels: AgeLabelRule = AgeLabelRule()
    extra_train: Annotated[tuple[str, ...], BeforeValidator(_to_tuple)] = ()
    codes: Annotated[dict[str, dict[str, str] | str], BeforeValidator(_parse_codes)] = {}
    label_corrections: Annotated[tuple[str, ...], BeforeValidator(_to_tuple)] = ()
    soft_labels: str | None = None
    soft_label_weight: Annotated[float, Field(gt=0, le=1)] = 0.5
    known_label_errors: Literal["none", "certain", "likely"] = "none"
    crop: Annotated[ComponentSpec, AfterValidator(_name_face_detector)] = ComponentSpec.create("center")
    background_removal: ComponentSpec = ComponentSpec.create("none")
    unsharp_mask: Annotated[float, Field(ge=0, le=5)] = 0.0
    image_size: ImageSize = (224, 224)
    normalization: Literal["pretrained", "per_image"] = "pretrained"
    train_resize_scale: Annotated[float, Field(ge=1, le=4)] = 1.0
    cache_dir: str | None = None

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the network input in pixels; `auto` is resolved where a training is planned."""
        if self.image_size == "auto":
            raise ValueError("data.image_size=auto was not resolved")
        return self.image_size


class ModelConfig(FrozenConfig):
    """The network.

    Attributes:
        backbone: One of maskfit's small CNNs, or any timm model with its options.
        pretrained: `none` for random weights, `timm` for timm's published weights, `faces` for a MobileNet that was
            trained to recognize faces (`mobilenetv1_100`), or a local weight file.
        head: Classification head on the backbone features.
        init_from: maskfit model to fine-tune from, with this label schema or another. Of a `.safetensors` file layers
            that fit are loaded and the others listed; of an exported `.onnx` file, or `bundled`, the backbone.
        freeze: Which weights are trained in which epoch.
    """

    backbone: ComponentSpec = ComponentSpec.create("small")
    pretrained: str = "none"
    head: ComponentSpec = ComponentSpec.create("multi_head")
    init_from: str | None = None
    freeze: ComponentSpec = ComponentSpec.create("none")


class HeadConfig(FrozenConfig):
    """Settings of one head.

    Attributes:
        loss_weight: Weight in the sum of the heads' losses, >= 0; only ratios matter.
        loss: Loss of this head; the recipe's `loss` by default.
    """

    loss_weight: Annotated[float, Field(ge=0)] = 1.0
    loss: ComponentSpec | None = None


class WandbConfig(FrozenConfig):
    """Weights & Biases; what is not set comes from its own environment variables.

    Attributes:
        project: Project; otherwise `WANDB_PROJECT`, otherwise `maskfit`.
        entity: User or team; otherwise `WANDB_ENTITY`, otherwise the one that is logged in.
        name: Name of the run, to which the fold is added; otherwise `WANDB_NAME`, otherwise the recipe's name.
        tags: Tags of the run; otherwise `WANDB_TAGS`.
    """

    project: str | None = None
    entity: str | None = None
    name: str | None = None
    tags: Annotated[tuple[str, ...], BeforeValidator(_to_tuple)] = ()


class TrainerConfig(FrozenConfig):
    """The training loop.

    Attributes:
        epochs: Number of epochs, >= 1.
        min_steps: Optimizer steps that a fold's training has at least, >= 0: on a small set there are more epochs. 0
            where `epochs` are set without it.
        batch_size: Photos per step over all devices, >= 1.
        accumulate_grad_batches: Steps whose gradients are summed before an optimizer step, >= 1.
        precision: `auto` chooses for this network and device (`training/precision.py`); otherwise as in Lightning.
        gradient_clip_val: Maximum gradient norm; no clipping by default.
        monitor: Validation metric that selects the best epoch, stops early and drives `reduce_on_plateau`: `macro_f1`,
            `accuracy`, `loss`, `<attribute>_f1` such as `mask_f1`; `off` keeps the model of the last epoch.
        early_stopping_patience: Epochs without a better value of `monitor` before training stops; off by default.
        seed: Seed of every random draw, 0 to 2**31 - 1.
        device: `auto` takes the first GPU if there is one.
        devices: Number of GPUs, or CPU processes, on one machine that share each batch.
        num_nodes: Number of machines with `devices` each; torchrun or Slurm starts the command on them.
        gradient_checkpointing: Recompute the backbone's stages in the backward pass: less memory, about a third slower.
        compile: Compile the backbone, which takes up to a minute before the first step of a fold.
        cached_features: Trains the heads alone, on backbone features that are computed once for all folds: of each
            photo as prediction sees it and of so many augmented copies, 0 to 64; unset, the whole network is trained.
        parallel_folds: Number of folds trained at the same time, each in its own process.
        save_every_n_steps: Also save a checkpoint every n steps within an epoch.
        save_every_n_epochs: Also keep the model of every nth epoch.
        save_top_k: Number of best epochs whose models are kept.
        full_data_epochs: Further epochs on all photos after evaluation; the result is `full_data.safetensors`.
        full_data_lr_factor: Constant factor on the learning rate in these epochs, in (0, 1].
        loggers: Loggers besides the run's own CSV files; `none` for none.
        wandb: Where the logger `wandb` puts the run.
    """

    epochs: Count = 10
    min_steps: Annotated[int, Field(ge=0, le=100_000)] = 0
    batch_size: Count = 32
    accumulate_grad_batches: Count = 1
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    gradient_clip_val: Annotated[float, Field(gt=0)] | None = None
    monitor: Annotated[str, BeforeValidator(_parse_monitor_word)] = "macro_f1"
    early_stopping_patience: Count | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: Count = 1
    num_nodes: Count = 1
    gradient_checkpointing: bool = False
    compile: bool = False
    cached_features: Annotated[int, Field(ge=0, le=64)] | None = None
    parallel_folds: Count = 1
    save_every_n_steps: Count | None = None
    save_every_n_epochs: Count | None = None
    save_top_k: Count = 1
    full_data_epochs: Annotated[int, Field(ge=0)] = 0
    full_data_lr_factor: Annotated[float, Field(gt=0, le=1)] = 0.05
    loggers: Annotated[tuple[Literal["tensorboard", "wandb"], ...], BeforeValidator(_to_loggers)] = ()
    wandb: WandbConfig = WandbConfig()


class CVConfig(FrozenConfig):
    """Cross-validation: who is held out.

    Attributes:
        num_folds: Number of folds, >= 1; 1 holds out one part of the persons.
        val_fraction: Fraction of the persons held out where `num_folds` is 1, in (0, 0.5].
        split_file: CSV with a fold for each person, in place of a split made here.
        train_folds: Folds to train, counted from 0; all where empty.
    """

    num_folds: Annotated[int, Field(ge=1, strict=True)] = 1
    val_fraction: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    split_file: str | None = None
    train_folds: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_to_tuple), AfterValidator(_reject_duplicates)
    ] = ()


class ModelCardConfig(FrozenConfig):
    """Text for the model card; figures are filled in by training.

    Attributes:
        training_data: Where the photos come from.
        license: License of the model.
        intended_use: What the model is for, and what it must not be used for.
    """

    training_data: str = ""
    license: str = ""
    intended_use: str = ""


class Recipe(FrozenConfig):
    """One experiment.

    Attributes:
        name: Name in runs and reports: 1 to 64 letters, digits, dots, dashes or underscores.
        description: One sentence for people.
        data, model, trainer: Sections with keys of their own, such as `data.path`.
        loss: Loss of every head that has none of its own under `heads`.
        heads: Settings of single heads, by attribute, or `joint` for a single-head network.
        metric_loss: Metric-learning loss on the backbone features, added to the heads' losses.
        age_regression: Regression loss on the age in years from an extra layer on the backbone features.
        augmentation: Augmentation of training images.
        batch_mixing: Mixing of two training images into one (mixup, CutMix).
        progressive_resizing: Sizes of the training images over the training: small ones first cost less.
        sampler: Which training photos an epoch contains, and how often.
        optimizer, lr_scheduler: Optimizer and learning-rate schedule.
        weight_averaging: Averaged weights (EMA, SWA) that are validated and saved in place of the raw ones.
        cv: How persons are split into folds, and which folds to train.
        card: Text for the model card.
        output_dir: Run folder; under `runs/` by default.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = "recipe"
    description: str = ""
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    loss: ComponentSpec = ComponentSpec.create("cross_entropy")
    heads: dict[str, HeadConfig] = Field(default_factory=dict)
    metric_loss: ComponentSpec = ComponentSpec.create("none")
    age_regression: ComponentSpec = ComponentSpec.create("none")
    augmentation: ComponentSpec = ComponentSpec.create("light")
    batch_mixing: ComponentSpec = ComponentSpec.create("none")
    progressive_resizing: ComponentSpec = ComponentSpec.create("none")
    sampler: ComponentSpec = ComponentSpec.create("random")
    optimizer: ComponentSpec = ComponentSpec.create("adamw")
    lr_scheduler: ComponentSpec = ComponentSpec.create("cosine")
    weight_averaging: ComponentSpec = ComponentSpec.create("none")
    trainer: TrainerConfig = TrainerConfig()
    cv: CVConfig = CVConfig()
    card: ModelCardConfig = ModelCardConfig()
    output_dir: str | None = None


COMPONENT_KEYS = (
    "data.crop",
    "data.background_removal",
    "model.backbone",
    "model.head",
    "model.freeze",
    "loss",
    "heads.*.loss",
    "metric_loss",
    "age_regression",
    "augmentation",
    "batch_mixing",
    "progressive_resizing",
    "sampler",
    "optimizer",
    "lr_scheduler",
    "weight_averaging",
)
"""Recipe keys whose value is a component."""

SECTIONS: dict[str, type[BaseModel]] = {
    "": Recipe,
    "data": DataConfig,
    "data.age_labels": AgeLabelRule,
    "data.label_schema": LabelSchema,
    "data.label_schema.attributes.*": Attribute,
    "model": ModelConfig,
    "heads.*": HeadConfig,
    "trainer": TrainerConfig,
    "trainer.wandb": WandbConfig,
    "cv": CVConfig,
    "card": ModelCardConfig,
}
"""The model of each section, for messages about unknown keys."""


def key_pattern(key: str) -> str:
    """Converts a dotted key to the form of `COMPONENT_KEYS` and `SECTIONS`.

    Args:
        key: Such as `heads.mask.loss` or `data.label_schema.attributes.3`.

    Returns:
        The key with `*` for a head's name and for list indices.
    """
    first, *rest = ["*" if word.isdigit() else word for word in key.split(".")]
    return ".".join([first, "*", *rest[1:]]) if first == "heads" and rest else ".".join([first, *rest])
