"""Label exports of other programs, in every format of `maskfit data import`, over a folder of photos."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree

from PIL import Image

from fuzz.engine import Sample
from fuzz.mutations import SCALARS, format_table, mutate_bytes, mutate_table, mutate_text, mutate_value
from maskfit.data.importers import import_dataset
from maskfit.errors import MaskfitError
from maskfit.labels.schema import LABEL_SCHEMAS

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]
BYTES_SHARE = 0.1
"""Share of inputs that are mutated as plain bytes."""

PHOTOS = (
    "a.jpg",
    "b.jpg",
    "images/c.jpg",
    "u1/coarse_tilt_aligned_face.1.a.jpg",
    "u1/coarse_tilt_aligned_face.2.b.jpg",
)
VOC = """<annotation><folder>x</folder><filename>a.jpg</filename>
<size><width>24</width><height>20</height><depth>3</depth></size>
<object><name>with_mask</name><truncated>0</truncated><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>12</xmax><ymax>15</ymax></bndbox>
</object><object><name>mask_weared_incorrect</name><bndbox><xmin>12</xmin><ymin>2</ymin><xmax>20</xmax><ymax>15</ymax></bndbox>
</object></annotation>"""
CVAT = """<annotations><version>1.1</version><image id="0" name="a.jpg" width="24" height="20">
<box label="with_mask" xtl="1" ytl="2"
xbr="12" ybr="15" rotation="0"><attribute name="gender">female</attribute></box><tag label="without_mask"/></image>
<image id="1" name="b.jpg" width="24" height="20"><polygon label="x" points="1,2;3,4;5,6"/></image></annotations>"""
COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 24, "height": 20}, {"id": 2, "file_name": "b.jpg"}],
    "annotations": [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 1,
            "bbox": [1, 2, 10, 12],
            "attributes": {"gender": "male"},
            "iscrowd": 0,
        },
        {"id": 2, "image_id": 2, "category_id": 2, "bbox": [3.5, 4, 8, 8], "segmentation": []},
    ],
    "categories": [{"id": 1, "name": "with_mask"}, {"id": 2, "name": "without_mask"}],
}
STUDIO: list[dict[str, Any]] = [
    {
        "id": 1,
        "data": {"image": "/data/upload/1/8f3a1c01-a.jpg", "person": "eve"},
        "annotations": [
            {
                "completed_by": {"id": 1, "email": "ann@example.org"},
                "was_cancelled": False,
                "result": [
                    {
                        "id": "x",
                        "type": "choices",
                        "value": {"choices": ["wear"]},
                        "to_name": "image",
                        "from_name": "mask",
                    },
                    {"id": "n", "type": "number", "value": {"number": 34}, "to_name": "image", "from_name": "age"},
                ],
            }
        ],
    },
    {
        "id": 2,
        "data": {"image": "/data/local-files/?d=b.jpg"},
        "annotations": [
            {
                "completed_by": 2,
                "result": [
                    {
                        "id": "r",
                        "type": "rectanglelabels",
                        "from_name": "label",
                        "to_name": "image",
                        "original_width": 24,
                        "original_height": 20,
                        "value": {
                            "x": 10,
                            "y": 10,
                            "width": 40,
                            "height": 50,
                            "rotation": 0,
                            "rectanglelabels": ["with_mask"],
                        },
                    }
                ],
            }
        ],
    },
]
MMPRETRAIN = {
    "metainfo": {"tasks": ["gender", "mask"], "classes": ["male", "female"]},
    "data_list": [
        {"img_path": "a.jpg", "gt_label": {"gender": 0, "mask": 2}},
        {"img_path": "b.jpg", "gt_label": {"gender": 1}},
    ],
}
YOLO = "names: [with_mask, without_mask]\nnc: 2\n---\n0 0.5 0.5 0.4 0.6\n1 0.2 0.3 0.1 0.2 0.9\n"
FAIRFACE = ("file,age,gender,race,service_test", "a.jpg,50-59,Male,East Asian,True", "b.jpg,0-2,Female,Indian,False")
ADIENCE = (
    "user_id\toriginal_image\tface_id\tage\tgender\tx\ty\tdx\tdy",
    "u1\ta.jpg\t1\t(25, 32)\tf\t0\t0\t10\t10",
    "u1\tb.jpg\t2\t60\tm\t1\t1\t10\t10",
)
BOXES = (
    "filename,width,height,class,xmin,ymin,xmax,ymax",
    "a.jpg,24,20,with_mask,1,2,12,15",
    "b.jpg,24,20,no mask,3,3,9,9",
)
URLS = ("image_url,label", "https://a.example/x/a.jpg?sig=1,with_mask", "https://a.example/get?file=b.jpg,no mask")
APPA_REAL = ("file_name,num_ratings,apparent_age_avg,apparent_age_std,real_age", "a.jpg,3,20.1,1,21", "b.jpg,3,40,1,47")
CELEBA = ("3", "5_o_Clock_Shadow Male Young", "a.jpg -1 1 1", "b.jpg -1 -1 1")
JSON_LINES: list[dict[str, Any]] = [
    {"image": "a.jpg", "mask": "wear", "age": 31, "label": ["with_mask", "male"], "person": "eve"},
    {"source-ref": "s3://x/b.jpg", "job": 0, "job-metadata": {"class-name": "with_mask"}},
    {
        "source-ref": "s3://x/images/c.jpg",
        "faces": {
            "image_size": [{"width": 24, "height": 20, "depth": 3}],
            "annotations": [{"class_id": 0, "left": 1, "top": 2, "width": 10, "height": 12}],
        },
        "faces-metadata": {"class-map": {"0": "without_mask"}},
    },
    {"image": "b.jpg", "answer": "accept", "spans": [{"label": "with_mask", "points": [[1, 2], [9, 2], [9, 12]]}]},
    {"image": "a.jpg", "xmin": 1, "ymin": 2, "xmax": 9, "ymax": 12, "label": "with_mask"},
]
NAMES = (
    "25_1_0_20170109150557335.jpg",
    "34_0_1_20170109150557336.jpg.chip.jpg",
    "with_mask/1.jpg",
    "without mask/2.jpg",
    "00001A02.jpg",
    "000001_female_Asian_45_mask1.jpg",
)
MAPS = ("gender:0=male", "gender:1=female", "mask:2=not_wear", "x=wear")
NAMED = ("utkface:", "folders:", "all-age-faces:", "flat:")
"""Formats whose labels are in the names of files."""


class LabelExportReader:
    """`import_dataset` with the format found by itself, then with the format that it was."""

    name = "exports"
    refusals = (MaskfitError,)
    checks = (
        "maskfit.data.importers.import_dataset:detect_format()",
        "maskfit.data.importers.import_dataset:_note_unread",
    )

    def samples(self, folder: Path) -> Sequence[Sample]:
        """Makes an export of every format."""
        self.folder = folder / "export"
        self.photo = folder / "photo.jpg"
        Image.new("RGB", (24, 20), (90, 80, 70)).save(self.photo)
        self._renew(PHOTOS)
        tables = {
            "fairface:labels.csv": (FAIRFACE, ","),
            "adience:fold_0_data.txt": (ADIENCE, "\t"),
            "boxes:t.csv": (BOXES, ","),
            "ids:u.csv": (URLS, ","),
            "appa-real:gt_avg_train.csv": (APPA_REAL, ","),
            "celeba:list_attr_celeba.txt": (CELEBA, " "),
        }
        return [
            Sample("voc:a.xml", VOC),
            Sample("cvat:annotations.xml", CVAT),
            Sample("coco:i.json", COCO),
            Sample("yolo:", YOLO),
            Sample("label-studio:e.json", STUDIO),
            Sample("mmpretrain:m.json", MMPRETRAIN),
            Sample("json-lines:l.jsonl", JSON_LINES),
            Sample("utkface:", list(NAMES[:2])),
            Sample("folders:", list(NAMES[2:4])),
            Sample("all-age-faces:", list(NAMES[4:5])),
            Sample("flat:", list(NAMES[5:])),
            *(Sample(kind, [row.split(mark) for row in rows]) for kind, (rows, mark) in tables.items()),
        ]

    def _renew(self, names: Sequence[str]) -> None:
        """Replaces the folder by one with these photos."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in names:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.hardlink_to(self.photo)

    def mutate(self, rng: Random, sample: Sample) -> bytes:
        """Mutates values, elements, cells or names; sometimes plain bytes."""
        if rng.random() < BYTES_SHARE and sample.kind not in NAMED:
            return mutate_bytes(rng, self.write(sample))
        if sample.kind.endswith(".xml"):
            return _mutate_xml(rng, sample.data)
        if sample.kind.endswith((".csv", ".txt")):
            return format_table(rng, mutate_table(rng, sample.data))
        if sample.kind == "yolo:":
            numbers = list(re.finditer(r"[\d.]+|with_mask", sample.data))
            match = numbers[rng.randrange(len(numbers))]
            new = str(rng.choice(SCALARS)) if rng.random() < 0.7 else mutate_text(rng, match[0])
            text: str = sample.data[: match.start()] + new + sample.data[match.end() :]
            return text.encode("utf-8", "surrogatepass")
        return self.write(sample._replace(data=mutate_value(rng, sample.data)))

    def write(self, sample: Sample) -> bytes:
        """Writes the label file."""
        if isinstance(sample.data, str) and not sample.kind.endswith(".json") and sample.kind not in NAMED:
            return sample.data.encode()
        if sample.kind.endswith((".csv", ".txt")):
            mark = {"adience": "\t", "celeba": " "}.get(sample.kind.partition(":")[0], ",")
            return "\n".join(mark.join(row) for row in sample.data).encode()
        if sample.kind.endswith(".jsonl") and isinstance(sample.data, list):
            return "\n".join(map(json.dumps, sample.data)).encode()
        return json.dumps(sample.data).encode()

    def read(self, kind: str, data: bytes) -> None:
        """Imports the folder."""
        format, _, name = kind.partition(":")
        files = {self.folder / name: data} if name else {}
        if kind in NAMED:
            self._renew([name for name in _strings(json.loads(data)) if _is_name(name)])
        elif format == "yolo":
            head, _, labels = data.partition(b"---\n")
            (self.folder / "labels").mkdir(exist_ok=True)
            files = {self.folder / "data.yaml": head, self.folder / "labels" / "c.txt": labels}
        for path, content in files.items():
            path.write_bytes(content)
        try:
            with suppress(MaskfitError):
                import_dataset(self.folder, SCHEMA)
            import_dataset(self.folder, SCHEMA, format=format, maps=MAPS)
        finally:
            if kind in NAMED:
                self._renew(PHOTOS)
            elif format == "yolo":
                shutil.rmtree(self.folder / "labels")
            for path in files:
                path.unlink(missing_ok=True)


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _is_name(name: str) -> bool:
    """Whether a name is one that a file below the folder can have."""
    parts = name.split("/")
    encoded = name.encode("utf-8", "surrogatepass")
    return 0 < len(encoded) < 200 and "\0" not in name and all(part not in ("", ".", "..") for part in parts)


def _mutate_xml(rng: Random, text: str) -> bytes:
    root = ElementTree.fromstring(text)
    parents = {child: parent for parent in root.iter() for child in parent}
    for _ in range(rng.randint(1, 3)):
        elements = list(root.iter())
        element = elements[rng.randrange(len(elements))]
        kind = rng.randrange(6)
        if kind == 0 and element in parents and element in list(parents[element]):
            parents[element].remove(element)
        elif kind == 1 and element in parents:
            parents[element].append(element)
        elif kind == 2 and element.attrib:
            name = rng.choice(sorted(element.attrib))
            element.set(name, _xml_text(rng.choice(SCALARS)))
        elif kind == 3:
            element.tag = rng.choice(("object", "name", "box", "image", "annotation", "bndbox", "x"))
        else:
            element.text = _xml_text(rng.choice(SCALARS))
    return ElementTree.tostring(root)


def _xml_text(value: Any) -> str:
    return "".join(character for character in str(value) if character.isprintable())
