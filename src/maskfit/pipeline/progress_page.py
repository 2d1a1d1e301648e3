"""The page that shows how far a pipeline is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from maskfit.file_io import write_text
from maskfit.html.page import render_page
from maskfit.pipeline.state import PipelineState, StageRecord
from maskfit.progress_log import format_duration

PROGRESS_FILE = "progress.html"


def write_progress_page(folder: Path, name: str, state: PipelineState, stages: Sequence[str]) -> Path:
    """Writes the page; an existing one is replaced.

    Args:
        folder: The pipeline's folder.
        name: Name of the recipe.
        state: State of the stages.
        stages: Every stage in order.

    Returns:
        The page's path.
    """
    records = {stage: state.stages.get(stage, StageRecord()) for stage in stages}
    done = sum(record.status == "done" for record in records.values())
    rows = [
        (stage, (record.status, record.summary), (format_duration(record.seconds) if record.seconds else "",))
        for stage, record in records.items()
    ]
    files = [
        (path, (stage,), ()) for stage, record in records.items() if record.status == "done" for path in record.outputs
    ]
    text = render_page(
        "maskfit.pipeline",
        "progress_page.html.j2",
        title=f"Progress of {name}",
        subtitle=f"{done} of {len(stages)} stages done · reload the page to see more",
        rows=rows,
        files=files,
    )
    return write_text(folder / PROGRESS_FILE, text)
