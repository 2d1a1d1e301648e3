"""Progress of folds in a log."""

from __future__ import annotations

import io
import time

from rich.console import Console

from maskfit.training.progress_reporting import ConsoleReporter, FoldProgress


def test_a_log_gets_a_line_about_each_running_fold():
    log = io.StringIO()
    reporter = ConsoleReporter(Console(file=log, width=200), interval=0.1)
    reporter.show(FoldProgress("fold 1 of 2", "epoch 3/20", 30, 200, 812.4, 125.0))
    reporter.show(FoldProgress("fold 2 of 2", "epoch 1/20", 0, 200, 0.0, 0.0))
    end = time.monotonic() + 20
    while "fold 2" not in log.getvalue() and time.monotonic() < end:
        time.sleep(0.01)
    reporter.end("fold 1 of 2")
    lines = log.getvalue().splitlines()
    assert lines[0] == "fold 1 of 2 · epoch 3/20 · 15 % · 812 photos/s · 2:05 left"
    assert lines[1] == "fold 2 of 2 · epoch 1/20 · 0 % · the first step is running"
    reporter.end("fold 2 of 2")
    count = len(log.getvalue())
    time.sleep(0.4)
    assert len(log.getvalue()) == count


def test_a_terminal_gets_a_bar_and_no_lines():
    log = io.StringIO()
    reporter = ConsoleReporter(Console(file=log, force_terminal=True, width=200), interval=0.05)
    reporter.show(FoldProgress("training", "epoch 1/2", 1, 10, 5.0, 3.0))
    time.sleep(0.3)
    reporter.end("training")
    assert "\n" not in log.getvalue().replace("\r", "").strip() or "photos/s" in log.getvalue()
    assert "· 10 % ·" not in log.getvalue()


def test_what_every_fold_says_alike_is_printed_once() -> None:
    log = io.StringIO()
    reporter = ConsoleReporter(Console(file=log, width=200))
    for fold in (1, 2):
        reporter.line("model.init_from: the backbone of bundled.onnx")
        reporter.line(f"fold {fold} of 2 · epoch 1/1")
    assert log.getvalue().splitlines() == [
        "model.init_from: the backbone of bundled.onnx",
        "fold 1 of 2 · epoch 1/1",
        "fold 2 of 2 · epoch 1/1",
    ]
