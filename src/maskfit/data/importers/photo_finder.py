"""Finds the photos that label files name: from other machines, with upload prefixes, in other folders."""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections.abc import Iterable
from functools import cached_property, lru_cache
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

from maskfit.data.importers.photo_folders import PART_FOLDER, are_of_other_parts, common_end, is_elsewhere
from maskfit.data.manifest_files import find_file, is_url, name_inside
from maskfit.data.photo_dataset import is_hidden_or_system_file, is_photo_name

NOT_FOUND = "the photo does not exist"
NOT_DOWNLOADED = "the photo is named by a URL, and no photo in the folder has the name in it"
SEVERAL_NAMES = "names of several folders end in this photo's; give the folder that is meant with --images"
AMBIGUOUS = "several photos have this name; give the folder that is meant with --images"

_WHOLE_NUMBER = re.compile(r"[0-9]{1,18}")
_DECIMAL_ENDING = re.compile(r"\.0+$")

_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""What labeling tools put before the name of an uploaded file."""


def list_files(folder: Path) -> tuple[str, ...]:
    """Lists all files below a folder.

    Args:
        folder: The folder; links to folders are followed, except in circles.

    Returns:
        POSIX paths relative to it, sorted; hidden and system files are omitted, as are folders that cannot be read.
    """
    found: list[str] = []
    entered = {os.path.realpath(folder)}
    waiting = [(os.fspath(folder), "")]
    while waiting:
        place, prefix = waiting.pop()
        try:
            entries = list(os.scandir(place))
        except OSError:
            continue
        for entry in entries:
            if is_hidden_or_system_file(entry.name):
                continue
            if entry.is_dir():
                if entry.is_symlink():
                    real = os.path.realpath(entry.path)
                    if real in entered:
                        continue
                    entered.add(real)
                waiting.append((entry.path, f"{prefix}{entry.name}/"))
            elif entry.is_file():
                found.append(prefix + entry.name)
    return tuple(sorted(found))


class PhotoFinder:
    """Finds photos in a folder by the names that label files have for them.

    Args:
        folder: The folder of the photos, and of its subfolders.
        files: Its files as `list_files` gives them, where they are known already.
        label_root: The folder that label files are relative to, where the photos are in another.
    """

    def __init__(self, folder: Path, files: Iterable[str] | None = None, label_root: Path | None = None) -> None:
        self.folder = Path(folder)
        self._files = files
        self._label_root = label_root
        self._resolved: dict[Path, tuple[Path, list[str]]] = {}
        self._longest_name: dict[Path, tuple[str, bool]] = {}
        self._other_names: dict[Path, dict[str, None]] = {}
        self._moved: dict[Path, str] = {}
        self._strays: set[str] = set()
        self._homes: set[str] = set()
        # What an earlier reading found out: each photo's name with most of its path, and label files beside photos.
        self._nearest: dict[Path, str] = {}
        self._settled_homes: frozenset[str] = frozenset()

    @property
    def names(self) -> list[str]:
        """POSIX paths of all photos relative to the folder, sorted."""
        return sorted(self._exact)

    @cached_property
    def _exact(self) -> frozenset[str]:
        """The paths of all photos."""
        files = list_files(self.folder) if self._files is None else self._files
        return frozenset(name for name in files if is_photo_name(name))

    @cached_property
    def _by_path(self) -> dict[str, str]:
        """Each photo by its path in one Unicode form and lower case -> the path; "" where two differ in no more."""
        paths: dict[str, str] = {}
        for name in self._exact:
            folded = _fold(name)
            paths[folded] = "" if folded in paths else name
        return paths

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        """Folded file name, also without an upload prefix -> folded paths."""
        index: dict[str, list[str]] = {}
        for path in self._by_path:
            name = path.rpartition("/")[2]
            for key in {name, _UPLOAD_PREFIX.sub("", name)}:
                index.setdefault(key, []).append(path)
        return index

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        """Folded file name without its suffix -> paths."""
        index: dict[str, list[str]] = {}
        for path in self.names:
            index.setdefault(_fold(path.rpartition("/")[2].rpartition(".")[0]), []).append(path)
        return index

    def find_by_stem(self, name: str) -> list[str]:
        """Finds the photos that a name without a suffix may mean.

        Args:
            name: The name, perhaps below some folders: `id7` or `train/id7`.

        Returns:
            POSIX paths relative to the folder, sorted, of the photos with this name and any suffix, in folders of these
            names at least, of which the folder itself may be one; none for an empty name.
        """
        folder, _, stem = _fold(name.replace("\\", "/").strip("/")).rpartition("/")
        found = self._by_stem.get(stem, []) if stem else []
        if not folder:
            return list(found)
        # The folder of the photos itself may be among those that the name has.
        root = _fold(Path(os.path.abspath(self.folder)).as_posix())
        return [path for path in found if f"{root}/{_fold(path)}".rpartition("/")[0].endswith(f"/{folder}")]

    @cached_property
    def _by_number(self) -> dict[int, list[str]]:
        """Number in a file name of digits only -> paths."""
        index: dict[int, list[str]] = {}
        for stem, paths in self._by_stem.items():
            if _WHOLE_NUMBER.fullmatch(stem):
                index.setdefault(int(stem), []).extend(paths)
        return index

    def find_by_number(self, cell: str) -> list[str]:
        """Finds the photos that a number may mean which lost its leading zeros, or became a decimal: `7`, `7.0`.

        Spreadsheets drop the zeros of `007`; pandas writes whole numbers as decimals where some are missing.

        Args:
            cell: The number as it is written.

        Returns:
            POSIX paths relative to the folder of the photos whose name is that number; none where it is none.
        """
        number = _DECIMAL_ENDING.sub("", cell)
        return sorted(self._by_number.get(int(number), [])) if _WHOLE_NUMBER.fullmatch(number) else []

    def find(self, name: str, label_file: str = "") -> tuple[Path | None, str]:
        """Finds a photo.

        Tried in this order: the path as it is written, relative to the label file or absolute; relative to the folder;
        the file's name anywhere in the folder, where the longest common end of both paths decides; the same without an
        upload prefix (`8f3a1c01-`) on either side. Case and Unicode form do not matter, a URL is read as its path.
        A name of `train`, or in a label file of `train`, is no photo of `test`; nor is one of a folder that is here the
        photo of another folder. Folders of other machines say nothing.
        Where the photos are in another folder than the label files, a path relative to it comes first.

        Args:
            name: A path or URL from a label file.
            label_file: POSIX path of the label file, relative to `label_root`, or to the folder without one.

        Returns:
            The file and ""; None and the reason where there is no such photo, or more than one.
        """
        photo, reason, is_guess = self._find(name, label_file)
        if photo is not None:
            self._remember(photo, name, label_file, is_guess)
            first, was_guess = self._longest_name.setdefault(photo, (name, is_guess))
            if first != name:
                if not _may_be_one_photo(first, name):
                    if is_guess or was_guess:
                        self._other_names.setdefault(photo, {first: None})[name] = None
                elif len(name) > len(first):
                    self._longest_name[photo] = name, is_guess
        return photo, reason

    def look_up(self, name: str, label_file: str = "") -> Path | None:
        """Finds a photo as `find` does, for a name that is only compared: it is none of `several_names`.

        Args:
            name: As for `find`.
            label_file: As for `find`.

        Returns:
            The file; None where there is no such photo, or more than one.
        """
        return self._find(name, label_file)[0]

    def several_names(self, photo: Path) -> tuple[str, ...]:
        """Lists the names that a photo was found by, where they can hardly be of one photo: `a/1.jpg` and `b/1.jpg`.

        Args:
            photo: A photo, as `find` gives it.

        Returns:
            The names; none where all that found it may be those of one photo.
        """
        return tuple(self._other_names.get(photo, ()))

    def is_taken(self, photo: Path, name: str) -> bool:
        """Returns whether a photo may be that of another name, which has as much of its path or more.

        Args:
            photo: A photo that `find` gave for a name.
            name: The name.

        Returns:
            Whether it is, of all names that were looked for until now.
        """
        own = self._own_parts(photo)
        length = common_end(own, _name_parts(name))
        return any(
            not _may_be_one_photo(name, other) and common_end(own, _name_parts(other)) >= length
            for other in self.several_names(photo)
        )

    def found_elsewhere(self, photo: Path) -> str:
        """Returns the name that a photo was found by, where that has another folder.

        Args:
            photo: A photo, as `find` gives it.

        Returns:
            The first such name; "" where no written folder is another than the photo's.
        """
        return self._moved.get(photo, "")

    def settle(self) -> bool:
        """Learns from a first reading which of several names a photo has: the one with most of its path.

        Afterwards, other names find it no longer; nor does a name without a folder find a photo of another folder,
        where the label file has photos in its own.

        Returns:
            Whether reading again finds less.
        """
        again = bool(self._strays & self._homes)
        self._settled_homes = frozenset(self._homes)
        for photo, names in self._other_names.items():
            own = self._own_parts(photo)
            lengths = {name: common_end(own, _name_parts(name)) for name in names}
            nearest = max(lengths, key=lambda name: lengths[name])
            if min(lengths.values()) < lengths[nearest]:
                self._nearest[photo] = nearest
                again = True
        if again:
            self._longest_name, self._other_names, self._moved = {}, {}, {}
        return again

    def is_elsewhere(self, name: str, path: str) -> bool:
        """Returns whether the folders of a name say that it is not the photo of that name that is here.

        Args:
            name: A path or URL from a label file.
            path: POSIX path of a photo relative to the folder.

        Returns:
            Whether the photo lies elsewhere, as `photo_folders.is_elsewhere` says.
        """
        parts = _name_parts(name)
        folders = _folders(_fold(path))
        if not any(map(PART_FOLDER.fullmatch, folders)):
            folders = [*self._root_folders[-1:], *folders]
        written = parts[:-1]
        if written[-2:-1] == ("upload",) and written[-1].isdecimal():
            return False  # a labeling tool's own folder: /data/upload/PROJECT/
        is_absolute = is_url(name) or name.startswith(("/", "\\")) or name[1:2] == ":"
        return is_elsewhere(written, folders, self._known_folders, is_absolute)

    def _find(self, name: str, label_file: str) -> tuple[Path | None, str, bool]:
        """As `find`; also whether the photo is a guess by the end of its path."""
        label_folder = posixpath.dirname(label_file)
        if name in self._exact and (self._label_root is not None or not label_folder):
            return self.folder / name, "", False
        # Before any guess by name: photos of other folders have equal names.
        written = find_file(name, (self._label_root or self.folder) / label_folder)
        if written is not None and is_photo_name(written.name):
            return self._place(written), "", False
        if name in self._exact:
            return self.folder / name, "", False
        plain, text = name.replace("\\", "/"), strip_url(name).replace("\\", "/")
        folded = _fold(text).removeprefix("./")
        for key in (_fold(plain).removeprefix("./"), folded):
            if (path := self._by_path.get(key)) is not None:
                return (self.folder / path, "", False) if path else (None, AMBIGUOUS, False)
        if os.path.isabs(text) and os.path.isfile(text) and is_photo_name(text):
            return self._place(Path(text)), "", False
        parts = [part for part in folded.split("/") if part not in ("", ".", "..")]
        if not parts:
            return None, NOT_FOUND, False
        bare = _UPLOAD_PREFIX.sub("", parts[-1])
        # A name alone in a label file of train is no photo of test, whose photos may have equal names.
        label_parts = _folders(label_file) if len(parts) == 1 else []
        for key in dict.fromkeys((parts[-1], bare)):
            for candidate in dict.fromkeys((key, key.replace(" ", "_"))):
                found = self._by_name.get(candidate, [])
                found = [path for path in found if not are_of_other_parts(label_parts, _folders(path))]
                if label_parts and label_file in self._settled_homes:
                    found = [path for path in found if path.startswith(f"{_fold(label_folder)}/")]
                if paths := [path for path in found if self._may_be(name, path)]:
                    best = _longest_common_end([*parts[:-1], candidate], paths)
                    path = self._by_path[best] if best else ""
                    return (self.folder / path, "", True) if path else (None, AMBIGUOUS, False)
                if found:
                    is_known = len(found) == 1 and not self.is_elsewhere(name, found[0])
                    reason = SEVERAL_NAMES if is_known else NOT_FOUND if len(found) == 1 else AMBIGUOUS
                    return None, reason, False
        return None, NOT_DOWNLOADED if is_url(name) else NOT_FOUND, False

    def _may_be(self, name: str, path: str) -> bool:
        """Whether a name may be that of a photo: no folder says otherwise, and no nearer name has it already."""
        if self.is_elsewhere(name, path):
            return False
        if not self._nearest:
            return True
        photo = self.folder / self._by_path[path]
        nearest = self._nearest.get(photo)
        if nearest is None or _may_be_one_photo(nearest, name):
            return True
        own = self._own_parts(photo)
        return common_end(own, _name_parts(name)) == common_end(own, _name_parts(nearest))

    def _remember(self, photo: Path, name: str, label_file: str, is_guess: bool) -> None:
        """Keeps what a name that was found says about its folder and its label file's."""
        written = _name_parts(name)[:-1]
        label_folder = posixpath.dirname(label_file)
        if not written and label_folder:
            is_beside = photo.parent == self.folder / label_folder
            (self._homes if is_beside else self._strays).add(label_file)
        is_upload = written[-2:-1] == ("upload",)
        if is_guess and written and not is_upload:
            folders = [*self._root_folders, *self._own_parts(photo)[:-1]]
            if not common_end(folders, written):
                self._moved.setdefault(photo, name)

    @cached_property
    def _root_folders(self) -> list[str]:
        """The folders that lead to the folder of the photos, and itself."""
        return [part for part in _fold(Path(os.path.abspath(self.folder)).as_posix()).split("/") if part]

    @cached_property
    def _known_folders(self) -> frozenset[str]:
        """Names of all folders of photos below the folder."""
        return frozenset(part for path in self._by_path for part in _folders(path))

    def _own_parts(self, photo: Path) -> tuple[str, ...]:
        """The parts of a photo's path, relative to the folder where it is there."""
        path = photo.relative_to(self.folder) if photo.is_relative_to(self.folder) else photo
        return _name_parts(path.as_posix())

    def _place(self, file: Path) -> Path:
        """The path of an existing photo, in the folder where it is there, so that it is one photo however named."""
        parent = file.parent
        if parent not in self._resolved:
            # Once per folder of photos, since links are slow to resolve.
            real = Path(os.path.realpath(parent))
            inside = (name_inside(folder, self.folder) for folder in (parent, real))
            self._resolved[parent] = real, [name for name in dict.fromkeys(inside) if name is not None]
        real, folders = self._resolved[parent]
        names = (posixpath.normpath(posixpath.join(folder, file.name)) for folder in folders)
        return next((self.folder / name for name in names if name in self._exact), real / file.name)


