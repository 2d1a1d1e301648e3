"""Runs functions of the page in Node.js, and the script that builds the page."""

from __future__ import annotations

import base64
import importlib.util
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "browser"
NODE = shutil.which("node")

SCRIPT = """
import { readFileSync, writeFileSync } from "node:fs";
const revive = (_, value) => (value?.bytes ? new Uint8Array(Buffer.from(value.bytes, "base64"))
  : value?.floats ? new Float32Array(new Uint8Array(Buffer.from(value.floats, "base64")).buffer) : value);
const replace = (_, value) => (value instanceof Uint8Array ? { bytes: Buffer.from(value).toString("base64") } : value);
const input = JSON.parse(readFileSync("input.json", "utf8"), revive);
let output;
BODY
writeFileSync("output.json", JSON.stringify(output, replace));
"""

RunJs = Callable[[str, Any], Any]


def pixels(image: NDArray[np.uint8]) -> dict[str, Any]:
    """An image as the page's modules take it."""
    height, width = image.shape[:2]
    return {"data": np.ascontiguousarray(image), "width": width, "height": height}


def _encode(value: Any) -> dict[str, str] | list[Any]:
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, np.ndarray) and value.dtype in (np.uint8, np.float32):
        return {"bytes" if value.dtype == np.uint8 else "floats": base64.b64encode(value.tobytes()).decode()}
    return list(value.tolist())


def _decode(value: dict[str, Any]) -> Any:
    return np.frombuffer(base64.b64decode(value["bytes"]), np.uint8) if value.keys() == {"bytes"} else value


@pytest.fixture
def run_js(tmp_path: Path) -> RunJs:
    """Runs statements that read `input` and set `output`, beside the page's modules."""
    if NODE is None:
        pytest.skip("there is no node to run the page's modules")
    folder = tmp_path / "modules"
    shutil.copytree(PAGE, folder)
    # Without this, Node.js takes .js for CommonJS.
    (folder / "package.json").write_text('{"type": "module"}', encoding="utf-8")

    def run(body: str, value: Any) -> Any:
        (folder / "input.json").write_text(json.dumps(value, default=_encode), encoding="utf-8")
        (folder / "script.js").write_text(SCRIPT.replace("BODY", body), encoding="utf-8")
        done = subprocess.run([NODE, "script.js"], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads((folder / "output.json").read_text(encoding="utf-8"), object_hook=_decode)

    return run


@pytest.fixture(scope="session")
def builder() -> ModuleType:
    """The script that builds the page."""
    spec = importlib.util.spec_from_file_location("build_browser_page", ROOT / "scripts" / "build_browser_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
