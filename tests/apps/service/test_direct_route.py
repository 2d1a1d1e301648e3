"""The short way of a plain request: the same responses as through FastAPI's checks, and none where there is a token."""

from __future__ import annotations

import dataclasses
import gc
import json
import threading

import fastapi.routing
import pytest

from maskfit.apps.service import uploads
from maskfit.apps.service.schemas import build_response_model
from maskfit.apps.service.server import _build_frozen_app
from maskfit.apps.service.service import InferenceService

from .test_predict import LARGE, SMALL, as_json


@pytest.fixture
def checked(monkeypatch):
    """Paths of the requests that FastAPI checked."""
    seen = []
    solve = fastapi.routing.solve_dependencies

    async def record(**words):
        seen.append(words["request"].url.query)
        return await solve(**words)

    monkeypatch.setattr(fastapi.routing, "solve_dependencies", record)
    return seen


@pytest.mark.parametrize("faces", ["true", "false"])
def test_a_request_without_parameters_is_answered_as_with_their_defaults(serve, common, photo, checked, faces):
    client = serve().client if faces == "true" else common
    files = [("files", ("a.png", content)) for content in (photo(1, SMALL, LARGE), b"none", photo(2))]
    plain = client.post("/v1/predict", files=files)
    assert checked == []
    spelled = client.post(f"/v1/predict?faces={faces}", files=files)
    assert set(checked) == {f"faces={faces}"}
    assert (plain.status_code, plain.content) == (200, spelled.content)
    assert plain.headers["content-type"] == spelled.headers["content-type"] == "application/json"
    assert client.post("/v1/predict?face=true", files=files).status_code == 422
    assert client.post("/v1/predict", content=b"x").headers["content-type"] == "application/problem+json"


def test_a_service_with_a_token_checks_every_request(serve, photo, checked, tmp_path):
    token = tmp_path / "token.txt"
    token.write_text("t" * 20)
    served = serve(token_file=token)
    for headers, status in ({}, 401), ({"authorization": "Bearer " + "t" * 20}, 200):
        checked.clear()
        assert served.send(photo(1), headers=headers).status_code == status
        assert checked


def test_responses_are_those_of_the_documented_model(serve, photo):
    served = serve()
    content = served.send(photo(1, SMALL, LARGE), b"none").content
    model = build_response_model(served.service.predictor.schema)
    assert model.model_validate_json(content).model_dump_json(by_alias=True).encode() == content
    # What a prediction leaves out, the documented model has as null.
    assert json.loads(content)["photos"][0]["faces"][0]["age"]["years"] is None


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/predict?faces=true"])
def test_what_the_documented_model_excludes_is_an_internal_error(serve, photo, monkeypatch, path):
    served = serve()
    batcher = served.service.batcher
    set_result = batcher._set_result
    monkeypatch.setattr(
        batcher, "_set_result", lambda job, result: set_result(job, dataclasses.replace(result, width=0))
    )
    answer = served.send(photo(1, LARGE), path=path)
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")


@pytest.mark.parametrize("limit", [10, 10**9])
def test_large_json_is_parsed_in_a_thread(serve, photo, monkeypatch, limit):
    served = serve()
    threads = []
    finish = uploads.JsonBodyParser.finish

    def record(parser):
        threads.append(threading.current_thread().name)
        return finish(parser)

    monkeypatch.setattr(uploads, "MAX_INLINE_JSON_BYTES", limit)
    monkeypatch.setattr(uploads.JsonBodyParser, "finish", record)
    assert served.client.post("/v1/predict", json=as_json(photo(1, LARGE))).json()["photos"][0]["found"] == 1
    assert [name.startswith("asyncio_") for name in threads] == [limit == 10]


def test_what_is_loaded_is_spared_the_garbage_collector(make_settings):
    gc.unfreeze()
    try:
        _build_frozen_app(InferenceService(make_settings()))
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()
