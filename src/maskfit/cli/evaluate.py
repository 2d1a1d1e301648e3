"""`maskfit evaluate`: scores a submission against the truth."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Sequence
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maskfit.cli.console import err, out, print_json, print_table
from maskfit.cli.dataset_options import SCHEMA_CHOICES, CodesOption, find_schema, parse_codes
from maskfit.environment import OUTPUT, TRUTH
from maskfit.errors import DataError, MaskfitError, format_list, is_model_name
from maskfit.labels.schema import LABEL_SCHEMAS, LabelSchema
from maskfit.text import format_count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from maskfit.evaluation.ages import AgeScore
    from maskfit.evaluation.scores import Scores


MAX_PERMUTED_CODES = 4
"""Values of an attribute up to which every order of its codes is compared with the predictions."""

MIN_CODE_GAIN = 0.25
"""Share of predictions by which another order of codes has to agree better before it is suggested."""


def evaluate(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="TRUTH SUBMISSION",
            help="CSVs with the columns ImageID,ans; TRUTH may be a manifest, a folder with truth.csv, info.csv or "
            "a single CSV, or class folders. "
            f"A single argument is the submission, with the truth from {TRUTH}; without arguments the submission is "
            f"submission.csv in {OUTPUT}.",
            show_default=False,
        ),
    ] = None,
    ages: Annotated[
        Path | None,
        typer.Option(
            "--ages",
            metavar="FILE",
            help="Also score ages in years: a file of predict --attributes-csv; TRUTH must be a dataset with ages.",
            show_default=False,
        ),
    ] = None,
    json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print JSON: accuracy and f1 in the form of the competition's server, and all scores."
        ),
    ] = False,
    schema: Annotated[
        str,
        typer.Option("--schema", metavar="NAME|FILE|RUN", help=f"Label schema of the classes: {SCHEMA_CHOICES}."),
    ] = "mask-gender-age",
    codes: CodesOption = "",
) -> None:
    """Score predictions: accuracy and macro F1, overall, per class and per attribute.

    Predictions are a submission (ImageID,ans), or a table with a column for each attribute, as predict --attributes-csv
    writes it: with --schema mask the bundled model is scored on photos of which only the mask is known. Photos are
    matched by ImageID, so the order of the files does not matter. Macro F1 is over the whole set.

    Examples:

        maskfit evaluate truth.csv submission.csv

        maskfit evaluate truth.csv submission.csv --json > scores.json

        maskfit evaluate class-folders submission.csv --schema mask

        maskfit evaluate manifest.csv submission.csv --schema mask --codes '{mask: {0: not_wear, 1: wear}}'

        maskfit evaluate manifest.csv attributes.csv --schema mask

        maskfit evaluate manifest.csv submission.csv --schema runs/helmets

        maskfit evaluate manifest.csv submission.csv --ages attributes.csv

        SM_GROUND_TRUTH_DIR=truth maskfit evaluate out/submission.csv
    """
    import numpy as np

    from maskfit.evaluation.scores import describe_answered, score
    from maskfit.inference.submission import read_predictions, read_truth
    from maskfit.inference.truth_files import match_names

    label_schema, meanings = find_schema(schema), parse_codes(codes)
    truth_path, submission_path = _find_files(files or [], ages, label_schema, meanings)
    true = read_truth(truth_path, label_schema, meanings)
    truth = true.classes
    submission, remarks = match_names(true.names, read_predictions(submission_path, label_schema))
    remarks = [*true.notes, *remarks]
    if true.unlabeled:
        submission = {name: index for name, index in submission.items() if name not in true.unlabeled}
        remarks.append(f"rows of the truth that lack a label, which take no part: {len(true.unlabeled):,}")
    predictions = _align_predictions(truth, submission, truth_path, submission_path)
    indices = label_schema.to_attribute_indices(list(truth.values()))
    scores = score(label_schema, indices, predictions=np.array(predictions, dtype=np.int64))
    age_score = None if ages is None else _score_ages(truth_path, ages, label_schema, meanings)
    remarks += _describe_classes(list(truth.values()), scores, label_schema)
    remarks += _suggest_schema([*truth.values(), *predictions], label_schema)
    remarks += _suggest_codes(list(truth.values()), predictions, label_schema, true.guessed_codes)
    answered = _score_answered(submission_path, label_schema, list(truth), np.array(predictions), indices)
    if json:
        record = {name: {"answered": share, "accuracy_answered": right} for name, (share, right) in answered.items()}
        print_json(
            _to_server_format(scores)
            | ({"answered": record} if record else {})
            | ({"ages": age_score.to_dict()} if age_score else {})
        )
    else:
        _print_scores(scores, label_schema, list(truth), truth_path, submission_path)
        for name, (share, right) in answered.items():
            out.print(describe_answered(name, share, right, "photos"), soft_wrap=True)
        if age_score:
            _print_age_score(age_score)
    for line in remarks:
        (err if json else out).print(line, style="yellow", soft_wrap=True)


def _score_answered(
    path: Path, schema: LabelSchema, names: Sequence[str], predictions: NDArray[np.int64], truth: NDArray[np.int64]
) -> dict[str, tuple[float, float | None]]:
    """By attribute the fraction of photos of which the model is sure, and of these the fraction that is right.

    Empty where the file does not say, or names photos otherwise than the truth.
    """
    import numpy as np

    from maskfit.inference.submission import read_sure

    predicted = schema.to_attribute_indices(list(predictions))
    answered: dict[str, tuple[float, float | None]] = {}
    for name, sure in read_sure(path, schema).items():
        if not all(photo in sure for photo in names):
            continue
        column = schema.names.index(name)
        kept = np.array([sure[photo] for photo in names], dtype=bool)
        right = (predicted[:, column] == truth[:, column])[kept]
        answered[name] = float(kept.mean()), float(right.mean()) if kept.any() else None
    return answered


def _score_ages(
    truth: Path, predicted: Path, label_schema: LabelSchema, codes: dict[str, dict[str, str] | str]
) -> AgeScore | None:
    """Scores ages in years over the photos whose age is known; all of them need a prediction."""
    import numpy as np

    from maskfit.data.read_dataset import read_photos
    from maskfit.evaluation.ages import score_ages
    from maskfit.inference.submission import read_predicted_ages, read_true_ages
    from maskfit.inference.truth_files import match_names

    known = read_true_ages(truth, label_schema, codes)
    photos = read_photos(truth, label_schema, codes, must_exist=False)
    found, _ = match_names([photo.name for photo in photos], read_predicted_ages(predicted, label_schema))
    missing = [name for name in known if name not in found]
    if missing:
        raise DataError(
            f"{format_count(len(missing), 'photo has', 'photos have')} no predicted age:\n"
            f"{format_list(missing, shown=5)}",
            location=predicted,
            hint="predict each photo of the truth",
        )
    person_of = {photo.name: photo.person for photo in photos}
    persons = [person_of[name] for name in known]
    return score_ages(np.array([found[name] for name in known]), np.array(list(known.values())), persons)


def _print_age_score(score: AgeScore) -> None:
    error, coverage = score.mean_absolute_error, score.coverage
    bounds = (error.low, error.high) if error.has_width else (None, None)
    out.print()
    print_table(
        f"Age in years, {format_count(score.photos, 'photo')} of {format_count(score.persons, 'person')}",
        ["", "value", "low", "high"],
        [
            ["mean absolute error (years)", error.value, *bounds],
            ["true ages within the 80% interval", coverage.value, coverage.low, coverage.high],
            ["width of the interval (years)", score.width, None, None],
        ],
    )
    if not error.has_width:
        out.print("the error has no interval: the persons do not differ, or there is only one", soft_wrap=True)


def _find_files(
    files: list[Path], ages: Path | None, schema: LabelSchema, codes: dict[str, dict[str, str] | str]
) -> tuple[Path, Path]:
    """Returns truth and submission, from the arguments or the environment."""
    from maskfit.inference.truth_files import find_truth
    from maskfit.run_dir import is_run_dir

    usage = "maskfit evaluate TRUTH.csv SUBMISSION.csv"
    if len(files) > 2:
        raise DataError(f"expected at most 2 files, got {len(files)}", location=str(files[2]), hint=usage)
    for path in files:
        if is_run_dir(path) or is_model_name(path):
            raise _explain_model(path, [other for other in files if other != path], schema)
    truth = files[0] if len(files) == 2 else _from_environment(TRUTH)
    submission = files[-1] if files else _from_environment(OUTPUT)
    if submission is None:
        raise DataError("no submission given", hint=f"{usage}, or set {OUTPUT} and {TRUTH}")
    if truth is None:
        raise DataError("no truth given", location=submission, hint=f"{usage}, or set {TRUTH}")
    # Only the folder from the environment contains a submission with a fixed name.
    if not files:
        submission = submission / "submission.csv"
    predicted = [submission] if ages is None else [submission, ages]
    return find_truth(truth, predicted, schema, codes), submission


def _explain_model(model: Path, others: Sequence[Path], schema: LabelSchema) -> DataError:
    """The error for a model in place of a submission: the command that predicts comes first."""
    path = others[0] if others else Path("TRUTH.csv")
    truth = shlex.quote(str(path))
    source = f"--image-list {truth}" if path.suffix.lower() == ".csv" else f"--images {truth}"
    default = next(iter(LABEL_SCHEMAS))
    name = next((name for name, known in LABEL_SCHEMAS.items() if known == schema), shlex.quote(str(model)))
    if name == default:
        name = _find_schema_name(model) or default
    option = "" if name == default else f" --schema {name}"
    return DataError(
        "this is a model, and a submission is scored: a file of its predictions",
        location=model,
        hint=f"maskfit predict {shlex.quote(str(model))} {source} --out submission.csv, then "
        f"maskfit evaluate {truth} submission.csv{option}; that is for photos of persons that it was not trained on: "
        "the scores of a run on its own held-out photos are in its report.html",
    )


def _find_schema_name(model: Path) -> str | None:
    """What `--schema` takes for a model, for a message; None where it cannot be read."""
    from maskfit.inference.input_resolution import find_models
    from maskfit.model_file import read_model_metadata

    try:
        own = read_model_metadata(find_models([model])[0]).label_schema
    except MaskfitError:
        return None
    return next((name for name, known in LABEL_SCHEMAS.items() if known == own), shlex.quote(str(model)))


def _from_environment(name: str) -> Path | None:
    value = os.environ.get(name)
    return Path(value) if value else None


def _describe_classes(truth: Sequence[int], scores: Scores, label_schema: LabelSchema) -> list[str]:
    """Returns lines about a truth of one class, and about classes that are not in the truth."""
    from maskfit.evaluation.scores import describe_absent_classes

    if scores.macro_f1 is None:
        return []
    lines = []
    if len(set(truth)) == 1 and len(truth) > 1:
        lines.append(
            f"the truth has only class {truth[0]} ({label_schema.describe(truth[0])}) for all "
            f"{format_count(len(truth), 'photo')}; "
            "it may be a list with a placeholder, such as info.csv, and not the truth"
        )
    stray = [number for number, item in enumerate(scores.per_class) if not item.support and item.predicted]
    if stray:
        lines.append(
            f"not in the truth but predicted, so that F1 0 counts in macro F1: {_list_classes(stray)} "
            f"({format_count(sum(scores.per_class[number].predicted for number in stray), 'photo')})"
        )
    if line := describe_absent_classes(scores):
        lines.append(line)
    return lines


def _suggest_schema(indices: Sequence[int], label_schema: LabelSchema) -> list[str]:
    """Returns a line where no class is above the mask states, so that the files are probably of the mask alone."""
    found = sorted(set(indices))
    if label_schema is not LABEL_SCHEMAS["mask-gender-age"] or len(found) < 2:
        return []
    if found[-1] >= LABEL_SCHEMAS["mask"].num_classes:
        return []
    return [
        f"truth and submission hold only the classes {', '.join(map(str, found))}, read here as "
        f"{'; '.join(map(label_schema.describe, found))}; if they are mask states, add --schema mask"
    ]


def _suggest_codes(
    truth: Sequence[int], predictions: Sequence[int], label_schema: LabelSchema, guessed: Collection[str]
) -> list[str]:
    """Returns a line for each attribute whose codes, read in another order, agree far better with the predictions."""
    import numpy as np

    true, predicted = (label_schema.to_attribute_indices(classes) for classes in (truth, predictions))
    lines = []
    for column, attribute in enumerate(label_schema.attributes):
        size = len(attribute.values)
        if attribute.name not in guessed or size > MAX_PERMUTED_CODES:
            continue

        def agreement(order: Sequence[int], column: int = column) -> float:
            return float((np.array(order)[true[:, column]] == predicted[:, column]).mean())

        now, best = agreement(range(size)), max(permutations(range(size)), key=agreement)
        if agreement(best) < now + MIN_CODE_GAIN:
            continue
        meanings = ", ".join(f"{code}: {attribute.values[index]}" for code, index in enumerate(best))
        lines.append(
            f"{attribute.name}: {now:.0%} of the predictions agree with the codes as read above, {agreement(best):.0%} "
            f"would with another order; check whether it is meant: --codes '{{{attribute.name}: {{{meanings}}}}}'"
        )
    return lines


def _list_classes(numbers: Sequence[int]) -> str:
    return f"class{'es' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _align_predictions(
    truth: dict[str, int], predictions: dict[str, int], truth_path: Path, submission_path: Path
) -> list[int]:
    """Returns the predictions in the order of the truth; both must be of the same photos."""
    from maskfit.inference.truth_files import align_predictions

    if not truth:
        raise DataError("the truth has no rows", location=truth_path, hint="one row for each photo: ImageID,ans")
    try:
        return align_predictions(list(truth), predictions)
    except DataError as error:
        location = f"{submission_path}, against {truth_path}"
        raise DataError(error.message, location=location, hint=error.hint) from None


def _to_server_format(scores: Scores) -> dict[str, Any]:
    """Returns the form of the competition's server, with everything else under `scores`.

    There, `rank` marks the score used for ranking, and `decs` that higher is better.
    """
    return {
        "accuracy": {"value": scores.accuracy, "rank": False, "decs": True},
        "f1": {"value": scores.macro_f1, "rank": True, "decs": True},
        "scores": scores.to_dict(),
    }


def _print_scores(
    scores: Scores, label_schema: LabelSchema, names: Sequence[str], truth: Path, submission: Path
) -> None:
    """Prints the tables; `names` are the rows of the truth, each a photo, or a face of one."""
    from maskfit.data.face_boxes import split_name

    split = [split_name(name) for name in names]
    has_faces = any(box is not None for _, box in split)
    rows = format_count(scores.photos, "face" if has_faces else "photo")
    if has_faces:
        rows += f" of {format_count(len({photo for photo, _ in split}), 'photo')}"
    out.print(f"{submission} against {truth}: {rows}", markup=False, soft_wrap=True)
    print_table("All classes", ["macro F1", "accuracy"], [[scores.macro_f1, scores.accuracy]])
    out.print()
    print_table(
        "Attributes",
        ["attribute", "macro F1", "accuracy"],
        [[name, item.macro_f1, item.accuracy] for name, item in scores.per_attribute.items()],
    )
    out.print()
    indices = label_schema.to_attribute_indices(range(label_schema.num_classes)).tolist()
    display_names = [
        [attribute.display_name(index) for attribute, index in zip(label_schema.attributes, row, strict=True)]
        for row in indices
    ]
    print_table(
        "Classes",
        ["class", *label_schema.names, "F1", "precision", "recall", "faces" if has_faces else "photos", "predicted"],
        [
            [
                class_index,
                *display_names[class_index],
                item.f1,
                item.precision,
                item.recall,
                item.support,
                item.predicted,
            ]
            for class_index, item in enumerate(scores.per_class)
        ],
    )
