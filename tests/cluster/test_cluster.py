"""Folds, shards and trials on a real Ray cluster of two workers give the same as here, also if a worker is killed."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from maskfit import __version__
from maskfit.cluster.ray_session import WorkerContext, ray_session, set_auth_token
from maskfit.config.recipe import Recipe
from maskfit.errors import MaskfitError, MissingExtraError, RunError
from maskfit.file_io import read_csv
from maskfit.inference.sharded_prediction import (
    ShardDir,
    ShardPlan,
    pending,
    predict_locally,
    start_or_resume,
    write_summary,
)


def rows(folder: ShardDir) -> dict[str, dict[str, str]]:
    """Each photo's row; a photo with two rows fails."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted((folder.path / "answers").iterdir()):
        for row in read_csv(path, ["ImageID"]):
            assert row["ImageID"] not in found
            found[row["ImageID"]] = row
    return found


def workers() -> list[int]:
    """Process ids of the prediction actors."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if text.startswith("ray::PredictActor"):
            found.append(int(path.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the workers in /proc")
@pytest.mark.slow
def test_a_killed_worker_loses_or_repeats_no_photo(cluster: None, faces: Path, model: Path, tmp_path: Path) -> None:
    import torch

    from maskfit.cluster.predict_shards import predict_shards_on_ray

    broken = faces / "broken.jpg"
    broken.write_bytes(b"no photo")
    plan = ShardPlan(str(faces), (str(model),), size=3, engine="torch")
    ours, theirs = ShardDir(tmp_path / "here"), ShardDir(tmp_path / "ray")
    here = start_or_resume(ours, plan, None, resume=False)
    threads = torch.get_num_threads()
    # The same number of threads as an actor of one core: with another number the last digits differ.
    list(predict_locally(ours, here, pending(ours, here), here.predictor(threads=1)))
    torch.set_num_threads(threads)
    there = start_or_resume(theirs, plan, None, resume=False)
    killed: list[int] = []
    done = []
    for shard in predict_shards_on_ray(theirs, there, pending(theirs, there), cores=1, device="cpu"):
        done.append(shard)
        if not killed:
            # All of them: what is left is predicted by processes that were started again, with their arguments.
            killed = workers()
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
    broken.unlink()
    assert len(killed) == 2
    assert not set(workers()) & set(killed)
    assert sorted(item.number for item in done) == list(range(there.num_shards))
    assert rows(theirs) == rows(ours)
    assert write_summary(theirs, there)["unreadable"] == 1
    assert pending(theirs, there) == []


KILL_AT_A_PHOTO = """
import os, pathlib, signal, sys
read = pathlib.Path.read_bytes
def read_or_die(path):
    if path.name == "killer.jpg" and "default_worker" in sys.argv[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return read(path)
pathlib.Path.read_bytes = read_or_die
"""
"""A photo whose reading ends a worker, as a fault in a decoder or too little memory does; the photo itself is sound."""


@pytest.mark.slow
def test_a_photo_that_kills_its_workers_is_set_aside(faces: Path, model: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    photos = sorted(faces.rglob("*mask*.*"))[:20]
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, photo in enumerate(photos):
        name = "killer.jpg" if number == 13 else f"{number:02d}{photo.suffix}"
        (folder / name).write_bytes(photo.read_bytes())
    (tmp_path / "startup").mkdir()
    (tmp_path / "startup" / "sitecustomize.py").write_text(KILL_AT_A_PHOTO)
    command = [sys.executable, "-m", "maskfit", "predict", str(model), "--images", str(folder), "--shard-size", "5"]
    here = subprocess.run([*command, "--shards", "here"], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert here.returncode == 0, here.stderr
    result = subprocess.run(
        [*command, "--shards", "ray", "--ray", "local", "--cores", "1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "startup")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    text = " ".join(result.stderr.split())
    assert "4 processes ended abruptly in shard" in text
    assert "1 unreadable photo is listed in ray/unreadable" in text
    lost = [
        row for path in (tmp_path / "ray" / "unreadable").iterdir() for row in read_csv(path, ["ImageID", "reason"])
    ]
    assert lost == [{"ImageID": "killer.jpg", "reason": "reading it ended the process, 2 times"}]
    expected = {name: row["ans"] for name, row in rows(ShardDir(tmp_path / "here")).items() if name != "killer.jpg"}
    assert {name: row["ans"] for name, row in rows(ShardDir(tmp_path / "ray")).items()} == expected
    assert not (tmp_path / "ray" / "attempts").exists()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A cluster of two cores that a user with a token started with `ray start`, and that user's environment."""
    pytest.importorskip("ray")
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0123456789abcdef" * 4)
    user = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {"HOME": str(tmp_path)}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        Path(sys.executable).with_name("ray"),
        "start",
        "--head",
        "--block",
        "--num-cpus",
        "2",
        "--port",
        str(port),
        "--include-dashboard",
        "false",
        "--disable-usage-stats",
    ]
    process = subprocess.Popen(command, env=user, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout
        for line in process.stdout:
            if "--block" in line:
                break  # printed once the cluster runs
        yield f"127.0.0.1:{port}", user
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.mark.slow
def test_the_command_predicts_on_a_running_cluster(
    started: tuple[str, dict[str, str]], faces: Path, model: Path, tmp_path: Path
) -> None:
    address, user = started
    command = [
        sys.executable,
        "-m",
        "maskfit",
        "predict",
        str(model),
        "--images",
        str(faces),
        "--shards",
        "answers",
        "--shard-size",
        "9",
        "--ray",
        address,
        "--cores",
        "1",
        "--json",
    ]
    done = subprocess.run(command, env=user, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    # A run that ends well alarms nobody.
    for word in ("object store", "restart", "constructor", "WARNING", "ERROR"):
        assert word not in done.stderr, done.stderr
    assert json.loads(done.stdout)["answered"] == 56
    assert len(rows(ShardDir(tmp_path / "answers"))) == 56


@pytest.mark.slow
def test_an_error_in_a_worker_is_raised(cluster: None, faces: Path, model: Path, tmp_path: Path) -> None:
    from maskfit.cluster.predict_shards import predict_shards_on_ray

    folder = ShardDir(tmp_path / "ray")
    plan = start_or_resume(
        folder, ShardPlan(str(faces), (str(tmp_path / "absent.safetensors"),), size=50), None, resume=False
    )
    with pytest.raises(RunError, match=r"absent\.safetensors"):
        list(predict_shards_on_ray(folder, plan, pending(folder, plan), device="cpu"))


@pytest.mark.slow
def test_folds_on_the_cluster_equal_those_of_one_process(cluster: None, faces: Path, tmp_path: Path) -> None:
    import torch

    from maskfit.cluster.train_folds import train_on_ray
    from maskfit.config.loader import read_recipe
    from maskfit.training.recipe_registry import RECIPE_REGISTRY
    from maskfit.training.train import train

    words = [
        f"data.path={faces}",
        f"data.cache_dir={tmp_path / 'stores'}",
        "data.image_size=24",
        "model.backbone.width=4",
        "trainer.epochs=1",
        "trainer.device=cpu",
        "cv.num_folds=2",
    ]

    def recipe(name: str) -> Recipe:
        return read_recipe("fast", [*words, f"output_dir={tmp_path / name}"], registries=RECIPE_REGISTRY)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        here, scores = train(
            read_recipe("fast", [*words, f"output_dir={tmp_path / 'here'}"], registries=RECIPE_REGISTRY)
        )
    finally:
        torch.set_num_threads(threads)
    there, others = train_on_ray(
        read_recipe("fast", [*words, f"output_dir={tmp_path / 'ray'}"], registries=RECIPE_REGISTRY)
    )
    assert others == scores
    assert there.oof_probabilities.read_bytes() == here.oof_probabilities.read_bytes()
    for fold in (0, 1):
        assert there.fold(fold).train_loss.read_bytes() == here.fold(fold).train_loss.read_bytes()


def test_another_version_or_missing_folder_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="has maskfit"):
        WorkerContext(str(tmp_path), f"{__version__}.other").activate()
    with pytest.raises(RunError, match="does not have this folder"):
        WorkerContext(str(tmp_path / "absent"), __version__).activate()
    WorkerContext(str(tmp_path), __version__).activate()


def test_a_recipe_override_is_refused_as_address() -> None:
    with (
        pytest.raises(MaskfitError, match=r"got 'cv\.num_folds=5'"),
        ray_session("cv.num_folds=5", "'maskfit train --ray'"),
    ):
        pass


def test_a_cluster_that_fails_is_an_error_with_a_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    with (
        pytest.raises(RunError, match=r"^the cluster failed: The actor is not schedulable: no worker starts") as caught,
        ray_session("local", "the tests"),
    ):
        raise ray.exceptions.ActorUnschedulableError("no worker starts\nand much more")
    assert "--resume" in caught.value.hint
    with pytest.raises(ValueError, match="a bug"), ray_session("local", "the tests"):
        raise ValueError("a bug")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "ray" else real(name, *rest))
    with (
        pytest.raises(MissingExtraError, match="'maskfit train --ray' needs the extra 'ray'"),
        ray_session("auto", "'maskfit train --ray'"),
    ):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nonsense", "host:port"])
