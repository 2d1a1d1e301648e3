"""The public API: a dozen functions and classes, loaded on first use through `import maskfit`.

Everything else in the package is internal: it may move or change between versions without notice.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from maskfit.environment import MODEL_DIR, TRAIN, read_variable
from maskfit.errors import DataError, ModelFileError, did_you_mean
from maskfit.inference.face_predictor import FacePredictor
from maskfit.inference.predictor import Predictor
from maskfit.labels.schema import LABEL_SCHEMAS, LabelSchema

if TYPE_CHECKING:
    from maskfit.config.recipe import Recipe
    from maskfit.data.photo_dataset import PhotoDataset
    from maskfit.evaluation.label_issues import LabelIssue
    from maskfit.evaluation.probability_table import ProbabilityTable
    from maskfit.evaluation.scores import Scores
    from maskfit.inference.export import ExportResult
    from maskfit.inference.recalibrate import RecalibrationResult
    from maskfit.model_file import ModelMetadata
    from maskfit.models.network import Network

__all__ = [
    "FacePredictor",
    "LabelSchema",
    "Predictor",
    "TrainResult",
    "calibrate",
    "ensemble",
    "evaluate",
    "export",
    "find_label_issues",
    "load_dataset",
    "load_model",
    "load_recipe",
    "train",
]


@dataclass(frozen=True)
class TrainResult:
    """A finished run.

    Attributes:
        path: The run folder: models, splits, out-of-fold probabilities, report.html.
        scores: Scores of all held-out photos together.
    """

    path: Path
    scores: Scores


def load_dataset(
    path: str | Path,
    schema: str | LabelSchema = "mask-gender-age",
    *,
    label_corrections: Sequence[str | Path] = (),
    known_label_errors: Literal["none", "certain", "likely"] = "none",
    codes: Mapping[str, Mapping[str, str] | str] | None = None,
) -> PhotoDataset:
    """Reads a labeled photo dataset from disk.

    Example:
        >>> dataset = maskfit.load_dataset("photos")
        >>> photo = dataset[0]
        >>> photo.path, photo.person, photo.labels

    Args:
        path: Folder in the competition's layout (`000001_female_Asian_45/mask1.jpg`), of class folders
            (`with_mask/a.jpg`) or with labels in file names; or a CSV manifest with the columns
            `path,person,mask,gender,age`, of which only `path` is required.
        schema: A label schema, or its name: mask-gender-age, mask, mask-gender, gender-age, gender or age.
        label_corrections: CSV files laid over the labels, in order. No photo is changed.
        known_label_errors: Also applies the competition's publicly known label errors up to this confidence tier.
        codes: Meanings of codes and of unknown words in a manifest or in class folders, by column or attribute, such as
            `{"gender": {"0": "female", "1": "male"}}`; the order of the label schema's values by default.

    Returns:
        The photos in a stable order, with label, person and path of each.

    Raises:
        DataError: The dataset cannot be read; every problem is listed at once.
    """
    from maskfit.data.label_corrections import read_corrected

    if isinstance(label_corrections, str | Path):
        raise DataError("a list of label corrections is needed", location=label_corrections, hint="put it into a list")
    paths = [str(item) for item in label_corrections]
    return read_corrected(str(path), _schema(schema), paths, known_label_errors, codes)[0]


def load_recipe(source: str | Path, *overrides: str) -> Recipe:
    """Reads a recipe: one experiment with every setting.

    Example:
        >>> recipe = maskfit.load_recipe("baseline", "trainer.epochs=12", "data.path=photos")
        >>> recipe.trainer.epochs
        12

    Args:
        source: The name of a recipe that ships with maskfit (`maskfit recipes` lists them), or a YAML or JSON file.
        overrides: `key=value`, as on the command line; later ones win.

    Returns:
        The recipe, validated, with every default filled in. Component names and options are checked too,
            timm's backbones where timm is installed.

    Raises:
        RecipeError: All mistakes at once, one line each, with the nearest known names.
    """
    from maskfit.config.loader import read_recipe
    from maskfit.training.recipe_registry import available_registries

    return read_recipe(source, overrides, registries=available_registries())


def train(recipe: str | Path | Recipe, *overrides: str, resume: bool = False) -> TrainResult:
    """Trains a recipe: splits by person, trains every fold and scores it on the persons it never saw.

    Example:
        >>> run = maskfit.train("fast", "data.path=photos", "output_dir=runs/first")
        >>> run.scores.macro_f1, run.path / "report.html"

    Args:
        recipe: A recipe, or what `load_recipe` takes.
        overrides: `key=value`, only with a recipe by name or file. `data.path` and `output_dir` default to
            SM_CHANNEL_TRAIN and SM_MODEL_DIR, from the environment or a `.env` file.
        resume: Continue an interrupted run in `output_dir`; the result equals that of an uninterrupted one.

    Returns:
        The run folder and the scores of all held-out photos.

    Raises:
        MaskfitError: Recipe, data or folder are invalid; nothing has been written then.
        MissingExtraError: The extra `train` is not installed.
    """
    from maskfit.errors import MissingExtraError

    try:
        from maskfit.training.train import train as train_recipe
    except ModuleNotFoundError:
        raise MissingExtraError("maskfit.train", "train") from None
    if isinstance(recipe, str | Path):
        recipe = load_recipe(recipe, *overrides)
    elif overrides:
        raise TypeError("overrides need a recipe by name or file: pass them to load_recipe")
    if recipe.data.path is None and (path := read_variable(TRAIN)):
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"path": path})})
    if recipe.output_dir is None and (output := read_variable(MODEL_DIR)):
        recipe = recipe.model_copy(update={"output_dir": output})
    folder, scores = train_recipe(recipe, resume=resume)
    return TrainResult(folder.path, scores)


def load_model(path: str | Path) -> tuple[Network, ModelMetadata]:
    """Loads a trained network as a `torch.nn.Module`.

    Example:
        >>> network, metadata = maskfit.load_model("runs/first/fold0/best.safetensors")
        >>> metadata.label_schema.names
        ('mask', 'gender', 'age')

    Args:
        path: A `.safetensors` model.

    Returns:
        The network in evaluation mode, which maps images float32 (batch, 3, height, width) to logits by head, and the
        metadata of the file: label schema, preprocessing, recipe, scores, calibration, card.

    Raises:
        ModelFileError: The file is missing, damaged or not a maskfit model.
        MissingExtraError: torch is not installed.
    """
    from maskfit.model_file import load_model as load

    return load(path)


def evaluate(
    truth: str | Path | Mapping[str, int],
    predictions: str | Path | Mapping[str, int],
    schema: str | LabelSchema = "mask-gender-age",
    *,
    codes: Mapping[str, Mapping[str, str] | str] | None = None,
) -> Scores:
    """Scores predictions against the truth.

    Example:
        >>> scores = maskfit.evaluate("truth.csv", "submission.csv")
        >>> scores.macro_f1, scores.per_attribute["mask"].macro_f1

    Args:
        truth: What `maskfit evaluate` takes: a CSV with the columns ImageID,ans, a manifest, a folder of labeled photos
            or with the truth in it; or class indices by image name. Photos without all labels take no part.
        predictions: CSV with the columns ImageID,ans, or class indices by image name; matched by image name, in any
            order.
        schema: What the classes stand for.
        codes: Meanings of codes and of unknown words in a truth that is a manifest or class folders, as for
            `load_dataset`.

    Returns:
        Accuracy and macro F1 over the whole set, per class and per attribute. How codes were read and names were
            matched, where it may be meant otherwise, is a `UserWarning`.

    Raises:
        DataError: A file cannot be read, or the two are about different images.
    """
    import numpy as np

    from maskfit.evaluation.scores import score
    from maskfit.inference.submission import Truth, read_predictions, read_truth
    from maskfit.inference.truth_files import align_predictions, find_truth, match_names

    labels = _schema(schema)
    if isinstance(truth, Mapping):
        true = Truth(dict(truth))
    else:
        own = [] if isinstance(predictions, Mapping) else [Path(predictions)]
        true = read_truth(find_truth(Path(truth), own, labels, codes), labels, codes)
    predicted = dict(predictions) if isinstance(predictions, Mapping) else read_predictions(Path(predictions), labels)
    predicted, lines = match_names(true.names, predicted)
    for line in (*true.notes, *lines):
        warnings.warn(line, stacklevel=2)
    predicted = {name: index for name, index in predicted.items() if name not in true.unlabeled}
    answers = np.array(align_predictions(list(true.classes), predicted), dtype=np.int64)
    return score(labels, labels.to_attribute_indices(list(true.classes.values())), predictions=answers)


def ensemble(
    members: Sequence[str | Path], *, combine: str = "arithmetic", weights: Sequence[float] | None = None
) -> ProbabilityTable:
    """Combines the stored probabilities of several runs or tables; no photo is opened.

    Example:
        >>> table = maskfit.ensemble(["runs/first", "runs/second"])
        >>> table.names[0], table.probabilities[0]

    Args:
        members: Run folders (their out-of-fold probabilities), or probability tables of the same photos.
        combine: arithmetic, geometric, weighted, majority, majority_per_attribute, greedy or stack, with options as in
            `greedy:num_bags=5`; learned ones need members with a truth.
        weights: One weight for each member, for `weighted`.

    Returns:
        Probabilities (photos, classes) by photo name; rows sum to 1.

    Raises:
        DataError: A member cannot be read, the members are of different photos, or `combine` is unknown.
    """
    from maskfit.inference.ensemble.comparison import fit_votes, parse_votes, predict_with
    from maskfit.inference.ensemble.inputs import load_aligned_tables

    tables = load_aligned_tables(members)
    votes, _ = parse_votes([combine], weights=weights, truth=tables.truth is not None)
    (table,) = predict_with(fit_votes(tables, votes), tables).values()
    return table


def find_label_issues(
    members: Sequence[str | Path], *, dataset: str | Path | None = None, noise: float = 0.03
) -> list[LabelIssue]:
    """Ranks labels by the probability that they are wrong.

    Example:
        >>> for issue in maskfit.find_label_issues(["runs/first"])[:10]:
        ...     print(issue.person, issue.attribute, issue.label, issue.proposed, issue.score)

    Args:
        members: Run folders, or tables of out-of-fold probabilities of the same photos; several are averaged.
        dataset: The labeled photos, where they are not what the first run was trained on.
        noise: Expected fraction of wrong labels, in (0, 1).

    Returns:
        Label issues, the most likely first.

    Raises:
        DataError: A member cannot be read, no label is known, or persons are unknown.
    """
    from maskfit.inference.label_issues import rank_label_issues

    return rank_label_issues(members, dataset, noise)[0]


def calibrate(
    run: str | Path,
    *,
    accuracy: Mapping[str, float] | None = None,
    coverage: Mapping[str, float] | None = None,
    threshold: Mapping[str, float] | None = None,
) -> RecalibrationResult:
    """Fits temperatures and abstention thresholds to a run's out-of-fold predictions and writes them into its models.

    With too few persons to know it, a target lowers no threshold; `kept` of the result names those.

    Example:
        >>> fitted = maskfit.calibrate("runs/first", accuracy={"mask": 0.99})
        >>> fitted.calibration.temperatures, fitted.calibration.abstain_below

    Args:
        run: A run folder with a finished fold.
        accuracy: By attribute, the accuracy that answered photos shall have, in (0, 1).
        coverage: By attribute, the fraction of photos that shall be answered, in (0, 1].
        threshold: By attribute, the probability below which the prediction is "not sure", in [0, 1].

    Returns:
        The calibration, how the thresholds hold on other persons, and the changed model files.

    Raises:
        RunError: `run` is no run folder, or no fold is finished.
        DataError: A fraction is out of range, or an attribute is unknown.
    """
    from maskfit.errors import RunError
    from maskfit.inference.recalibrate import recalibrate
    from maskfit.run_dir import RunDir, is_run_dir

    if not is_run_dir(Path(run)):
        raise RunError("not a run folder", location=run, hint="pass the folder that maskfit.train wrote")
    return recalibrate(RunDir(Path(run)), accuracy=accuracy, coverage=coverage, threshold=threshold)


def export(
    model: str | Path,
    out: str | Path,
    format: Literal["onnx", "openvino", "torch"] = "onnx",
    *,
    half: bool = False,
) -> ExportResult:
    """Exports a model to a file that runs without torch, and compares it with torch before it is kept.

    Example:
        >>> result = maskfit.export("runs/first/fold0/best.safetensors", "model.onnx")
        >>> result.bytes

    Args:
        model: A `.safetensors` model.
        out: The file to write: .onnx, .xml for OpenVINO, .safetensors for bare weights. An existing file is replaced.
        format: The file format.
        half: Store weights in 16 bits: half the size.

    Returns:
        The files, their size, and how far the predictions differ from torch's.

    Raises:
        ModelFileError: `model` is no such model, there is no such format, or `out` has another ending.
        MissingExtraError: A package that writes or runs the format is not installed.
        MaskfitError: The exported network predicts otherwise.
    """
    from maskfit.inference.export import EXPORTS, export_model

    if format not in EXPORTS:
        raise ModelFileError(f"there is no format '{format}'; {did_you_mean(str(format), EXPORTS)}")
    return export_model(Path(model), Path(out), format, half=half)


def _schema(schema: str | LabelSchema) -> LabelSchema:
    if isinstance(schema, LabelSchema):
        return schema
    if schema not in LABEL_SCHEMAS:
        raise DataError(f"label schema '{schema}' is unknown; {did_you_mean(schema, LABEL_SCHEMAS)}")
    return LABEL_SCHEMAS[schema]
