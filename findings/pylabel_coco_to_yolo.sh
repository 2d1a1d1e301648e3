#!/usr/bin/env bash
# pylabel 0.1.55 (with pandas 2.2.3; its import of COCO fails with pandas 3 where a photo has no box) converts a COCO file whose
# categories have the ids 1, 2, 3, as COCO's own and those of CVAT begin at 1.
#
# To YOLO v5: the label files keep 1, 2, 3, and dataset.yaml lists three names, which YOLO numbers 0, 1, 2. So a box of
# with_mask (1) is trained as without_mask, one of without_mask (2) as incorrect, and 3 is out of range. No warning. Seen:
# labels "1 ..." and "3 ..." for a photo with with_mask and incorrect, names [with_mask, without_mask, incorrect], nc 3.
# To COCO again: a photo without a box gets the last box of the photo before it, as a further annotation of that photo:
# of three annotations four are written, the third twice. Guessed: numbers from 0 in YOLO, and three annotations.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "pylabel==0.1.55" "pandas==2.2.3" "numpy==1.26.4"
cat > "$folder/convert.py" <<'PYTHON'
import json
import os
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
from PIL import Image
from pylabel import importer

root = Path(sys.argv[1])
(root / "images").mkdir(parents=True)
os.chdir(root)
for name in "abc":
    Image.new("RGB", (200, 100)).save(f"images/{name}.jpg")
NAMES = ["with_mask", "without_mask", "incorrect"]
BOXES = [(1, 1, [20, 10, 60, 40]), (1, 3, [100, 10, 50, 50]), (2, 2, [0, 0, 100, 50])]
content = {
    "images": [{"id": i, "file_name": f"{n}.jpg", "width": 200, "height": 100} for i, n in enumerate("abc", start=1)],
    "annotations": [
        {"id": i, "image_id": image, "category_id": category, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for i, (image, category, box) in enumerate(BOXES, start=1)
    ],
    "categories": [{"id": i, "name": name} for i, name in enumerate(NAMES, start=1)],
}
Path("coco.json").write_text(json.dumps(content))

data = importer.ImportCoco("coco.json", path_to_images="images", name="masks")
data.export.ExportToYoloV5(output_path="yolo/labels", yaml_file="dataset.yaml")
numbers = [int(line.split()[0]) for line in Path("yolo/labels/a.txt").read_text().splitlines() if line.strip()]
names = [line[2:] for line in Path("yolo/dataset.yaml").read_text().splitlines() if line.startswith("- ")]
print("YOLO classes of with_mask and incorrect:", numbers, "names:", names)
(file,) = data.export.ExportToCoco("again.json")
annotations = [(item["image_id"], item["category_id"]) for item in json.loads(Path(file).read_text())["annotations"]]
print("COCO annotations (image, category):", annotations)
assert (numbers, names) == ([1, 3], NAMES), "YOLO classes have changed"
assert annotations == [(1, 1), (1, 3), (2, 2), (2, 2)], "COCO annotations have changed"
PYTHON
"$folder/venv/bin/python" "$folder/convert.py" "$folder/work" 2> "$folder/log" || { cat "$folder/log"; exit 1; }
