"""Paths of photos in a manifest, relative to its folder."""

from __future__ import annotations

import os
from pathlib import Path


class PathWriter:
    """Writes paths relative to a folder; computed once per folder of photos, since `relpath` is slow.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = os.path.realpath(folder)
        self._prefixes: dict[str, str] = {}

    def write(self, photo: Path) -> str:
        """Returns the path of a photo in the manifest.

        Args:
            photo: The photo's file.

        Returns:
            The path relative to the folder, with slashes; an absolute one where the photo is on another drive.
        """
        parent, name = os.path.split(photo)
        if parent not in self._prefixes:
            absolute = os.path.realpath(parent or ".")
            # On Windows there is no relative path to another drive.
            same_drive = os.path.splitdrive(absolute)[0] == os.path.splitdrive(self._folder)[0]
            prefix = os.path.relpath(absolute, self._folder) if same_drive else absolute
            self._prefixes[parent] = "" if prefix == "." else prefix.replace(os.sep, "/") + "/"
        return self._prefixes[parent] + name
