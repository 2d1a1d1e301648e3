"""The scripts that made the bundled model and detector: who is held out, which rows and ages are trained on.

A mistake there would show nowhere else: what ships would have been judged on what it was trained on.
"""

from __future__ import annotations

import csv
import json
import sys
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("onnx")

SCRIPTS = Path(__file__).parents[1] / "scripts"
MODULES = ("average_weights", "bundled_soft_labels", "street_faces", "train_bundled_model", "labels")


@pytest.fixture
def script(monkeypatch):
    """Imports a script by its name, for one test: `labels` and others are common names."""
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(SCRIPTS / "bundled_detector"))
    monkeypatch.syspath_prepend(str(SCRIPTS))
    before = list(sys.path)

    def load(name: str) -> ModuleType:
        return import_module(name)

    yield load
    for name in MODULES:
        sys.modules.pop(name, None)
    sys.path[:] = before


def noise(path: Path, seed: int, size: tuple[int, int] = (64, 64)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    small.resize(size, Image.Resampling.NEAREST).save(path)
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(f"{row}\n" for row in rows))
    return path


# Ages and genders of the teacher


def teach(script, age: float, mean: int, source: str = "s", held_out: bool = False):
    ages = np.zeros(81)
    ages[mean] = 1
    return script("bundled_soft_labels").Teaching(source, age, held_out, (0.9, 0.1), ages)


def test_the_line_is_fitted_without_held_out_persons_and_other_sources(script):
    told = [teach(script, 2 * mean - 30, mean) for mean in (20, 30, 40, 50)]
    others = [teach(script, 80, 20, held_out=True), teach(script, 18, 50, source="other")]
    intercept, slope = script("bundled_soft_labels").fit_line([*told, *others], "s")
    assert (intercept, slope) == pytest.approx((-30, 2))


def test_an_age_distribution_is_around_the_label_and_the_moved_teacher(script):
    module = script("bundled_soft_labels")
    own = module.age_distribution(teach(script, 40, 35), (5, 1.2))  # 35 is moved to 47
    assert own.shape == module.YEARS.shape
    assert own.sum() == pytest.approx(1)
    peak = own[47 - 18]
    assert peak == pytest.approx(module.TEACHER_SHARE, abs=0.02)
    without = own.copy()
    without[47 - 18] = 0
    assert module.YEARS[without.argmax()] == 40
    # All mass beyond the ends is at the ends.
    for age, mean, end in ((81, 80, -1), (18, 2, 0)):
        edge = module.age_distribution(teach(script, age, mean), (0, 1))
        assert edge[end] > 0.5
        assert edge.sum() == pytest.approx(1)


def test_soft_labels_reach_every_photo_of_a_taught_person(script, tmp_path):
    module = script("bundled_soft_labels")
    photos, teacher = [], []
    for number, age in enumerate((20, 30, 40)):
        common = {"person": f"p{number}", "age": str(age), "source": "s"}
        photos += [
            {"path": f"{number}.jpg", "mask": "not_wear", **common},
            {"path": f"{number}m.jpg", "mask": "wear", **common},
        ]
        ages = {f"age={year}": str(float(year == age)) for year in range(81)}
        teacher.append({"path": f"{number}.jpg", "gender=male": "0.75", "gender=female": "0.25", **ages})
    photos += [
        {"path": "x.jpg", "mask": "not_wear", "person": "unseen", "age": "50", "source": "s"},
        {"path": "y.jpg", "mask": "not_wear", "person": "ageless", "age": "", "source": "s"},
    ]
    derived = [{"path": "0d.jpg", "person": "p0"}, {"path": "z.jpg", "person": "nobody"}]
    out = tmp_path / "soft.csv"
    module.write_soft_labels(teacher, photos, derived, {"p2": 0}, out)
    rows = rows_of(out)
    assert [row["path"] for row in rows] == ["0.jpg", "0m.jpg", "1.jpg", "1m.jpg", "2.jpg", "2m.jpg", "0d.jpg"]
    assert list(rows[0]) == ["path", "gender=male", "gender=female", *(f"age={year}" for year in range(18, 81))]
    first, last = ({name: cell for name, cell in rows[index].items() if name != "path"} for index in (0, -1))
    assert first == last
    assert sum(float(cell) for name, cell in first.items() if name.startswith("age=")) == pytest.approx(1, abs=1e-3)


# Lists of photos


def test_identical_faces_are_listed_once_and_contradicting_ones_not_at_all(script, tmp_path):
    folder = tmp_path / "set" / "photos"
    for name, seed in (("a", 0), ("b", 0), ("c", 1), ("d", 1), ("e", 2), ("f", 2), ("g", 3)):
        noise(folder / f"{name}.png", seed)
    ages = {"a": 30, "b": 34, "c": 30, "d": 36, "e": 40, "f": 40, "g": 20}
    genders = dict.fromkeys(ages, "male") | {"f": "female"}
    rows = (f"photos/{name}.png,{genders[name]},{age}" for name, age in ages.items())
    table = write(tmp_path / "set" / "faces.csv", "path,gender,age", *rows)
    script("train_bundled_model").collect_faces([table], tmp_path / "out.csv")
    kept = [(Path(row["path"]).name, row["age"], row["source"]) for row in rows_of(tmp_path / "out.csv")]
    # a and b agree within five years, c and d do not, e and f are of two genders.
    assert kept == [("a.png", "32", "faces of set"), ("g.png", "20", "faces of set")]


