"""Where the user's cache is: files that can be computed or downloaded again."""

from __future__ import annotations

import os
from pathlib import Path

from maskfit.errors import DataError


def user_cache_dir(name: str) -> Path:
    """Returns a folder of maskfit in the user's cache, for files that can be computed or downloaded again.

    Args:
        name: Name of the folder.

    Returns:
        Its path, which may not exist yet.

    Raises:
        DataError: The user has no home folder, as an account without a name in a container.
    """
    try:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        raise DataError(
            "this user has no home folder for the cache", hint="set XDG_CACHE_HOME to a folder that you may write to"
        ) from None
    return Path(cache) / "maskfit" / name
