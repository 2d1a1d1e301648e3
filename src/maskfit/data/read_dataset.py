"""Reads a set of photos from disk: the competition's folders, or a CSV manifest."""

from __future__ import annotations

from pathlib import Path

from maskfit.data.competition_layout import scan_layout
from maskfit.data.data_problems import DataProblem, raise_if_fatal
from maskfit.data.manifest import scan_manifest
from maskfit.data.photo_dataset import Photo, PhotoDataset
from maskfit.labels.schema import LabelSchema

__all__ = ["Photo", "PhotoDataset", "read_photos", "scan_photos"]


def read_photos(source: str | Path, scheme: LabelSchema) -> PhotoDataset:
    """The photos of a source, with what is known of each.

    Args:
        source: A folder in the competition's layout (`data.layout`), or a .csv manifest (`data.manifest`).
        scheme: Says which labels are read and what their values are.

    Returns:
        Photos in a fixed order: sorted by folder and file, or as the manifest has them.

    Raises:
        DataError: The source is neither, or something in it is wrong; one error names all that is.
    """
    found, problems = scan_photos(source, scheme)
    raise_if_fatal(problems, Path(source))
    return found


def scan_photos(source: str | Path, scheme: LabelSchema) -> tuple[PhotoDataset, list[DataProblem]]:
    """The photos that can be read and everything that is wrong with the rest; raises nothing for bad data."""
    path = Path(source)
    if path.is_dir():
        return scan_layout(path, scheme)
    if path.suffix.lower() == ".csv":
        return scan_manifest(path, scheme)
    if path.exists():
        what, fix = "this is neither a folder nor a .csv file", "give a folder of person folders, or a CSV manifest"
    else:
        what, fix = "there is no such folder or file", "check the path"
    return PhotoDataset(path, ()), [DataProblem("fatal", "source", str(path), what, fix)]
