"""The precision cascade: its error estimate against loops and known errors, and its order against many threads."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from maskfit.inference.ensemble_runner import EnsembleOutput
from maskfit.inference.precision_cascade import NUM_PROBE_IMAGES, PrecisionCascade
from maskfit.inference.precision_error import MARGIN_STDS, PrecisionErrorEstimate, estimate_precision_error
from maskfit.labels.schema import LABEL_SCHEMAS

FULL = LABEL_SCHEMAS["mask-gender-age"]


def rows(count: int, seed: int = 0) -> np.ndarray:
    """What joint heads may say."""
    return np.random.default_rng(seed).dirichlet(np.full(18, 0.2), count)


def products(count: int, seed: int = 0, noise: tuple[float, ...] = (0, 0, 0), shift: float = 0.0) -> np.ndarray:
    """What a head for each attribute says, with errors of so much in the logarithms of each one's values."""
    chance, errors = np.random.default_rng(seed), np.random.default_rng(seed + 99)
    table = np.ones((count, 1))
    for size, own in zip(FULL.shape, noise, strict=True):
        logits = chance.normal(0, 1.5, (count, size)) + errors.normal(0, 1, (count, size)) * own
        logits[:, 0] += shift
        values = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        table = (table[:, :, None] * values[:, None, :]).reshape(count, -1)
    return table


def far_apart(row: np.ndarray, trust: PrecisionErrorEstimate) -> bool:
    """Whether the best of each attribute and of all classes are far enough from the next, value by value."""
    cube = row.reshape(3, 2, 3)
    for name, values in zip(FULL.names, (cube.sum((1, 2)), cube.sum((0, 2)), cube.sum((0, 1))), strict=True):
        second, first = sorted(map(float, values))[-2:]
        if math.log(first) - math.log(second) < MARGIN_STDS * trust.log_ratio_std[name]:
            return False
    order = sorted(range(18), key=lambda number: -row[number])
    one, other = (np.unravel_index(number, (3, 2, 3)) for number in order[:2])
    spread = math.sqrt(
        sum(trust.log_ratio_std[name] ** 2 for name, a, b in zip(FULL.names, one, other, strict=True) if a != b)
    )
    return math.log(row[order[0]]) - math.log(row[order[1]]) >= MARGIN_STDS * spread


def test_answers_are_close_by_any_attribute_or_by_the_class():
    trust = PrecisionErrorEstimate(
        FULL, {name: np.zeros(size) for name, size in FULL.sizes.items()}, {"mask": 0.02, "gender": 0.05, "age": 0.2}
    )
    table = rows(300)
    expected = [not far_apart(row, trust) for row in table]
    assert trust.needs_f32(table).tolist() == expected
    assert 0 < sum(expected) < 300
    assert trust.needs_f32(np.full((1, 18), 1 / 18)).tolist() == [True]


def test_each_attribute_has_its_own_deviation():
    noise = (0.002, 0.01, 0.05)
    exact, fast = products(2000), products(2000, noise=noise)
    trust = estimate_precision_error(FULL, fast[:32], exact[:32])
    assert trust is not None
    for name, own in zip(FULL.names, noise, strict=True):
        # The difference of two errors, measured on 32 photos.
        assert 0.5 < trust.log_ratio_std[name] / (own * math.sqrt(2)) < 2
    close = trust.needs_f32(trust.debias(fast))
    turned = fast.argmax(1) != exact.argmax(1)
    assert turned.any()
    assert not (turned & ~close).any()
    assert close.mean() < 0.2


def test_what_fewer_bits_add_on_the_average_is_taken_away():
    exact, fast = products(500), products(500, noise=(0.002, 0.002, 0.002), shift=0.2)
    trust = estimate_precision_error(FULL, fast[:32], exact[:32])
    assert trust is not None
    corrected = trust.debias(fast)
    assert np.abs(corrected.sum(1) - 1).max() < 1e-12
    assert np.abs(np.log(fast) - np.log(exact)).mean() > 0.1
    assert np.abs(np.log(corrected) - np.log(exact)).mean() < 0.01
    assert max(trust.log_ratio_std.values()) < 0.01


def test_joint_answers_that_fewer_bits_turned_are_close():
    exact = rows(2000)
    logs = np.log(np.maximum(exact, 1e-12)) + np.random.default_rng(1).normal(0, 0.01, exact.shape)
    fast = np.exp(logs) / np.exp(logs).sum(1, keepdims=True)
    trust = estimate_precision_error(FULL, fast[:32], exact[:32])
    assert trust is not None
    turned = fast.argmax(1) != exact.argmax(1)
    assert turned.any()
    assert (turned & ~trust.needs_f32(trust.debias(fast))).mean() < 0.002


def test_where_nearly_all_are_close_none_is_trusted():
    exact = rows(32)
    assert estimate_precision_error(FULL, rows(32, seed=1), exact) is None
    assert estimate_precision_error(FULL, exact[:0], exact[:0]) is None


