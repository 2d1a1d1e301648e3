"""The service under load: 1, 8 and 64 callers against a plain loop of single predictions, taking turns.

    uv run python benchmarks/serve.py --model model.onnx [--photos DIR] [--rounds N] [--seconds S]

The service, the callers and the loop are processes of their own. A caller keeps one connection and sends one photo
after the other. An answer is lost where it is not 200 with the name that was sent. The service's memory is read before
and after.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

CALLERS = (1, 8, 64)


def drive(photos: list[Path], port: int, callers: int, seconds: float) -> dict[str, float]:
    """Asks for `seconds`, after a second that does not count."""
    bodies = [(path.name, *_as_form(path)) for path in photos]
    begin = time.perf_counter() + 1
    latencies: list[float] = []
    lost: list[int] = []

    def ask(number: int) -> None:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        turn = number * 7
        while (now := time.perf_counter()) < begin + seconds:
            name, body, headers = bodies[turn % len(bodies)]
            turn += 1
            try:
                link.request("POST", "/v1/predict", body, headers)
                answer = link.getresponse()
                said = json.loads(answer.read())
                good = answer.status == 200 and said["photos"][0]["name"] == name and "faces" in said["photos"][0]
            except (OSError, http.client.HTTPException, ValueError, KeyError):
                good = False
                link.close()
            if now >= begin:
                (latencies if good else lost).append(time.perf_counter() - now)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = time.perf_counter() - begin
    ranked = sorted(latencies) or [float("nan")]
    return {
        "rate": len(latencies) / spent,
        "p50": statistics.median(ranked),
        "p99": ranked[min(len(ranked) - 1, int(len(ranked) * 0.99))],
        "answers": len(latencies),
        "lost": len(lost),
    }


def _as_form(path: Path) -> tuple[bytes, dict[str, str]]:
    edge = "maskfit-benchmark-edge"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="{path.name}"\r\n\r\n'
    body = head.encode() + path.read_bytes() + f"\r\n--{edge}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={edge}"}


def loop(photos: list[Path], model: Path, seconds: float) -> dict[str, float]:
    """One photo after the other in this process, as a program without a service would."""
    from maskfit.inference.face_predictor import FacePredictor
    from maskfit.inference.predictor import Predictor

    reader = FacePredictor(Predictor.load(model), whole=False)
    for path in photos[:5]:
        reader.predict(path)
    times: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() < began + seconds:
        start = time.perf_counter()
        reader.predict(photos[len(times) % len(photos)])
        times.append(time.perf_counter() - start)
    ranked = sorted(times)
    rate = len(times) / (time.perf_counter() - began)
    p50, p99 = statistics.median(ranked), ranked[int(len(ranked) * 0.99)]
    return {"rate": rate, "p50": p50, "p99": p99, "answers": len(times), "lost": 0}


class Service:
    """The command in a process of its own."""

    def __init__(self, model: Path, words: list[str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "maskfit", "serve", str(model), "--port", str(self.port), *words]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait(self) -> None:
        while self.process.poll() is None:
            try:
                link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                link.request("GET", "/readyz")
                if link.getresponse().status == 200:
                    return
            except OSError:
                time.sleep(0.1)
        sys.exit("the service does not start; run maskfit serve by hand to see why")

    @property
    def megabytes(self) -> float:
        """Resident memory, of Linux."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", text)
        return int(found[1]) / 1024 if found else float("nan")

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def in_process(*words: object) -> dict[str, float]:
    """Runs a part of this file by itself."""
    done = subprocess.run([sys.executable, __file__, *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def compare(model: Path, photos: Path, rounds: int, seconds: float, words: list[str]) -> None:
    service = Service(model, words)
    service.wait()
    rows: dict[str, list[dict[str, float]]] = {}
    memory = [service.megabytes]
    given = ("--photos", photos, "--seconds", seconds)
    try:
        for _ in range(rounds):
            rows.setdefault("plain loop", []).append(in_process("--part", "loop", "--model", model, *given))
            for callers in CALLERS:
                name = f"{callers} caller{'s' * (callers > 1)}"
                asked = in_process("--part", "drive", "--port", service.port, "--callers", callers, *given)
                rows.setdefault(name, []).append(asked)
            memory.append(service.megabytes)
    finally:
        code = service.end()
    print(f"{model.name}, {os.cpu_count()} cores, {rounds} rounds of {seconds:g} s in turn, medians")
    print(f"{'':12} {'photos/s':>9} {'to loop':>8} {'p50 ms':>8} {'p99 ms':>8} {'answers':>8} {'lost':>5}")
    plain = [row["rate"] for row in rows["plain loop"]]
    for name, found in rows.items():
        ratio = statistics.median(row["rate"] / own for row, own in zip(found, plain, strict=True))
        rate, p50, p99 = (statistics.median(row[key] for row in found) for key in ("rate", "p50", "p99"))
        answers, lost = (int(sum(row[key] for row in found)) for key in ("answers", "lost"))
        print(f"{name:12} {rate:9.1f} {ratio:7.2f}x {1000 * p50:8.1f} {1000 * p99:8.1f} {answers:8} {lost:5}")
    print(f"memory of the service, MB, before and after each round: {', '.join(f'{item:.0f}' for item in memory)}")
    print(f"exit code after SIGTERM: {code}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a model file")
    parser.add_argument("--photos", type=Path, help="a folder of photos; drawn faces where left out")
    parser.add_argument("--most", type=int, default=300, help="use at most so many photos")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--serve", default="", help="more words for maskfit serve, in one string")
    parser.add_argument("--part", choices=("drive", "loop"), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--callers", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        photos = sorted(path for path in given.photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
        photos = photos[: given.most]
        if given.part == "drive":
            found = drive(photos, given.port, given.callers, given.seconds)
        else:
            found = loop(photos, given.model, given.seconds)
        print(json.dumps(found))
        return
    if given.model is None:
        parser.error("--model is missing")
    with tempfile.TemporaryDirectory() as folder:
        if given.photos is None:
            from maskfit.synthesis.drawn import write_train_set

            given.photos = write_train_set(Path(folder) / "drawn", 40)
        compare(given.model, given.photos, given.rounds, given.seconds, given.serve.split())


if __name__ == "__main__":
    main()
