"""Malicious bodies: each is rejected with a reason, and responses reveal nothing about the machine."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import re
import struct
import sys
import tracemalloc
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from maskfit.apps.service.problem_details import HTTPProblemError
from maskfit.apps.service.schemas import build_response_model
from maskfit.apps.service.settings import Limits
from maskfit.apps.service.uploads import JsonBodyParser, MultipartParser
from maskfit.errors import ModelFileError
from maskfit.labels.attribute import Attribute
from maskfit.labels.schema import LabelSchema

from .asgi_client import as_form, ask, body

LARGE = (50, 12, 110, 90)


def png_of(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG that claims a size, with as many bytes of zeros, packed, as `data` says."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg() -> bytes:
    stream = io.BytesIO()
    Image.effect_noise((200, 200), 90).convert("RGB").save(stream, "JPEG")
    return stream.getvalue()


PHOTOS = {
    "empty": b"",
    "claims-900-megapixels": png_of(30_000, 30_000, zlib.compress(b"\0" * 1_000_000)),
    "no-pixels": png_of(0, 10),
    "truncated": jpeg()[:-2000],
    "gif": b"GIF89a\1\0\1\0\0\0\0;",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "html": b"<html>",
    "zip": b"PK\x03\x04" + b"\0" * 100,
    "zeros": b"\0" * 1000,
    "path": b"/etc/passwd",
}


@pytest.mark.parametrize("kind", PHOTOS)
def test_a_malicious_photo_gets_an_error(common, photo, kind):
    files = [("files", ("bad.png", PHOTOS[kind])), ("files", ("good.png", photo(0)))]
    answer = common.post("/v1/predict", files=files)
    assert answer.status_code == 200
    bad, good = answer.json()["photos"]
    assert set(bad) == {"name", "error"}
    assert bad["error"]["message"]
    assert "0x" not in answer.text
    assert len(good["faces"]) == 1


def test_a_decompression_bomb_is_unpacked_only_as_far_as_its_pixels(common):
    bomb = png_of(100, 100, zlib.compress(b"\0" * 50_000_000))
    tracemalloc.start()
    try:
        (answer,) = common.post("/v1/predict", files={"files": ("bomb.png", bomb)}).json()["photos"]
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    assert answer["width"] == 100


def as_data(text: object) -> bytes:
    return json.dumps({"photos": [{"data": text}]}).encode()


JSONS = {
    "nothing": b"",
    "no-json": b"{",
    "no-object": b"[]",
    "no-photos": b'{"photos": []}',
    "null": b'{"photos": null}',
    "deep": b'{"photos": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "deep-objects": b'{"photos":' * 10_000,
    "wide": b'{"photos": [' + b"{}," * 1_000_000 + b"{}]}",
    "no-data": b'{"photos": [{"name": "a"}]}',
    "unknown-key": b'{"photos": [{"data": "", "path": "/etc/passwd"}]}',
    "unknown-key-above": b'{"photos": [{"data": ""}], "model": "x"}',
    "no-text": as_data(5),
    "no-base64": as_data("?"),
    "short-base64": as_data("YQ="),
    "wrapped-base64": as_data("YWFh\nYWFh"),
    "accent": as_data("é"),
    "data-url": as_data("data:image/png;base64,YQ=="),
    "long-name": json.dumps({"photos": [{"name": "n" * 256, "data": ""}]}).encode(),
    "half-a-pair": b'{"photos": [{"name": "\\ud800", "data": ""}]}',
    "no-utf8": b'{"photos": [{"name": "\xff", "data": ""}]}',
}


@pytest.mark.parametrize("kind", JSONS)
def test_malicious_json_is_rejected(common, kind):
    answer = common.post("/v1/predict", content=JSONS[kind], headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert len(answer.content) < 1000


PART = b'--edge\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\nphoto'
FORMS = {
    "nothing": b"",
    "breaks-off": PART,
    "breaks-off-in-a-header": b"--edge\r\nContent-Disp",
    "no-part": b"--edge--\r\n",
    "other-boundary": b"--other\r\n\r\n--other--",
    "other-part": PART.replace(b'"files"', b'"photo"') + b"\r\n--edge--\r\n",
    "no-file": PART.replace(b'; filename="a.png"', b"") + b"\r\n--edge--\r\n",
    "no-name": PART.replace(b'name="files"; ', b"") + b"\r\n--edge--\r\n",
    "no-header": b"--edge\r\n\r\nphoto\r\n--edge--\r\n",
    "many-headers": b"--edge\r\n" + b"a: b\r\n" * 1000 + PART[6:],
    "long-header": b"--edge\r\na: " + b"b" * 100_000,
    "odd-encoding": PART.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: zip\r\n\r\n") + b"\r\n--edge--\r\n",
    "broken-base64": PART.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n") + b"\r\n--edge--\r\n",
}


@pytest.mark.parametrize("kind", FORMS)
def test_a_malicious_form_is_rejected(common, kind):
    headers = {"content-type": "multipart/form-data; boundary=edge"}
    answer = common.post("/v1/predict", content=FORMS[kind], headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("text/plain", 415),
        ("", 415),
        ("application/x-www-form-urlencoded", 415),
        ("image/png", 415),
        ("multipart/form-data", 422),
        ("multipart/form-data; boundary=" + "e" * 1000, 422),
        ("multipart/mixed", 415),
    ],
)
def test_other_media_types_are_rejected(common, kind, status):
    answer = common.post("/v1/predict", content=b"x", headers={"content-type": kind})
    assert answer.status_code == status


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.sampled_from(
            [
                PART,
                b"--edge",
                b"--edge--",
                b"\r\n",
                b"\n",
                b"\r",
                b'"',
                b";",
                b"\0",
                b"content-disposition: form-data; name=files; filename=",
                b":",
            ]
        )
        | st.binary(max_size=9),
        max_size=12,
    )
)
def test_no_bytes_crash_the_body_parsers(chunks):
    statuses = set()
    for intake in (MultipartParser(b"edge", Limits()), JsonBodyParser(Limits())):
        try:
            for chunk in chunks:
                intake.feed(chunk)
            intake.finish()
        except HTTPProblemError as error:
            statuses.add(error.status)
    assert statuses <= {422}


WRITTEN: list[str] = []
WATCHING = [False]


def _watch(event: str, arguments: tuple) -> None:
    if WATCHING[0] and event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        WRITTEN.append(str(arguments[0]))


def test_nothing_is_written_to_disk(serve):
    """Python tells of every file that is opened; Starlette's own uploads go to one from 1 MB on."""
    sys.addaudithook(_watch)
    stream = io.BytesIO()
    Image.effect_noise((1500, 1500), 90).save(stream, "PNG")
    large = stream.getvalue()
    assert len(large) > 1_500_000
    served = serve()
    WATCHING[0] = True
    try:
        with open(os.devnull, "wb"):
            assert [os.devnull] == WRITTEN
        form = served.send(large, large)
        sent = {"photos": [{"data": base64.b64encode(large).decode()}]}
        plain = served.client.post("/v1/predict", json=sent)
    finally:
        WATCHING[0] = False
    assert (form.status_code, plain.status_code) == (200, 200)
    assert form.json()["photos"][0]["width"] == 1500
    assert [os.devnull] == WRITTEN


