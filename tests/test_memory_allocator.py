"""Memory is kept where that can be reported, message once, and left alone where that is expected."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from maskfit import memory_allocator
from maskfit.cli.defaults import setup_allocator

FAULTS = """
import json, resource, sys
from maskfit.memory_allocator import configure_malloc
kept = configure_malloc()
counts = []
for _ in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = bytearray(32 * 2**20)
    del block
    counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(json.dumps([kept, counts]))
"""


@pytest.mark.skipif(memory_allocator.platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_a_block_that_is_kept_is_faulted_in_once_and_one_that_is_not_each_time() -> None:
    def count(**more: str) -> tuple[bool, list[int]]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")} | more
        done = subprocess.run(
            [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True, env=environment
        )
        kept, counts = json.loads(done.stdout)
        return kept, counts

    kept, counts = count()
    assert kept
    assert min(counts[1:]) < 100
    left, counts = count(MASKFIT_ALLOCATION="system")
    assert not left
    # Huge pages make few faults of many; without, there are 8,192.
    assert counts[-1] >= 16


@pytest.mark.parametrize("why", ["off", "another system"])
def test_it_is_left_alone(monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    monkeypatch.setattr(memory_allocator.ctypes, "CDLL", lambda name: pytest.fail("it was reported"))
    if why == "off":
        monkeypatch.setenv(memory_allocator.DISABLED_VARIABLE, "system")
    else:
        monkeypatch.setattr(memory_allocator.platform, "libc_ver", lambda: ("", ""))
    assert setup_allocator() is None


def test_what_was_done_is_told_with_how_to_switch_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[tuple[int, int]] = []

    class Glibc:
        def mallopt(self, name: int, value: int) -> int:
            reported.append((name, value))
            return 1

    monkeypatch.delenv(memory_allocator.DISABLED_VARIABLE, raising=False)
    monkeypatch.setattr(memory_allocator.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(memory_allocator.ctypes, "CDLL", lambda name: Glibc())
    message = setup_allocator()
    assert message is not None
    assert "MASKFIT_ALLOCATION=system" in message
    # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h.
    assert reported == [(-3, 2**30), (-1, -1)]
