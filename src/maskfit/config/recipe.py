"""A recipe is one experiment, as frozen types; every key that a recipe can hold stands here with its meaning.

`config/loader.py` reads recipes from YAML and writes them. What a part's name means, the tables say that hold the parts.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from maskfit.errors import did_you_mean
from maskfit.labels.age_rule import AgeLabelRule
from maskfit.labels.schema import SCHEMES, Attribute, LabelSchema
from maskfit.registry import ComponentSpec


def _to_size(value: Any) -> Any:
    if isinstance(value, list | tuple) and len(value) != 2:
        raise ValueError(f"should be one number, or two for height and width, not {value!r:.60}")
    return (value, value) if isinstance(value, int) else value


def _to_folds(value: Any) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if not whole and not (isinstance(value, str) and value):
        raise ValueError(f"should be 1 or more folds, or the path of a split file, not {value!r:.60}")
    return value


def _to_several(value: Any) -> Any:
    """One word of the command line is a list of one: `fold=0`, `data.corrections=mine.csv`."""
    return (value,) if isinstance(value, int | str) else value


def _to_precision(value: Any) -> Any:
    # YAML reads `precision: 16` as a number.
    return str(value) if value in (16, 32) else value


def _refuse_twice(values: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(values)) < len(values):
        raise ValueError("a fold stands twice")
    return values


def _to_scheme(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in SCHEMES:
        raise ValueError(f"'{value}' is no scheme; {did_you_mean(value, SCHEMES)}")
    return SCHEMES[value]


def _from_scheme(scheme: LabelSchema) -> Any:
    return next((name for name, known in SCHEMES.items() if known == scheme), scheme.model_dump(mode="json"))


Pixels = Annotated[int, Field(ge=8, le=4096)]
Size = Annotated[tuple[Pixels, Pixels], BeforeValidator(_to_size)]
"""(height, width) in pixels; one number for a square."""
NamedScheme = Annotated[LabelSchema, BeforeValidator(_to_scheme), PlainSerializer(_from_scheme)]
Count = Annotated[int, Field(ge=1)]


class FrozenConfig(BaseModel):
    """A frozen mapping that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(FrozenConfig):
    """Which photos, how they are labelled, and how they are framed.

    Attributes:
        root: A folder in the competition's layout, or a CSV manifest.
        scheme: What to read from a photo: a name of `labels.SCHEMES`, or attributes written out.
        age: How ages become training labels.
        extra: Manifests of photos to train on besides, never judged: pseudo-labels, made photos. One of a person who is
            held out is left out with the person; `a|b` as a person stands for both.
        corrections: CSV files laid over the labels, in order.
        known_errors: Lay the competition's publicly known errors over the labels, up to this tier.
        crop: How a face is cut from a photo, alike in training, validation and prediction.
        background: What becomes of what is not the subject, likewise alike everywhere, and kept in the store.
        sharpen: How much edges are sharpened after shrinking, 0 to 5.
        size: What the network sees.
        normalise: By the means and deviations that the trunk was trained with, or by each `photo`'s own (seed s0).
        train_scale: How much larger than `size` the stored photos are from which augmentation takes its crops.
        store: The folder for decoded photos; in the user's cache where left out.
    """

    path: str | None = None
    label_schema: NamedScheme = SCHEMES["mask-gender-age"]
    age_labels: AgeLabelRule = AgeLabelRule()
    extra_train: Annotated[tuple[str, ...], BeforeValidator(_to_several)] = ()
    label_corrections: Annotated[tuple[str, ...], BeforeValidator(_to_several)] = ()
    known_label_errors: Literal["none", "certain", "likely"] = "none"
    crop: ComponentSpec = ComponentSpec.create("centre")
    background_removal: ComponentSpec = ComponentSpec.create("none")
    unsharp_mask: Annotated[float, Field(ge=0, le=5)] = 0.0
    image_size: Size = (224, 224)
    normalization: Literal["dataset", "photo"] = "dataset"
    train_resize_scale: Annotated[float, Field(ge=1, le=4)] = 1.0
    cache_dir: str | None = None


class ModelConfig(FrozenConfig):
    """The network.

    Attributes:
        backbone: One of maskfit's small nets or any timm model, with its options.
        weights: `none` to start at random, `hub` for timm's published weights, or a local weight file.
        head: What stands on the trunk.
        start: A maskfit model to start from, of this scheme or another: what fits is taken, what does not is said.
        freeze: Which weights move in which epoch.
    """

    backbone: ComponentSpec = ComponentSpec.create("small")
    pretrained: str = "none"
    head: ComponentSpec = ComponentSpec.create("attributes")
    init_from: str | None = None
    freeze: ComponentSpec = ComponentSpec.create("none")


class HeadConfig(FrozenConfig):
    """What one head has of its own.

    Attributes:
        share: Its weight in the sum of the heads' losses; only the ratio to the other heads' counts.
        loss: Its loss, where that is not the recipe's.
    """

    loss_weight: Annotated[float, Field(ge=0)] = 1.0
    loss: ComponentSpec | None = None


