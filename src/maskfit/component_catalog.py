"""Every component that a recipe or command can name: options, defaults, ranges, sources and a line to copy.

All of it is read from the registries, signatures and docstrings; no component is imported for it, except those that are
imported anyway. `maskfit components` prints it and docs/components.md is generated from it.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from inspect import Parameter
from typing import Any

from maskfit.component_source import NotReadableError, read_docstring
from maskfit.config.common_names import COMMON_NAMES
from maskfit.config.old_names import COMPONENTS
from maskfit.config.recipe import Recipe
from maskfit.errors import RecipeError, did_you_mean
from maskfit.inference.engines import ENGINES
from maskfit.inference.ensemble.comparison import ENSEMBLES
from maskfit.inference.tta import TTA_METHODS
from maskfit.models.backbone_names import BACKBONES, OWN_BACKBONES
from maskfit.registry import (
    LazyComponent,
    RegistryEntry,
    describe_range,
    docstring_of,
    find_name,
    fold_name,
    option_docs,
    parse_option_docs,
)
from maskfit.training.recipe_registry import RECIPE_REGISTRY


@dataclass(frozen=True)
class ComponentKind:
    """A kind of components.

    Attributes:
        name: As `maskfit components` takes it.
        setting: Recipe key or command-line option that takes a name of this kind.
        summary: What components of this kind do.
        entry: Their registry.
        names: Key of the registry in the tables of old and common names.
        default: Name that counts where none is given; empty where there is none.
    """

    name: str
    setting: str
    summary: str
    entry: RegistryEntry
    names: str
    default: str = ""

    @property
    def is_option(self) -> bool:
        """Whether a command-line option takes it, and no recipe key."""
        return self.setting.startswith("--")


@dataclass(frozen=True)
class ComponentOption:
    """An option of a component.

    Attributes:
        name: Its name.
        type: Its type as in the signature.
        default: Its default as in YAML; None where it must be given.
        range: Allowed values where the docstring gives a range, such as "> 0"; otherwise empty.
        text: What it means.
    """

    name: str
    type: str
    default: str | None
    range: str
    text: str


@dataclass(frozen=True)
class ComponentInfo:
    """A component.

    Attributes:
        kind: Name of its kind.
        name: Its name.
        summary: First line of its docstring.
        details: The docstring's further text up to its arguments.
        options: Its options.
        papers: Papers that the docstring names, such as "Lin et al. 2017, arXiv:1708.02002".
        projects: Source projects that the docstring names.
        other_names: Names of other programs and earlier versions that are read as this one, with the options that they
            imply.
        line: What to copy: overrides of a recipe, or a command-line option, with every default written out.
    """

    kind: str
    name: str
    summary: str
    details: str
    options: tuple[ComponentOption, ...]
    papers: tuple[str, ...]
    projects: tuple[str, ...]
    other_names: Mapping[str, Mapping[str, Any]]
    line: str

    def to_dict(self) -> dict[str, Any]:
        """Converts to JSON types.

        Returns:
            All attributes by name.
        """
        values = {**vars(self), "options": [vars(option) for option in self.options]}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


SETTINGS = (
    ("crop", "data.crop", "The part of a photo that the network receives."),
    ("detector", "data.crop.detector", "Face detectors of the crops `face` and `level1_06`, and of `--detector`."),
    ("background", "data.background_removal", "Fills the background before the crop."),
    ("backbone", "model.backbone", "The network; besides these, every model of the installed timm (`resnet18`)."),
    ("head", "model.head", "From the features of the backbone to logits."),
    ("freeze", "model.freeze", "Which weights are trained in the first epochs."),
    ("loss", "loss", "Training loss; `heads.NAME.loss` sets that of one attribute."),
    ("metric_loss", "metric_loss", "Auxiliary loss on the distances between features."),
    ("age_regression", "age_regression", "Auxiliary loss on the age in years."),
    ("augmentation", "augmentation", "Random changes of a training image."),
    ("batch_mixing", "batch_mixing", "Mixes training images of a batch, and their labels by the share of pixels."),
    ("progressive_resizing", "progressive_resizing", "Sizes of the training images over the training."),
    ("sampler", "sampler", "Which training photos an epoch draws."),
    ("optimizer", "optimizer", "How gradients change the weights."),
    ("lr_scheduler", "lr_scheduler", "The learning rate over the training."),
    ("weight_averaging", "weight_averaging", "Averages of the weights, which are what is validated and stored."),
    ("tta", "--tta", "Test-time augmentation: views of a photo that are predicted."),
    ("vote", "--combine", "How the predictions of several models become one; `predict` takes the first five."),
    ("engine", "--engine", "What runs a network in `predict`, `serve`, `app` and `video`; `auto` chooses."),
)
"""Name of each kind, its recipe key or command-line option, and what it is."""

KIND_NAMES = {
    "backgroundremoval": "background",
    "combine": "vote",
    "criterion": "loss",
    "ensemble": "vote",
    "lrschedule": "lr_scheduler",
    "mixing": "batch_mixing",
    "progressivelearning": "progressive_resizing",
    "schedule": "lr_scheduler",
    "scheduler": "lr_scheduler",
    "transform": "augmentation",
    "view": "tta",
}
"""Other words for a kind, without case and separators."""

POINTERS = {
    "amp": "trainer.precision=16-mixed or bf16-mixed; auto chooses",
    "amsgrad": "optimizer=adam optimizer.amsgrad=true",
    "balanced sampling": "sampler=class_balanced, weighted, undersample or oversample",
    "class weights": "loss.class_weights=inverse, one_minus_frequency, effective, or one number for each class",
    "deferred re-weighting": "loss=ldam loss.class_weights=effective loss.deferred=0.8",
    "early stopping": "trainer.early_stopping_patience=5",
    "effective number": "loss.class_weights=effective",
    "gradient accumulation": "trainer.accumulate_grad_batches=4",
    "gradient clipping": "trainer.gradient_clip_val=1.0",
    "kaiming": "model.head.init=default, torch's own",
    "label smoothing": "loss.smoothing=0.1",
    "local_grid": "model.backbone=resnet18 model.backbone.local_stages=[3] model.backbone.local_grid=[4,1]",
    "local_stages": "model.backbone=resnet18 model.backbone.local_stages=[3]",
    "momentum": "optimizer=sgd optimizer.momentum=0.9",
    "mse": "loss=brier on the classes; age_regression=mse on the age in years",
    "nesterov": "optimizer=sgd optimizer.momentum=0.9 optimizer.nesterov=true",
    "patience": "trainer.early_stopping_patience=5 stops the training; lr_scheduler=reduce_on_plateau "
    "lr_scheduler.patience=2 lowers the rate",
    "warmup": "lr_scheduler=cosine lr_scheduler.warmup=1",
    "xavier": "model.head.init=xavier",
}
"""What other programs name by itself, and the recipe keys that have it."""

PROJECTS = ("boostup", "iloveslowfood", "nlp09", "level1-06", "cv-08")
"""Source projects as docstrings name them."""

_TEAMS = "the competition's best teams"

_PAPER = re.compile(
    r"(?:[A-Z][\w-]+(?:,? (?:and|et|al\.?|[A-Z][\w-]+))* (?:19|20)\d\d(?:, arXiv:\d{4}\.\d{4,5})?|arXiv:\d{4}\.\d{4,5})"
)

_REFERENCE = re.compile(r"[Ss]ee `([\w.]+)`(?: and `[\w.]+`)?|^As for `([\w.]+)`")


@cache
def component_kinds() -> dict[str, ComponentKind]:
    """Returns all kinds of components.

    Returns:
        Kinds by name, in the order of a recipe.
    """
    recipe = Recipe()
    kinds = {}
    for name, setting, summary in SETTINGS:
        names = {"--combine": "ensemble"}.get(setting, setting.removeprefix("--"))
        kinds[name] = ComponentKind(name, setting, summary, _entry(setting), names, _default(recipe, setting))
    return kinds


def _entry(setting: str) -> RegistryEntry:
    if setting == "data.crop.detector":
        return RECIPE_REGISTRY["data.crop"].nested["detector"]
    if setting == "model.backbone":  # Those of timm are too many to list, and another version has others.
        return RegistryEntry(OWN_BACKBONES, RECIPE_REGISTRY[setting].injected_arguments)
    options: dict[str, RegistryEntry] = {
        "--tta": RegistryEntry(TTA_METHODS),
        "--combine": RegistryEntry(ENSEMBLES),
        "--engine": RegistryEntry(ENGINES, injected_arguments=("path", "threads", "num_streams")),
    }
    return options.get(setting) or RECIPE_REGISTRY[setting]


def _default(recipe: Recipe, setting: str) -> str:
    if setting.startswith("--"):
        return {"--tta": "original", "--combine": "arithmetic"}.get(setting, "")
    value: Any = recipe
    for key in setting.split("."):
        value = getattr(value, key, None)
    return getattr(value, "name", "")


def find_kind(word: str) -> ComponentKind | None:
    """Finds a kind by a word for it, such as `loss`, `losses`, `schedule` or `data.crop`.

    Args:
        word: The word.

    Returns:
        The kind; None where there is none.
    """
    kinds = component_kinds()
    by_setting = {kind.setting: kind for kind in kinds.values()} | {"heads.NAME.loss": kinds["loss"]}
    if word in by_setting:
        return by_setting[word]
    folded = fold_name(word)
    by_word = {fold_name(name): name for name in kinds} | KIND_NAMES
    for form in (folded, folded.removesuffix("s"), folded.removesuffix("es")):
        if form in by_word:
            return kinds[by_word[form]]
    return None


def list_components(kind: ComponentKind) -> list[ComponentInfo]:
    """Describes every component of a kind.

    Args:
        kind: The kind.

    Returns:
        The components in the order of their registry.
    """
    return [describe_component(kind, name) for name in kind.entry.table]


def get_component(kind: ComponentKind, name: str) -> ComponentInfo:
    """Describes a component by any name that is read as it.

    Args:
        kind: The kind.
        name: Its name, in any case, or that of another program or earlier version.

    Returns:
        The component.

    Raises:
        RecipeError: There is none of that name.
    """
    known = find_name(kind.entry.table, name)
    if known is None and kind.setting == "model.backbone" and (model := find_name(BACKBONES, name)):
        return describe_component(replace(kind, entry=RECIPE_REGISTRY[kind.setting]), model)
    if known is None:
        for component in list_components(kind):
            if fold_name(name) in map(fold_name, component.other_names):
                return component
        is_timm = kind.setting == "model.backbone" and get_close_matches(name, BACKBONES)
        raise RecipeError(
            f"there is no {kind.name} '{name}'; {did_you_mean(name, BACKBONES if is_timm else kind.entry.table)}",
            hint=f"maskfit components {kind.name}",
        )
    return describe_component(kind, known)


def search_components(word: str) -> tuple[list[ComponentInfo], list[str]]:
    """Finds what a word may mean: a component, an option, or a setting elsewhere.

    Args:
        word: The word, such as `momentum` or `effective number`.

    Returns:
        Components that have the word as a name or as an option, and lines that say where else it is set.
    """
    folded = fold_name(word)
    found = [
        component
        for kind in component_kinds().values()
        for component in list_components(kind)
        if folded in {fold_name(name) for name in (component.name, *component.other_names)}
        or folded in {fold_name(option.name) for option in component.options}
    ]
    lines = [f"{name}: {text}" for name, text in POINTERS.items() if len(folded) > 2 and folded in fold_name(name)]
    return found, lines


def describe_component(kind: ComponentKind, name: str) -> ComponentInfo:
    """Describes a component.

    Args:
        kind: Its kind.
        name: Its name in the registry.

    Returns:
        The description.
    """
    component = kind.entry.table[name]
    text = docstring_of(component)
    summary, _, rest = re.split(r"\n+(?:Args|Attributes|Returns|Raises|Example|Yields):\n", text)[0].partition("\n")
    details = "\n\n".join(" ".join(part.split()) for part in rest.strip().split("\n\n")) if rest.strip() else ""
    prose = f"{summary} {details}".replace("\n", " ")
    options = tuple(_options(kind, component))
    return ComponentInfo(
        kind.name,
        name,
        _as_sentence(summary),
        details,
        options,
        tuple(_papers(prose)),
        tuple(_projects(text)),
        dict(_other_names(kind, name)),
        _line(kind, name, options),
    )


def _as_sentence(summary: str) -> str:
    """What a factory builds, in place of the sentence about the factory."""
    text = re.sub(r"^(?:Builds|Returns) ", "", summary)
    own_case = text == summary or text.startswith(("maskfit", "torchvision"))
    return text if own_case else text[:1].upper() + text[1:]


def _options(kind: ComponentKind, component: Callable[..., Any]) -> Iterator[ComponentOption]:
    documented = option_docs(component)
    for item in inspect.signature(component).parameters.values():
        if item.name in kind.entry.injected_arguments or item.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            continue
        text = _resolve(component, item.name, documented.get(item.name, ""))
        annotation = item.annotation if isinstance(item.annotation, str) else inspect.formatannotation(item.annotation)
        default = None if item.default is Parameter.empty else _to_yaml(item.default)
        yield ComponentOption(item.name, annotation, default, describe_range(text), text)


def _to_yaml(value: Any) -> str:
    """A default as a recipe has it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_to_yaml, value))}]"
    return value if isinstance(value, str) else json.dumps(value)


