"""Networks in the user's cache: listed with what they are, sorted by use, and removed."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from maskfit.cli import data_group
from maskfit.data.image_lists import ImageFolder
from maskfit.errors import DataError
from maskfit.inference.engines import open_engine
from maskfit.inference.engines.cached_networks import list_networks, remove_network
from maskfit.inference.engines.int8_conversion import convert_to_int8, lock_conversion
from maskfit.inference.engines.int8_files import compiled_folder, networks_dir
from maskfit.model_file import bundled_int8_path

DAY = 86_400


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return networks_dir()


@pytest.fixture
def conversion(model, folder) -> Path:
    """A conversion in the cache that was made, and last used, 40 days ago."""
    made = convert_to_int8(model, ImageFolder(folder), print)
    os.utime(made, (time.time() - 40 * DAY,) * 2)
    return made


def command(*arguments: object):
    return CliRunner().invoke(data_group, ["cache", *map(str, arguments)])


def test_a_conversion_is_listed_with_its_model_and_its_compiled_form(conversion):
    compiled = compiled_folder(conversion)
    (compiled / "1.blob").write_bytes(b"x" * 1000)
    (network,) = list_networks(conversion.parent)
    assert network.path == conversion
    assert network.size_bytes == conversion.stat().st_size + 1000
    assert network.description.startswith("int8 conversion of ")
    assert network.description.endswith("32x24), calibrated on 32 photos")
    assert network.photos == 32
    assert 39 < (time.time() - network.last_used) / DAY < 41
    assert list_networks(conversion.parent / "absent") == []


def test_running_a_conversion_is_its_last_use(conversion, model):
    before = conversion.stat().st_mtime
    open_engine(model, engine="onnx:precision=int8")
    (network,) = list_networks(conversion.parent)
    assert time.time() - network.last_used < 60
    assert conversion.stat().st_mtime == before


def test_other_kinds_of_networks_are_listed_and_other_files_are_not(cache, exported):
    cache.mkdir(parents=True)
    assert compiled_folder(bundled_int8_path()) is not None
    shutil.copy(exported["attributes"], cache / f"{'a' * 32}-2.onnx")
    (cache / f"{'b' * 32}-int8-1.onnx").write_bytes(b"damaged")
    (cache / f"{'c' * 32}-int8-1-compiled").mkdir()
    (cache / "mine.onnx").touch()
    (cache / "notes").mkdir()
    # Not by one letter: the bundled one is named by its content.
    told = {network.path.name[:32]: network.description for network in list_networks(cache)}
    bundled = "the bundled model's int8 conversion, as OpenVINO compiled it"
    assert bundled in told.values()
    assert told["a" * 32].startswith("ONNX conversion of ")
    assert told["b" * 32].startswith("int8 conversion, damaged: ")
    assert told["c" * 32] == "a conversion that is gone, as OpenVINO compiled it"
    assert len(told) == 4
    for network in list_networks(cache):
        remove_network(network)
    assert sorted(path.name for path in cache.iterdir()) == ["mine.onnx", "notes"]


def test_a_conversion_is_not_removed_while_it_is_made(conversion, model):
    (network,) = list_networks(conversion.parent)
    with lock_conversion(conversion, model, print), pytest.raises(DataError, match="is making this conversion"):
        remove_network(network)
    assert conversion.is_file()


def test_the_others_are_removed_while_one_is_made(conversion, model):
    other = conversion.with_name(f"{'a' * 32}-2.onnx")
    other.write_bytes(b"damaged")
    with lock_conversion(conversion, model, print):
        result = command("--prune", 0, "--yes")
    assert isinstance(result.exception, DataError)
    assert str(conversion) in str(result.exception)
    assert f"removed: {other.name}, " in result.stdout
    assert (conversion.is_file(), other.exists()) == (True, False)


def test_the_command_lists_and_limits_networks_with_the_image_caches(conversion, model, tmp_path):
    open_engine(model, engine="onnx:precision=int8")
    listed = command()
    assert listed.exit_code == 0, listed.output
    assert conversion.name in listed.stdout
    assert "calibrated on 32 photos" in listed.stdout
    kept = json.loads(command("--prune", 30, "--yes", "--json").stdout)
    assert [item["path"] for item in kept["networks"]] == [str(conversion)]
    # Another folder of image caches says nothing about the user's cache.
    assert json.loads(command("--folder", tmp_path, "--keep-under", 0, "--yes", "--json").stdout)["networks"] == []
    refused = command("--keep-under", 0)
    assert isinstance(refused.exception, DataError)
    assert conversion.name in str(refused.exception)
    compiled_folder(conversion)
    gone = json.loads(command("--keep-under", 0, "--yes", "--json").stdout)
    assert [item["path"] for item in gone["removed"]] == [str(conversion)]
    assert list(conversion.parent.iterdir()) == []