def test_an_unreachable_cluster_raises(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(RunError, match="cannot connect to the cluster"), ray_session(address, "'maskfit train --ray'"):
        pass
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(RunError, match="cannot connect to the cluster"), ray_session("auto", "'maskfit train --ray'"):
        pass


@pytest.mark.parametrize(
    ("address", "variables", "token", "mode"),
    [
        ("head:6379", {}, True, "token"),
        ("head:6379", {}, False, None),
        ("head:6379", {"RAY_AUTH_TOKEN": "x" * 32}, False, "token"),
        ("head:6379", {"RAY_AUTH_MODE": "disabled"}, True, "disabled"),
        ("auto", {"RAY_ADDRESS": "head:6379"}, True, "token"),
        ("auto", {}, True, None),
        ("local", {}, True, None),
    ],
)
def test_a_cluster_given_by_address_gets_the_users_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str, variables: dict[str, str], token: bool, mode: str
) -> None:
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # so that it is as before afterwards, whatever is set meanwhile
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    if token:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text("x" * 32)
    set_auth_token(address)
    assert os.environ.get("RAY_AUTH_MODE") == mode


@pytest.mark.slow
def test_a_sweep_runs_on_the_cluster(cluster: None, faces: Path, tmp_path: Path) -> None:
    from maskfit.registry import ComponentSpec
    from maskfit.sweep.ray_executor import RayExecutor
    from maskfit.sweep.tune import SweepSettings, tune

    space = tmp_path / "space.yaml"
    space.write_text("optimizer.lr: {low: 1e-4, high: 1e-2, log: true}\naugmentation: [light, none]\n")
    words = [
        f"data.path={faces}",
        f"data.cache_dir={tmp_path / 'stores'}",
        "data.image_size=24",
        "model.backbone.width=4",
        "trainer.epochs=2",
        "trainer.device=cpu",
        "cv.val_fraction=0.4",
    ]
    settings = SweepSettings(4, pruner=ComponentSpec.create("median", startup=2))
    results = tune("fast", space, settings, overrides=words, out=tmp_path / "sweep", executor=RayExecutor())
    assert len(results.trials) == 4
    assert results.count("failed") == 0
    assert results.best.score
