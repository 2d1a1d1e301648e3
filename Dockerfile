# The service without torch: docker build -t maskfit .
# docker run --read-only --tmpfs /tmp -p 127.0.0.1:8000:8000 -v ./models:/models:ro -e MASKFIT_TOKEN maskfit /models/model.onnx
# A model trained on crops of another detector than that of the base install also needs -v ./detectors:/detectors:ro.
FROM python:3.11-slim

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MASKFIT_DETECTORS=/detectors

WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip install --no-cache-dir ".[serve]" && rm -rf /build && useradd --create-home --uid 10001 maskfit

USER maskfit
WORKDIR /home/maskfit
EXPOSE 8000

HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]

# A container's own address is reached through the port that is published, so it listens at all of its addresses.
ENTRYPOINT ["maskfit", "serve", "--host", "0.0.0.0"]
CMD ["/models/model.onnx"]
