"""Waiting for predictions: one wake-up for a request, errors of photos and of the service, and what remains."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request

from maskfit.apps.service.prediction_waiting import wait_for_predictions
from maskfit.errors import PhotoError


def wait(futures: Sequence[Future[Any]], act: Any = lambda: None, *, disconnect: bool = False) -> tuple[Any, int]:
    """Waits while `act` runs in another thread; returns the results, and how often the event loop was woken."""
    num_wake_ups = 0

    async def receive() -> dict[str, Any]:
        if not disconnect:
            await asyncio.sleep(3600)
        return {"type": "http.disconnect"}

    async def run() -> Any:
        loop = asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe

        def count(*words: Any, **options: Any) -> Any:
            nonlocal num_wake_ups
            num_wake_ups += 1
            return wake(*words, **options)

        waiting = asyncio.ensure_future(wait_for_predictions(Request({"type": "http"}, receive), futures))
        await asyncio.sleep(0)
        loop.call_soon_threadsafe = count  # type: ignore[method-assign]
        with ThreadPoolExecutor(1) as pool:
            pool.submit(act).result()
        loop.call_soon_threadsafe = wake  # type: ignore[method-assign]
        return await asyncio.wait_for(waiting, 20)

    return asyncio.run(run()), num_wake_ups


def test_a_request_of_many_photos_wakes_the_event_loop_once():
    futures: list[Future[Any]] = [Future() for _ in range(5)]

    def act() -> None:
        for number, future in enumerate(reversed(futures)):
            future.set_result(number)

    assert wait(futures, act) == ([4, 3, 2, 1, 0], 1)
    assert wait(futures)[0] == [4, 3, 2, 1, 0]


def test_an_unreadable_photo_is_a_result_and_any_other_error_is_raised():
    futures: list[Future[Any]] = [Future(), Future()]
    unreadable = PhotoError("no photo")
    futures[0].set_exception(unreadable)
    futures[1].set_result("prediction")
    assert wait(futures)[0] == [unreadable, "prediction"]
    broken: Future[Any] = Future()
    broken.set_exception(RuntimeError("broken"))
    with pytest.raises(RuntimeError, match="broken"):
        wait([*futures, broken])


def test_a_disconnect_cancels_what_has_not_begun():
    futures: list[Future[Any]] = [Future(), Future(), Future()]
    futures[0].set_result("prediction")
    futures[1].set_running_or_notify_cancel()
    with pytest.raises(ClientDisconnect):
        wait(futures, disconnect=True)
    assert [future.cancelled() for future in futures] == [False, False, True]
    # Nobody waits any more, and the event loop is closed.
    futures[1].set_result("late")


def test_a_result_is_freed_without_the_garbage_collector():
    futures: list[Future[Any]] = [Future()]
    futures[0].set_result("prediction")
    gone = weakref.ref(futures[0])
    gc.disable()
    try:
        wait(futures)
        futures.clear()
        assert gone() is None
    finally:
        gc.enable()
