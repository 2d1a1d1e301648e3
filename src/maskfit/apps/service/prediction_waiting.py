"""Waits in the event loop for the predictions of a request, which threads compute."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future

from starlette.requests import ClientDisconnect, Request

from maskfit.errors import PhotoError
from maskfit.inference.face_prediction import PhotoPrediction


async def wait_for_predictions(
    request: Request, futures: Sequence[Future[PhotoPrediction]]
) -> list[PhotoPrediction | PhotoError]:
    """Waits for the predictions; cancels them where the client disconnects or the time is over.

    Args:
        request: The request, whose body was received.
        futures: A future for each photo, at least one.

    Returns:
        The prediction of each photo, or why it cannot be read.

    Raises:
        ClientDisconnect: The client disconnected.
        Exception: Whatever else a future has as exception.
    """
    loop = asyncio.get_running_loop()
    # One future of the event loop in place of one for each photo, a `gather` and a `wait`: a tenth of the time outside
    # of the networks went there.
    end = loop.create_future()
    done: list[None] = []
    num_photos = len(futures)

    def end_wait(_: object = None) -> None:
        if not end.done():
            end.set_result(None)

    def wake(_: object) -> None:
        # In the thread of the networks; only the last photo of a request wakes the event loop. The futures are counted
        # and not looked at, since they would refer to themselves and wait for the garbage collector.
        done.append(None)
        if len(done) == num_photos and not end.done():
            loop.call_soon_threadsafe(end_wait)

    disconnect = asyncio.ensure_future(_wait_for_disconnect(request))
    disconnect.add_done_callback(end_wait)
    for future in futures:
        future.add_done_callback(wake)
    try:
        await end
        if not all(future.done() for future in futures):
            raise ClientDisconnect
        return [_result(future) for future in futures]
    finally:
        for future in futures:
            future.cancel()
        disconnect.cancel()


def _result(future: Future[PhotoPrediction]) -> PhotoPrediction | PhotoError:
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, PhotoError):
        return error
    raise error


async def _wait_for_disconnect(request: Request) -> None:
    """Returns when the client disconnects."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