def test_the_same_answers_are_trusted_all():
    exact = rows(32)
    trust = estimate_precision_error(FULL, exact, exact)
    assert trust is not None
    assert not trust.needs_f32(trust.debias(exact)).any()


def test_one_attribute_alone_and_probabilities_of_nothing():
    scheme = LABEL_SCHEMAS["mask"]
    sure = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.2, 0.1, 0.7]])
    trust = estimate_precision_error(scheme, sure, sure)
    assert trust is not None
    assert np.abs(trust.debias(sure) - sure).max() < 1e-12
    wide = PrecisionErrorEstimate(scheme, {"mask": np.zeros(3)}, {"mask": 0.01})
    assert wide.needs_f32(sure).tolist() == [False, True, False]


class FakeEnsemble:
    """In place of `EnsembleRunner`: inputs are indices, and low precision is a little off."""

    def __init__(self, count: int, noise: float = 0.01) -> None:
        rng = np.random.default_rng(0)
        self.schema = FULL
        self.has_low_precision, self.allows_approximate_pixels, self.rounds_to_int8 = True, False, True
        self.exact = rng.dirichlet(np.full(18, 0.2), count)
        logs = np.log(np.maximum(self.exact, 1e-12)) + rng.normal(0, noise, self.exact.shape)
        self.fast = np.exp(logs) / np.exp(logs).sum(1, keepdims=True)
        self.run_fast: list[int] = []
        self.run_f32: list[int] = []

    def forward(self, inputs, *, low_precision=False):
        (self.run_fast if low_precision else self.run_f32).extend(inputs)
        table = self.fast if low_precision else self.exact
        return EnsembleOutput(table[np.array(inputs, dtype=np.int64)], {})


def one_by_one(ensemble: FakeEnsemble, batches) -> np.ndarray:
    cascade = PrecisionCascade(ensemble)
    outputs = [cascade.resolve(cascade.submit([item for _, item in batch], probe=batch[0][0])) for batch in batches]
    return np.concatenate([output.combined for output in outputs])


@pytest.mark.parametrize(("size", "num_workers"), [(4, 1), (8, 3), (64, 1), (5, 2)])
def test_the_first_inputs_are_probes_and_none_is_left_out(size, num_workers):
    batches = list(PrecisionCascade(FakeEnsemble(0)).split(range(50), size, num_workers))
    assert [item for batch in batches for _, item in batch] == list(range(50))
    assert [item for batch in batches for probe, item in batch if probe] == list(range(NUM_PROBE_IMAGES))
    assert all(len({probe for probe, _ in batch}) == 1 and len(batch) <= size for batch in batches)


def test_without_low_precision_everything_runs_in_f32():
    ensemble = FakeEnsemble(20)
    ensemble.has_low_precision = False
    found = one_by_one(ensemble, list(PrecisionCascade(ensemble).split(range(20), 8, 2)))
    assert (found == ensemble.exact).all()
    assert ensemble.run_fast == []


def test_batches_before_the_estimate_do_not_wait_and_give_the_same():
    expected = one_by_one(FakeEnsemble(120), list(PrecisionCascade(FakeEnsemble(120)).split(range(120), 8, 2)))
    ensemble = FakeEnsemble(120)
    cascade = PrecisionCascade(ensemble)
    batches = list(cascade.split(range(120), 8, 2))
    # All others first: on one thread nothing could ever come of waiting.
    pending = {
        number: cascade.submit([item for _, item in batch], probe=False)
        for number, batch in enumerate(batches)
        if not batch[0][0]
    }
    assert ensemble.run_f32 == []
    for number, batch in enumerate(batches):
        if batch[0][0]:
            pending[number] = cascade.submit([item for _, item in batch], probe=True)
    found = np.concatenate([cascade.resolve(pending[number]).combined for number in range(len(batches))])
    assert (found == expected).all()
    assert (found.argmax(1) == ensemble.exact.argmax(1)).all()
    assert len(ensemble.run_fast) == 120
    assert NUM_PROBE_IMAGES < len(ensemble.run_f32) < 60


def test_a_stream_gives_the_same_in_order_with_any_number_of_threads():
    expected = one_by_one(FakeEnsemble(120), list(PrecisionCascade(FakeEnsemble(120)).split(range(120), 8, 2)))
    stream = PrecisionCascade(FakeEnsemble(120)).predict_stream(
        range(120), lambda item: item, lambda batch: batch, batch_size=8, num_workers=2
    )
    loaded, outputs = zip(*stream, strict=True)
    assert [item for batch in loaded for item in batch] == list(range(120))
    assert (np.concatenate([output.combined for output in outputs]) == expected).all()


