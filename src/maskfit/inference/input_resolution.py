"""Resolution of command-line arguments and other sources into model files and images.

An argument is a model by its suffix, or where it is a run folder; everything else that exists is an image, a folder of
images, or a pattern such as `holiday/*.jpg`. Whether a file really is an image shows when it is decoded.
"""

from __future__ import annotations

import glob
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from maskfit.data.image_lists import ImageFolder
from maskfit.data.manifest_files import is_url
from maskfit.data.photo_dataset import Photo, is_hidden_or_system_file, is_photo_name
from maskfit.environment import MODEL
from maskfit.errors import MODEL_SUFFIXES, DataError, ModelFileError, format_list
from maskfit.inference.image_loading import RotatedPhoto
from maskfit.model_file import bundled_model_path as bundled_model_path
from maskfit.run_dir import FoldDir, RunDir, is_run_dir

LIST_SUFFIXES = frozenset({".csv", ".tsv", ".xlsx", ".txt"})
"""Suffixes of image lists, which are no images."""


@dataclass(frozen=True)
class NamedPhotos:
    """Images in the order in which they were named, each once; folders are listed only as they are iterated over.

    Attributes:
        paths: Images and folders.
        unlisted: Folders that a pattern leads into and that cannot be listed, with the reason.
        rotation: Degrees clockwise by which every image is turned beyond what its EXIF data says: 0, 90, 180 or 270.
    """

    paths: tuple[Photo | ImageFolder, ...]
    unlisted: Mapping[str, str] = field(default_factory=dict)
    rotation: int = 0

    def __iter__(self) -> Iterator[Photo]:
        seen: set[str] = set()
        for item in self.paths:
            if isinstance(item, Photo):
                photos: Iterator[Photo] = iter((item,))
            else:
                photos = (Photo(photo.path, str(photo.path), photo.person) for photo in item)
            for photo in photos:
                # A single argument yields no duplicates, and a folder may hold millions.
                if len(self.paths) > 1:
                    path = os.path.realpath(photo.path)
                    if path in seen:
                        continue
                    seen.add(path)
                yield self._turn(photo)

    def _turn(self, photo: Photo) -> Photo:
        if not self.rotation:
            return photo
        return RotatedPhoto(photo.path, photo.name, photo.person, rotation=self.rotation)

    def __len__(self) -> int:
        """Counts the images; one that is named twice counts twice."""
        return sum(1 if isinstance(item, Photo) else len(item) for item in self.paths)

    @property
    def set_aside(self) -> dict[str, str]:
        """What may hold images and cannot be used, by printable path, with the reason."""
        reasons = dict(self.unlisted)
        for item in self.paths:
            if isinstance(item, ImageFolder):
                # Joined as text: `Path` would drop the slash at the end of a folder.
                reasons |= {f"{item.path}/{name}": reason for name, reason in item.set_aside.items()}
        return reasons

    @property
    def single_file(self) -> Photo | None:
        """The image, where exactly one file was named."""
        first = self.paths[0] if len(self.paths) == 1 else None
        return first if isinstance(first, Photo) else None


@dataclass(frozen=True)
class ResolvedInputs:
    """What command-line arguments stand for.

    Attributes:
        models: Model files and run folders, as they were given.
        photos: The images; None where none was named.
    """

    models: tuple[str, ...]
    photos: NamedPhotos | None


def resolve_inputs(arguments: Sequence[str]) -> ResolvedInputs:
    """Splits arguments into models and images.

    Args:
        arguments: Model files, run folders and folds; images, folders of images, and patterns for images.

    Returns:
        The models and the images.

    Raises:
        DataError: Arguments stand for neither, or for both; one error names all of them.
    """
    models: list[str] = []
    images: list[Photo | ImageFolder] = []
    problems: list[DataError] = []
    for argument in arguments:
        try:
            if _is_model(argument):
                models.append(argument)
            else:
                images += _find_photos(argument)
        except DataError as error:
            problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        lines = [f"{problem.location}: {problem.message}" for problem in problems]
        raise DataError(f"{len(problems)} arguments cannot be used:\n{format_list(lines)}", hint=problems[0].hint)
    unique = tuple(dict.fromkeys(images))
    unlisted = {name: reason for argument in arguments for name, reason in _unlisted_folders(argument)}
    return ResolvedInputs(tuple(models), NamedPhotos(unique, unlisted) if unique else None)


def resolve_models(named: Sequence[str] | None, log: Callable[[str], object], *, name_card: bool = True) -> list[str]:
    """Returns the models that a command uses.

    Args:
        named: Model files and run folders from the command line.
        log: Called with a line where the bundled model is used because nothing names one.
        name_card: Whether that line names the command that prints the bundled model's card.

    Returns:
        The named models, or that of SM_CHANNEL_MODEL, or the bundled model.

    Raises:
        ModelFileError: No model was named, and this install lacks the bundled one.
    """
    if named:
        return list(named)
    if os.environ.get(MODEL):
        return [os.environ[MODEL]]
    path = bundled_model_path()
    card = " ('maskfit model-card' shows its scores)" if name_card else ""
    log(f"no model named: using the bundled model{card}")
    return [str(path)]


