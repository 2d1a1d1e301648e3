"""A folder in which every command of the docs can be typed: drawn photos, labels in several formats, runs, a video."""

from __future__ import annotations

import csv
import json
import shutil
from fractions import Fraction
from pathlib import Path

from PIL import Image

RUNS = ("first", "second", "champion", "baseline", "a", "b0", "b3", "vit", "door")
"""Runs that the docs name; copies of two tiny ones."""

TINY = (
    "data.image_size=24",
    "model.backbone={name: small, width: 4}",
    "model.pretrained=none",
    "trainer.epochs=1",
    "trainer.batch_size=32",
    "trainer.device=cpu",
    "trainer.devices=1",
)
"""Overrides that make any recipe a matter of seconds."""


def build_world(root: Path, run) -> Path:
    """Builds the folder.

    Args:
        root: An empty folder.
        run: Runs a maskfit command in the working directory, which is `root`.

    Returns:
        The folder.
    """
    from maskfit.synthesis.drawn import write_eval_set, write_train_set

    size = (96, 128)
    drawn = write_train_set(root / "drawn", 16, size=size, workers=1)
    (root / "drawn" / "images").rename(root / "photos")
    assert not drawn.exists()
    write_eval_set(root / "eval", 3, size=size, workers=1)
    photos = sorted((root / "photos").glob("*/*"))
    for name in ("photo.jpg", "street.jpg", "one.jpg", "holiday/1.jpg", "holiday/2.jpg", "party/3.jpg"):
        _copy(photos[len(name)], root / name)
    shutil.copytree(Path(__file__).parent.parent / "docs" / "images", root / "docs" / "images")
    _write_folders(root, photos)
    _write_tables(root, photos)
    _write_exports(root, photos)
    _write_video(root)
    run("recipes", "baseline", out=root / "mine.yaml")
    for number, name in enumerate(("first", "door")):
        schema = ("data.label_schema=mask",) if name == "door" else ()
        folds = () if name == "door" else ("cv.num_folds=2", "trainer.save_top_k=2", "trainer.epochs=2")
        data = "door" if name == "door" else "photos"
        options = (*TINY, *folds, *schema, f"trainer.seed={number}", f"output_dir=runs/{name}", "data.cache_dir=cache")
        run("train", "fast", f"data.path={root / data}", *options)
    for name in RUNS:
        if not (root / "runs" / name).exists():
            shutil.copytree(root / "runs" / "first", root / "runs" / name)
    for name, model in (("model.onnx", "first"), ("door.onnx", "door")):
        run("export", f"runs/{model}/fold0", "--format", "onnx", "--out", name)
    for name in ("b0", "b3"):
        _predict(run, name, f"p-{name}.csv")
    _predict(run, "a", "p.csv")
    shutil.copy(root / "runs" / "first" / "fold0" / "best.safetensors", root / "weights.safetensors")
    _run_earlier_lines(root, run)
    return root


def _run_earlier_lines(root: Path, run) -> None:
    """What one line of a page leaves for the next."""
    run("data", "split", "photos", "--folds", 3, "--out", "splits.csv")
    run("data", "import", "door", "--person", "([^/_]+)_[^/]*$", "--out", "door.csv")
    run("data", "oversample", "photos", "--out", "mixed", "--count", 4)
    for name in ("masked", "new"):
        run("data", "add-masks", "bare.csv", "--out", name)
    images = ("--images", "eval/images", "--image-list", "eval/info.csv")
    run("predict", "runs/first", *images, "--out", "submission.csv")
    shutil.copy(root / "submission.csv", root / "theirs.csv")
    shutil.copy(root / "eval" / "truth.csv", root / "truth.csv")
    run("predict", "--image-list", "manifest.csv", "--out", "answers.csv", "--attributes-csv", "ages.csv")
    run("label-issues", "runs/first", "--out", "issues.csv")
    options = ("data.path=photos", *TINY, "--space", "space.yaml", "--trials", 2, "--out", "sweeps/first")
    run("tune", "baseline", *options)


def _predict(run, name: str, out: str) -> None:
    run("predict", f"runs/{name}", "--images", "eval/images", "--image-list", "eval/info.csv", "--probabilities", out)