def test_probes_that_cannot_be_read_are_no_probes():
    """Fewer than `NUM_PROBE_IMAGES`: those that can be read count, and without any, everything runs in f32."""
    ensemble = FakeEnsemble(60)
    cascade = PrecisionCascade(ensemble)
    few = cascade.submit([0, 1, 2, 3, 4, 5, 6, 7, 8], probe=True)
    rest = cascade.submit(list(range(20, 60)), probe=False)
    assert len(rest.unresolved) == 40
    assert (cascade.resolve(few).combined == ensemble.exact[:9]).all()
    assert (cascade.resolve(rest).combined.argmax(1) == ensemble.exact[20:].argmax(1)).all()
    assert len(ensemble.run_f32) < 9 + 40

    ensemble = FakeEnsemble(60)
    cascade = PrecisionCascade(ensemble)
    none, rest = cascade.submit([], probe=True), cascade.submit(list(range(20)), probe=False)
    assert len(cascade.resolve(none).combined) == 0
    assert (cascade.resolve(rest).combined == ensemble.exact[:20]).all()


def test_approximate_pixels_take_more_probes_and_wider_margins():
    plain, other = (PrecisionCascade(FakeEnsemble(400)) for _ in range(2))
    other.ensemble.allows_approximate_pixels = True
    assert plain.num_probes == NUM_PROBE_IMAGES < other.num_probes
    recomputed = []
    for cascade in (plain, other):
        batches = [item for batch in cascade.split(range(400), 8, 2) for item in batch]
        assert sum(probe for probe, _ in batches) == cascade.num_probes
        one_by_one(cascade.ensemble, list(cascade.split(range(400), 8, 2)))
        recomputed.append(len(cascade.ensemble.run_f32) - cascade.num_probes)
    fast, exact = plain.ensemble.fast[:32], plain.ensemble.exact[:32]
    wide = estimate_precision_error(FULL, fast, exact, margin_stds=3.5)
    narrow = estimate_precision_error(FULL, fast, exact)
    assert wide is not None
    assert narrow is not None
    table = plain.ensemble.fast
    assert not (narrow.needs_f32(table) & ~wide.needs_f32(table)).any()
    assert recomputed[1] == wide.needs_f32(wide.debias(table[32:])).sum() > narrow.needs_f32(table[32:]).sum()


def test_bf16_keeps_its_margins_with_approximate_pixels():
    """These were chosen for int8, whose errors have longer tails; nearly exact pixels add next to nothing to bf16's."""
    ensemble = FakeEnsemble(80)
    ensemble.allows_approximate_pixels, ensemble.rounds_to_int8 = True, False
    cascade = PrecisionCascade(ensemble)
    one_by_one(ensemble, list(cascade.split(range(80), 8, 2)))
    assert cascade.num_probes == NUM_PROBE_IMAGES
    cascade.predict(list(range(40)))
    assert cascade.error is not None
    assert (cascade.error.margin_stds, cascade.error.covers_approximate_pixels) == (MARGIN_STDS, True)


def test_low_precision_that_is_too_far_off_is_used_no_longer():
    ensemble = FakeEnsemble(80, noise=5.0)
    found = one_by_one(ensemble, list(PrecisionCascade(ensemble).split(range(80), 8, 2)))
    assert (found == ensemble.exact).all()
    assert len(ensemble.run_fast) == NUM_PROBE_IMAGES


def test_calls_from_many_threads():
    ensemble = FakeEnsemble(400)
    cascade = PrecisionCascade(ensemble)
    gate = threading.Barrier(4)

    def predict(start: int) -> np.ndarray:
        gate.wait()
        return np.concatenate([cascade.predict([index]).combined for index in range(start, start + 100)])

    with ThreadPoolExecutor(4) as threads:
        found = np.concatenate(list(threads.map(predict, range(0, 400, 100))))
    # Which inputs come first, and so what is recomputed, depends on the threads.
    assert (found.argmax(1) == ensemble.exact.argmax(1)).mean() > 0.99
    assert len(ensemble.run_fast) == 400
    assert NUM_PROBE_IMAGES < len(ensemble.run_f32) < 200


def test_with_decision_weights_the_weighted_probabilities_are_compared():
    trust = PrecisionErrorEstimate(FULL, {}, {"mask": 0.1, "gender": 0.1, "age": 0.1}, {"age": (3.0, 1.0, 1.0)})
    plain = PrecisionErrorEstimate(FULL, {}, {"mask": 0.1, "gender": 0.1, "age": 0.1})

    def table(*age: float) -> np.ndarray:
        heads = {"mask": np.array([[0.98, 0.01, 0.01]]), "gender": np.array([[0.98, 0.02]]), "age": np.array([age])}
        return FULL.joint_probabilities(heads)

    # 0.2 x 3 against 0.62: close for the decision, far apart for argmax; and the other way round.
    assert (trust.needs_f32(table(0.2, 0.62, 0.18))[0], plain.needs_f32(table(0.2, 0.62, 0.18))[0]) == (True, False)
    assert (trust.needs_f32(table(0.45, 0.46, 0.09))[0], plain.needs_f32(table(0.45, 0.46, 0.09))[0]) == (False, True)
