"""Tests of boxes: their columns, their names, the EXIF orientation, and what every reader of a photo sees of them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskfit.data.crop_dataset import write_crops
from maskfit.data.crops import CROPS
from maskfit.data.face_boxes import (
    BoxColumns,
    clip_to_photo,
    file_name_with_box,
    find_box_columns,
    name_with_box,
    open_picture_of,
    split_name,
)
from maskfit.data.image_cache.cache import open_image_cache
from maskfit.data.image_header import read_upright_size
from maskfit.data.image_lists import read_image_list
from maskfit.data.image_opening import EXIF_ORIENTATION
from maskfit.data.photo_dataset import Photo
from maskfit.data.preprocessing import CropResize
from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError, PhotoError
from maskfit.registry import ComponentSpec

RED, BLUE = (250, 10, 10), (10, 10, 250)
RED_BOX, BLUE_BOX = (20.0, 30.0, 60.0, 80.0), (100.0, 10.0, 140.0, 60.0)
FACE = CropResize(crop=ComponentSpec.create("face"), size=(16, 16))


@pytest.fixture
def group(tmp_path: Path) -> Path:
    """A photo of 160 x 120 pixels with a red and a blue face, as it stands upright."""
    pixels = np.full((120, 160, 3), 128, dtype=np.uint8)
    for (left, upper, right, lower), color in ((RED_BOX, RED), (BLUE_BOX, BLUE)):
        pixels[int(upper) : int(lower), int(left) : int(right)] = color
    path = tmp_path / "group.png"
    Image.fromarray(pixels).save(path)
    return path


def row(path: Path, box: tuple[float, float, float, float] | None) -> Photo:
    return Photo(path, name_with_box(path.name, box), path.name, box=box)


def turn(path: Path, orientation: int, suffix: str) -> Path:
    """Saves a photo as a camera does that was held another way: other pixels, and an EXIF orientation."""
    back = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    image = Image.open(path)
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    turned = image.transpose(back[orientation]) if orientation in back else image
    target = path.with_name(f"turned{orientation}{suffix}")
    turned.save(target, exif=exif, quality=98)
    return target


@pytest.mark.parametrize(
    ("header", "names", "is_size"),
    [
        ("path,left,upper,right,lower", ("left", "upper", "right", "lower"), False),
        ("path,xmin,ymin,xmax,ymax,width,height", ("xmin", "ymin", "xmax", "ymax"), False),
        ("path,left,top,right,bottom", ("left", "top", "right", "bottom"), False),
        ("path,x1,y1,x2,y2", ("x1", "y1", "x2", "y2"), False),
        ("path,XMin,XMax,YMin,YMax".lower(), ("xmin", "ymin", "xmax", "ymax"), False),  # as Open Images
        ("path,x,y,w,h", ("x", "y", "w", "h"), True),
        ("path,x,y,width,height", ("x", "y", "width", "height"), True),
    ],
)
def test_names_of_the_box_columns(header, names, is_size):
    columns = find_box_columns({name: name for name in header.split(",")})
    assert columns == BoxColumns(names, is_size)
    assert columns.read(dict(zip(names, ("10", "20", "30.5", "40"), strict=True))) == (
        (10, 20, 40.5, 60) if is_size else (10, 20, 30.5, 40)
    )


@pytest.mark.parametrize("header", ["path,mask", "path,width,height", "path,x,y", "path,left", "path,w,h,x1"])
def test_single_columns_are_no_box(header):
    assert find_box_columns({name: name for name in header.split(",")}) is None


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("left,upper,right", "left, upper, right lack lower"),
        ("xmin,ymax,xmax", "xmin, xmax, ymax lack ymin"),
        ("x1,y1", "x1, y1 lack x2, y2"),
        ("x_center,y_center,width,height", "look like the center"),
        ("cx,cy,w,h", "look like the center"),
        ("name,x1,x2,y1,y2,classname", "left, right, upper, lower in some tables and left, upper, right, lower in"),
    ],
)
def test_partial_and_center_columns_are_errors(header, message):
    with pytest.raises(DataError, match=message):
        find_box_columns({name: name for name in header.split(",")})


def test_cells_of_a_box_are_all_or_none():
    columns = BoxColumns(("left", "upper", "right", "lower"))
    assert columns.read(dict.fromkeys(columns.names, "")) is None
    with pytest.raises(DataError, match="the box lacks right, lower"):
        columns.read({"left": "1", "upper": "2", "right": "", "lower": ""})
    for cell in ("nan", "inf", "a"):
        with pytest.raises(DataError, match="upper is not a number"):
            columns.read({"left": "1", "upper": cell, "right": "3", "lower": "4"})


def test_names_of_rows_are_reversible():
    for box in ((10.0, 20.0, 30.5, 40.25), (-3.0, 0.0, 12345.67, 9.0)):
        name = name_with_box("a b/c[1].jpg", box)
        assert split_name(name) == ("a b/c[1].jpg", box)
    assert name_with_box("a.jpg", (1.0, 2.0, 3.5, -0.0)) == "a.jpg[1,2,3.5,0]"
    assert name_with_box("a.jpg", None) == "a.jpg"
    for name in ("a.jpg", "a[1,2,3].jpg", "a.jpg[1,2,3]", "a.jpg[1,2,3,4]x", "a.jpg[1..2,2,3,4]"):
        assert split_name(name) == (name, None)
    assert file_name_with_box("a/b.jpg[1,2,3.5,4]") == "a/b_1_2_3.5_4.jpg"


def test_clipping():
    assert clip_to_photo((-5, 10, 50, 200), 40, 100) == (0, 10, 40, 100)
    assert clip_to_photo((1, 2, 3, 4), 40, 100) == (1, 2, 3, 4)
    for box in ((40, 0, 60, 10), (5, 5, 5, 9), (9, 5, 5, 9), (0, -9, 9, 0)):
        assert clip_to_photo(box, 40, 100) is None


@pytest.mark.parametrize("orientation", [1, 3, 6, 8, 9])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_boxes_are_in_pixels_of_the_upright_photo(group, orientation, suffix, painted):
    path = turn(group, orientation, suffix)
    assert read_upright_size(path) == (160, 120)
    for box, color in ((RED_BOX, RED), (BLUE_BOX, BLUE)):
        crop = CropResize(crop=ComponentSpec.create("face", left=0, right=0, top=0, bottom=0), size=(50, 40))
        assert np.abs(crop.read(row(path, box)).astype(int) - color).mean() < 12
    assert painted.looks == []


def test_a_png_with_its_exif_after_the_pixels(tmp_path):
    image, exif = Image.new("RGB", (30, 20)), Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    image.save(tmp_path / "a.png", exif=exif)
    content = (tmp_path / "a.png").read_bytes()
    start = content.index(b"eXIf") - 4
    length = int.from_bytes(content[start : start + 4], "big") + 12
    chunk, rest = content[start : start + length], content[:start] + content[start + length :]
    end = rest.index(b"IEND") - 4
    (tmp_path / "late.png").write_bytes(rest[:end] + chunk + rest[end:])
    assert read_upright_size(tmp_path / "a.png") == read_upright_size(tmp_path / "late.png") == (20, 30)


def test_a_png_that_claims_too_many_pixels_is_not_allocated(tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    path = tmp_path / "claims.png"
    Image.new("RGB", (24, 20)).save(path, exif=exif)
    data = path.read_bytes()
    header = b"IHDR" + struct.pack(">II", 24, 4_000_000) + data[24:29]
    path.write_bytes(data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:])
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("pixels were allocated"))
    with pytest.raises(PhotoError, match="96,000,000 pixels, more than the maximum"):
        read_upright_size(path)


def test_a_damaged_header_is_a_photo_error(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff" + b"x" * 100)
    (tmp_path / "b.jpg").write_bytes(b"hello")
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        with pytest.raises(PhotoError):
            read_upright_size(tmp_path / name)


@pytest.mark.parametrize("name", ["face", "center", "resize", "level1_06", "variance"])
def test_every_crop_shows_the_face_of_the_row(group, name, painted):
    assert name in CROPS
    crop_resize = CropResize(crop=ComponentSpec.create(name), size=(32, 32))
    red, blue = (crop_resize.read(row(group, box)).astype(int) for box in (RED_BOX, BLUE_BOX))
    assert (red[..., 0] > 200).sum() > 100
    assert (blue[..., 2] > 200).sum() > 100
    assert not (red[..., 2] > 200).any()
    assert painted.looks == []


def test_the_cache_has_a_row_for_each_face(group, tmp_path, painted, monkeypatch):
    photos = [row(group, box) for box in (RED_BOX, BLUE_BOX, None, RED_BOX)]
    cached = open_image_cache(photos, FACE, folder=tmp_path / "cache")
    assert len(set(cached.rows.tolist())) == 3
    images = cached.gather(range(4))
    for index in (0, 1):
        np.testing.assert_array_equal(images[index], FACE.read(photos[index]))
    np.testing.assert_array_equal(images[0], images[3])
    # Reopened in another order: nothing is decoded again, and each face is still its own.
    monkeypatch.setattr("maskfit.data.image_cache.cache.decode", lambda *_, **__: pytest.fail("decoded again"))
    again = open_image_cache(photos[:2][::-1], FACE, folder=tmp_path / "cache")
    np.testing.assert_array_equal(again.gather([0, 1]), images[[1, 0]])


def test_the_faces_of_one_photo_are_cropped_from_one_decoding(group, tmp_path, painted, monkeypatch):
    from maskfit.data.image_cache import cache

    decoded, decode = [], cache.decode
    monkeypatch.setattr(cache, "decode", lambda content, name: decoded.append(name) or decode(content))
    open_image_cache([row(group, RED_BOX), row(group, BLUE_BOX)], FACE, folder=tmp_path / "cache")
    assert len(decoded) == 1


def test_a_box_outside_of_the_photo_is_reported_by_the_cache(group, tmp_path, painted):
    with pytest.raises(DataError, match=r"group\.png\[500,0,600,90\]: nothing of the box"):
        open_image_cache([row(group, (500, 0, 600, 90)), row(group, RED_BOX)], FACE, folder=tmp_path / "cache")


def test_pictures_show_the_portrait_around_the_box(group):
    picture, size = open_picture_of(row(group, BLUE_BOX), (10, 10))
    assert picture.size == size
    assert size[0] < 160
    pixels = np.asarray(picture)
    assert (pixels[..., 2] > 200).any()
    assert not (pixels[..., 0] > 200).any()
    assert open_picture_of(row(group, None), (10, 10))[1] == (160, 120)


def test_crops_are_written_one_per_row(group, tmp_path, schema, painted):
    manifest = tmp_path / "faces.csv"
    manifest.write_text(
        "path,mask,left,upper,right,lower\ngroup.png,wear,20,30,60,80\ngroup.png,not_wear,100,10,140,60\n"
    )
    out = tmp_path / "out"
    summary = write_crops(manifest, out, ComponentSpec.create("face"), size=(20, 20), schema=schema)
    assert sorted(path.name for path in out.glob("*.png")) == ["group_100_10_140_60.png", "group_20_30_60_80.png"]
    assert np.asarray(Image.open(out / "group_20_30_60_80.png"))[10, 10].tolist() == list(RED)
    copies = read_photos(summary.manifest, schema)
    # Copies of one photo's faces stay together, as their rows did.
    assert {photo.person for photo in copies} == {"group.png"}
    assert [photo.labels["mask"] for photo in copies] == ["wear", "not_wear"]
    assert painted.looks == []


def test_an_image_list_may_have_boxes(group, tmp_path):
    path = tmp_path / "list.csv"
    path.write_text(
        "ImageID,xmin,ymin,xmax,ymax,ans\ngroup.png,20,30,60,80,0\ngroup.png,100,10,190,60,0\ngroup.png,,,,,\n"
    )
    listed = read_image_list(path, tmp_path)
    assert [photo.name for photo in listed] == ["group.png[20,30,60,80]", "group.png[100,10,190,60]", "group.png"]
    assert [photo.box for photo in listed] == [RED_BOX, (100, 10, 190, 60), None]
    assert any("clipped to it: 1 of 2" in note for note in listed.notes)
    # A list in the names of a submission is the same.
    path.write_text('ImageID\n"group.png[20,30,60,80]"\n')
    assert [photo.box for photo in read_image_list(path, tmp_path)] == [RED_BOX]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("group.png,5,5,5,9", r"row 2: the box of group.png is empty"),
        ("group.png,500,5,505,9", r"row 2: the box of group.png is empty or not on the photo"),
        ("group.png,5,,5,9", r"row 2: the box lacks upper"),
        ("group.png,1,2,30,40\ngroup.png,1.0,2,30,40", r"row 3: group.png\[1,2,30,40\] is already in row 2"),
    ],
)
def test_rows_of_an_image_list_are_never_skipped(group, tmp_path, rows, message):
    path = tmp_path / "list.csv"
    path.write_text(f"ImageID,left,upper,right,lower\n{rows}\n")
    with pytest.raises(DataError, match=message):
        read_image_list(path, tmp_path)


def test_a_file_whose_name_ends_like_a_box_is_that_file(group, tmp_path):
    literal = tmp_path / "group.png[1,2,3,4]"
    literal.write_bytes(group.read_bytes())
    path = tmp_path / "list.csv"
    path.write_text('ImageID\n"group.png[1,2,3,4]"\n')
    (photo,) = read_image_list(path, tmp_path)
    assert (photo.path, photo.box) == (literal, None)
