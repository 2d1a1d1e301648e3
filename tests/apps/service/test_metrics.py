"""Prometheus metrics: counts of requests, photos and faces."""

from __future__ import annotations

import os
import subprocess
import sys

from prometheus_client.parser import text_string_to_metric_families

LARGE = (50, 12, 110, 90)
SMALL = (5, 15, 35, 50)


def read(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_metrics_count_requests_and_photos(serve, photo):
    served = serve()
    served.send(photo(0, LARGE, SMALL), b"none")
    served.send(photo(1))
    served.send(photo(1))
    served.send(photo(2), path="/v1/predict?faces=false")
    served.client.post("/v1/predict", content=b"x")
    served.client.get("/somewhere/secret")
    answer = served.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    found = read(answer.text)
    assert found["maskfit_requests_total", "/v1/predict", "200", "POST"] == 4
    assert found["maskfit_requests_total", "/v1/predict", "415", "POST"] == 1
    assert found["maskfit_requests_total", "404", "GET", "other"] == 1
    assert found["maskfit_photos_total", "answered"] == 4
    assert found["maskfit_photos_total", "unreadable"] == 1
    # Also where the answer is remembered; not where nobody asked for faces, whose whole photo counts as one.
    assert found["maskfit_photos_without_face_total",] == 2
    assert found["maskfit_faces_total",] == 3
    assert found["maskfit_batch_faces_count",] == 2
    assert found["maskfit_request_seconds_count", "/v1/predict"] == 5
    assert found["maskfit_rejections_total", "type"] == 1
    assert found["maskfit_queue_photos",] == 0
    assert "secret" not in answer.text


COUNT = """
from maskfit.apps.service.metrics import Metrics
metrics = Metrics()
metrics.faces.inc(3)
metrics.batch_faces.observe(2)
print(metrics.render().decode())
"""


def test_workers_report_summed_metrics(tmp_path):
    words = [sys.executable, "-c", COUNT]
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for _ in range(2):
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=60)
    found = read(done.stdout)
    assert found["maskfit_faces_total",] == 6
    assert found["maskfit_batch_faces_count",] == 2
