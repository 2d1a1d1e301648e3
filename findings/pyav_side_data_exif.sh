#!/usr/bin/env bash
# PyAV 18.1.0 cannot list the side data of a frame of Motion JPEG that carries EXIF. FFmpeg 8.1, which its wheel brings, attaches the EXIF
# block to the decoded frame as side data of kind 31 (AV_FRAME_DATA_EXIF); PyAV's enumeration of kinds ends at 27, so `frame.side_data`
# raises "ValueError: 31 is not a valid Type" for the whole container, and the display matrix beside it, which FFmpeg made from the same
# EXIF orientation, cannot be read either. `frame.rotation` does not go that way and still answers -90.
#
# Seen: av 18.1.0 from PyPI, Python 3.11, Linux x86-64. The file is valid: written here, one JPEG of Pillow with orientation 6, in Matroska.
# Exits 0 while that holds, 1 when it changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet av==18.1.0 pillow==12.0.0 numpy==2.3.4
cat > "$work/show.py" <<'PY'
import io
import sys
from fractions import Fraction

import av
from PIL import Image


def write(path, orientation):
    stream, exif = io.BytesIO(), Image.Exif()
    if orientation:
        exif[0x112] = orientation
    Image.new("RGB", (64, 48), (200, 0, 0)).save(stream, "JPEG", exif=exif)
    with av.open(path, "w") as out:
        track = out.add_stream("mjpeg", rate=25)
        track.width, track.height, track.pix_fmt = 64, 48, "yuvj420p"
        packet = av.Packet(stream.getvalue())
        packet.stream, packet.pts, packet.dts, packet.time_base = track, 0, 0, Fraction(1, 25)
        out.mux(packet)


def show(path):
    frame = next(av.open(path).decode(video=0))
    try:
        kinds = [item.type.name for item in frame.side_data]
    except ValueError as error:
        kinds = f"ValueError: {error}"
    return frame.rotation, kinds


plain, turned = sys.argv[1] + "/plain.mkv", sys.argv[1] + "/turned.mkv"
write(plain, 0)
write(turned, 6)
print("without EXIF:", *show(plain))
print("orientation 6:", *show(turned))
sys.exit(show(plain) != (0, []) or show(turned) != (-90, "ValueError: 31 is not a valid Type"))
PY
"$work/venv/bin/python" "$work/show.py" "$work" || { echo "changed"; exit 1; }
