"""Tests of the service's memory of answers: photos that come again get the same answer without being computed."""

from __future__ import annotations

import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from maskfit.apps.service.answer_memory import AnswerMemory
from maskfit.inference.face_prediction import PhotoPrediction

LARGE = (50, 12, 110, 90)
SMALL = (5, 15, 35, 50)


def make_answer(num_faces: int) -> PhotoPrediction:
    return PhotoPrediction(8, 8, (None,) * num_faces)  # type: ignore[arg-type]  # the memory only counts faces


def count(served) -> float:
    """Photos that the service says it had an answer for."""
    families = text_string_to_metric_families(served.client.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return next(sample.value for sample in samples if sample.name == "maskfit_photos_remembered_total")


def test_a_photo_that_comes_again_gets_the_same_answer_without_the_network(serve, photo):
    served = serve()
    first = served.send(photo(0, LARGE, SMALL), photo(1, LARGE)).json()
    num_batches = len(served.gate.batches)
    again = served.send(photo(1, LARGE), photo(0, LARGE, SMALL)).json()
    assert [item["faces"] for item in again["photos"]] == [item["faces"] for item in first["photos"]][::-1]
    assert [item["name"] for item in again["photos"]] == ["photo0.png", "photo1.png"]
    assert len(served.gate.batches) == num_batches
    assert count(served) == 2


def test_answers_with_and_without_detection_are_not_confused(serve, photo):
    served, content = serve(), photo(0, LARGE, SMALL)
    found = served.send(content).json()["photos"][0]
    whole = served.send(content, path="/v1/predict?faces=false").json()["photos"][0]
    assert len(found["faces"]) == 2
    assert [face["box"] for face in whole["faces"]] == [None]
    assert served.send(content).json()["photos"][0] == found
    assert count(served) == 1


def test_a_photo_without_a_face_is_remembered_and_an_unreadable_one_is_not(serve, photo):
    served = serve()
    first = served.send(photo(0), b"none").json()
    assert served.send(photo(0), b"none").json() == first
    assert first["photos"][0]["faces"] == []
    assert count(served) == 1


def test_after_an_error_of_the_network_the_photo_is_computed_again(serve, photo):
    served = serve()
    served.gate.fault = RuntimeError("fault")
    assert served.send(photo(0, LARGE)).status_code == 500
    served.gate.fault = None
    assert len(served.send(photo(0, LARGE)).json()["photos"][0]["faces"]) == 1
    assert count(served) == 0


def test_nothing_is_remembered_with_zero(serve, photo):
    served = serve(remember=0)
    answers = [served.send(photo(0, LARGE)).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(served.gate.batches) == 2 + served.gate.batches.count(0)
    assert count(served) == 0


def test_the_service_forgets_what_was_not_asked_for_the_longest(serve, photo):
    served = serve(remember=2)
    for seed in (0, 1, 0, 2, 0, 1):
        served.send(photo(seed, LARGE))
    # The second and third 0; 1 was forgotten for 2.
    assert count(served) == 2


@pytest.mark.parametrize("num_faces", [0, 1, 3])
def test_memory_is_bounded_in_faces(num_faces):
    memory = AnswerMemory(max_faces=6)
    keys = [memory.key(b"%d" % number, True) for number in range(20)]
    for key in keys:
        memory.put(key, make_answer(num_faces))
    kept = [key for key in keys if memory.get(key)]
    assert kept == keys[-6 // max(num_faces, 1) :]


def test_an_answer_with_more_faces_than_are_kept_is_not_kept():
    memory = AnswerMemory(max_faces=2)
    memory.put(b"one", make_answer(1))
    memory.put(b"many", make_answer(3))
    assert memory.get(b"many") is None


def test_keys_differ_between_processes_and_questions():
    memory, other = AnswerMemory(1), AnswerMemory(1)
    keys = {memory.key(b"a", True), memory.key(b"a", False), memory.key(b"b", True), other.key(b"a", True)}
    assert len(keys) == 4
    assert memory.key(b"a", True) == memory.key(b"a", True)


def test_many_threads_may_use_it():
    memory = AnswerMemory(max_faces=50)

    def work(start: int) -> None:
        for number in range(start, start + 300):
            key = memory.key(b"%d" % (number % 100), True)
            found = memory.get(key)
            assert found is None or found.width == number % 100
            memory.put(key, PhotoPrediction(number % 100, 8, ()))

    threads = [threading.Thread(target=work, args=(start,)) for start in range(0, 400, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([number for number in range(100) if memory.get(memory.key(b"%d" % number, True))]) == 50
