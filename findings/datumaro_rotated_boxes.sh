#!/usr/bin/env bash
# datumaro 1.13.12 (CVAT's dataset library): a box that was rotated in CVAT is missing in its COCO, YOLO and Pascal VOC exports.
#
# It is read as a rotated box, which none of the three formats has, and is not written as the upright box around it. The
# photo stays listed as one without a face (an empty YOLO file, no VOC file), so that a detector is trained to find none
# there. Nothing is printed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "datumaro==1.13.12" "pillow==12.3.0"
cat > "$folder/convert.py" <<'PYTHON'
import json
import sys
from pathlib import Path

import datumaro
from PIL import Image

root = Path(sys.argv[1])
BOX = '<box label="{}" occluded="0" xtl="60" ytl="10" xbr="100" ybr="50" z_order="0"{}></box>'
LABELS = "".join(f"<label><name>{name}</name><attributes></attributes></label>" for name in ("worn", "bare"))

cvat = root / "cvat"
(cvat / "images").mkdir(parents=True)
texts = []
for number, (name, box) in enumerate({"a": BOX.format("worn", ' rotation="20.0"'), "b": BOX.format("bare", "")}.items()):
    Image.new("RGB", (200, 100)).save(cvat / "images" / f"{name}.jpg")
    texts.append(f'<image id="{number}" name="{name}.jpg" width="200" height="100">{box}</image>')
meta = f"<meta><task><labels>{LABELS}</labels></task></meta>"
(cvat / "train.xml").write_text(f"<annotations><version>1.1</version>{meta}{''.join(texts)}</annotations>")
data = datumaro.Dataset.import_from(str(cvat), "cvat")
read = {item.id: [found.type.name for found in item.annotations] for item in data}
print("read from CVAT:", read)
for name in ("coco_instances", "yolo", "voc_detection"):
    data.export(str(root / name), name, save_media=True)
coco = json.loads((root / "coco_instances" / "annotations" / "instances_train.json").read_text())
files = {item["id"]: item["file_name"] for item in coco["images"]}
boxed = [files[item["image_id"]] for item in coco["annotations"]]
yolo = {path.name: path.read_text() for path in sorted((root / "yolo" / "obj_train_data").glob("*.txt"))}
voc = [path.name for path in sorted((root / "voc_detection" / "Annotations").glob("*.xml"))]
listed = (root / "voc_detection" / "ImageSets" / "Main" / "train.txt").read_text().split()
print(f"COCO: photos {sorted(files.values())}, boxes on {boxed}")
print(f"YOLO: {yolo}")
print(f"VOC: photos {listed}, files {voc}")

assert read == {"a": ["rotated_bbox"], "b": ["bbox"]}
assert sorted(files.values()) == ["a.jpg", "b.jpg"]
assert boxed == ["b.jpg"]
assert yolo["a.txt"] == ""
assert yolo["b.txt"].startswith("1 ")
assert (listed, voc) == (["a", "b"], ["b.xml"])
PYTHON
"$folder/venv/bin/python" "$folder/convert.py" "$folder" 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
