#!/usr/bin/env bash
# datumaro 1.13.12 (CVAT's dataset library): its own format loses a photo where two ids differ in "/" and "_" only.
#
# A photo of id anna/1 (1.jpg in a folder anna) and one of id anna_1 are written to the same file, images/train/anna_1.jpg:
# the second replaces the first, both entries of train.json name it, and nothing is printed. Read again, both entries have
# the second's pixels, each with its own label: a photo of a worn mask that is labeled as one without. Guessed: folders, as
# datumaro 0.5.0 writes them (images/train/anna/1.jpg). Seen: one file for two photos, pixels 200 and 200 in place of 10 and 200.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "datumaro==1.13.12"
cat > "$folder/export.py" <<'PYTHON'
import json
import sys
from pathlib import Path

import datumaro
import numpy as np
from datumaro.components.annotation import Label
from datumaro.components.media import Image

root = Path(sys.argv[1])
GRAYS = {"anna/1": (10, 0), "anna_1": (200, 1)}
items = [
    datumaro.DatasetItem(
        id, subset="train", media=Image.from_numpy(np.full((32, 24, 3), gray, np.uint8)), annotations=[Label(label)]
    )
    for id, (gray, label) in GRAYS.items()
]
data = datumaro.Dataset.from_iterable(items, categories=["without_mask", "with_mask"])
print("ids:", sorted(item.id for item in data))
data.export(str(root), "datumaro", save_media=True)
files = sorted(path.relative_to(root).as_posix() for path in (root / "images").rglob("*") if path.is_file())
entries = json.loads((root / "annotations" / "train.json").read_text())["items"]
named = [(entry["id"], entry["image"]["path"]) for entry in entries]
print("files:", files)
print("entries:", named)
again = {
    item.id: (round(float(item.media.data.mean())), [label.label for label in item.annotations])
    for item in datumaro.Dataset.import_from(str(root), "datumaro")
}
print("read again:", again)

assert files == ["images/train/anna_1.jpg"]
assert len(named) == 2 and len({path for _, path in named}) == 1
assert [gray for gray, _ in again.values()] == [200, 200]
assert [label for _, label in again.values()] == [[0], [1]]
PYTHON
"$folder/venv/bin/python" "$folder/export.py" "$folder/data" 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
