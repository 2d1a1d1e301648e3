"""Rejected requests: every limit by itself, missing tokens, slow clients and clients that disconnect."""

from __future__ import annotations

import base64
import gc
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

from maskfit.apps.service.routes import build_app
from maskfit.apps.service.service import InferenceService
from maskfit.apps.service.settings import Limits, ServiceSettings
from maskfit.errors import DataError

from .asgi_client import as_form, ask, body

LARGE = (50, 12, 110, 90)
TOKEN = "t0ken-" + "x" * 20


def count(served, name, **labels):
    return served.service.metrics.registry.get_sample_value(name, labels) or 0


def refused(answer, status):
    """Checks a rejection and returns its detail."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["type"], problem["status"], set(problem)) == (
        "about:blank",
        status,
        {"type", "title", "status", "detail"},
    )
    return problem["detail"]


def test_a_full_queue_rejects_with_retry_after(serve, photo, wait_until):
    served = serve(queue=2)
    served.gate.open.clear()
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(served.send, photo(seed, LARGE)) for seed in range(2)]
        wait_until(lambda: served.service.batcher.pending_count == 2)
        answer = served.send(photo(3, LARGE))
        assert "2 photos are waiting" in refused(answer, 429)
        assert answer.headers["retry-after"] == "1"
        served.gate.open.set()
        assert [item.result().status_code for item in asked] == [200, 200]
    assert served.send(photo(3, LARGE)).status_code == 200
    assert (served.service.batcher.pending_count, count(served, "maskfit_queue_photos")) == (0, 0)
    assert count(served, "maskfit_rejections_total", reason="queue") == 1


def test_a_request_larger_than_the_queue_is_rejected_as_a_whole(serve, photo):
    served = serve(queue=2)
    refused(served.send(*[photo(0)] * 3), 429)
    assert served.service.batcher.pending_count == 0


@pytest.mark.parametrize("declared", [True, False])
def test_a_too_large_body_is_rejected_with_or_without_content_length(serve, declared):
    served = serve(body_bytes=10_000)
    content, headers = as_form(b"x" * 20_000)
    if declared:
        headers["content-length"] = str(len(content))
    chunks = [content[start : start + 1000] for start in range(0, len(content), 1000)]
    answer = ask(served.client.app, body(*chunks), headers=headers)
    assert (answer.status, json.loads(answer.body)["detail"]) == (413, "the body has more than 10,000 bytes")
    assert served.service.body_memory.reserved_bytes == 0


def test_the_memory_of_all_bodies_is_bounded(serve, photo):
    served = serve()
    with served.service.body_memory.reservation() as reservation:
        reservation.reserve(served.service.body_memory.max_bytes - 100)
        assert "at once" in refused(served.send(photo(0)), 429)
    assert served.send(photo(0)).status_code == 200
    assert served.service.body_memory.reserved_bytes == 0


def test_a_too_large_photo_fails_alone(serve, photo):
    good = photo(0, LARGE)
    served = serve(photo_bytes=len(good) + 1000, photo_pixels=120 * 100)
    small, large = served.send(good, photo(1) + b"\0" * 2000).json()["photos"]
    assert small["found"] == 1
    assert "more than the" in large["error"]["message"]
    (answer,) = serve(photo_pixels=120 * 100 - 1).send(good).json()["photos"]
    assert "120 x 100 = 12,000 pixels, more than the maximum of 11,999" in answer["error"]["message"]


def test_too_many_photos_are_rejected_as_form_and_as_json(serve, photo):
    served = serve(photos=2)
    assert refused(served.send(*[photo(0)] * 3), 422) == "a request has at most 2 photos"
    sent = {"photos": [{"data": base64.b64encode(photo(0)).decode()}] * 3}
    assert refused(served.client.post("/v1/predict", json=sent), 422) == "a request has at most 2 photos"
    assert served.send(*[photo(0)] * 2).status_code == 200


def test_a_prediction_times_out(serve, photo):
    served = serve(seconds=0.3)
    served.gate.open.clear()
    answer = served.send(photo(0, LARGE))
    assert "the prediction took more than 0.3 s" in refused(answer, 503)
    assert answer.headers["retry-after"] == "1"
    assert served.service.batcher.pending_count == 0
    served.gate.open.set()


def test_a_slow_body_times_out(serve):
    served = serve(seconds=0.2)
    content, headers = as_form(b"x" * 100)
    answer = ask(served.client.app, body(content[:50], end=False), headers=headers)
    assert (answer.status, json.loads(answer.body)["detail"]) == (408, "the body took more than 0.2 s")


def test_a_disconnected_request_is_cancelled(serve, photo, wait_until, caplog, monkeypatch):
    # The one network thread is held at the gate: another one might take the photos before their client has gone.
    monkeypatch.setattr(ServiceSettings, "threads", 1)
    served = serve()
    served.gate.open.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(served.send, photo(0, LARGE))
        wait_until(lambda: served.gate.batches == [1])
        content, headers = as_form(photo(1, LARGE), photo(2, LARGE))
        messages = [*body(content), {"type": "http.disconnect"}]
        left = pool.submit(ask, served.client.app, messages, headers=headers)
        assert left.result().status in (0, 499)
        assert served.service.batcher.pending_count == 1
        served.gate.open.set()
        assert first.result().status_code == 200
    assert served.send(photo(3, LARGE)).status_code == 200
    assert sum(served.gate.batches) == 2
    assert count(served, "maskfit_photos_total", outcome="lost") == 2
    # Asyncio logs what nobody looked at when it is freed.
    gc.collect()
    assert not [record.getMessage() for record in caplog.records if record.name == "asyncio"]


def test_a_disconnect_during_the_body_frees_its_memory(serve):
    served = serve()
    content, headers = as_form(b"x" * 100)
    answer = ask(served.client.app, [*body(content[:50], end=False), {"type": "http.disconnect"}], headers=headers)
    assert answer.status in (0, 499)
    assert (served.service.body_memory.reserved_bytes, served.service.batcher.pending_count) == (0, 0)


@pytest.fixture(scope="module")
def guarded(model):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MASKFIT_TOKEN", TOKEN)
        with TestClient(build_app(InferenceService(ServiceSettings(models=(str(model),), faces=False)))) as client:
            yield client


@pytest.mark.parametrize("given", [None, "Bearer wrong-" + "x" * 20, "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}é"])
@pytest.mark.parametrize(("verb", "path"), [("POST", "/v1/predict"), ("GET", "/v1/model"), ("GET", "/metrics")])
def test_without_the_token_every_request_is_rejected(guarded, given, verb, path):
    headers = {} if given is None else {"authorization": given.encode()}
    answer = guarded.request(verb, path, headers=headers)
    refused(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


def test_with_the_token_requests_are_accepted(guarded, photo):
    headers = {"authorization": f"Bearer {TOKEN}"}
    files = {"files": ("a.png", photo(0))}
    assert guarded.post("/v1/predict", files=files, headers=headers).status_code == 200
    assert [guarded.get(path, headers=headers).status_code for path in ("/v1/model", "/metrics")] == [200, 200]
    assert [guarded.get(path).status_code for path in ("/healthz", "/readyz", "/openapi.json")] == [200] * 3
    paths = guarded.get("/openapi.json").json()["paths"]
    assert all("401" in paths[path][verb]["responses"] for path, verb in (("/v1/predict", "post"), ("/metrics", "get")))


@pytest.mark.parametrize("text", ["", "short", "x" * 15, "with a space in its middle", "größer-als-sechzehn"])
def test_an_invalid_token_is_rejected(make_settings, tmp_path, text):
    path = tmp_path / "token.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="token"):
        make_settings(token_file=path).token()


def test_the_token_file_overrides_the_environment(make_settings, tmp_path, monkeypatch):
    monkeypatch.setenv("MASKFIT_TOKEN", "e" * 20)
    path = tmp_path / "token.txt"
    path.write_text("f" * 20 + "\n")
    assert (make_settings().token(), make_settings(token_file=path).token()) == ("e" * 20, "f" * 20)
    with pytest.raises(DataError, match="cannot be read"):
        make_settings(token_file=tmp_path / "none").token()


def test_stop_completes_accepted_photos(serve, photo):
    served = serve()
    served.gate.open.clear()
    batcher = served.service.batcher
    answers = batcher.submit([photo(seed, LARGE) for seed in range(5)], True)
    stop = threading.Thread(target=batcher.stop)
    stop.start()
    served.gate.open.set()
    stop.join(20)
    assert all(answer.result(0).num_faces == 1 for answer in answers)
    assert not batcher.is_running
    refused(served.client.get("/readyz"), 503)


def test_readiness_follows_the_state(serve, photo, make_settings):
    assert not InferenceService(make_settings()).is_ready
    served = serve()
    assert served.client.get("/readyz").json() == {"status": "ready"}
    assert "connection" not in served.send(photo(0)).headers
    served.service.deadlines.stop()
    refused(served.client.get("/readyz"), 503)
    answer = served.send(photo(0))
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    assert served.client.get("/healthz").status_code == 200
    served.service.deadlines.stop_time = time.monotonic()
    answer = served.send(photo(1))
    assert refused(answer, 503) == "the service is stopping"
    assert answer.headers["connection"] == "close"
    assert count(served, "maskfit_rejections_total", reason="stopping") == 2


@pytest.mark.parametrize("stage", ["body", "prediction"])
def test_a_shutdown_answers_requests_that_are_not_complete_in_time(serve, photo, wait_until, stage):
    served = serve()
    served.gate.open.clear()
    deadlines = served.service.deadlines
    content, headers = as_form(photo(0, LARGE))
    messages = body(content[:50], end=False) if stage == "body" else body(content)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, served.client.app, messages, headers=headers)
        wait_until(lambda: deadlines._running and (stage == "body" or served.gate.batches))
        deadlines.stop_seconds = 0
        deadlines.stop()
        answer = asked.result(20)
    assert (answer.status, json.loads(answer.body)["detail"]) == (503, "the service is stopping")
    assert (served.service.body_memory.reserved_bytes, served.service.batcher.pending_count) == (0, 0)
    assert not deadlines._running


def test_a_shutdown_leaves_a_request_no_more_than_its_own_time(serve):
    served = serve(seconds=0.2)
    served.service.deadlines.stop()
    content, headers = as_form(b"x" * 100)
    answer = ask(served.client.app, body(content[:50], end=False), headers=headers)
    assert (answer.status, json.loads(answer.body)["detail"]) == (408, "the body took more than 0.2 s")


def test_settings_round_trip_through_json():
    settings = ServiceSettings(models=("a", "b"), limits=Limits(photos=3), batch_wait=0.25, token_file="token.txt")
    assert ServiceSettings.model_validate_json(settings.model_dump_json()) == settings
    assert settings.model_copy(update={"workers": 1000}).threads == 1


@pytest.mark.parametrize("reason", ["disconnect", "timeout"])
def test_work_that_nobody_waits_for_is_dropped(serve, photo, wait_until, monkeypatch, reason):
    """One thread decodes; of the photos queued behind it none is decoded, and one that is decoded goes no further."""
    from maskfit.apps.service import dynamic_batching

    served = serve(seconds=0.5 if reason == "timeout" else 30)
    batcher, decode = served.service.batcher, dynamic_batching.decode
    monkeypatch.setattr(batcher, "_pool", ThreadPoolExecutor(1))
    decoded, may_go_on = [], threading.Event()

    def slowly(content, **options):
        decoded.append(content)
        assert may_go_on.wait(20)
        return decode(content, **options)

    detected = []
    predictor = batcher._face_predictors[True]
    preprocess = predictor.preprocess
    monkeypatch.setattr(dynamic_batching, "decode", slowly)
    monkeypatch.setattr(
        predictor, "preprocess", lambda *own, **options: detected.append(1) or preprocess(*own, **options)
    )
    content, headers = as_form(*(photo(seed, LARGE) for seed in range(5)))
    gone = [lambda: decoded, {"type": "http.disconnect"}] if reason == "disconnect" else []
    answer = ask(served.client.app, [*body(content), *gone], headers=headers)
    assert answer.status in ((0, 499) if gone else (503,))
    assert len(decoded) == 1
    # They count as waiting no more, so that others are admitted at once; their bytes are let go.
    assert batcher.pending_count == 0
    assert served.service.body_memory.reserved_bytes == 0
    may_go_on.set()
    assert served.send(photo(7, LARGE)).status_code == 200
    assert len(decoded) == 2
    assert len(detected) == 1
    assert served.gate.batches == [1]
    assert count(served, "maskfit_photos_total", outcome="lost") == 5
    wait_until(lambda: batcher._num_detecting == 0)
