"""The readers that are fuzzed, by name."""

from __future__ import annotations

from collections.abc import Callable

from fuzz.engine import Reader
from fuzz.readers.bodies import BodyReader
from fuzz.readers.label_exports import LabelExportReader
from fuzz.readers.models import ModelReader
from fuzz.readers.photos import PhotoReader
from fuzz.readers.tables import TableReader
from fuzz.readers.videos import VideoReader
from fuzz.readers.yaml_files import YamlReader

READERS: dict[str, Callable[[], Reader]] = {
    kind.name: kind
    for kind in (PhotoReader, TableReader, YamlReader, ModelReader, BodyReader, VideoReader, LabelExportReader)
}
"""Name on the command line -> the reader."""
