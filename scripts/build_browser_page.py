"""Builds the page that runs the bundled model in the browser: a folder for any static web server.

uv run python scripts/build_browser_page.py --out site/browser
uv run python scripts/build_browser_page.py --out page --runtime onnxruntime-web-1.30.0.tgz   # without a network
python -m http.server --directory page --bind 127.0.0.1                                       # look at it

The page is docs/browser. The weights and their licenses come from the package, ONNX Runtime Web from the npm registry:
one tarball, pinned by its SHA-512, of which three files are used. It is kept in the user's cache. As a hook of mkdocs
(`hooks: [scripts/build_browser_page.py]`) this script completes the page of the site; MASKFIT_ORT_WEB then names a
tarball.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import io
import json
import logging
import os
import sys
import tarfile
import urllib.error
import urllib.request
from base64 import b64decode
from importlib import metadata
from pathlib import Path
from typing import Any

from PIL import Image

from maskfit.calibration import MIN_FACE_SIDE
from maskfit.data.crops import face as portraits
from maskfit.data.detectors import bundled as detector
from maskfit.data.detectors import interface
from maskfit.data.image_opening import MAX_PIXELS
from maskfit.errors import DataError, MaskfitError
from maskfit.file_io import atomic_write
from maskfit.inference import annotation, decisions, face_prediction, face_predictor
from maskfit.inference.input_resolution import bundled_model_path
from maskfit.synthesis.drawn.synthetic_video import render_video
from maskfit.user_cache import user_cache_dir

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "browser"

RUNTIME_VERSION = "1.30.0"
RUNTIME_URL = f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{RUNTIME_VERSION}.tgz"
RUNTIME_SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""As the registry's `dist.integrity` gives it, in base64."""
RUNTIME_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
"""The build without WebGPU: it needs no `unsafe-eval`, and half the bytes."""
RUNTIME_LICENSES = ("LICENSE", "ThirdPartyNotices.txt")
"""The npm package has neither; the Python package of ONNX Runtime has both."""
TARBALL_VARIABLE = "MASKFIT_ORT_WEB"
TIMEOUT = 60
"""Seconds without an answer of the registry."""

SAMPLE_SEED, SAMPLE_TIME = 1, 3.25

MARKER = "face_predictor.js"
"""A file of the page: a folder that has it is one that may be built again."""


class RuntimeDownloadError(DataError):
    """ONNX Runtime Web cannot be downloaded."""


