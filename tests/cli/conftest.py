"""Fixtures: the command as a user calls it, a model, a run and photos."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

import maskfit.cli


class CommandResult(NamedTuple):
    """Exit code and output of a command."""

    code: int | str | None
    out: str
    err: str


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Callable[..., CommandResult]]:
    """Runs `maskfit ARGS...` in an empty folder, without SM_* and not below `uv run`; a traceback is a failure."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name == "UV" or name.startswith(("SM_", "MASKFIT_"))]:
        del os.environ[name]
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*args: object) -> CommandResult:
        monkeypatch.setattr(sys, "argv", ["maskfit", *map(str, args)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_info:
            maskfit.cli.main()
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return CommandResult(exit_info.value.code, captured.out, captured.err)

    yield run
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with random weights."""
    import torch

    from maskfit.data.preprocessing import CropResize, Preprocessing
    from maskfit.labels.schema import LABEL_SCHEMAS
    from maskfit.model_file import ModelMetadata, save_model
    from maskfit.models.network import build_network
    from maskfit.registry import ComponentSpec

    torch.set_num_threads(1)
    torch.manual_seed(0)
    schema = LABEL_SCHEMAS["mask-gender-age"]
    metadata = ModelMetadata(
        label_schema=schema,
        preprocessing=Preprocessing(crop_resize=CropResize(size=(32, 24))),
        backbone=ComponentSpec.create("small", width=4),
        head=ComponentSpec.create("multi_head"),
        heads=schema.names,
    )
    network = build_network(metadata.backbone, metadata.head, schema.sizes)
    return save_model(tmp_path_factory.mktemp("model") / "best.safetensors", network.state_dict(), metadata)


def _import_all_users_of_the_bundled_model() -> None:
    """Imports what takes the function by its name: imported while it is replaced, it would keep the replacement."""
    import maskfit.apps.webapp.model_names
    import maskfit.inference.face_predictor
    import maskfit.inference.predictor  # noqa: F401


@pytest.fixture
def bundled_model(model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same model in place of the bundled one."""
    _import_all_users_of_the_bundled_model()
    monkeypatch.setattr("maskfit.inference.input_resolution.bundled_model_path", lambda: model)
    return model


@pytest.fixture
def run_dir(tmp_path: Path, model: Path) -> Path:
    """A run with one finished fold."""
    fold = tmp_path / "run" / "fold0"
    fold.mkdir(parents=True)
    (tmp_path / "run" / "recipe.yaml").write_text("name: made\n")
    (fold / "best.safetensors").write_bytes(model.read_bytes())
    (fold / "scores.json").write_text("{}")
    return tmp_path / "run"


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    """An evaluation set: `info.csv`, with unsorted rows, and `images`."""
    images = tmp_path / "eval" / "images"
    images.mkdir(parents=True)
    names = [f"{number:x}.jpg" for number in (11, 3, 7, 14, 0, 9)]
    for number, name in enumerate(names):
        pixels = np.random.default_rng(number).integers(0, 256, (5, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((48, 64)).save(images / name)
    (tmp_path / "eval" / "info.csv").write_text("ImageID,ans\n" + "".join(f"{name},0\n" for name in names))
    return tmp_path / "eval"
