"""Networks that are installed with maskfit: a damaged one may still run and then answers wrongly, so each is checked.

Their SHA-256 are in `weights/SHA256SUMS`, which `sha256sum *.onnx > SHA256SUMS` writes in that folder.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib import resources
from pathlib import Path

CHECKSUMS_NAME = "SHA256SUMS"
"""File of the checksums, in the form of the program sha256sum."""

REINSTALL_HINT = (
    "install maskfit again with pip install --force-reinstall (in a clone that runs from its sources: git checkout "
    "src/maskfit/weights)"
)
"""What to do about a damaged file."""


def packaged_path(name: str) -> Path:
    """Returns where a network of the package is.

    Args:
        name: File name.

    Returns:
        Its path, which an install may lack.
    """
    return Path(str(resources.files("maskfit") / "weights" / name))


def find_packaged_damage(path: Path) -> str | None:
    """Says why a network of the package cannot be used.

    Args:
        path: The file; its name says which it is.

    Returns:
        The reason; None where its content is what was packaged. It is read again only where the file changes.
    """
    try:
        stat = path.stat()
        found = _cached_sha256(path, stat.st_ino, stat.st_mtime_ns, stat.st_size)
        expected = _read_checksums(packaged_path(CHECKSUMS_NAME)).get(path.name)
    except (OSError, UnicodeDecodeError) as error:
        return f"it, or {CHECKSUMS_NAME} beside it, cannot be read: {error}"
    if expected is None:
        return f"it is not listed in {CHECKSUMS_NAME} beside it"
    return None if found == expected else f"its SHA-256 is {found}, that of the package is {expected}"


def _read_checksums(path: Path) -> dict[str, str]:
    rows = (line.split() for line in path.read_text(encoding="ascii").splitlines())
    return {row[1].removeprefix("*"): row[0] for row in rows if len(row) == 2}


@lru_cache(maxsize=8)
def _cached_sha256(path: Path, *_file_state: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
