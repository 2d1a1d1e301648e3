"""Worker processes that render images."""

import os

import pytest

from maskfit.synthesis.process_pool import BLAS_THREADS, parallel_map


def read_threads(name: str) -> tuple[str | None, list[int]]:
    """Returns a variable of this process and how many threads NumPy multiplies matrices with."""
    import numpy as np
    from threadpoolctl import threadpool_info

    assert np.dot(np.eye(2), np.ones(2)).sum() == 2
    return os.environ.get(name), [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


@pytest.mark.parametrize("own", [None, "2"])
def test_each_process_multiplies_on_one_thread(own: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of two processes that share two cores only wait for each other; a user's own setting stays."""
    name = BLAS_THREADS[0]
    if own is None:
        monkeypatch.delenv(name, raising=False)
    else:
        monkeypatch.setenv(name, own)
    with parallel_map(8, workers=2) as map_jobs:
        assert os.environ.get(name) == own
        found = list(map_jobs(read_threads, [name] * 8))
    assert {value for value, _ in found} == {own or "1"}
    if own is None:
        assert all(threads == [1] for _, threads in found if threads), found
