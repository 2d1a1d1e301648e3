"""How verbs that run networks have their memory allocated; see `maskfit.memory_allocator`."""

from __future__ import annotations

from maskfit.memory_allocator import DISABLED_VARIABLE, configure_malloc


def setup_allocator() -> str | None:
    """Has this process keep the memory that it frees; says so in a line for the log, None where nothing was changed."""
    return (
        f"memory that is freed is kept for the next step ({DISABLED_VARIABLE}=system gives it back)"
        if configure_malloc()
        else None
    )