def _copy(photo: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(photo, target)


def _read(photo: Path) -> tuple[str, str, str, str]:
    """Person, mask, gender and age of a drawn photo, from its name."""
    _, gender, _, age = photo.parent.name.split("_")
    return photo.parent.name, {"n": "not_wear", "i": "incorrect"}.get(photo.name[0], "wear"), gender, age


def _write_folders(root: Path, photos: list[Path]) -> None:
    names = {"wear": "with_mask", "not_wear": "without_mask", "incorrect": "mask_weared_incorrect"}
    for photo in photos:
        person, mask, _, _ = _read(photo)
        for folder in ("door", "my-photos"):
            _copy(photo, root / folder / names[mask] / f"p{person[:6]}_{photos.index(photo)}{photo.suffix}")
    for number, photo in enumerate(photos[:14]):
        _copy(photo, root / "group-photos" / f"{number}.jpg")


def _write_csv(path: Path, header: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def _write_tables(root: Path, photos: list[Path]) -> None:
    rows = [[photo.relative_to(root), *_read(photo)] for photo in photos]
    codes = {"wear": 1, "not_wear": 0, "female": 0, "male": 1}
    coded = [
        [path, person, codes[mask], codes[gender], age] for path, person, mask, gender, age in rows if mask in codes
    ]
    _write_csv(root / "manifest.csv", ["path", "person", "mask", "gender", "age"], rows)
    _write_csv(root / "photos.csv", ["path", "person", "mask", "gender", "age"], coded)
    _write_csv(root / "list.csv", ["ImageID"], [[photo.relative_to(root / "photos")] for photo in photos[:14]])
    bare = [row for row in rows if row[2] == "not_wear"]
    for name in ("bare.csv", "held-out.csv"):
        _write_csv(root / name, ["path", "gender", "age"], [[row[0], row[3], row[4]] for row in bare])
    person = photos[0].parent.name
    header = ["person", "photo", "attribute", "value", "tier", "reason"]
    for name in ("corrections.csv", "second.csv", "mine.csv"):
        _write_csv(root / name, header, [[person, "", "gender", "male", "certain", "looked at"]])
    votes = [[row[0], 2, 1] if row[2] == "wear" else [row[0], 0, 3] for row in rows[:14]]
    _write_csv(root / "votes.csv", ["path", "mask=wear", "mask=incorrect"], votes)
    for annotator in ("anna", "bert", "carl"):
        _write_csv(root / f"{annotator}.csv", ["path", "mask"], [[row[0], row[2]] for row in rows[:14]])
    pseudo = [[f"eval/images/{photo.name}", "wear"] for photo in sorted((root / "eval" / "images").iterdir())[:4]]
    _write_csv(root / "pseudo.csv", ["path", "mask"], pseudo)
    boxes = [[f"photos/{photo.parent.name}/{photo.name}", 20, 20, 80, 110, _read(photo)[1]] for photo in photos[:5]]
    _write_csv(root / "scenes.csv", ["path", "left", "upper", "right", "lower", "mask"], boxes)
    (root / "space.yaml").write_text("optimizer.lr: {low: 1e-4, high: 1e-2, log: true}\n")
    (root / "token.txt").write_text("a-token-of-the-tests")


def _write_exports(root: Path, photos: list[Path]) -> None:
    """The same five boxes as Pascal VOC, YOLO, COCO and CVAT (these two of `photos`); a config of pytorch-template."""
    images, annotations, cvat = [], [], []
    for number, photo in enumerate(photos[:5]):
        name, mask = f"{number}.jpg", _read(photo)[1]
        original = photo.relative_to(root / "photos").as_posix()
        width, height = Image.open(photo).size
        for folder in ("VOC2012/JPEGImages", "voc-folder", "yolo/images"):
            _copy(photo, root / folder / name)
        box = "<bndbox><xmin>20</xmin><ymin>20</ymin><xmax>80</xmax><ymax>110</ymax></bndbox>"
        xml = (
            f"<annotation><filename>{name}</filename><size><width>{width}</width><height>{height}</height>"
            f"<depth>3</depth></size><object><name>{mask}</name>{box}</object></annotation>"
        )
        for folder in ("VOC2012/Annotations", "voc-folder"):
            (root / folder).mkdir(exist_ok=True)
            (root / folder / f"{Path(name).stem}.xml").write_text(xml)
        (root / "yolo" / "labels").mkdir(exist_ok=True)
        (root / "yolo" / "labels" / f"{Path(name).stem}.txt").write_text(f"{number % 2} 0.5 0.5 0.6 0.7\n")
        images.append({"id": number, "file_name": original, "width": width, "height": height})
        annotations.append({"id": number, "image_id": number, "category_id": 1, "bbox": [20, 20, 60, 90], "iscrowd": 0})
        cvat.append(
            f'<image id="{number}" name="{original}" width="{width}" height="{height}">'
            f'<box label="{mask}" xtl="20" ytl="20" xbr="80" ybr="110" occluded="0"/></image>'
        )
    coco = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "with_mask"}]}
    (root / "instances.json").write_text(json.dumps(coco))
    (root / "faces.xml").write_text(f"<annotations><version>1.1</version>{''.join(cvat)}</annotations>")
    config = {"name": "Mask", "loss": "nll_loss", "optimizer": {"type": "Adam", "args": {"lr": 0.001}}}
    (root / "config.json").write_text(json.dumps(config))


def _write_video(root: Path) -> None:
    import av

    from maskfit.synthesis.drawn.synthetic_video import render_video

    video = render_video(3, people=1, seconds=4, size=(160, 120), fps=6)
    with av.open(str(root / "door.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(6))
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for _, pixels in video.frames():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    shutil.copy(root / "door.mp4", root / "entrance.mp4")
