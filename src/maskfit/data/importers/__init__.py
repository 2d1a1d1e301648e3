"""Registry of import formats: labels of other programs and published sets, as rows of a manifest.

A new format is one class in a module of this package and one line in `IMPORTERS`:

1. The class has `title`, `codes`, `detect()` and `read()`, as `interface.Importer` documents. It has no arguments.
2. `detect()` says `SURE` only where the source cannot be of another format, from `source.files` and `source.head()`.
3. `read()` gives a `RawRow` per photo, or per face where there are boxes, with words as the source spells them. It
   never interprets words itself: `WordReader` does, so that `--map`, synonyms and the table of words work alike
   everywhere. What integer codes mean by the format's definition stands in `codes`.
4. Photos that label files name are found with `options.photo_finder(source)`. Whatever is not imported becomes a
   `LeftOut` with a reason that is the same for all cases of a kind; nothing is dropped without one. Label files that
   were read are listed in `RawImport.files`, so that they are never replaced.
5. A test reads a small file in the format's exact form.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from maskfit.data.importers.adience import AdienceImporter
from maskfit.data.importers.all_age_faces import AllAgeFacesImporter
from maskfit.data.importers.appa_real import AppaRealImporter
from maskfit.data.importers.box_table import BoxTableImporter
from maskfit.data.importers.celeba import CelebaImporter
from maskfit.data.importers.coco import CocoImporter
from maskfit.data.importers.createml import CreatemlImporter
from maskfit.data.importers.cvat import CvatImporter
from maskfit.data.importers.datumaro import DatumaroImporter
from maskfit.data.importers.fairface import FairFaceImporter
from maskfit.data.importers.flat import FlatImporter
from maskfit.data.importers.folders import FolderImporter
from maskfit.data.importers.huggingface import HuggingFaceImporter
from maskfit.data.importers.id_table import IdTableImporter
from maskfit.data.importers.import_dataset import ImportedDataset, write_manifest
from maskfit.data.importers.import_dataset import import_dataset as _import_dataset
from maskfit.data.importers.interface import Importer
from maskfit.data.importers.json_lines import JsonLinesImporter
from maskfit.data.importers.label_studio import LabelStudioImporter
from maskfit.data.importers.labelbox import LabelboxImporter
from maskfit.data.importers.labelme import LabelmeImporter
from maskfit.data.importers.medical_mask import MedicalMaskImporter
from maskfit.data.importers.mmpretrain import MMPretrainImporter
from maskfit.data.importers.one_hot import OneHotImporter
from maskfit.data.importers.path_patterns import AfadImporter, AgeDbImporter, CacdImporter, FgNetImporter, MorphImporter
from maskfit.data.importers.retinanet import RetinanetImporter
from maskfit.data.importers.supervisely import SuperviselyImporter
from maskfit.data.importers.utkface import UTKFaceImporter
from maskfit.data.importers.via import ViaImporter
from maskfit.data.importers.voc import VocImporter
from maskfit.data.importers.yolo import YoloImporter
from maskfit.labels.schema import LabelSchema

__all__ = ["IMPORTERS", "ImportedDataset", "import_dataset", "write_manifest"]

IMPORTERS: dict[str, Importer] = {
    "folders": FolderImporter(),
    "flat": FlatImporter(),
    "voc": VocImporter(),
    "yolo": YoloImporter(),
    "coco": CocoImporter(),
    "cvat": CvatImporter(),
    "datumaro": DatumaroImporter(),
    "supervisely": SuperviselyImporter(),
    "labelme": LabelmeImporter(),
    "via": ViaImporter(),
    "createml": CreatemlImporter(),
    "medical-mask": MedicalMaskImporter(),
    "boxes": BoxTableImporter(),
    "retinanet": RetinanetImporter(),
    "one-hot": OneHotImporter(),
    "ids": IdTableImporter(),
    "huggingface": HuggingFaceImporter(),
    "json-lines": JsonLinesImporter(),
    "label-studio": LabelStudioImporter(),
    "labelbox": LabelboxImporter(),
    "utkface": UTKFaceImporter(),
    "all-age-faces": AllAgeFacesImporter(),
    "fairface": FairFaceImporter(),
    "adience": AdienceImporter(),
    "afad": AfadImporter(),
    "fg-net": FgNetImporter(),
    "morph": MorphImporter(),
    "cacd": CacdImporter(),
    "agedb": AgeDbImporter(),
    "appa-real": AppaRealImporter(),
    "celeba": CelebaImporter(),
    "mmpretrain": MMPretrainImporter(),
}
"""Import formats by their name in `--format`."""


def import_dataset(
    path: Path,
    schema: LabelSchema,
    *,
    format: str | None = None,
    maps: Sequence[str] = (),
    images: Path | None = None,
    person: str | None = None,
    majority: bool = False,
) -> ImportedDataset:
    """Imports a source in one of `IMPORTERS`.

    Args:
        path: A folder or file.
        schema: The label schema; mask, gender and age are read besides.
        format: Name of the format; found from the source by default.
        maps: Meanings of words, each as `[KEY:]WORD=VALUE` (`word_reader`).
        images: Folder of the photos, where they are not in the source.
        person: Regular expression of the part of a photo's path that is the person; by default the format says it.
        majority: Whether the label of most rows counts where rows of one photo differ, such as several annotators'.

    Returns:
        The rows, and how they were read.

    Raises:
        DataError: The format is unknown, a word has no meaning, or there is no label at all.
    """
    return _import_dataset(
        path, IMPORTERS, schema, format=format, maps=maps, images=images, person=person, majority=majority
    )
