#!/usr/bin/env bash
# Pillow 13: Image.resize gives other 8-bit pixels than Pillow 12, for images that lose much more height than width.
#
# Resizing takes two passes, and the first one's result is rounded to 8 bits, so their order matters. Pillow 12 always
# begins with the horizontal pass. Pillow 13 begins with the vertical one where the height shrinks by more than twice as
# many pixels as the width: a 720 x 1280 frame to 224 x 224 changes, a 1280 x 720 frame does not. The sizes that count
# are those of the whole image, also where `box` names a part of it, so the same box of the same pixels may give another
# result once rows far below it, out of the filter's reach, are cut off. Preprocessing that is to be repeated to the bit has to
# pin Pillow, or to fix the order by resizing in two calls.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/resize.py" <<'PYTHON'
import sys

import numpy as np
import PIL
from PIL import Image

pixels = np.random.default_rng(0).integers(0, 256, (1280, 720, 3), dtype=np.uint8)
whole = Image.fromarray(pixels)
results = {
    "tall": whole.resize((224, 224), Image.Resampling.BICUBIC),
    "wide": Image.fromarray(pixels[:720]).resize((224, 224), Image.Resampling.BICUBIC),
    "box": whole.resize((224, 60), Image.Resampling.BICUBIC, box=(0, 0, 720, 105)),
    "box of less": whole.crop((0, 0, 720, 130)).resize((224, 60), Image.Resampling.BICUBIC, box=(0, 0, 720, 105)),
}
np.savez(sys.argv[1], version=PIL.__version__, **{name: np.asarray(image) for name, image in results.items()})
PYTHON
for version in 12.0.0 13.0.0; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "pillow==$version" "numpy==2.2.6"
  "$folder/$version/bin/python" "$folder/resize.py" "$folder/$version.npz"
done
"$folder/13.0.0/bin/python" - "$folder" <<'PYTHON'
import sys

import numpy as np

old, new = (np.load(f"{sys.argv[1]}/{version}.npz") for version in ("12.0.0", "13.0.0"))


def differ(first, second):
    distance = np.abs(first.astype(int) - second)
    return f"{(distance > 0).mean():.1%} of the values differ, by up to {distance.max()} levels"


for name, text in (("tall", "720 x 1280 to 224 x 224"), ("wide", "720 x 720 to 224 x 224")):
    print(f"{text}, Pillow 12.0.0 and 13.0.0: {differ(old[name], new[name])}")
for kept in (old, new):
    print(f"Pillow {kept['version']}, one box of 720 x 1280 and of its first 130 rows: {differ(kept['box'], kept['box of less'])}")
assert (old["tall"] != new["tall"]).mean() > 0.05
assert (old["wide"] == new["wide"]).all()
assert (old["box"] == old["box of less"]).all()
assert (new["box"] != new["box of less"]).any()
PYTHON
