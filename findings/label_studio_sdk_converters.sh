#!/usr/bin/env bash
# label-studio-sdk 2.1.2: one export of boxes becomes three different data sets as COCO, as YOLO and as Pascal VOC.
#
# A task with two annotations (two annotators): COCO lists its photo twice, under two ids, each with the boxes of one
# annotation; YOLO and VOC write a file per task, so the last annotation replaces the others. Nothing is said of it.
# A rotated rectangle: YOLO and VOC write it as if it were not rotated. COCO writes an upright box around it, but turns
# the corners in percent of the photo's width and height, so that on photos that are not square the box has another place and
# size: a square of 40 x 40 pixels, turned by 45 degrees on a photo of 200 x 100, is 56.6 x 56.6 and becomes 84.9 x 42.4.
# The export as JSON has everything; boxes are better made from that.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "label-studio-sdk==2.1.2" "pillow==12.3.0"
cat > "$folder/convert.py" <<'PYTHON'
import json
import logging
import sys
from pathlib import Path
from xml.etree import ElementTree

from label_studio_sdk.converter import Converter
from PIL import Image

logging.disable(logging.CRITICAL)
root = Path(sys.argv[1])
CONFIG = """<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">
<Label value="worn"/><Label value="bare"/></RectangleLabels></View>"""


def box(word, left, rotation=0):
    value = {"x": left, "y": 10, "width": 20, "height": 40, "rotation": rotation, "rectanglelabels": [word]}
    size = {"original_width": 200, "original_height": 100, "image_rotation": 0}
    return {"id": f"{word}{left}", "type": "rectanglelabels", "from_name": "label", "to_name": "image", "value": value} | size


def annotation(number, region):
    return {"id": number, "was_cancelled": False, "completed_by": number, "result": [region]}


answers = {1: [annotation(1, box("worn", 10)), annotation(2, box("bare", 50))], 2: [annotation(3, box("worn", 30, 45))]}
tasks = []
for number, annotations in answers.items():
    Image.new("RGB", (200, 100)).save(root / f"{number}.jpg")
    tasks.append({"id": number, "data": {"image": str(root / f"{number}.jpg")}, "annotations": annotations})
(root / "export.json").write_text(json.dumps(tasks))
converter = Converter(config=CONFIG, project_dir=str(root), upload_dir=str(root), download_resources=False)
for name in ("coco", "yolo", "voc"):
    convert = getattr(converter, f"convert_to_{name}")
    convert(str(root / "export.json"), str(root / name), output_image_dir=str(root / name / "images"), is_dir=False)

coco = json.loads((root / "coco" / "result.json").read_text())
words = {item["id"]: item["name"] for item in coco["categories"]}
files = {item["id"]: Path(item["file_name"]).name for item in coco["images"]}
found = {"coco": [(files[item["image_id"]], words[item["category_id"]], item["bbox"]) for item in coco["annotations"]]}
names = (root / "yolo" / "classes.txt").read_text().split()
found["yolo"], found["voc"] = [], []
for number in answers:
    for line in (root / "yolo" / "labels" / f"{number}.txt").read_text().splitlines():
        word, x, y, width, height = line.split()
        x, width, y, height = (float(value) * side for value, side in ((x, 200), (width, 200), (y, 100), (height, 100)))
        found["yolo"].append((f"{number}.jpg", names[int(word)], [x - width / 2, y - height / 2, width, height]))
    for item in ElementTree.parse(root / "voc" / "Annotations" / f"{number}.xml").iter("object"):
        left, upper, right, lower = (float(part.text) for part in item.find("bndbox"))
        found["voc"].append((f"{number}.jpg", item.find("name").text, [left, upper, right - left, lower - upper]))
found = {name: [(file, word, [round(v, 1) for v in box]) for file, word, box in rows] for name, rows in found.items()}
for name, rows in found.items():
    print(f"{name}: left, upper, width, height in pixels")
    for row in rows:
        print("  ", *row)
print("photos that COCO lists:", *files.values())

last, upright = ("1.jpg", "bare", [100, 10, 40, 40]), ("2.jpg", "worn", [60, 10, 40, 40])
assert found["yolo"] == found["voc"] == [last, upright]
assert found["coco"][:2] == [("1.jpg", "worn", [20, 10, 40, 40]), last]
assert sorted(files.values()) == ["1.jpg", "1.jpg", "2.jpg"]
assert found["coco"][2] == ("2.jpg", "worn", [3.4, 10, 84.9, 42.4])
PYTHON
"$folder/venv/bin/python" "$folder/convert.py" "$folder"