def build_browser_page(out: Path, runtime: Path | None = None) -> list[Path]:
    """Writes the page, the weights, ONNX Runtime Web and the licenses to a folder.

    Args:
        out: The folder: a new or empty one, or one with this page.
        runtime: Tarball of ONNX Runtime Web; None takes it from the cache or downloads it.

    Returns:
        The written files.

    Raises:
        DataError: The folder holds other files; the tarball cannot be downloaded, or is another one.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARKER).is_file())):
        raise DataError("the folder holds other files than this page", location=out, hint="name a new folder")
    content = read_runtime(runtime)
    files = {path.relative_to(PAGE).as_posix(): path.read_bytes() for path in sorted(PAGE.rglob("*")) if path.is_file()}
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for name in RUNTIME_FILES:
            member = archive.extractfile(f"package/dist/{name}")
            if member is None:
                raise DataError(f"the tarball lacks {name}", hint="download it again")
            files[f"runtime/{name}"] = member.read()
    files |= {f"runtime/{name}": read_runtime_license(name) for name in RUNTIME_LICENSES}
    files |= {f"weights/{path.name}": path.read_bytes() for path in weights()}
    files["drawn-people.png"] = draw_people()
    files["LICENSE"] = (ROOT / "LICENSE").read_bytes()
    settings = page_settings()
    settings["bytes"] = sum(len(files[name]) for name in (*settings["files"].values(), settings["runtime"]["binary"]))
    files["settings.json"] = json.dumps(settings, indent=1).encode()
    for name, data in files.items():
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return [out / name for name in files]


def draw_people() -> bytes:
    """Draws the page's sample photo: four persons, of whom one wears no mask and one wears it wrongly.

    Returns:
        A PNG.
    """
    pixels = render_video(SAMPLE_SEED, 4, seconds=6, size=(960, 600)).frame(SAMPLE_TIME)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def weights() -> tuple[Path, Path]:
    """Returns the files of the bundled model and of the bundled detector.

    Returns:
        Both paths, in the package.
    """
    model = bundled_model_path()
    published = detector.Bundled.published
    assert published is not None
    return model, model.parent / published.name


def page_settings() -> dict[str, Any]:
    """Collects what the page must do as the package does: file names, options, limits, words, colors.

    Returns:
        The content of `settings.json`; numbers that belong to the model stand in its own file.
    """
    model, network = weights()
    options = inspect.signature(detector.Bundled).parameters
    colors = {"values": list(annotation.VALUE_COLORS), "notSure": annotation.ABSTAIN_COLOR}
    return {
        "files": {"model": f"weights/{model.name}", "detector": f"weights/{network.name}"},
        "runtime": {"version": RUNTIME_VERSION, "binary": f"runtime/{RUNTIME_FILES[-1]}"},
        "detector": {
            "side": options["side"].default,
            "score": options["score"].default,
            "iouThreshold": detector.IOU_THRESHOLD,
            "minReadScale": interface.MIN_READ_SCALE,
            "logSizeRange": detector.LOG_SIZE_RANGE,
            "strides": detector.STRIDES,
            "outputs": detector.OUTPUTS,
        },
        "portrait": {
            "faceWidth": portraits.FACE_WIDTH,
            "faceHeight": portraits.FACE_HEIGHT,
            "aspect": portraits.PORTRAIT_ASPECT,
        },
        "limits": {
            "maxFaces": face_predictor.MAX_FACES,
            "minFaceSide": MIN_FACE_SIDE,
            "maxPixels": MAX_PIXELS,
            "noFaceNote": face_prediction.NO_FACE_NOTE,
        },
        "words": {"notSure": decisions.NOT_SURE},
        "colors": colors,
    }


def read_runtime(path: Path | None) -> bytes:
    """Returns the tarball of ONNX Runtime Web, checked.

    Args:
        path: The tarball; None takes it from the cache or downloads it into the cache.

    Returns:
        Its content.

    Raises:
        DataError: It is missing, cannot be downloaded, or is another one.
    """
    cached = user_cache_dir("browser-page") / RUNTIME_URL.rpartition("/")[2]
    if path is not None:
        if not path.is_file():
            raise DataError("there is no such tarball", location=path, hint=f"download {RUNTIME_URL}")
        return check_runtime(path.read_bytes(), str(path))
    if cached.is_file() and is_runtime(cached.read_bytes()):
        return cached.read_bytes()
    try:
        with urllib.request.urlopen(RUNTIME_URL, timeout=TIMEOUT) as response:
            content = check_runtime(response.read(), RUNTIME_URL)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise RuntimeDownloadError(
            f"ONNX Runtime Web cannot be downloaded: {getattr(error, 'reason', error)}",
            location=RUNTIME_URL,
            hint="connect to the network, or download it elsewhere and name the file with --runtime",
        ) from None
    cached.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(cached) as temporary:
        temporary.write_bytes(content)
    return content


def is_runtime(content: bytes) -> bool:
    """Returns whether a file is the pinned tarball.

    Args:
        content: The file.

    Returns:
        Whether its SHA-512 is `RUNTIME_SHA512`.
    """
    return hashlib.sha512(content).digest() == b64decode(RUNTIME_SHA512)


def check_runtime(content: bytes, location: str) -> bytes:
    """Refuses any file but the pinned tarball.

    Args:
        content: The file.
        location: Where it is from, for the error.

    Returns:
        The content.

    Raises:
        DataError: It is another file.
    """
    if not is_runtime(content):
        raise DataError(
            f"this is not the tarball of ONNX Runtime Web {RUNTIME_VERSION}: its SHA-512 differs",
            location=location,
            hint=f"download {RUNTIME_URL}",
        )
    return content


def read_runtime_license(name: str) -> bytes:
    """Returns a license file of ONNX Runtime's Python package.

    Args:
        name: One of `RUNTIME_LICENSES`.

    Returns:
        Its content.

    Raises:
        DataError: The installed package lacks it.
    """
    files = metadata.files("onnxruntime") or []
    found = next((file.locate() for file in files if file.name == name and len(file.parts) == 2), None)
    if found is None:
        raise DataError(f"the package onnxruntime lacks its {name}", hint="pip install --force-reinstall onnxruntime")
    return Path(str(found)).read_bytes()


def on_post_build(config: Any) -> None:
    """Completes the page of a site that mkdocs has just built (mkdocs calls this).

    Without a network the rest of the site is as good as ever: the page then says that it is incomplete.

    Args:
        config: The configuration of mkdocs, which names the site's folder.

    Raises:
        DataError: The tarball that `TARBALL_VARIABLE` names is missing or another one.
    """
    named = os.environ.get(TARBALL_VARIABLE)
    out = Path(config["site_dir"]) / PAGE.name
    try:
        build_browser_page(out, Path(named) if named else None)
    except RuntimeDownloadError as error:
        logging.getLogger("mkdocs.hooks").info("%s is incomplete: %s", out, error.message)


def main() -> int:
    """Runs the command.

    Returns:
        The exit status: 2 for an error that the user can correct.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--runtime", type=Path, help="tarball of ONNX Runtime Web; otherwise cached or downloaded")
    parser.add_argument("--json", action="store_true", help="print the written files and their sizes as JSON")
    arguments = parser.parse_args()
    try:
        written = build_browser_page(arguments.out, arguments.runtime)
    except MaskfitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    sizes = {path.relative_to(arguments.out).as_posix(): path.stat().st_size for path in written}
    if arguments.json:
        print(json.dumps({"out": str(arguments.out), "files": sizes}, indent=1))
    else:
        print(f"{arguments.out}: {len(sizes)} files, {sum(sizes.values()) / 1e6:.1f} MB")
        print(f"python -m http.server --directory {arguments.out} --bind 127.0.0.1")
    return 0


if __name__ == "__main__":
    sys.exit(main())