def test_two_fifths_of_the_faces_to_mask_are_old(script):
    module = script("train_bundled_model")
    faces = [{"path": str(number), "age": str(60 if number % 4 == 0 else 30)} for number in range(200)]
    chosen = module.choose_faces_to_mask(faces, 50)
    assert (len(chosen), sum(row["age"] == "60" for row in chosen)) == (50, 20)
    assert chosen == module.choose_faces_to_mask(faces, 50)
    few = [row for row in faces if row["age"] == "30" or int(row["path"]) < 20]
    assert sum(row["age"] == "60" for row in module.choose_faces_to_mask(few, 50)) == 5
    assert len(module.choose_faces_to_mask(few, 50)) == 50


def test_a_derived_photo_has_the_person_of_its_face(script, tmp_path):
    """A row too far would give it the next person's, who may be on the other side of the split."""
    bare = write(tmp_path / "bare.csv", "path,gender,age", "/f/one.jpg,male,20", "/f/two.jpg,female,60")
    masked = tmp_path / "masked"
    masked.mkdir()
    rows = []
    for number, labels in ((1, "male,20"), (2, "female,60")):
        rows += [f"{number}_x/{mask}.jpg,{number}_x,{mask},{labels}" for mask in ("wear", "incorrect", "not_wear")]
    write(masked / "masks.csv", "path,person,mask,gender,age", *rows)
    found = {}
    for parity in (0, 1):
        out = tmp_path / f"extra{parity}.csv"
        script("train_bundled_model").list_extra(bare, masked, None, tmp_path, parity, out)
        found[parity] = [(row["person"], row["mask"], row["age"]) for row in rows_of(out)]
        assert all(Path(row["path"]).is_relative_to(masked) for row in rows_of(out))
    # Every face once with either mask, over both lists.
    assert found[0] == [("/f/one.jpg", "wear", "20"), ("/f/two.jpg", "incorrect", "60")]
    assert found[1] == [("/f/one.jpg", "incorrect", "20"), ("/f/two.jpg", "wear", "60")]


def test_reviewed_labels_are_rows_of_known_values(script):
    rows = rows_of(script("train_bundled_model").REVIEWED_LABELS)
    assert len({row["file"] for row in rows}) == len(rows) > 0
    assert {row["mask"] for row in rows} <= {"wear", "incorrect", "not_wear"}


def test_the_mean_of_two_networks_is_weighted_and_other_networks_are_refused(script, tmp_path):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def save(name: str, value: float, size: int = 2) -> Path:
        node = helper.make_node("Add", ["x", "w"], ["y"])
        values = [helper.make_tensor_value_info(own, TensorProto.FLOAT16, [size]) for own in "xy"]
        weights = [numpy_helper.from_array(np.full(size, value, np.float16), "w")]
        counts = numpy_helper.from_array(np.array([int(value)]), "n")
        graph = helper.make_graph([node], "g", values[:1], values[1:], [*weights, counts])
        onnx.save(helper.make_model(graph), tmp_path / name)
        return tmp_path / name

    module = script("average_weights")
    module.average_networks(save("a.onnx", 1), save("b.onnx", 5), 0.25, tmp_path / "mean.onnx")
    weights, counts = onnx.load(tmp_path / "mean.onnx").graph.initializer
    assert numpy_helper.to_array(weights).tolist() == [2, 2]
    assert numpy_helper.to_array(weights).dtype == np.float16
    assert numpy_helper.to_array(counts).tolist() == [5]
    with pytest.raises(SystemExit, match="different networks"):
        module.average_networks(save("a.onnx", 1), save("c.onnx", 1, size=3), 0.5, tmp_path / "no.onnx")


def test_the_mean_of_the_last_epochs_needs_all_of_them(script, tmp_path):
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    kept = []
    for epoch in range(4):
        weights = {"w": np.full(2, epoch, np.float32), "n": np.array([epoch])}
        file = f"epoch{epoch:03}.safetensors" if epoch != 2 else "best.safetensors"
        save_file(weights, tmp_path / file, metadata={"epoch": str(epoch)})
        kept.insert(0 if epoch == 2 else len(kept), {"file": file, "epoch": epoch})
    (tmp_path / "models.json").write_text(json.dumps(kept))
    average = script("average_weights").average_epochs
    mean = load_file(average(tmp_path, 3, tmp_path / "mean.safetensors"))
    assert (mean["w"].tolist(), mean["w"].dtype, mean["n"].tolist()) == ([2, 2], np.float32, [3])
    with safe_open(tmp_path / "mean.safetensors", "numpy") as stream:
        assert stream.metadata() == {"epoch": "3"}
    (tmp_path / "models.json").write_text(json.dumps(kept[1:]))  # without that of epoch 2
    with pytest.raises(SystemExit, match=r"the last 3 epochs are needed, kept are \[0, 1, 3\]"):
        average(tmp_path, 3, tmp_path / "no.safetensors")


