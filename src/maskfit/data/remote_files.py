"""Photos on this machine or elsewhere, by one name: a folder, or an address as fsspec reads it (s3://, gs://, http://).

Names are relative to the root. Listing goes through one folder at a time, so that any number of photos can be listed.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from maskfit.data.image_decoding import MAX_BYTES
from maskfit.data.image_lists import ID_COLUMN, ImageFolder, read_image_list
from maskfit.data.photo_dataset import is_hidden_or_system_file, is_photo_name
from maskfit.errors import DataError, MissingExtraError, PhotoError, format_list
from maskfit.file_io import iter_csv

PROTOCOL_PACKAGES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "http": "aiohttp",
    "https": "aiohttp",
    "abfs": "adlfs",
}
"""What fsspec needs for a protocol beside itself."""


def is_url(root: str) -> bool:
    """Whether photos lie elsewhere, rather than in a folder."""
    return "://" in root


class ImageRoot:
    """A root that photos are named from.

    Args:
        root: A folder, or an address.

    Raises:
        MissingExtraError: It is an address, and fsspec is not installed.
        DataError: The folder is missing or holds no photo; or the address cannot be opened.
    """

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/") if is_url(root) else root
        if not is_url(root):
            return
        if importlib.util.find_spec("fsspec") is None:
            raise MissingExtraError(f"reading {root.partition('://')[0]}://", "ray")
        _ = self._opened

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """fsspec's file system, and the root's path in it."""
        import fsspec

        protocol = self.root.partition("://")[0]
        try:
            system, path = fsspec.core.url_to_fs(self.root)
        except ImportError:
            package = PROTOCOL_PACKAGES.get(protocol, f"fsspec's package for {protocol}")
            raise DataError(
                f"{protocol}:// needs the package {package}", location=self.root, hint=f"pip install {package}"
            ) from None
        except (ValueError, OSError) as error:
            raise DataError(f"this address cannot be opened: {error}", location=self.root, hint="check it") from None
        return system, str(path).rstrip("/")

    def names(self) -> Iterator[str]:
        """Every photo below the root, folder by folder, sorted within each; litter is passed over.

        Raises:
            DataError: There is none, or the root cannot be listed.
        """
        if not is_url(self.root):
            yield from (photo.name for photo in ImageFolder(Path(self.root)))
            return
        found = False
        for name in self._walk():
            found = True
            yield name
        if not found:
            raise DataError(
                "there is no photo below this address", location=self.root, hint="check it, or give a --image-list"
            )

    def _walk(self) -> Iterator[str]:
        system, root = self._opened
        try:
            for folder, _, files in system.walk(root, on_error="raise"):
                below = str(folder).rstrip("/").removeprefix(root).strip("/")
                for name in sorted(file.rpartition("/")[2] for file in files):
                    if is_photo_name(name) and not is_hidden_or_system_file(name):
                        yield f"{below}/{name}" if below else name
        except (OSError, ValueError) as error:
            raise DataError(
                f"this address cannot be listed: {_said(error)}", location=self.root, hint="check it"
            ) from None

    def path(self, name: str) -> Path | None:
        """Where a photo lies on this machine; None where it lies elsewhere."""
        return None if is_url(self.root) else Path(self.root) / name

    def reader(self, name: str) -> Callable[[], bytes]:
        """What fetches a photo from elsewhere."""
        return lambda: self._fetch(name)

    def _fetch(self, name: str) -> bytes:
        system, root = self._opened
        try:
            # One byte too many is enough to know that a file is too large.
            content: bytes = system.cat_file(f"{root}/{name}", start=0, end=MAX_BYTES + 1)
        except (NotImplementedError, ValueError):
            content = system.cat_file(f"{root}/{name}")
        except Exception as error:  # whatever a protocol's package raises: this photo cannot be had
            raise PhotoError(f"it cannot be fetched: {_said(error)}", location=name) from None
        if len(content) > MAX_BYTES:
            raise PhotoError(f"the file is larger than {MAX_BYTES // 2**20} MiB", location=name)
        return content


def read_image_names(path: Path, root: str) -> Sequence[str]:
    """The names of a list's photos, in its order.

    Args:
        path: A CSV with a column `ImageID`.
        root: What the names are relative to. In a folder all of them must be there; elsewhere that shows later.

    Raises:
        DataError: It is no such CSV, or a row cannot be used; one error names all of them.
    """
    if not is_url(root):
        return read_image_list(path, Path(root)).names
    rows = [row[ID_COLUMN] for row in iter_csv(path, (ID_COLUMN,))]
    twice = [name for name, count in Counter(rows).items() if count > 1]
    strange = [name for name in rows if not name or name.startswith("/") or ".." in name.split("/")]
    problems = [f"{name} is listed twice" for name in twice]
    problems += [f"'{name}' leads out of {root}" for name in strange]
    if problems or not rows:
        raise DataError(format_list(problems) or "the list has no rows", location=path, hint="mend the list")
    return rows


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
