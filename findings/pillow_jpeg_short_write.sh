#!/usr/bin/env bash
# Pillow 13.0.0 writes a JPEG that lacks its end, and raises nothing, where the disk has no room for the last part: given a path, its
# encoder calls write() itself and treats a short write (fewer bytes than asked for) as a whole one; only a write that fails entirely is
# an error. A photo whose last block of output meets the end of the disk, quota or file size limit is cut off in silence. PNG and WebP
# go through Python's file object, which retries and raises; so does a JPEG saved into BytesIO and written from there.
#
# Seen: pillow 13.0.0 from PyPI, Python 3.11, Linux x86-64. A file size limit stands for the full disk here: both end a write early.
# Exits 0 while that holds, 1 when it changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pillow==13.0.0
cat > "$work/save.py" <<'PY'
import io, os, resource, sys
from PIL import Image

folder, limit = sys.argv[1], 20_000
image = Image.effect_noise((400, 300), 80).convert("RGB")
stream = io.BytesIO()
image.save(stream, "JPEG", quality=60)
whole = stream.getbuffer()
assert limit < len(whole), len(whole)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def attempt(name, write):
    path = os.path.join(folder, name)
    try:
        write(path)
        outcome = "no error"
    except OSError as error:
        outcome = f"{type(error).__name__}: {error.strerror}"
    size = os.path.getsize(path) if os.path.exists(path) else 0
    print(f"{name}: {size:,} of {len(whole):,} bytes, {outcome}")
    return size, outcome


direct = attempt("save-to-path.jpg", lambda path: image.save(path, "JPEG", quality=60))
through = attempt("write-bytes.jpg", lambda path: open(path, "wb").write(whole) and None)
if direct != (limit, "no error") or through[1] == "no error":
    sys.exit("changed")
PY
"$work/venv/bin/python" "$work/save.py" "$work"