class TrainerConfig(FrozenConfig):
    """The loop.

    Attributes:
        epochs: Passes over the training photos.
        batch_size: Photos a step.
        accumulate: Steps whose gradients are added up before the weights move.
        precision: `auto` takes what is fast and steady for this network on this device; see `training.precision`.
        clip: The largest norm of the gradient; no clipping where left out.
        patience: Epochs without a better macro F1 after which to stop; none where left out.
        seed: All chance follows from it.
        device: `auto` takes the first GPU where there is one.
        devices: How many GPUs, or processes on a CPU, share each batch on one machine; `batch_size` stays that of all.
        nodes: Over how many machines, of so many devices each; torchrun or Slurm starts the command on them.
        checkpointing: Compute the trunk's stages a second time on the way back instead of keeping what they gave: less
            memory, about a third more time.
        compile: Compile the trunk, which takes up to a minute before the first step of a fold.
        folds_at_once: How many folds train side by side, each in a process of its own; for a GPU with room.
        checkpoint_steps: Save for resuming every so many steps also within an epoch.
        top: How many of the best epochs' models to keep.
        finish: Epochs to go on with, after judging, on the held-out photos too, at `finish_lr`; its model is `final`.
        finish_lr: The constant factor on the optimiser's rate meanwhile.
        loggers: Where to log besides the run's own CSV.
    """

    epochs: Count = 10
    batch_size: Count = 32
    accumulate_grad_batches: Count = 1
    precision: Annotated[Literal["auto", "32", "bf16", "16"], BeforeValidator(_to_precision)] = "auto"
    gradient_clip_val: Annotated[float, Field(gt=0)] | None = None
    early_stopping_patience: Count | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: Count = 1
    num_nodes: Count = 1
    gradient_checkpointing: bool = False
    compile: bool = False
    parallel_folds: Count = 1
    save_every_n_steps: Count | None = None
    save_top_k: Count = 1
    full_data_epochs: Annotated[int, Field(ge=0)] = 0
    full_data_lr_factor: Annotated[float, Field(gt=0, le=1)] = 0.05
    loggers: Annotated[tuple[Literal["tensorboard", "wandb"], ...], BeforeValidator(_to_several)] = ()


class ModelCardConfig(FrozenConfig):
    """What the model card says in the recipe's words; what can be counted it says by itself.

    Attributes:
        material: Where the photos are from.
        licence: Under which the model may be used.
        use: What it is for, and what it must not be used for.
    """

    training_data: str = ""
    license: str = ""
    intended_use: str = ""


class Recipe(FrozenConfig):
    """One experiment.

    Attributes:
        name: What runs and reports call it.
        about: One sentence for people.
        data, model, trainer: The sections above.
        loss: The loss of every head that has none of its own under `heads`.
        heads: What single heads have of their own, by attribute, or `joint` for a joint head.
        embedding: A metric-learning loss on the trunk's features, beside the heads' losses.
        years: A loss on the age in years, beside the heads' losses, from a layer on the trunk's features.
        augmentation: What each training photo goes through.
        mixing: How two training photos become one.
        sampling: Which training photos an epoch sees.
        optimiser, schedule: How the weights move.
        average: An average of the weights, judged and kept in their place.
        folds: How many folds, 1 for a hold-out, or the path of a split file.
        holdout: The share of persons held out where `folds` is 1.
        fold: Which folds to train; all where empty.
        card: What models say of themselves in words.
        run: The run's folder; under `runs/` where left out.
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
    sampler: ComponentSpec = ComponentSpec.create("shuffle")
    optimizer: ComponentSpec = ComponentSpec.create("adamw")
    lr_scheduler: ComponentSpec = ComponentSpec.create("cosine")
    weight_averaging: ComponentSpec = ComponentSpec.create("none")
    trainer: TrainerConfig = TrainerConfig()
    folds: Annotated[int | str, BeforeValidator(_to_folds)] = 1
    holdout: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    fold: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_to_several), AfterValidator(_refuse_twice)
    ] = ()
    card: ModelCardConfig = ModelCardConfig()
    output_dir: str | None = None


COMPONENT_KEYS = (
    "data.crop",
    "data.background",
    "model.backbone",
    "model.head",
    "model.freeze",
    "loss",
    "heads.*.loss",
    "embedding",
    "years",
    "augmentation",
    "mixing",
    "sampling",
    "optimiser",
    "schedule",
    "average",
)
"""Where parts stand in a recipe."""

SECTIONS: dict[str, type[BaseModel]] = {
    "": Recipe,
    "data": DataConfig,
    "data.age": AgeLabelRule,
    "data.scheme": LabelSchema,
    "data.scheme.attributes.*": Attribute,
    "model": ModelConfig,
    "heads.*": HeadConfig,
    "trainer": TrainerConfig,
    "card": ModelCardConfig,
}
"""Which keys may stand where, for the message about a key that may not."""


def key_pattern(key: str) -> str:
    """A key as it stands in `PART_KEYS` and `SECTIONS`: any head's name and any place in a list is `*`."""
    first, *rest = ["*" if word.isdigit() else word for word in key.split(".")]
    return ".".join([first, "*", *rest[1:]]) if first == "heads" and rest else ".".join([first, *rest])
