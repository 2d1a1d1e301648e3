"""The service beside LitServe with the same model, detector, crops and answers: 64 clients, faces found.

    uv run --with litserve python benchmarks/serve_litserve.py --images DIR [--settings WORKERS:BATCH:WAIT,...]
        [--workers N,...] [--rounds N] [--requests N] [--clients N] [--model model.onnx]

LitServe is no dependency of maskfit: `--with litserve` installs it for this run only. Its workers decode photos, detect
faces and predict batches with the Python functions of `maskfit serve` (`litserve_faces.py`), so the two differ in how
they serve. A setting of LitServe has workers (processes), photos in a batch at most, and seconds that a batch waits at
most; `--workers` are those of `maskfit serve`. Servers take turns; all but the one that is measured are halted by a
signal, since an idle server may use the processor. CPU seconds are those of a server and its processes alone. Photos
per second and latencies are with the clients on the same cores. `maskfit serve` runs with `--remember 0`: LitServe does
not know photos again. Answers are compared before.
"""

import argparse
import http.client
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from serve import multipart_body
from serve_before_after import REPOSITORY, TICKS, send

Body = tuple[bytes, dict[str, str]]

FACES = Path(__file__).with_name("litserve_faces.py")
DEFAULT_MODEL = REPOSITORY / "src" / "maskfit" / "weights" / "bundled.onnx"


class Server:
    """A server and its processes."""

    def __init__(self, probe_path: str, command: list[object]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        words = [sys.executable, *map(str, command), "--port", str(self.port)]
        output = subprocess.DEVNULL
        self.process = subprocess.Popen(words, stdout=output, stderr=output, start_new_session=True)
        while not self._is_ready(probe_path):
            if self.process.poll() is not None:
                sys.exit(f"a server did not start: {' '.join(words)}")
            time.sleep(0.2)

    def _is_ready(self, path: str) -> bool:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except OSError:
            return False

    @property
    def cpu_seconds(self) -> float:
        """User and system time of the server's processes so far."""
        ticks = 0
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == self.process.pid:
                ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS

    def signal(self, number: int) -> None:
        """Sends a signal to all processes."""
        os.killpg(self.process.pid, number)

    def ask(self, body: Body) -> Any:
        """Sends one photo; returns what is said of it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", "/v1/predict", *body)
        found = json.loads(connection.getresponse().read())
        return found["photos"][0] if "photos" in found else found


def check_answers(servers: dict[str, Server], bodies: dict[str, list[Body]]) -> None:
    """Ends the benchmark where a server finds other faces, or says anything else about them."""
    for number in range(10):
        answers = []
        for name, server in servers.items():
            answer = server.ask(bodies[name][number])
            answer.pop("name", None)
            answers.append([answer["found"], [round_numbers(face) for face in answer["faces"]]])
        if any(answer != answers[0] for answer in answers):
            sys.exit(f"the answers differ: {answers}")


def round_numbers(value: Any) -> Any:
    """Rounds to what does not depend on the faces that share a batch."""
    if isinstance(value, dict):
        return {key: round_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [round_numbers(item) for item in value]
    return round(value, 2) if isinstance(value, float) else value


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of photos")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--settings", default="2:8:0.005", help="settings of LitServe: WORKERS:BATCH:WAIT,...")
    parser.add_argument("--workers", default="1", help="processes of maskfit serve; several numbers: a contender each")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=200, help="requests of one turn")
    parser.add_argument("--clients", type=int, default=64)
    args = parser.parse_args()
    files = [path for path in sorted(args.images.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg", ".png")]
    random.Random(1).shuffle(files)
    plain = [multipart_body(path) for path in files]
    # LitServe's form field is named as the parameter of its function.
    fields = [(body.replace(b'name="files"', b'name="request"', 1), headers) for body, headers in plain]
    settings = args.settings.split(",")
    servers: dict[str, Server] = {}
    rows: dict[str, list[dict[str, float]]] = {}
    try:
        for workers in args.workers.split(","):
            words = ["-m", "maskfit", "serve", args.model, "--remember", "0", "--workers", workers]
            servers[f"maskfit {workers}"] = Server("/readyz", words)
        for setting in settings:
            servers[f"LitServe {setting}"] = Server("/health", [FACES, args.model, setting])
        bodies = {name: plain if name.startswith("maskfit") else fields for name in servers}
        check_answers(servers, bodies)
        for server in servers.values():
            server.signal(signal.SIGSTOP)
        for number in range(args.rounds + 1):
            for name, server in servers.items():
                server.signal(signal.SIGCONT)
                # The first round warms up.
                count = args.requests if number else args.clients
                start = number * args.requests
                own = [bodies[name][index % len(files)] for index in range(start, start + count)]
                cpu, began = server.cpu_seconds, time.perf_counter()
                latencies = sorted(send(server.port, own, args.clients))
                rate = count / (time.perf_counter() - began)
                cost = (server.cpu_seconds - cpu) / count
                server.signal(signal.SIGSTOP)
                if number:
                    p50, p99 = 1e3 * statistics.median(latencies), 1e3 * latencies[int(count * 0.99)]
                    row = {"CPU ms/photo": 1e3 * cost, "photos/CPU s": 1 / cost, "photos/s": rate}
                    rows.setdefault(name, []).append(row | {"p50 ms": p50, "p99 ms": p99})
    finally:
        for server in servers.values():
            server.signal(signal.SIGKILL)
            server.process.wait()
    print(
        f"litserve {version('litserve')}, {args.clients} clients, {args.rounds} rounds of {args.requests} requests, "
        f"medians; load {os.getloadavg()[0]:.1f}"
    )
    first = next(iter(rows))
    for key in rows[first][0]:
        for name, found in rows.items():
            median = statistics.median(row[key] for row in found)
            ratio = statistics.median(own[key] / row[key] for row, own in zip(found, rows[first], strict=True))
            print(f"{key:13} {name:20} {median:9.2f}  {first} / this {ratio:.2f}")


if __name__ == "__main__":
    main()