def _resolve(component: Callable[..., Any], option: str, text: str) -> str:
    """Adds what another docstring says, where this one refers to it."""
    match = _REFERENCE.search(text)
    if match is None:
        return text
    target = (match[1] or match[2]).split(".")[-1]
    other = _docstring_beside(component, target)
    if not other:
        return text
    referred = parse_option_docs(other).get(option)
    if referred is None:  # A function that an option names, such as `init_weights`.
        referred = " ".join(re.split(r"\n+(?:Args|Returns|Raises):\n", other)[0].split())
    if referred.startswith("As for") or referred in text:
        return text
    if text.startswith("As for"):
        rest = text.partition("`.")[2] or text.partition("`;")[2]
        rest = rest.strip()
        return f"{referred} {rest[:1].upper()}{rest[1:]}".strip()
    return f"{text} {referred}"


def _docstring_beside(component: Callable[..., Any], name: str) -> str:
    """The docstring of something in, or imported into, the module of a component; empty where there is none."""
    path = component.path.split(":")[0] if isinstance(component, LazyComponent) else component.__module__
    try:
        return read_docstring(f"{path}:{name}")
    except NotReadableError:
        return ""


def _papers(prose: str) -> Iterator[str]:
    """Papers in a docstring: an author and a year, with the number on arXiv where it stands beside them."""
    found = list(dict.fromkeys(_PAPER.findall(prose)))
    bare = [item for item in found if item.startswith("arXiv")]
    named = [item for item in found if not item.startswith("arXiv")]
    if len(bare) == 1 and len(named) == 1 and "arXiv" not in named[0]:
        yield f"{named[0]}, {bare[0]}"
        return
    yield from named
    yield from (item for item in bare if not any(item in other for other in named))


