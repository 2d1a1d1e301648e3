#!/usr/bin/env bash
# Three converters of box annotations (supervision 0.31.2, globox 2.9.0, pylabel 0.1.55) read one Pascal VOC folder in three ways.
#
# Classes: supervision and pylabel number them in the order in which they meet them (supervision sorts those of one photo
# first), photo by photo as the file system lists them, and write these numbers to YOLO and COCO files. So the class 0 of
# a training folder is another one than that of the validation folder beside it, with the same names in both; neither
# takes a list of names, and neither warns. globox keeps names and is told the numbers.
# Boxes: supervision takes 1 off xmin and ymin (VOC counts from 1) and leaves xmax and ymax, so a box of 10 to 30 is 21
# pixels wide and begins at 9; globox and pylabel make it 20 wide, beginning at 10. Files made by tools that count from
# 0, as LabelImg does, are a pixel off in the first, and files that count from 1 in the other two.
# Photos without a face: supervision and globox keep them; pylabel leaves them out, in its table and in its YOLO files.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "supervision==0.31.2" "globox==2.9.0" "pylabel==0.1.55" "pillow==12.0.0"
cat > "$folder/read.py" <<'PYTHON'
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
import supervision
from globox import AnnotationSet
from PIL import Image
from pylabel import importer

root = Path(sys.argv[1])
OBJECT = (
    "<object><name>{}</name><bndbox><xmin>10</xmin><ymin>10</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object>"
)
PARTS = {"train": {"a": "with_mask"}, "valid": {"b": "without_mask", "empty": None}}


def write(part, photos):
    for kind in ("images", "annotations"):
        (root / part / kind).mkdir(parents=True)
    for name, state in photos.items():
        Image.new("RGB", (100, 80)).save(root / part / "images" / f"{name}.jpg")
        size = "<size><width>100</width><height>80</height><depth>3</depth></size>"
        text = f"<annotation><filename>{name}.jpg</filename>{size}{OBJECT.format(state) if state else ''}</annotation>"
        (root / part / "annotations" / f"{name}.xml").write_text(text)


def class_zero(part):
    images, annotations = root / part / "images", root / part / "annotations"
    first = supervision.DetectionDataset.from_pascal_voc(str(images), str(annotations))
    table = importer.ImportVOC(str(annotations), path_to_images="../images").df
    second = {str(row.cat_id): row.cat_name for row in table.itertuples()}
    return first.classes[0], second["0"]


for part, photos in PARTS.items():
    write(part, photos)
zero = {part: class_zero(part) for part in PARTS}
for number, name in enumerate(("supervision", "pylabel")):
    print(f"{name}: class 0 is {zero['train'][number]} in train and {zero['valid'][number]} in valid")

images, annotations = root / "valid" / "images", root / "valid" / "annotations"
data = supervision.DetectionDataset.from_pascal_voc(str(images), str(annotations))
data.as_yolo(annotations_directory_path=str(root / "one"))
boxes = {"supervision": next(found.xyxy[0].tolist() for _, _, found in data if len(found))}
photos = {"supervision": len(data)}
everything = AnnotationSet.from_pascal_voc(annotations)
boxes["globox"] = next(list(photo.boxes[0].ltrb) for photo in everything if photo.boxes)
photos["globox"] = len(everything)
table = importer.ImportVOC(str(annotations), path_to_images="../images")
row = table.df.iloc[0]
left, upper = row.ann_bbox_xmin, row.ann_bbox_ymin
boxes["pylabel"] = [left, upper, left + row.ann_bbox_width, upper + row.ann_bbox_height]
photos["pylabel"] = table.analyze.num_images
for name, box in boxes.items():
    print(f"{name}: box {[float(value) for value in box]}, {photos[name]} of 2 photos")
print(f"supervision's YOLO file of without_mask in valid: {(root / 'one' / 'b.txt').read_text().strip()}")

assert zero == {"train": ("with_mask", "with_mask"), "valid": ("without_mask", "without_mask")}
assert boxes["supervision"] == [9, 9, 30, 40]
assert list(map(float, boxes["globox"])) == list(map(float, boxes["pylabel"])) == [10, 10, 30, 40]
assert photos == {"supervision": 2, "globox": 2, "pylabel": 1}
assert (root / "one" / "b.txt").read_text().startswith("0 ")
PYTHON
"$folder/venv/bin/python" "$folder/read.py" "$folder" 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
