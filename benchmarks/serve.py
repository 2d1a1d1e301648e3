"""HTTP service under load: 1, 8 and 64 clients against a plain loop of single predictions.

    uv run python benchmarks/serve.py --model model.onnx [--images DIR] [--rounds N] [--seconds S]

The service, the clients and the loop run in separate processes and take turns. A client keeps one connection and sends
one image at a time. A request counts as failed unless the response has status 200 and the name that was sent. The
service's resident memory is read before and after each round. It runs with `--remember 0`, since the same images come
again and again.
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

CLIENTS = (1, 8, 64)
"""Numbers of concurrent clients."""

WARMUP_SECONDS = 1.0
"""Time at the start of a turn that is not measured."""


def run_clients(images: list[Path], port: int, clients: int, seconds: float) -> dict[str, float]:
    """Sends requests from several threads; returns rate, latencies in seconds and counts."""
    bodies = [(path.name, *multipart_body(path)) for path in images]
    begin = time.perf_counter() + WARMUP_SECONDS
    latencies: list[float] = []
    failures: list[float] = []

    def send_requests(client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        position = client * 7
        while (now := time.perf_counter()) < begin + seconds:
            name, body, headers = bodies[position % len(bodies)]
            position += 1
            try:
                connection.request("POST", "/v1/predict", body, headers)
                response = connection.getresponse()
                content = json.loads(response.read())
                photo = content["photos"][0]
                success = response.status == 200 and photo["name"] == name and "faces" in photo
            except (OSError, http.client.HTTPException, ValueError, KeyError):
                success = False
                connection.close()
            if now >= begin:
                (latencies if success else failures).append(time.perf_counter() - now)

    threads = [threading.Thread(target=send_requests, args=(client,)) for client in range(clients)]
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
        "responses": len(latencies),
        "failed": len(failures),
    }


def multipart_body(path: Path) -> tuple[bytes, dict[str, str]]:
    """Returns the body and headers of a multipart request with one file."""
    boundary = "maskfit-benchmark-boundary"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{path.name}"\r\n\r\n'
    body = head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def run_loop(images: list[Path], model: Path, seconds: float) -> dict[str, float]:
    """Predicts one image at a time in this process, as a program without a service would."""
    from maskfit.inference.face_predictor import FacePredictor
    from maskfit.inference.predictor import Predictor

    predictor = FacePredictor(Predictor.load(model), predict_whole_image=False)
    for path in images[:5]:
        predictor.predict_one(path)
    times: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() < began + seconds:
        start = time.perf_counter()
        predictor.predict_one(images[len(times) % len(images)])
        times.append(time.perf_counter() - start)
    ranked = sorted(times)
    rate = len(times) / (time.perf_counter() - began)
    p50, p99 = statistics.median(ranked), ranked[int(len(ranked) * 0.99)]
    return {"rate": rate, "p50": p50, "p99": p99, "responses": len(times), "failed": 0}


class Service:
    """`maskfit serve` in its own process.

    Args:
        model: Model file.
        options: Further options of `maskfit serve`.
    """

    def __init__(self, model: Path, options: list[str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "maskfit", "serve", str(model), "--port", str(self.port)]
        command += ["--remember", "0", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait(self) -> None:
        """Waits until the service is ready."""
        while self.process.poll() is None:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                time.sleep(0.1)
        sys.exit("the service did not start; run maskfit serve by hand to see why")

    @property
    def mebibytes(self) -> float:
        """Resident memory in MiB; needs /proc."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", text)
        return int(found[1]) / 1024 if found else float("nan")

    def stop(self) -> int:
        """Sends SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def run_part(*options: object) -> dict[str, float]:
    """Runs a part of this script in its own process; returns what it measured."""
    done = subprocess.run([sys.executable, __file__, *map(str, options)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def compare(model: Path, images: Path, rounds: int, seconds: float, options: list[str]) -> None:
    """Runs all contenders in turn and prints a table."""
    service = Service(model, options)
    service.wait()
    rows: dict[str, list[dict[str, float]]] = {}
    memory = [service.mebibytes]
    common = ("--images", images, "--seconds", seconds)
    try:
        for _ in range(rounds):
            rows.setdefault("plain loop", []).append(run_part("--part", "loop", "--model", model, *common))
            for clients in CLIENTS:
                name = f"{clients} client{'s' * (clients > 1)}"
                measured = run_part("--part", "clients", "--port", service.port, "--clients", clients, *common)
                rows.setdefault(name, []).append(measured)
            memory.append(service.mebibytes)
    finally:
        code = service.stop()
    print(f"{model.name}, {os.cpu_count()} cores, {rounds} rounds of {seconds:g} s, medians")
    columns = f"{'images/s':>9} {'speed-up':>8} {'p50 ms':>8} {'p99 ms':>8} {'responses':>9} {'failed':>6}"
    print(f"{'':12} {columns}")
    baseline = [row["rate"] for row in rows["plain loop"]]
    for name, found in rows.items():
        ratio = statistics.median(row["rate"] / own for row, own in zip(found, baseline, strict=True))
        rate, p50, p99 = (statistics.median(row[key] for row in found) for key in ("rate", "p50", "p99"))
        responses, failed = (int(sum(row[key] for row in found)) for key in ("responses", "failed"))
        print(f"{name:12} {rate:9.1f} {ratio:7.2f}x {1000 * p50:8.1f} {1000 * p99:8.1f} {responses:9} {failed:6}")
    resident = ", ".join(f"{item:.0f}" for item in memory)
    print(f"resident memory of the service in MiB, before and after each round: {resident}")
    print(f"exit code after SIGTERM: {code}")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="model file")
    parser.add_argument("--images", type=Path, help="folder of images; default: synthetic faces")
    parser.add_argument("--max-images", type=int, default=300, help="number of images used at most")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10, help="length of one turn")
    parser.add_argument("--serve", default="", help="further options of maskfit serve, in one string")
    parser.add_argument("--part", choices=("clients", "loop"), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--clients", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        images = sorted(path for path in args.images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
        images = images[: args.max_images]
        if args.part == "clients":
            found = run_clients(images, args.port, args.clients, args.seconds)
        else:
            found = run_loop(images, args.model, args.seconds)
        print(json.dumps(found))
        return
    if args.model is None:
        parser.error("the following arguments are required: --model")
    with tempfile.TemporaryDirectory() as folder:
        if args.images is None:
            from maskfit.synthesis.drawn import write_train_set

            args.images = write_train_set(Path(folder) / "drawn", 40)
        compare(args.model, args.images, args.rounds, args.seconds, args.serve.split())


if __name__ == "__main__":
    main()
