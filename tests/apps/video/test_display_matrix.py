"""Frames are shown as the display matrix says: all eight orientations, in files written here."""

from __future__ import annotations

import gc
import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from maskfit.apps.video.capture import THUMBNAIL_SIDE, VideoCapture, parse_source
from maskfit.apps.video.display_matrix import orient
from maskfit.apps.video.video_writer import open_video_writer

SIZE = (64, 48)

MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}
"""(a, b, c, d) by the EXIF orientation of the same meaning."""


def picture() -> np.ndarray:
    """No two of the eight orientations of it are alike: its corners are white, dark gray, light gray and black."""
    pixels = np.full((SIZE[1], SIZE[0], 3), 128, dtype=np.uint8)
    pixels[:16, :24], pixels[:16, -24:], pixels[-16:, :24], pixels[-16:, -24:] = 235, 80, 180, 20
    return pixels


def upright(orientation: int) -> np.ndarray:
    """The same, turned by Pillow's reading of EXIF."""
    image = Image.fromarray(picture())
    exif = image.getexif()
    exif[0x112] = orientation
    stream = io.BytesIO()
    image.save(stream, "PNG", exif=exif)
    return np.asarray(ImageOps.exif_transpose(Image.open(stream)))


def patch_matrix(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Writes a matrix into the header of the first track of an MP4 or MOV file, in fixed point."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    values = (a, b, 0, c, d, 0, 0, 0, 1 << 30)
    data[place : place + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in values)
    path.write_bytes(data)


def first_frame(path: Path) -> np.ndarray:
    video = VideoCapture(parse_source(str(path)))
    frame = next(iter(video.read()))
    pixels = frame.pixels
    video.close()
    height, width = frame.thumbnail.shape
    assert max(height, width) == THUMBNAIL_SIDE
    small = Image.fromarray(pixels).convert("L").resize((width, height), Image.Resampling.BOX)
    assert np.abs(frame.thumbnail.astype(int) - np.asarray(small)).mean() < 4
    return pixels


@pytest.mark.parametrize("ending", [".mp4", ".mov"])
@pytest.mark.parametrize("orientation", MATRICES)
def test_every_orientation_is_shown_upright_and_unmirrored(tmp_path, orientation, ending):
    path = tmp_path / f"a{ending}"
    with open_video_writer(path, SIZE, 25) as out:
        for number in range(3):
            out.write(number / 25, picture())
    patch_matrix(path, MATRICES[orientation])
    pixels, expected = first_frame(path), upright(orientation)
    assert pixels.shape == expected.shape
    assert pixels.flags.c_contiguous
    assert np.abs(pixels.astype(int) - expected).mean() < 4


@pytest.mark.parametrize("orientation", MATRICES)
def test_matroska_files_are_shown_upright_and_unmirrored(tmp_path, orientation):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        if not hasattr(stream, "set_display_matrix"):
            pytest.skip("this PyAV writes no display matrix")
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        a, b, c, d = (value << 16 for value in MATRICES[orientation])
        stream.set_display_matrix((a, b, 0, c, d, 0, 0, 0, 1 << 30))
        out.mux(stream.encode(av.VideoFrame.from_ndarray(picture(), format="rgb24")))
        out.mux(stream.encode(None))
    assert np.abs(first_frame(path).astype(int) - upright(orientation)).mean() < 4


def test_a_frame_whose_side_data_pyav_cannot_list_is_still_rotated(tmp_path):
    """Motion JPEG with EXIF, as some cameras send it."""
    image, stream = Image.fromarray(picture()), io.BytesIO()
    exif = image.getexif()
    exif[0x112] = 6
    image.save(stream, "JPEG", quality=95, exif=exif)
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        track = out.add_stream("mjpeg", rate=25)
        track.width, track.height = SIZE
        track.pix_fmt = "yuvj420p"
        packet = av.Packet(stream.getvalue())
        packet.stream, packet.pts, packet.dts, packet.time_base = track, 0, 0, Fraction(1, 25)
        out.mux(packet)
    pixels = first_frame(path)
    # An FFmpeg that does not read EXIF leaves the frame as it is.
    expected = upright(6) if pixels.shape[0] == SIZE[0] else picture()
    assert np.abs(pixels.astype(int) - expected).mean() < 6


@pytest.mark.parametrize("degrees", [-40, 40, 50, 130, 140, 220])
def test_other_angles_are_rounded_to_a_quarter_turn(degrees):
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = [round(65536 * value) for value in (cos, -sin, sin, cos)]  # counterclockwise
    assert (orient(picture(), matrix) == np.rot90(picture(), round(degrees / 90))).all()


def test_a_matrix_of_zeros_changes_nothing():
    assert (orient(picture(), (0, 0, 0, 0)) == picture()).all()


def test_a_frame_is_gone_when_nobody_holds_it(tmp_path):
    """Frames of a stream must not wait for Python's search for cycles: each holds its pixels."""
    path = tmp_path / "a.mp4"
    with open_video_writer(path, (64, 48), 25) as out:
        for number in range(10):
            out.write(number / 25, np.full((48, 64, 3), 20 * number, dtype=np.uint8))
    gc.collect()
    before = {id(item) for item in gc.get_objects() if isinstance(item, av.VideoFrame)}
    gc.disable()
    try:
        video = VideoCapture(parse_source(str(path)))
        shapes = [frame.pixels.shape for frame in video.read()]
        video.close()
        left = [item for item in gc.get_objects() if isinstance(item, av.VideoFrame) and id(item) not in before]
    finally:
        gc.enable()
    assert shapes == [(48, 64, 3)] * 10
    assert len(left) <= 1
