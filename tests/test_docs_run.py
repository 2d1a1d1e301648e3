"""Every command of the docs is run on drawn photos, or stands below with the reason why not.

Each one runs alone, in a copy of one folder (`docs_world.py`) that has the files of which the pages speak.
Recipes and numbers of drawn persons are made tiny, nothing else is changed.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from docs_world import TINY, build_world
from test_docs_commands import PAGES, ROOT, read_commands
from warm_commands import WarmCommands

pytestmark = pytest.mark.slow

NOT_RUN = {
    r"--ray|^maskfit .*HEAD|trainer\.num_nodes": "needs a cluster; tests/cluster has one of its own",
    r"^maskfit train .*trainer\.devices=4": "needs four GPUs; tests/training/parallel train in two processes",
    r"rtsp://|^maskfit video 0 ": "needs a camera; tests/apps/video reads streams",
    r"s3://|/data/": "needs storage of that name; tests/data/test_remote_files.py serves some",
    r"yunet": "needs weights that are fetched once; tests/data/detectors have some of their own",
    r"train .*saliency": "needs weights that are fetched once; tests/data/test_saliency.py has a network of its own",
    r"loggers=wandb": "needs an account, or a server; tests/training log offline",
    r"PHOTOS|masked-faces|\.imagenet\.|-twin": "describes a measurement on real photos, beside which its result stands",
    r"model\.pretrained=weights": "weights that are not here; tests/data/test_pretrained_weights.py has some",
    r"^maskfit data gan|extra_train=gan0": "minutes of training; tests/cli/test_features.py has one",
    r" \.\.\.$": "not a whole command",
    r"review photos --log review": "decisions of a review that was before; tests/apps/review export some",
    r"data corrections tasks": "decisions that people made in another program; tests/inference/test_labeling_tasks.py",
    r"evaluate thresholds .*table\.csv": "tables of two sets; tests/cli/test_evaluate_thresholds_cli.py has them",
    r"helmets|kinds\.csv": "attributes of data sets of one's own; tests/cli/test_schema_option.py has one",
    r"local_stages": "images of 24 pixels have too few rows; tests/training/test_backbone_contract.py has larger ones",
    r"--by race": "columns of a data set that is described there; tests/report have some",
    r"train\.json|covered=|rest=skip": "words of a data set that is described there; tests/data/importers have some",
}
"""Pattern -> why commands with it, without their comment, are not run here."""

SERVERS = ("serve", "app", "review")
"""Commands that run until they are stopped; without options that end them."""

BUNDLED_START = ("quick", "transfer")
"""Recipes that start from the bundled model, which only its own backbone can."""

OTHER_TESTS = ("CONTRIBUTING.md", "features.md")
"""Pages for developers, and one whose commands tests/cli/test_features.py runs in their order."""

CASES = [(page, line) for page in PAGES if page.name not in OTHER_TESTS for line in dict.fromkeys(read_commands(page))]


def find_reason(line: str) -> str | None:
    return next((reason for pattern, reason in NOT_RUN.items() if re.search(pattern, _without_comment(line))), None)


def _without_comment(line: str) -> str:
    return re.sub(r"\s+#\s.*", "", line)


RUN = [(page, line) for page, line in CASES if find_reason(line) is None]

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("SM_", "MASKFIT_"))} | {
    "OMP_NUM_THREADS": "1"
}


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmCommands]:
    with WarmCommands(ENVIRONMENT, tmp_path_factory.mktemp("warm") / "log.txt") as warm:
        yield warm


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, commands: WarmCommands) -> Path:
    root = tmp_path_factory.mktemp("docs") / "world"
    root.mkdir()

    def run(*words: object, out: Path | None = None) -> None:
        done = commands.run(root, [str(word) for word in words], own_cache(root))
        assert done.returncode == 0, (words, done.stderr[-2000:])
        if out:
            out.write_text(done.stdout, encoding="utf-8")

    return build_world(root, run)


def own_cache(folder: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(folder / ".cache")}


@pytest.mark.parametrize(("page", "line"), RUN, ids=[f"{page.stem}: {line}" for page, line in RUN])
def test_a_command_of_the_docs_runs(page: Path, line: str, world: Path, commands: WarmCommands, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    shutil.copytree(world, folder)
    words = shlex.split(line, comments=True)[1:]
    if ">" in words:
        words = words[: words.index(">")]
    _remove_outputs(folder, words)
    if words[0] == "train":
        keys = [word.split("=")[0] for word in words]
        if words[1] in BUNDLED_START:
            keys += ["model.backbone", "model.pretrained", "data.image_size"]
            words.append("data.image_size=64")  # maps of fewer rows have no local features
        if "trainer.gradient_checkpointing=true" in words:  # the tiny backbone cannot
            keys.append("model.backbone")
        words += [item for item in TINY if item.split("=")[0] not in keys]
        words += ["data.cache_dir=cache"]
    if words[0] == "run":
        words += [*TINY, "trainer.epochs=2"]  # for --top-k 2
    if words[0] == "tune":
        words = [*words, *TINY]
        words[words.index("--trials") + 1] = "3" if "--resume" in words else "2"
    for option, value in (("--persons", "2"), ("--threshold", "0.01")):  # a tiny model is sure of nothing
        if option in words and words[0] in ("data", "pseudo-label"):
            words[words.index(option) + 1] = value
    if "add-masks" in words:
        shutil.copy(folder / "bare.csv", folder / "faces.csv")
    if words == ["app"]:
        shutil.rmtree(folder / "runs")  # it takes the only run; there are several
    if words[0] in SERVERS and "--export" not in words:
        serve_a_page(folder, words)
        return
    done = commands.run(folder, words, own_cache(folder))
    assert done.returncode == 0, f"{line}\n{done.stdout[-1500:]}\n{done.stderr[-2500:]}"


def serve_a_page(folder: Path, words: list[str]) -> None:
    """Starts a server on a free port, asks it for its first page, and stops it as Ctrl-C does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "maskfit", *words, "--port", str(port)]
    log = folder.parent / "server.txt"
    with log.open("w") as output:
        server = subprocess.Popen(
            command, cwd=folder, env=ENVIRONMENT | own_cache(folder), stdout=output, stderr=output
        )
        try:
            assert _ask(port, server) < 500, log.read_text()[-2500:]
        finally:
            server.send_signal(signal.SIGINT)
            code = server.wait(60)
    assert code in (0, 130), (code, log.read_text()[-2500:])


