"""Tables: manifests, splits, corrections, submissions, probabilities, lists of photos, and the log of a review."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from PIL import Image

from fuzz.engine import Sample
from fuzz.mutations import format_table, mutate_bytes, mutate_table, mutate_value
from maskfit.apps.review.audit_log import replay_log
from maskfit.apps.review.state import ReviewState
from maskfit.data.image_lists import read_image_list, read_list_persons
from maskfit.data.label_corrections import apply_corrections, read_corrections
from maskfit.data.manifest import read_manifest
from maskfit.data.splits import read_splits
from maskfit.errors import MaskfitError
from maskfit.evaluation.probability_table import read_table
from maskfit.inference.submission import read_submission, read_truth
from maskfit.labels.schema import LABEL_SCHEMAS

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]
BYTES_SHARE = 0.1
"""Share of inputs that are mutated as plain bytes."""

TABLES: dict[str, tuple[str, ...]] = {
    "manifest": (
        "path,person,mask,gender,age",
        "a.jpg,p1,wear,male,20",
        "b.jpg,p1,incorrect,male,20",
        "c.jpg,p2,not_wear,female,60",
    ),
    "manifest-boxes": (
        "path,person,mask,left,upper,right,lower,times",
        "a.jpg,p1,wear,1,2,10,12,1",
        "a.jpg,p2,not_wear,11,2,20,12.5,3",
        "b.jpg,p3,incorrect,,,,,",
    ),
    "manifest-codes": ("file_name,gender,age_band,label", "a.jpg,1,30-59,4", "b.jpg,1,>= 60,11", "c.jpg,1,< 30,15"),
    "splits": ("person,fold", "p1,0", "p2,1", "p3,-1", "p4,0"),
    "corrections": (
        "person,photo,attribute,value,tier,reason",
        "p1,a.jpg,mask,not_wear,certain,seen",
        "p2,,gender,male,,",
        "p2,c.jpg,use,no,disputed,blurred",
        "p1,,age,61,,",
    ),
    "submission": ("ImageID,ans", "a.jpg,0", "b.jpg,17", "c.jpg,5.0"),
    "submission-boxes": (
        "ImageID,ans,left,upper,right,lower",
        "a.jpg,0,1,2,10,12",
        "a.jpg,3,11,2,20,12",
        "b.jpg,17,,,,",
    ),
    "truth": ("ImageID,mask,gender,age", "a.jpg,wear,male,20", "b.jpg,incorrect,female,61"),
    "probabilities": ("ImageID,p0,p1,p2,truth", "a.jpg,0.2,0.3,0.5,2", "b.jpg,1,0,0,0", "c.jpg,1e-3,0.999,0,-1"),
    "list": ("ImageID,person,note", "a.jpg,p1,x", "b.jpg,p1,", "c.jpg,p2,y"),
    "list-boxes": ("file,left,upper,right,lower", "a.jpg,1,2,10,12", "b.jpg,0,0,20,20"),
}


class TableReader:
    """Every reader of a CSV, and of the log of a review."""

    name = "tables"
    refusals = (MaskfitError,)
    checks = (
        "maskfit.file_io:read_csv()|maskfit.data.image_lists:find_id_column()|maskfit.apps.review.audit_log:_replay_line",
    )

    def samples(self, folder: Path) -> Sequence[Sample]:
        """Makes a table of each kind, and the photos that they name."""
        self.folder = folder
        for index, name in enumerate("abc"):
            Image.new("RGB", (24, 20), (index, 0, 0)).save(folder / f"{name}.jpg")
        manifest = folder / "known.csv"
        manifest.write_text("\n".join(TABLES["manifest"]))
        self.photos = read_manifest(manifest, SCHEMA)
        review = ReviewState(self.photos, SCHEMA)
        of = {person: review.fingerprint(person) for person in ("p1", "p2")}
        photo = next(photo.name for photo in self.photos if photo.person == "p2")
        log = [
            {"format": 1, "photos": str(folder)},
            {"do": "look", "person": "p1"},
            {"do": "mark", "person": "p1", "photo": "", "verdict": "wrong", "of": of["p1"]},
            {"do": "undo", "person": "p1"},
            {"do": "label", "person": "p2", "labels": [[photo, "mask", "wear"]], "of": of["p2"]},
        ]
        tables = [Sample(kind, [row.split(",") for row in rows]) for kind, rows in TABLES.items()]
        return [*tables, Sample("log", log)]

    def mutate(self, rng: Random, sample: Sample) -> bytes:
        """Mutates cells, rows and columns, or lines of the log; sometimes plain bytes."""
        if rng.random() < BYTES_SHARE:
            return mutate_bytes(rng, self.write(sample))
        if sample.kind == "log":
            value = mutate_value(rng, sample.data)
            lines = value if isinstance(value, list) else [value]
            return "".join(f"{json.dumps(line)}\n" for line in lines).encode("utf-8", "surrogatepass")
        return format_table(rng, mutate_table(rng, sample.data))

    def write(self, sample: Sample) -> bytes:
        """Writes the table or log."""
        if sample.kind == "log":
            return "".join(f"{json.dumps(line)}\n" for line in sample.data).encode()
        return "\n".join(",".join(row) for row in sample.data).encode()

    def read(self, kind: str, data: bytes) -> None:
        """Reads it as what it is."""
        path = self.folder / f"table-{kind}.csv"
        path.write_bytes(data)
        readers: dict[str, Callable[[], object]] = {
            "manifest": lambda: read_manifest(path, SCHEMA),
            "splits": lambda: read_splits(path),
            "corrections": lambda: apply_corrections(self.photos, read_corrections(path), SCHEMA, strict=False),
            "submission": lambda: read_submission(path),
            "truth": lambda: read_truth(path, SCHEMA),
            "probabilities": lambda: read_table(path),
            "list": lambda: (list(read_image_list(path, self.folder)), read_list_persons(path)),
            "log": lambda: replay_log(path, ReviewState(self.photos, SCHEMA)),
        }
        readers[kind.partition("-")[0]]()