def _projects(text: str) -> Iterator[str]:
    yield from (name for name in PROJECTS if re.search(rf"\b{re.escape(name)}\b", text))
    if "best teams" in text:
        yield _TEAMS


def _other_names(kind: ComponentKind, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for other, (known, implied) in COMMON_NAMES.get(kind.names, {}).items():
        if known == name:
            yield other, implied
    yield from ((old, {}) for old, new in COMPONENTS.get(kind.names, {}).items() if new == name)


def _line(kind: ComponentKind, name: str, options: tuple[ComponentOption, ...]) -> str:
    """The component with all defaults, as recipe overrides or as an option of a command."""
    given = [option for option in options if option.default not in (None, "null")]
    if kind.is_option:
        values = ",".join(f"{option.name}={option.default}".replace(" ", "") for option in given)
        word = f"{name}:{values}" if values else name
        return f"{kind.setting} {_quote(word)}"
    words = [f"{kind.setting}={name}"]
    words += [f"{kind.setting}.{option.name}={option.default}".replace(" ", "") for option in given]
    if kind.name == "detector":
        words.insert(0, "data.crop=face")
    return " ".join(map(_quote, words))


def _quote(word: str) -> str:
    """Quotes a word for a shell where it has to be."""
    return word if re.fullmatch(r"[\w.,:=+-]+", word) else f"'{word}'"


def format_implied(implied: Mapping[str, Any]) -> str:
    """Formats the options that another name implies.

    Args:
        implied: Options and values.

    Returns:
        Such as " (momentum=0.9)"; empty without options.
    """
    return f" ({', '.join(f'{name}={_to_yaml(value)}' for name, value in implied.items())})" if implied else ""
