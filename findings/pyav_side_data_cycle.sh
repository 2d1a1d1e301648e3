#!/usr/bin/env bash
# A frame of PyAV 18.1.0 whose `side_data` was looked at is not freed when its last name goes: the frame keeps the container of the side
# data, and the container the frame, until Python's garbage collector looks for cycles. Until then the frame holds its pixels and, where
# `to_ndarray(format=...)` converted it, the threads of its scaler, so that a program that reads a stream grows by hundreds of threads
# and megabytes between two collections. `SideDataContainer(frame)`, which the frame does not keep, shows the same side data.
#
# Seen: av 18.1.0 from PyPI, Python 3.11, Linux x86-64, with two and more processors.
# Exits 0 while that holds, 1 when it changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet av==18.1.0 numpy==2.3.4
cat > "$work/show.py" <<'PY'
import gc
import sys

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer

gc.disable()


def frames_left(look):
    for _ in range(20):
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        look(frame)
    del frame
    left = sum(isinstance(item, av.VideoFrame) for item in gc.get_objects())
    gc.collect()
    return left


own, kept = frames_left(SideDataContainer), frames_left(lambda frame: frame.side_data)
print("frames that nobody holds, of 20:", own, "with a container of our own,", kept, "with frame.side_data")
sys.exit((own, kept) != (0, 20))
PY
"$work/venv/bin/python" "$work/show.py" || { echo "changed"; exit 1; }
