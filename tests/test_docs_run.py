"""Every command of the docs is run on drawn photos, or stands below with the reason why not.

Each one runs alone, in a copy of one folder (`docs_world.py`) that has the files of which the pages speak.
Recipes are made tiny, nothing else is changed.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from docs_world import TINY, build_world
from test_docs_commands import PAGES, ROOT, read_commands

pytestmark = pytest.mark.slow

NOT_RUN = {
    r"--ray|^maskfit .*HEAD|torchrun|trainer\.(num_nodes|devices=4)": "needs a cluster; tests/cluster has its own",
    r"rtsp://|^maskfit video 0 ": "needs a camera; tests/apps/video reads streams",
    r"s3://|/data/": "needs storage of that name; tests/data/test_remote_files.py serves some",
    r"^maskfit (serve|app|review)\b": "runs until it is stopped; tests/apps start each",
    r"yunet": "needs weights that are fetched once; tests/data/detectors have some of their own",
    r"saliency": "needs weights that are fetched once; tests/data/test_saliency.py has a network of its own",
    r"loggers=wandb": "needs an account, or a server; tests/training log offline",
    r"PHOTOS|masked-faces|\.imagenet\.": "describes a measurement on real photos, beside which its result stands",
    r"^maskfit run champion": "trains at the recipe's full size; tests/cli/test_run_cli.py runs a tiny one",
    r"maskfit demo": "minutes; the slow tests of the base install run it",
    r"model\.pretrained=weights": "weights that are not here; tests/data/test_pretrained_weights.py has some",
    r"^maskfit data gan": "minutes of training; tests/synthesis train one",
    r" \.\.\.$": "not a whole command",
    r"race|camera --out": "columns of a data set that is described there",
    r"train\.json|covered=|rest=skip|calibrate photos --": "words of a data set that is described there",
    r"data\.path=(masked|mixed|gan0)|extra_train=(mixed|gan0)": "photos that the line before makes; tests/synthesis do",
    r"evaluate truth\.csv": "a truth that the photos to predict have in a competition; tests/cli/test_evaluate_cli.py",
    r"photos\.csv 'data\.codes": "a table of all attributes, in codes; tests/data/test_manifest.py",
    r"old_from_age": "ages of a larger set; tests/labels",
    r"cv\.split_file=splits\.csv": "a file that the line before makes; tests/data/test_splits.py",
    r"sweeps/first/best\.yaml|--resume": "continues the line before; tests/sweep do",
}
"""Pattern -> why commands with it are not run here."""

CASES = [
    (page, line) for page in PAGES if page.name != "CONTRIBUTING.md" for line in dict.fromkeys(read_commands(page))
]


def find_reason(line: str) -> str | None:
    return next((reason for pattern, reason in NOT_RUN.items() if re.search(pattern, line)), None)


RUN = [(page, line) for page, line in CASES if find_reason(line) is None]


def run_maskfit(folder: Path, words: list[str], out: Path | None = None) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SM_", "MASKFIT_"))}
    environment = kept | {"XDG_CACHE_HOME": str(folder / ".cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "maskfit", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if out:
        out.write_text(done.stdout, encoding="utf-8")
    return done


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("docs") / "world"
    root.mkdir()

    def run(*words: object, out: Path | None = None) -> None:
        done = run_maskfit(root, [str(word) for word in words], out)
        assert done.returncode == 0, (words, done.stderr[-2000:])

    return build_world(root, run)


@pytest.mark.parametrize(("page", "line"), RUN, ids=[f"{page.stem}: {line}" for page, line in RUN])
def test_a_command_of_the_docs_runs(page: Path, line: str, world: Path, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    shutil.copytree(world, folder)
    words = shlex.split(line, comments=True)[1:]
    if ">" in words:
        words = words[: words.index(">")]
    _remove_outputs(folder, words)
    if words[0] == "train":
        words += [item for item in TINY if not any(word.startswith(item.split("=")[0] + "=") for word in words)]
        words += ["data.cache_dir=cache"]
    if words[0] == "tune":
        words = [*words, *TINY]
        words[words.index("--trials") + 1] = "2"
    if "add-masks" in words:
        shutil.copy(folder / "bare.csv", folder / "faces.csv")
    done = run_maskfit(folder, words)
    assert done.returncode == 0, f"{line}\n{done.stdout[-1500:]}\n{done.stderr[-2500:]}"


def _remove_outputs(folder: Path, words: list[str]) -> None:
    """Removes what the command is about to write: nothing is overwritten without --force."""
    outputs = [words[at + 1] for at, word in enumerate(words) if word in ("--out", "--draw", "--probabilities")]
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
    assert len(RUN) > 0.55 * len(CASES)
    idle = [pattern for pattern in NOT_RUN if not any(re.search(pattern, line) for _, line in CASES)]
    assert idle == []


def test_every_page_of_commands_is_looked_at() -> None:
    assert {page.relative_to(ROOT).as_posix() for page, _ in CASES} >= {"README.md", "docs/data.md", "docs/predict.md"}
