#!/usr/bin/env bash
# timm 1.0.31 and torchvision 0.29.1 number the same class folders differently, once folders are named by numbers above 9.
#
# torchvision's ImageFolder sorts the names of folders as text (0, 1, 10, 11, ..., 2, ...), and timm's reader, which its
# scripts use, sorts numbers in names as numbers (0, 1, 2, ..., 10, ...). With 18 classes in folders 0 to 17, a
# network trained by timm's script and scored through an ImageFolder gets 16 of 18 class numbers wrong; no message
# shows it, since both report 18 classes. A table of the class of each number has to go with the weights.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "timm==1.0.31" "torch==2.14.1" "torchvision==0.29.1"
cat > "$folder/number.py" <<'PYTHON'
import sys
from pathlib import Path

from PIL import Image
from timm.data import create_dataset
from torchvision.datasets import ImageFolder

root = Path(sys.argv[1]) / "photos"
for number in range(18):
    (root / str(number)).mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(root / str(number) / "a.jpg")
timm = create_dataset("", str(root)).reader.class_to_idx
torchvision = ImageFolder(root).class_to_idx
differing = [name for name in timm if timm[name] != torchvision[name]]
print(f"folder 2: class {timm['2']} in timm, {torchvision['2']} in torchvision")
print(f"folder 10: class {timm['10']} in timm, {torchvision['10']} in torchvision")
print(f"{len(differing)} of {len(timm)} folders have other numbers")
assert timm == {str(number): number for number in range(18)}
assert list(torchvision) == sorted(map(str, range(18)))
assert len(differing) == 16
PYTHON
"$folder/venv/bin/python" "$folder/number.py" "$folder"