def find_models(sources: Sequence[str | Path], top_k: int = 1) -> list[Path]:
    """Finds the model files that sources stand for: a file itself, a run all its folds, a fold its best models.

    Args:
        sources: Model files, run folders and folds.
        top_k: How many of each fold's best models; a file stands for itself alone.

    Returns:
        The files in the order of `sources`, each once.

    Raises:
        ModelFileError: A source stands for no model, or there is no source.
        RunError: A run has no finished fold, or a fold keeps fewer than `top_k` models.
    """
    models: list[Path] = []
    for source in map(Path, sources):
        if source.is_file():
            models.append(source)
        elif is_run_dir(source):
            models += RunDir(source).models(top_k)
        elif FoldDir(source).model.is_file():
            models += FoldDir(source).top_k_models(top_k)
        elif source.is_dir():
            raise ModelFileError(
                "this folder is no run: it has no recipe.yaml",
                location=source,
                hint="name a run folder or a model file",
            )
        else:
            models.append(source)
    if not models:
        raise ModelFileError("no model was named", hint="name a model file or a run folder")
    # A model that is named in two ways would count twice.
    unique: dict[Path, Path] = {}
    for path in models:
        unique.setdefault(path.resolve(), path)
    return list(unique.values())


def _is_model(argument: str) -> bool:
    """Whether an argument names a model.

    Raises:
        DataError: It is a run folder and a folder of images as well.
    """
    path = Path(argument)
    if not path.is_dir():
        return path.suffix.lower() in MODEL_SUFFIXES
    model = _is_run_or_fold(path)
    if model and _has_photos(path):
        raise DataError(
            "this folder is a run and has photos",
            location=argument,
            hint="for its models name one, such as fold0/best.safetensors; for its photos add --images DIR",
        )
    return model


def _hint_for_download(url: str) -> str:
    """How to download a photo: as a command where curl has the protocol, and the path a name for the file."""
    parsed = urlsplit(url)
    name = unquote(parsed.path).rpartition("/")[2]
    if parsed.scheme not in ("http", "https", "ftp") or not is_photo_name(name):
        return "download it, and name the file"
    # In quotes for the shell, and without spaces, which curl refuses.
    return f"curl -L -o {shlex.quote(name)} {shlex.quote(url.replace(' ', '%20'))}"


def _find_photos(argument: str) -> list[Photo | ImageFolder]:
    """The images of an argument that is no model.

    Raises:
        DataError: There are none.
    """
    path = Path(argument)
    if path.is_dir():
        return [_open_folder(path)]
    if path.suffix.lower() in LIST_SUFFIXES and path.exists():
        raise DataError("this is a list, not a photo", location=argument, hint=f"--image-list {argument} --images DIR")
    if path.exists():
        return [Photo(path, argument, argument)]
    if is_url(argument):
        raise DataError(
            "a photo at a URL is not downloaded",
            location=argument,
            hint=f"{_hint_for_download(argument)}; a whole folder at a URL is read by --images URL",
        )
    if glob.has_magic(argument):
        return list(_match_pattern(argument))
    raise DataError("there is no such photo or model", location=argument, hint="check the path")


def _open_folder(path: Path) -> ImageFolder:
    if not os.access(path, os.R_OK | os.X_OK):
        raise DataError("this folder cannot be read", location=path, hint="check its permissions")
    try:
        return ImageFolder(path)
    except DataError as error:
        if "\n" in error.message:
            raise
        raise DataError(
            "this folder has no photos, and is no run: it has no recipe.yaml",
            location=path,
            hint="name a folder with .jpg or .png files, or a run folder",
        ) from None


def is_photo_folder(argument: str) -> bool:
    """Returns whether an argument is a folder of photos and no model.

    Args:
        argument: The argument.

    Returns:
        Whether it is a folder with a photo in it or below it, and neither a run nor a fold.
    """
    path = Path(argument)
    return path.is_dir() and not _is_run_or_fold(path) and _has_photos(path)


def _is_run_or_fold(path: Path) -> bool:
    return is_run_dir(path) or FoldDir(path).model.is_file()


def _has_photos(path: Path) -> bool:
    try:
        ImageFolder(path)
    except DataError:
        return False
    return True


def _unlisted_folders(argument: str) -> Iterator[tuple[str, str]]:
    """Folders that a pattern leads into and that `glob` passes over in silence, with the reason."""
    if not glob.has_magic(argument) or os.path.exists(argument):
        return
    for folder in sorted(glob.glob(os.path.dirname(argument) or os.curdir, recursive=True)):
        try:
            with os.scandir(folder):
                pass
        except NotADirectoryError:
            continue
        except OSError as error:
            yield f"{folder.rstrip('/')}/", f"the folder cannot be listed: {error.strerror or error}"


def _match_pattern(pattern: str) -> Iterator[Photo]:
    """The images that a pattern matches, sorted by path; `**` matches nested folders.

    Raises:
        DataError: There are none.
    """
    matches = sorted(glob.glob(pattern, recursive=True))
    photos = [
        path
        for path in matches
        if is_photo_name(path) and not is_hidden_or_system_file(Path(path).name) and os.path.isfile(path)
    ]
    if not photos:
        problem = f"none of the {len(matches)} matches is a photo by its suffix" if matches else "nothing matches this"
        raise DataError(problem, location=pattern, hint="check the pattern, or name a folder")
    yield from (Photo(Path(path), path, path) for path in photos)