def _ask(port: int, server: subprocess.Popen[bytes]) -> int:
    """The status of the first answer, within five minutes; 599 where the server ends before."""
    end = time.monotonic() + 300
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            time.sleep(0.2)
    return 599


def _remove_outputs(folder: Path, words: list[str]) -> None:
    """Removes what the command is about to write: nothing is overwritten without --force."""
    if "--resume" in words:
        return
    options = [
        "--out",
        "--draw",
        "--export",
        "--attributes-csv",
        *(["--probabilities"] if words[0] == "predict" else []),
    ]
    outputs = [words[at + 1] for at, word in enumerate(words) if word in options]
    outputs += [word.removeprefix("output_dir=") for word in words if word.startswith("output_dir=")]
    if words[:2] == ["data", "synthesize"]:
        outputs.append(words[2])
    for name in outputs:
        target = folder / name
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)


def test_most_commands_run_and_every_reason_is_needed() -> None:
    assert len(RUN) > 0.8 * len(CASES)
    lines = [_without_comment(line) for _, line in CASES]
    idle = [pattern for pattern in NOT_RUN if not any(re.search(pattern, line) for line in lines)]
    assert idle == []


def test_every_page_of_commands_is_looked_at() -> None:
    assert {page.relative_to(ROOT).as_posix() for page, _ in CASES} >= {"README.md", "docs/data.md", "docs/predict.md"}
