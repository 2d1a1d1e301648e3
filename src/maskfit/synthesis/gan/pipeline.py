"""From photos to made faces: train or take a generator, draw from it, have it judged, write down what came out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskfit.data.image_cache.cache import open_image_cache
from maskfit.labels.schema import LabelSchema
from maskfit.registry import ComponentSpec
from maskfit.synthesis.gan.checkpoint import GanFacts, load_generator, read_gan_facts
from maskfit.synthesis.gan.classifier import JudgeClassifier
from maskfit.synthesis.gan.dataset import GanDataset, Progress, gather_fold, gather_persons
from maskfit.synthesis.gan.evaluation import GanEvaluation, check_judge_independence, judge_faces
from maskfit.synthesis.gan.results import write_outcome
from maskfit.synthesis.gan.sampling import SamplingResult, choose_classes, write_faces
from maskfit.synthesis.gan.train import check_place, make_facts, train_gan

Bars = Callable[[str, str], AbstractContextManager[Progress]]
"""Gives a bar for something to do, by its title and what is counted."""


@dataclass(frozen=True)
class GanTrainOptions:
    """How a generator is to be trained.

    Attributes:
        scheme: What it is conditioned on.
        crop: How photos are cut.
        folds, fold: A split file and the fold of which nobody is learned from; without a file everybody is.
        size: Side of a face in pixels, one of `networks.SIZES`.
        width: Channels of its largest map.
        batch: Photos of a step.
        steps: Steps in all.
        minutes: When to stop if that is sooner.
        resume: Whether to go on with what was begun in the folder.
    """

    scheme: LabelSchema
    crop: ComponentSpec
    folds: Path | None = None
    fold: int = 0
    size: int = 64
    width: int = 32
    batch: int = 32
    steps: int = 20_000
    minutes: float | None = None
    resume: bool = False


@dataclass(frozen=True)
class GanResult:
    """What came out.

    Attributes:
        facts: The generator's.
        drawn: Its faces.
        judgement: What the judge said; None without one.
        told: All of this as `gan.json` has it.
    """

    facts: GanFacts
    drawn: SamplingResult
    judgement: GanEvaluation | None
    told: dict[str, Any]


@contextmanager
def _no_bar(title: str, unit: str) -> Iterator[Progress]:
    yield lambda done, total: None


def make_faces(
    source: Path,
    out: Path,
    generator: GanTrainOptions | Path,
    *,
    classes: str = "thin",
    upto: int | None = None,
    judge: Path | None = None,
    seed: int = 0,
    store: Path | None = None,
    bars: Bars = _no_bar,
) -> GanResult:
    """Makes faces for some classes of a set.

    Args:
        source: The photos: a folder in the competition's layout, or a manifest.
        out: A folder that is new or empty, or to go on with.
        generator: How to train one, or the file of one, which is then drawn from.
        classes: `thin`, `all`, or numbers; see `drawing.choose_classes`.
        upto: How many photos such a class is to have with its faces; the average where left out.
        judge: A model that was trained without the persons whom the generator does not know.
        seed: Another seed, another training and other faces.
        store: The folder for decoded photos; in the user's cache where left out.
        bars: Shows what is being done.

    Raises:
        DataError: Photos, split, classes or folder cannot be used, or the judge knows whom it should not know.
        ModelFileError: The generator's or the judge's file cannot be used.
        RecipeError: The crop cannot be built.
        RunError: The losses are no longer numbers.
    """
    material = _gather(source, out, generator)
    wanted = choose_classes(classes, material.count_classes(), upto)
    asked = JudgeClassifier(judge, material.scheme) if judge else None
    if asked:
        # Before the hours of training, not after them.
        check_judge_independence(asked, material.others)
    if isinstance(generator, GanTrainOptions):
        generator = _train(material, out, generator, seed, store, bars)
    network, facts = load_generator(generator)
    with bars("drawing", "faces") as advance:
        drawn = write_faces(network, facts, out, material.count_classes(), wanted, seed=seed, progress=advance)
    judgement = None
    if asked:
        with bars("judging", "pictures") as advance:
            judgement = judge_faces(asked, network, facts, material, seed=seed, store=store, progress=advance)
    told = write_outcome(out, network, facts, material, drawn, judgement, seed=seed, store=store)
    return GanResult(facts, drawn, judgement, told)


def _gather(source: Path, out: Path, generator: GanTrainOptions | Path) -> GanDataset:
    check_place(source, out, resume=isinstance(generator, GanTrainOptions) and generator.resume)
    if isinstance(generator, GanTrainOptions):
        return gather_fold(source, generator.scheme, generator.folds, generator.fold)
    facts = read_gan_facts(generator)
    return gather_persons(source, facts.label_schema, facts.persons)


def _train(material: GanDataset, out: Path, learn: GanTrainOptions, seed: int, store: Path | None, bars: Bars) -> Path:
    facts = make_facts(material, learn.crop, learn.size, width=learn.width, batch=learn.batch, seed=seed)
    # One bar after the other: two at once would write over each other.
    with bars("decoding", "photos") as advance:
        frames = open_image_cache(material.learned.photos, facts.framing, folder=store, progress=advance)
    with bars("training", "steps") as advance:
        return train_gan(
            facts,
            frames,
            material.learned.codes(facts.label_schema),
            out,
            steps=learn.steps,
            minutes=learn.minutes,
            progress=advance,
        )
