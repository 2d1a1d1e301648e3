"""Lines about long steps in a log."""

from __future__ import annotations

import io
import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from maskfit.progress_log import Heartbeat, format_duration, format_progress, log_progress


class Log(io.StringIO):
    """Notes when each line came."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def write(self, text: str) -> int:
        self.times += [time.monotonic()] * text.count("\n")
        return super().write(text)


def wait_for(log: Log, lines: int) -> list[str]:
    end = time.monotonic() + 20
    while len(log.times) < lines and time.monotonic() < end:
        time.sleep(0.01)
    return log.getvalue().splitlines()


def test_a_running_step_prints_rate_and_time_left():
    log = Log()
    with log_progress(Console(file=log, width=200), "drawing", "persons", interval=0.2) as advance:
        assert wait_for(log, 1)[0] == "drawing: 0 s so far"
        advance(1, 1000)
        advance(10, 1000)
        line = wait_for(log, 2)[1]
    assert line.startswith("drawing: 10 of 1,000 persons · ")
    assert line.endswith(" left")
    count = len(log.times)
    time.sleep(0.5)
    assert len(log.times) == count


def test_what_a_resumed_step_finds_done_is_not_in_its_rate():
    log = Log()
    with log_progress(Console(file=log, width=200), "drawing", "persons", interval=0.2) as advance:
        advance(500, 1000)
        assert wait_for(log, 1)[0] == "drawing: 500 of 1,000 persons"
        advance(502, 1000)
        line = wait_for(log, 2)[1]
    rate = float(line.split(" · ")[1].removesuffix("/s").replace(",", ""))
    assert rate <= 2 / 0.2
    assert format_progress(502, 1000, "persons", 4, before=500) == "502 of 1,000 persons · 0.50/s · 16:36 left"


def test_of_nested_steps_the_inner_one_prints_and_others_wait_for_its_lines():
    log = Log()
    console = Console(file=log)
    with log_progress(console, "outer", interval=0.3):
        with log_progress(console, "inner", interval=0.3):
            wait_for(log, 2)
        wait_for(log, 3)
    names = [line.split(":")[0] for line in log.getvalue().splitlines()]
    assert names[:3] == ["inner", "inner", "outer"]
    gaps = [later - earlier for earlier, later in zip(log.times, log.times[1:], strict=False)]
    assert min(gaps) >= 0.25


def test_lines_of_others_put_it_off():
    log = Log()
    console = Console(file=log)
    with log_progress(console, "step", interval=0.6):
        for _ in range(8):
            Heartbeat.touch(console)
            time.sleep(0.1)
        assert log.getvalue() == ""
        assert wait_for(log, 1)


@pytest.mark.parametrize("settings", [{"force_terminal": True}, {"quiet": True}])
def test_a_terminal_and_a_quiet_console_get_no_lines(settings):
    log = io.StringIO()
    with log_progress(Console(file=log, **settings), "step", interval=0.01):
        time.sleep(0.2)
    assert log.getvalue() == ""


def test_an_error_ends_the_lines():
    log = Log()

    def work() -> None:
        with log_progress(Console(file=log), "step", interval=0.05):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    time.sleep(0.3)
    assert log.getvalue() == ""


def test_formats():
    assert format_progress(120, 240, "persons", 20) == "120 of 240 persons · 6.0/s · 0:20 left"
    assert format_progress(5000, None, "photos", 10) == "5,000 photos · 500/s"
    assert format_progress(0, 10, "photos", 10) == "0 of 10 photos"
    assert [format_duration(seconds) for seconds in (0, 65.9, 3723)] == ["0:00", "1:05", "1:02:03"]


@given(
    done=st.integers(0, 10**7),
    total=st.none() | st.integers(0, 10**7),
    seconds=st.floats(0, 1e7),
    before=st.integers(0, 10**7),
)
@example(done=3, total=10, seconds=5.0, before=500)  # The step started again.
@example(done=12, total=10, seconds=5.0, before=0)  # More was done than was known.
@example(done=1, total=2, seconds=1e6, before=0)
def test_rate_and_time_left_are_never_negative_and_no_rate_is_zero(done, total, seconds, before):
    text = format_progress(done, total, "photos", seconds, before)
    assert "-" not in text
    assert " 0.00/s" not in text
    if done <= before:
        assert "/s" not in text
    for rate in re.findall(r"([\d,.]+)/s", text):
        assert float(rate.replace(",", "")) == pytest.approx((done - before) / seconds, rel=0.5, abs=0.006)


def test_a_count_that_falls_starts_the_rate_again():
    """As of a step whose worker was killed and starts from the beginning; another total is another step."""
    log = Log()
    with log_progress(Console(file=log, width=200), "drawing", interval=0.2) as advance:
        advance(500, 1000)
        advance(3, 1000)
        assert wait_for(log, 1)[0] == "drawing: 3 of 1,000 photos"
        advance(4, 40)
        assert wait_for(log, 2)[1] == "drawing: 4 of 40 photos"