# Street photos


def test_held_out_photos_depend_on_names_alone_and_copies_stay_on_one_side(script, tmp_path, monkeypatch):
    module = script("labels")
    monkeypatch.setattr(module, "SPLITS", {"test": 6, "validation": 4})
    paths = [noise(tmp_path / f"{number}.png", number) for number in range(40)]
    split = module.held_out(paths)
    assert split == module.held_out(paths[::-1])
    counts = {name: list(split.values()).count(name) for name in ("test", "validation", "train")}
    assert counts == {"test": 6, "validation": 4, "train": 30}
    # A chain of copies, of which only neighbors are nearly the same, is wholly on one side, in any order.
    bits = {path: np.random.default_rng(number).random(256) < 0.5 for number, path in enumerate(paths)}
    order = sorted(paths, key=lambda path: ("train", "validation", "test").index(split[path]))
    chain = [order[0], *order[-3:]]
    for before, after in pairwise(chain):
        own = bits[before].copy()
        flipped = np.random.default_rng(chain.index(after)).choice(256, module.SAME_PHOTO_BITS, replace=False)
        own[flipped] ^= True
        bits[after] = own
    monkeypatch.setattr(module, "difference_hash", lambda path: bits[path])
    assert {module.held_out(paths)[path] for path in chain} == {"train"}


def test_overlaps_are_intersections_over_unions(script):
    one = np.array([[0, 0, 10, 10], [5, 5, 5, 9]], np.float64)
    other = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]], np.float64)
    expected = [[1, 1 / 3, 0], [0, 0, 0]]
    assert script("labels").overlaps(one, other) == pytest.approx(np.array(expected))


def test_faces_of_several_views_are_joined(script):
    from maskfit.data.detectors.interface import Face

    marks = ((1, 1), (3, 1), (2, 2), (1, 3), (3, 3))
    moved = tuple((x + 2, y) for x, y in marks)
    views = [[Face((0, 0, 10, 10), 0.9, marks), Face((50, 50, 60, 60), 0.6, marks)], [Face((2, 0, 12, 10), 0.3, moved)]]
    first, second = script("labels").cluster(views)
    assert (first.votes, second.votes) == (2, 1)
    assert (first.score, second.score) == pytest.approx((0.6, 0.3))
    assert first.box == pytest.approx([0.5, 0, 10.5, 10])
    assert first.landmarks[0] == pytest.approx([1.5, 1])
    assert script("labels").cluster([[], []]) == []


def test_street_faces_are_not_trained_on_where_a_copy_is_held_out(script, monkeypatch):
    module = script("street_faces")
    side = module.MIN_SIDE

    def face(name: str, held_out: bool, size: float = side):
        return module.StreetFace(Path(name), (0, 0, size, size + 5), "wear", held_out)

    faces = [face("a", False), face("b", False), face("c", True), face("d", False, side - 1)]
    # a copies the held-out photo, c the second, b the third.
    copies = np.zeros((4, 3), bool)
    copies[0, 0] = copies[2, 1] = copies[1, 2] = True
    monkeypatch.setattr(module, "find_copies", lambda *_: copies)
    photos = [Path("x"), Path("y"), Path("z")]
    chosen, may_train = module.choose_faces(faces, photos, [True, False, False])
    assert [item.path.name for item in chosen] == ["b"]
    assert may_train == [True, False, True]


@pytest.mark.parametrize("factor", [1, 3])
def test_real_masks_and_street_faces_occur_as_often_as_asked(script, tmp_path, monkeypatch, factor):
    """Old persons and bare faces keep their number; a copy of a held-out face is in neither list."""
    module = script("train_bundled_model")
    face = script("street_faces").StreetFace(tmp_path / "s.png", (1, 2, 30, 40), "incorrect", False)
    monkeypatch.setattr(module, "read_faces", lambda _: [face])
    monkeypatch.setattr(module, "choose_faces", lambda faces, *_: (faces, [True, False, False]))
    photos, splits = tmp_path / "photos.csv", write(tmp_path / "splits.csv", "person,fold", "o,1", "m,1", "c,1", "h,0")
    rows = [{"path": f"/{person}.jpg", "person": person, "source": module.REAL_MASKS} for person in "mch"]
    rows = [{**row, "mask": "wear", "times": module.REPETITIONS["wear"]} for row in rows]
    module.write_manifest(photos, [{"path": "/o.jpg", "person": "o", "age": module.OLDEST, "source": "faces"}, *rows])
    kept, street = tmp_path / "kept.csv", tmp_path / "street.csv"
    module.list_street(photos, splits, tmp_path, kept, street, factor=factor)
    often = str(factor * module.REPETITIONS["wear"])
    assert [(row["person"], row["times"]) for row in rows_of(kept)] == [("o", "2"), ("m", often), ("h", often)]
    (row,) = rows_of(street)
    assert row["times"] == str(factor * module.STREET_REPETITIONS["incorrect"])
    assert [row[name] for name in ("left", "upper", "right", "lower")] == ["1", "2", "30", "40"]
