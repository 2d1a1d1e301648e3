"""Reads a dataset from disk: the competition's folders, class folders, labels in file names, or a CSV manifest."""

from __future__ import annotations

from pathlib import Path

from maskfit.data.data_problems import DataProblem, find_file_hint, raise_if_fatal
from maskfit.data.label_codes import CodesOption
from maskfit.data.manifest import scan_manifest
from maskfit.data.photo_dataset import Photo, PhotoDataset
from maskfit.labels.schema import LabelSchema

FILE_HINT = "write what it gives to a file that ends in .csv, beside the photos, and name that"
"""What to do with a pipe: paths in a manifest are relative to its folder."""

__all__ = ["Photo", "PhotoDataset", "read_photos", "scan_photos"]


def read_photos(
    source: str | Path,
    schema: LabelSchema,
    codes: CodesOption | None = None,
    *,
    must_exist: bool = True,
    must_use_codes: bool = True,
) -> PhotoDataset:
    """Reads the photos of a dataset with their labels.

    Args:
        source: A folder in the competition's layout (`data.competition_layout`), of class folders or with labels in
            file names (`data.direct_reading`), or a .csv manifest (`data.manifest`).
        schema: The label schema.
        codes: Meanings of codes without words, and of unknown words, by column or attribute, such as
            `{"gender": {"0": "female"}}` (`data.label_codes`); the order of the label schema's values by default.
        must_exist: Whether a photo of a manifest that does not exist is an error. Scores need names and labels only.
        must_use_codes: Whether `codes` of a column that the source lacks, or none of which it holds, are an error;
            otherwise they are a note.

    Returns:
        Photos in a fixed order: sorted by folder and file name, or in the order of the manifest.

    Raises:
        DataError: The source is neither, or something in it is wrong; one error lists all problems.
    """
    dataset, problems = scan_photos(source, schema, codes, must_exist=must_exist, must_use_codes=must_use_codes)
    raise_if_fatal(problems, Path(source))
    return dataset


def scan_photos(
    source: str | Path,
    schema: LabelSchema,
    codes: CodesOption | None = None,
    *,
    must_exist: bool = True,
    must_use_codes: bool = True,
) -> tuple[PhotoDataset, list[DataProblem]]:
    """Reads the valid photos of a dataset and collects all problems; raises nothing for bad data.

    Args:
        source: As for `read_photos`.
        schema: The label schema.
        codes: As for `read_photos`.
        must_exist: As for `read_photos`.
        must_use_codes: As for `read_photos`.

    Returns:
        The valid photos, and the problems.
    """
    path = Path(source)
    if path.exists() and not path.is_file() and not path.is_dir():
        message = "this is a pipe or device, and a dataset is a file or folder"
        return PhotoDataset(path, ()), [DataProblem("fatal", "source", str(path), message, FILE_HINT)]
    if path.is_dir():
        from maskfit.data.direct_reading import scan_folder

        return scan_folder(path, schema, codes, must_use_codes=must_use_codes)
    if path.suffix.lower() == ".csv":
        dataset, problems = scan_manifest(path, schema, codes, must_exist=must_exist, must_use_codes=must_use_codes)
        if not any(photo.labels for photo in dataset) and path.is_file():
            from maskfit.data.direct_reading import suggest_import

            has_mistakes = any(problem.kind == "manifest row" for problem in problems)
            if other := suggest_import(path, schema, is_manifest=has_mistakes):
                return PhotoDataset(path.parent, ()), [other]
        return dataset, problems
    if path.exists():
        from maskfit.data.direct_reading import suggest_import

        if other := suggest_import(path, schema):
            return PhotoDataset(path, ()), [other]
        message, hint = (
            "the source is neither a folder nor a .csv file, and no label file that can be imported",
            find_file_hint([path.name]) or "give a folder of photos or a manifest",
        )
    else:
        message, hint = "there is no such folder or file", "check the path"
    return PhotoDataset(path, ()), [DataProblem("fatal", "source", str(path), message, hint)]