def test_names_bodies_and_tokens_are_not_logged(serve, photo, caplog, monkeypatch):
    token = "secret-token-" + "x" * 20
    monkeypatch.setenv("MASKFIT_TOKEN", token)
    served = serve()
    content, headers = as_form(photo(0, LARGE), b"secret-body")
    headers["authorization"] = f"Bearer {token}"
    with caplog.at_level(logging.DEBUG):
        for path in ("/v1/predict", "/v1/predict/secret-path", "/v1/predict"):
            ask(served.client.app, body(content), headers=headers, path=path)
        ask(served.client.app, body(content), headers=headers | {"authorization": "Bearer secret-wrong-" + "x" * 20})
        served.client.get("/v1/predict?secret-query=1")
        served.client.post(
            "/v1/predict", content=b'{"secret-key": 1}', headers=headers | {"content-type": "application/json"}
        )
    own = [record.getMessage() for record in caplog.records if record.name.startswith("maskfit")]
    assert any(line.startswith("POST /v1/predict 200") for line in own)
    assert any(line.startswith("POST other 404") for line in own)
    assert "secret" not in "\n".join(own)
    loud = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "secret" not in "\n".join(loud)


def test_an_internal_error_reveals_nothing_and_the_next_request_succeeds(serve, photo, caplog):
    served = serve()
    served.gate.fault = RuntimeError("/secret/place/model.onnx")
    answer = served.send(photo(0, LARGE))
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert "unhandled RuntimeError" in caplog.text
    assert "in _predict" in caplog.text
    assert "/secret/place" not in caplog.text
    served.gate.fault = None
    assert served.send(photo(0, LARGE)).status_code == 200