def _longest_common_end(parts: list[str], paths: list[str]) -> str | None:
    """The one path that ends in most of the parts; None where there are several."""
    if len(paths) == 1:
        return paths[0]

    lengths = [common_end(parts[:-1], path.split("/")[:-1]) for path in paths]
    best = max(lengths)
    return paths[lengths.index(best)] if lengths.count(best) == 1 else None


def _folders(path: str) -> list[str]:
    return path.split("/")[:-1]


def _may_be_one_photo(one: str, other: str) -> bool:
    """Whether two names may be of one photo: one of them is the end of the other, but for case and an upload prefix."""
    shorter, longer = sorted((_name_parts(one), _name_parts(other)), key=len)
    return longer[len(longer) - len(shorter) :] == shorter


@lru_cache(maxsize=16)
def _name_parts(name: str) -> tuple[str, ...]:
    """The parts of a name that are compared; several questions about one name follow each other."""
    parts = [part for part in _fold(strip_url(name).replace("\\", "/")).split("/") if part not in ("", ".", "..")]
    return (*parts[:-1], *(_UPLOAD_PREFIX.sub("", part).replace(" ", "_") for part in parts[-1:]))


def _fold(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text).lower()


def strip_url(name: str) -> str:
    """Reads the path in a URL, also in the query of a labeling tool's local files: `/data/local-files/?d=photos/a.jpg`.

    Args:
        name: A path or URL.

    Returns:
        The path, without what is escaped in URLs.
    """
    if "://" not in name and "?d=" not in name:
        return unquote(name) if "%" in name else name
    query = parse_qs(urlsplit(name).query).get("d")
    return query[0] if query else paths_in_url(name)[0]


def paths_in_url(url: str) -> tuple[str, ...]:
    """Reads the paths in a URL that may be a photo's: its own, and photos' names in its query.

    Other values of a query are sizes and signatures. A photo's name in the query comes before a path that is none:
    `/view/42?file=a.jpg` is a.jpg, also where there is a 42.jpg.

    Args:
        url: The URL.

    Returns:
        The paths, the likeliest first, without what is escaped in URLs.
    """
    parsed = urlsplit(url)
    path, in_query = unquote(parsed.path), [value for _, value in parse_qsl(parsed.query) if is_photo_name(value)]
    return (path, *in_query) if is_photo_name(path) or not in_query else (*in_query, path)
