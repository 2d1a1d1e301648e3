"""The model in the box: found where it is, and missed in words where it is not."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

import maskfit
from maskfit import pretrained_weights
from maskfit.errors import ModelFileError
from maskfit.inference.predictor import Predictor
from maskfit.model_file import BUNDLED_MODEL_NAME, bundled_model_path, read_model_metadata
from maskfit.pretrained_weights import CHECKSUMS_NAME

MOST_BYTES = 8_000_000


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package without a box; gives the place of the model in it."""
    monkeypatch.setattr(pretrained_weights.resources, "files", lambda name: tmp_path)
    return tmp_path / "weights" / BUNDLED_MODEL_NAME


def test_it_is_found_in_the_package(package, exported, photos):
    package.parent.mkdir()
    content = exported["attributes"].read_bytes()
    package.write_bytes(content)
    package.with_name(CHECKSUMS_NAME).write_text(f"{hashlib.sha256(content).hexdigest()}  {package.name}\n")
    assert bundled_model_path() == package
    predictor = Predictor.default(tta="flip")
    assert [member.name for member in predictor.members] == [str(package)]
    assert len(predictor.predict(photos[:2]).table) == 2


def test_an_install_without_it_says_what_to_do(package):
    with pytest.raises(
        ModelFileError, match=r"missing from this install(.|\n)*--force-reinstall(.|\n)*or name a model"
    ):
        bundled_model_path()


def test_the_one_that_ships_is_small_and_says_what_it_is():
    path = bundled_model_path()
    assert path.stat().st_size <= MOST_BYTES
    facts = read_model_metadata(path)
    assert facts.label_schema.scored_schema().names == ("mask", "gender", "age")
    # Users' photos are framed by nobody, and a detector is not in the base install.
    assert facts.preprocessing.crop_resize.face_crop is None
    assert set(facts.calibration.temperatures) in ({"mask", "gender", "age"}, {"joint"})
    assert set(facts.calibration.abstain_below) == {"mask", "gender", "age"}
    assert facts.calibration.persons > 0
    card = facts.card
    assert card.photos > 0
    assert card.n_eval_persons > 0
    assert all((card.training_data, card.license, card.intended_use, card.scores))
    assert str(Path(maskfit.__file__).parents[2]).encode() not in path.read_bytes()


def test_the_one_that_ships_answers_without_torch(photos):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from maskfit.inference.predictor import Predictor\n"
        f"print(*[len(said) for said in Predictor.default().predict([{str(photos[0])!r}]).decide()])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "3\n"