def test_the_model_description_contains_no_path(common):
    card = common.get("/v1/model")
    assert "secret-place" not in card.text
    data = card.json()
    assert [item["name"] for item in data["attributes"]] == ["mask", "gender", "age"]
    assert data["members"][0]["scores"] == {"macro_f1": 0.5, "odd": None}
    assert data["limits"]["photos"] == 32
    assert [engine.partition(",")[0] for engine in data["engines"]] in (["ONNX Runtime"], ["torch"])


def test_unknown_paths_and_methods_give_problem_details(common):
    client = common
    for path, verb, status in (
        ("/", "get", 404),
        ("/docs", "get", 404),
        ("/v1/predict", "get", 405),
        ("/healthz", "post", 405),
    ):
        answer = getattr(client, verb)(path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert client.delete("/v1/predict").headers["allow"] == "POST"


def test_a_refusal_says_what_to_send_instead(common, photo):
    image = photo(0)
    form = {"content": b"x", "headers": {"content-type": "image/png"}}
    curl = "; with curl use -F files=@photo.jpg"
    for answer, detail in (
        (common.get("/predict"), "there is no such path; /openapi.json lists them, and photos are sent to /v1/predict"),
        (common.get("/v1/predict"), "this path takes POST"),
        (common.post("/v1/predict", files={"file": ("a.png", image)}), f"a part that is not named 'files'{curl}"),
        (common.post("/v1/predict", **form), f"multipart/form-data or application/json{curl}"),
        (
            common.post("/v1/predict?face=false", files={"files": ("a.png", image)}),
            "query.face: there is no such parameter or field; /openapi.json lists them",
        ),
        (
            common.post("/v1/predict", json={"photos": [{"data": "", "title": "one"}]}),
            "photos.0.title: there is no such parameter or field; /openapi.json lists them",
        ),
        # Neither pydantic's words nor, of a body, the input.
        (common.post("/v1/predict", json={"photos": [{"data": 7}]}), "photos.0.data: it is not text"),
        (common.post("/v1/predict", json={"photos": [{}]}), "photos.0.data: this key is missing"),
        (common.post("/v1/predict", json={"photos": 7}), "photos: should be a valid array"),
        (
            common.post("/v1/predict?faces=what", files={"files": ("a.png", image)}),
            "query.faces: should be a valid boolean, unable to interpret input",
        ),
    ):
        assert answer.json()["detail"].endswith(detail)


def test_openapi_describes_the_responses(common):
    document = common.get("/openapi.json").json()
    responses = document["paths"]["/v1/predict"]["post"]["responses"]
    assert set(responses) == {"200", "408", "413", "415", "422", "429", "500", "503"}
    schemas = document["components"]["schemas"]
    assert set(schemas["FaceAnswer"]["properties"]) == {"box", "score", "mask", "gender", "age"}
    assert schemas["MaskSaid"]["properties"]["answer"]["enum"] == ["wear", "incorrect", "not_wear", "not sure"]
    named = {word.split("/")[-1] for word in re.findall(r'"#/components/schemas/[^"]+', json.dumps(document))}
    assert named <= set(schemas)
    assert schemas["PhotoFailure"]["description"] == (
        "A photo that could not be read; the others of the request are predicted."
    )


def test_attribute_names_are_free_except_reserved_ones(painted):
    odd = Attribute(name="model_x y", values=("<1", "a b"))
    answers = build_response_model(LabelSchema(attributes=(odd,)))
    data = {
        "answer": "not sure",
        "value": "<1",
        "probability": 0.5,
        "sure": False,
        "probabilities": {"<1": 0.5, "a b": 0.5},
    }
    face = {"box": None, "score": None, "model_x y": data}
    photo = {"name": None, "width": 1, "height": 1, "found": 0, "note": None, "faces": [face]}
    expected = {**photo, "left_out": 0, "faces": [{**face, "model_x y": {**data, "too_small": False}}]}
    assert answers.model_validate({"photos": [photo]}).model_dump(by_alias=True) == {"photos": [expected]}
    with pytest.raises(ModelFileError, match="'box'"):
        build_response_model(LabelSchema(attributes=(Attribute(name="box", values=("a", "b")),)))
