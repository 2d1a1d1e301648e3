"""The wheel in an environment of its own, with the base dependencies and no torch; needs a network, takes minutes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from maskfit.data.preprocessing import CropResize, Preprocessing
from maskfit.evaluation.probability_table import read_table
from maskfit.inference.export import export_model
from maskfit.inference.predictor import Predictor
from maskfit.inference.submission import write_submission
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.model_file import ModelMetadata, save_model
from maskfit.models.network import build_network
from maskfit.registry import ComponentSpec

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]

SHIPPED = (
    "recipes/baseline.yaml",
    "recipes/fast.yaml",
    "data/known_errors.csv",
    "html/page.css",
    "py.typed",
    "exploration/explore.css",
    "report/run.css",
    "apps/review/card.html.j2",
    "apps/webapp/cards.html.j2",
    "apps/webapp/webapp.css",
)
"""What must be in the wheel besides Python."""

MOST_MEGABYTES = 350
"""Site-packages of the base install; torch alone would bring more than 1,000."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    uv = shutil.which("uv")
    build = [uv, "build", "--wheel", "--out-dir"] if uv else [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w"]
    subprocess.run([*build, str(folder), *([] if uv else ["."])], cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The `bin` folder of an environment with the wheel and its base dependencies."""
    folder = tmp_path_factory.mktemp("base") / "venv"
    uv = shutil.which("uv")
    began = time.perf_counter()
    if uv:
        subprocess.run([uv, "venv", "--python", sys.executable, str(folder)], check=True, capture_output=True)
        install = [uv, "pip", "install", "--python", str(folder / "bin" / "python"), str(wheel)]
    else:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = [str(folder / "bin" / "python"), "-m", "pip", "install", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    size = sum(path.lstat().st_size for path in folder.rglob("site-packages/**/*") if path.is_file())
    print(f"\nbase install: {size / 1e6:.0f} MB in {time.perf_counter() - began:.0f} s")
    assert size < MOST_MEGABYTES * 1e6
    return folder / "bin"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(5):
        pixels = np.random.default_rng(number).integers(0, 256, (5, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((96 + number, 128)).save(folder / f"{number}.png")
    return folder


def run(scripts: Path, *words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """The installed command, in its own folder."""
    # Whatever detectors and models whoever runs the tests has at hand are not there.
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MASKFIT_", "SM_"))}
    done = subprocess.run(
        [str(scripts / "maskfit"), *map(str, words)],
        capture_output=True,
        text=True,
        cwd=scripts.parent,
        timeout=120,
        env={**plain, "XDG_CACHE_HOME": str(scripts.parent / "cache")},
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_the_wheel_holds_what_ships(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert [name for name in SHIPPED if f"maskfit/{name}" not in names] == []
    source = ROOT / "src" / "maskfit"
    ours = {
        f"maskfit/{path.relative_to(source).as_posix()}"
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert ours - names == set()
    assert [name for name in names if not name.startswith(("maskfit/", "maskfit-"))] == []


def test_torch_is_absent(scripts):
    listing = subprocess.run(
        [
            str(scripts / "python"),
            "-c",
            "from importlib.metadata import distributions as d;"
            "print('\\n'.join(item.metadata['Name'].lower() for item in d()))",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    heavy = {"torch", "torchvision", "timm", "lightning", "scikit-learn", "scipy", "pandas", "matplotlib", "onnx"}
    assert heavy & set(listing) == set()
    assert {"maskfit", "onnxruntime"} <= set(listing)


def test_an_exported_model_answers_as_torch_does(scripts, photos, tmp_path):
    torch.manual_seed(0)
    scheme = LABEL_SCHEMAS["mask-gender-age"]
    facts = ModelMetadata(
        label_schema=scheme,
        preprocessing=Preprocessing(crop_resize=CropResize(size=(48, 32))),
        backbone=ComponentSpec.create("small", width=4),
        head=ComponentSpec.create("multi_head"),
        heads=scheme.names,
    )
    network = build_network(facts.backbone, facts.head, scheme.sizes)
    with torch.no_grad():
        network.head.layers[0][1].weight.mul_(30)
    model = save_model(tmp_path / "m.safetensors", network.state_dict(), facts)
    exported = export_model(model, tmp_path / "m.onnx").files[0]
    done = run(scripts, "predict", exported, "--images", photos, "--probabilities", tmp_path / "p.csv", "--json")
    names = [row["photo"] for row in json.loads(done.stdout)["answers"]]
    assert names == [f"{number}.png" for number in range(5)]
    expected = Predictor.load(model, tta="original").predict([photos / name for name in names]).table
    found = read_table(tmp_path / "p.csv", 18)
    assert np.abs(found.probabilities - expected.probabilities).max() < 1e-4
    refused = run(scripts, "predict", model, "--images", photos, code=2)
    assert "pip install 'maskfit[train]'" in refused.stderr
    absent = run(scripts, "predict", tmp_path / "absent.safetensors", "--images", photos, code=2)
    assert "there is no such model" in absent.stderr


def test_the_first_answer_needs_nothing_but_the_install(scripts, tmp_path):
    """No model, no detector, no network: a photo and the command."""
    run(scripts, "data", "synthesize", tmp_path / "drawn", "--persons", 1)
    photo = next((tmp_path / "drawn").rglob("mask1.jpg"))
    began = time.perf_counter()
    said = run(scripts, "predict", photo, "--draw", tmp_path / "boxes.png")
    print(f"\nfirst answer: {time.perf_counter() - began:.2f} s")
    (line,) = said.stdout.splitlines()
    assert line.startswith(f"{photo}: face 1 of 1 (left ")
    assert all(f" {name} " in line for name in ("mask", "gender", "age"))
    assert "detector" not in said.stderr
    assert (tmp_path / "boxes.png").is_file()
    assert "mask" in run(scripts, "card").stdout


def test_the_other_verbs_of_the_base_work(scripts, tmp_path):
    truth = write_submission(tmp_path / "truth.csv", ["a", "b"], [0, 17])
    told: dict[str, Any] = json.loads(run(scripts, "evaluate", truth, truth, "--json").stdout)
    assert told["accuracy"]["value"] == 1.0
    person = tmp_path / "set" / "000001_female_Asian_45"
    person.mkdir(parents=True)
    for number, stem in enumerate((*(f"mask{n}" for n in range(1, 6)), "incorrect_mask", "normal")):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(person / f"{stem}.jpg")
    checked = json.loads(run(scripts, "data", "check", tmp_path / "set", "--json").stdout)
    assert (checked["photos"], checked["persons"]) == (7, 1)
    assert "baseline" in run(scripts, "recipes").stdout
    assert "backbone" in run(scripts, "recipes", "fast").stdout
    assert "recipe 'fast' is valid" in run(scripts, "check", "fast").stderr
    assert "no option 'smothing'" in run(scripts, "check", "fast", "loss.smothing=0.1", code=2).stderr
    assert "Usage" in run(scripts, "--help").stdout


@pytest.mark.parametrize("words", [("train", "fast", "data.path=x"), ("export", "m.safetensors", "--out", "m.onnx")])
def test_what_needs_the_extra_says_so(scripts, words):
    said = run(scripts, *words, code=2).stderr
    assert f"'maskfit {words[0]}' needs the extra 'train'" in said
    assert "pip install 'maskfit[train]'" in said


def test_drawn_faces_need_no_extra(scripts, tmp_path):
    run(scripts, "data", "synthesize", tmp_path / "drawn", "--persons", 1)
    assert len(list((tmp_path / "drawn").rglob("*.jpg"))) == 7
