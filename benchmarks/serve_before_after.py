"""The service in this tree against an older commit, side by side: 64 clients, faces found, CPU per photo.

    uv run python benchmarks/serve_before_after.py OLD_COMMIT [--images DIR] [--rounds N] [--requests N] [--clients N]
        [--again] [--own-models]

Both services run the older commit's bundled model, or with `--own-models` each its own, which may come with an int8
conversion. They take turns, each idle while the other one is measured; the older commit runs from a temporary git
worktree with the packages of this environment. CPU seconds are those of the service alone. No photo comes twice, since
services remember those that they have seen; with `--again` all that are measured were sent before. Photos per second
and latencies are with the clients on the same cores, and depend on other work on the machine. An older commit may need
the weights of its detector: `MASKFIT_DETECTORS=DIR`.
"""

from __future__ import annotations

import argparse
import http.client
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from serve import multipart_body

REPOSITORY = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")


class Service:
    """`maskfit serve` of a tree, in its own process."""

    def __init__(self, tree: Path, model: Path, cache: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPATH": str(tree / "src"), "PYTHONPYCACHEPREFIX": str(cache)}
        command = [sys.executable, "-m", "maskfit", "serve", str(model), "--port", str(self.port)]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not self._is_ready():
            if self.process.poll() is not None:
                sys.exit(f"the service of {tree} did not start; run maskfit serve by hand to see why")
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False

    @property
    def cpu_seconds(self) -> float:
        """User and system time of the service so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def stop(self) -> None:
        """Stops the service."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def send(port: int, bodies: list[tuple[bytes, dict[str, str]]], num_clients: int) -> list[float]:
    """Sends requests from several threads; returns the seconds that each took."""
    latencies: list[float] = []
    remaining = iter(bodies)
    lock = threading.Lock()

    def run() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while True:
            with lock:
                found = next(remaining, None)
            if found is None:
                return
            body, headers = found
            began = time.perf_counter()
            connection.request("POST", "/v1/predict", body, headers)
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                sys.exit(f"the service answered {response.status}")
            latencies.append(time.perf_counter() - began)

    threads = [threading.Thread(target=run) for _ in range(num_clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(latencies) < len(bodies):
        sys.exit("a request failed")
    return latencies


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", metavar="OLD_COMMIT")
    parser.add_argument("--images", type=Path, help="folder of images; default: drawn faces")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=200, help="requests of one turn")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--again", action="store_true", help="measure photos that each service has answered before")
    parser.add_argument("--own-models", action="store_true", help="each service runs its own bundled model")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.images is None:
            from maskfit.synthesis.drawn import write_train_set

            num_photos = args.rounds * args.requests + args.clients
            args.images = write_train_set(folder / "drawn", num_photos // 7 + 1, workers=1)
        files = [path for path in sorted(args.images.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg", ".png")]
        needed = args.rounds * args.requests + args.clients
        if len(files) < needed:
            parser.error(f"{needed} photos are needed, and {args.images} has {len(files)}")
        bodies = [multipart_body(path) for path in random.Random(1).sample(files, needed)]
        git = ["git", "-C", str(REPOSITORY), "worktree"]
        old = folder / "old"
        subprocess.run([*git, "add", "--detach", "--quiet", str(old), args.old], check=True)
        services: dict[str, Service] = {}
        rows: dict[str, list[dict[str, float]]] = {"old": [], "new": []}
        try:
            for tree_name, tree in (("old", old), ("new", REPOSITORY)):
                model = (tree if args.own_models else old) / "src" / "maskfit" / "weights" / "bundled.onnx"
                services[tree_name] = Service(tree, model, folder / "bytecode")
            for number in range(args.rounds + 1):
                for tree_name, service in services.items():
                    own = bodies[-args.clients :]
                    if number:
                        own = bodies[(number - 1) * args.requests : number * args.requests]
                    if args.again:
                        send(service.port, own, args.clients)
                    count = len(own)
                    cpu, began = service.cpu_seconds, time.perf_counter()
                    latencies = sorted(send(service.port, own, args.clients))
                    rate = count / (time.perf_counter() - began)
                    cost = 1e3 * (service.cpu_seconds - cpu) / count
                    p99 = 1e3 * latencies[int(count * 0.99)]
                    if number:
                        p50 = 1e3 * statistics.median(latencies)
                        rows[tree_name].append({"CPU ms/photo": cost, "photos/s": rate, "p50 ms": p50, "p99 ms": p99})
        finally:
            for service in services.values():
                service.stop()
            subprocess.run([*git, "remove", "--force", str(old)], check=True)
    print(
        f"{args.clients} clients, {args.rounds} rounds of {args.requests} requests"
        f"{' sent before' if args.again else ''}, medians; "
        f"load {os.getloadavg()[0]:.1f}"
    )
    for key in rows["old"][0]:
        before_rows, new = ([row[key] for row in rows[tree_name]] for tree_name in ("old", "new"))
        ratio = statistics.median(after / before for before, after in zip(before_rows, new, strict=True))
        medians = statistics.median(before_rows), statistics.median(new)
        print(f"{key:13} old {medians[0]:8.2f}  new {medians[1]:8.2f}  new / old {ratio:.2f}")


if __name__ == "__main__":
    main()
