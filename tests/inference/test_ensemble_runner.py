"""The course of many photos: who comes after the first waits for nobody, and is answered as if it had waited."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from maskfit.inference.engines import precision_check
from maskfit.inference.ensemble_runner import PrecisionCascade
from maskfit.inference.precision_cascade import NUM_PROBE_IMAGES
from maskfit.labels.schema import LABEL_SCHEMAS

FULL = LABEL_SCHEMAS["mask-gender-age"]


class Answers:
    """In place of `Questions`: photos are numbers, and what is said of them in fewer bits is a little off."""

    checked = True

    def __init__(self, count: int, noise: float = 0.01) -> None:
        chance = np.random.default_rng(0)
        self.exact = chance.dirichlet(np.full(18, 0.2), count)
        logs = np.log(np.maximum(self.exact, 1e-12)) + chance.normal(0, noise, self.exact.shape)
        self.off = np.exp(logs) / np.exp(logs).sum(1, keepdims=True)
        self.asked_fast: list[int] = []
        self.asked_exactly: list[int] = []

    def nothing(self):
        return {}, np.empty((0, 18))

    def exactly(self, photos):
        self.asked_exactly += photos
        return {}, self.exact[list(photos)]

    def fast(self, photos):
        self.asked_fast += photos
        return {}, self.off[list(photos)]

    def both_ways(self, photos):
        shares = self.exactly(photos)
        return shares, (self.fast(photos)[1], shares[1])

    def measured(self, noted):
        return (
            precision_check.estimate_low_precision_error(FULL, *map(np.concatenate, zip(*noted, strict=True)))
            if noted
            else None
        )

    def settled(self, photos, said, trust):
        if trust is None:
            return self.exactly(photos)
        together = trust.debias(said[1])
        close = np.flatnonzero(trust.close(together))
        together[close] = self.exactly([photos[place] for place in close])[1] if len(close) else 0
        return {}, together


def one_by_one(answers: Answers, batches) -> np.ndarray:
    course = PrecisionCascade(answers)
    said = [course.resolve(course.submit([item for _, item in batch], first=batch[0][0])) for batch in batches]
    return np.concatenate([shares[1] for shares in said])


@pytest.mark.parametrize(("size", "lanes"), [(4, 1), (8, 3), (64, 1), (5, 2)])
def test_the_first_are_asked_both_ways_and_no_photo_is_left_out(size, lanes):
    batches = list(PrecisionCascade(Answers(0)).batches(range(50), size, lanes))
    assert [item for batch in batches for _, item in batch] == list(range(50))
    assert [item for batch in batches for first, item in batch if first] == list(range(NUM_PROBE_IMAGES))
    assert all(len({first for first, _ in batch}) == 1 and len(batch) <= size for batch in batches)


def test_where_nothing_is_to_be_checked_all_are_asked_exactly():
    answers = Answers(20)
    answers.checked = False
    found = one_by_one(answers, list(PrecisionCascade(answers).batches(range(20), 8, 2)))
    assert (found == answers.exact).all()
    assert answers.asked_fast == []


def test_who_is_asked_before_it_is_known_waits_for_nobody_and_is_answered_the_same():
    expected = one_by_one(Answers(120), list(PrecisionCascade(Answers(120)).batches(range(120), 8, 2)))
    answers = Answers(120)
    course = PrecisionCascade(answers)
    batches = list(course.batches(range(120), 8, 2))
    # All others first: on one thread nothing could ever come of waiting.
    said = {
        number: course.submit([item for _, item in batch], first=False)
        for number, batch in enumerate(batches)
        if not batch[0][0]
    }
    assert answers.asked_exactly == []
    for number, batch in enumerate(batches):
        if batch[0][0]:
            said[number] = course.submit([item for _, item in batch], first=True)
    found = np.concatenate([course.resolve(said[number])[1] for number in range(len(batches))])
    assert (found == expected).all()
    assert (found.argmax(1) == answers.exact.argmax(1)).all()
    assert len(answers.asked_fast) == 120
    assert NUM_PROBE_IMAGES < len(answers.asked_exactly) < 60


def test_first_photos_that_cannot_be_read_tell_nothing():
    """Fewer than a probe, or none: what could be read tells, and without any, all are asked exactly."""
    answers = Answers(60)
    course = PrecisionCascade(answers)
    few = course.submit([0, 1, 2, 3, 4, 5, 6, 7, 8], first=True)
    rest = course.submit(list(range(20, 60)), first=False)
    assert len(rest.unsettled) == 40
    assert (course.resolve(few)[1] == answers.exact[:9]).all()
    assert (course.resolve(rest)[1].argmax(1) == answers.exact[20:].argmax(1)).all()
    assert len(answers.asked_exactly) < 9 + 40

    answers = Answers(60)
    course = PrecisionCascade(answers)
    none, rest = course.submit([], first=True), course.submit(list(range(20)), first=False)
    assert len(course.resolve(none)[1]) == 0
    assert (course.resolve(rest)[1] == answers.exact[:20]).all()


def test_without_trust_fewer_bits_are_asked_no_longer():
    answers = Answers(80, noise=5.0)
    found = one_by_one(answers, list(PrecisionCascade(answers).batches(range(80), 8, 2)))
    assert (found == answers.exact).all()
    assert len(answers.asked_fast) == NUM_PROBE_IMAGES


def test_as_they_come_from_many_threads():
    answers = Answers(400)
    course = PrecisionCascade(answers)
    gate = threading.Barrier(4)

    def ask(start: int) -> np.ndarray:
        gate.wait()
        return np.concatenate([course.predict_now([place])[1] for place in range(start, start + 100)])

    with ThreadPoolExecutor(4) as threads:
        found = np.concatenate(list(threads.map(ask, range(0, 400, 100))))
    # Which photos come first, and so what is trusted, is up to the threads.
    assert (found.argmax(1) == answers.exact.argmax(1)).mean() > 0.99
    assert len(answers.asked_fast) == 400
    assert NUM_PROBE_IMAGES < len(answers.asked_exactly) < 200
