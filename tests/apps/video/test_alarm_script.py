"""The script of docs/door-camera.md that posts events to a webhook."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "door-camera.md"
MARKER = "<!-- example: tests/apps/video/test_alarm_script.py runs this -->\n```python\n"


class Hook(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted, and fails for the first one."""

    posted: list[dict[str, object]]

    def do_POST(self) -> None:
        assert self.headers["Content-Type"] == "application/json"
        self.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(500 if len(self.posted) == 1 else 204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[str]:
    Hook.posted = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()


def run_script(folder: Path, lines: str, address: str) -> subprocess.CompletedProcess[str]:
    script = folder / "alarm.py"
    script.write_text(PAGE.read_text("utf-8").split(MARKER)[1].split("```")[0])
    # A proxy of the machine is none of this test.
    return subprocess.run(
        [sys.executable, script, address],
        input=lines,
        capture_output=True,
        text=True,
        timeout=60,
        env={"no_proxy": "*"},
    )


def test_events_without_a_mask_or_with_a_wrong_one_are_posted(command, video, model, painted, hook, tmp_path):
    lines = command(video, "--model", model, "--json").out
    events = [json.loads(line) for line in lines.splitlines()[:-1]]
    expected = [
        event
        for event in events
        if event["event"] in ("appeared", "changed") and event["mask"] in ("incorrect", "not_wear")
    ]
    assert len(expected) == 2
    done = run_script(tmp_path, lines, hook)
    assert done.returncode == 0, done.stderr
    assert Hook.posted == expected
    # The first was refused, and the second posted all the same.
    assert done.stderr == f"no alarm for person {expected[0]['person']}: HTTP Error 500: Internal Server Error\n"


def test_a_hook_that_is_not_there_ends_nothing(tmp_path, hook):
    event = {"event": "changed", "mask": "not_wear", "person": 3}
    done = run_script(tmp_path, f"{json.dumps(event)}\n" * 2, "http://127.0.0.1:9/hook")
    assert done.returncode == 0
    assert done.stderr.count("no alarm for person 3: ") == 2
