"""Runs the stages of a pipeline: finished ones are kept, an interrupted one goes on, one with other inputs is repeated.

A stage is finished if its inputs are those that it was made from and its files are there. Its inputs include the
content of what earlier stages wrote, so whatever changes on the way is noticed by every stage behind it.
"""

from __future__ import annotations

import time

from rich.console import Console

from maskfit.errors import MaskfitError, RunError, format_list
from maskfit.pipeline.progress_page import write_progress_page
from maskfit.pipeline.stages import STAGES, Pipeline, Stage
from maskfit.pipeline.state import PipelineState, StageRecord, describe_changes, hash_file, read_state
from maskfit.progress_log import format_duration
from maskfit.run_dir import is_run_dir


def run_pipeline(pipeline: Pipeline, console: Console) -> PipelineState:
    """Runs all stages that are not finished.

    Args:
        pipeline: What to run; its folder is created, or holds an earlier call's work.
        console: Shows the progress.

    Returns:
        The state, in which every stage is done.

    Raises:
        RunError: The folder holds something else, the run in it was trained from other inputs, or a file that a stage
            would replace was changed by someone else.
        MaskfitError: A stage failed; the next call begins with it.
    """
    state = read_state(pipeline.folder)
    for number, stage in enumerate(STAGES, start=1):
        label = f"[{number}/{len(STAGES)}] {stage.name}"
        inputs = stage.inputs(pipeline)
        record = state.stages.get(stage.name, StageRecord())
        reason = _reason_to_run(pipeline, stage, record, inputs)
        if reason is None:
            record.status = "done"
            _print(console, f"{label}: kept, {record.summary}")
            continue
        _print(console, f"{label}: {reason}")
        _run_stage(pipeline, state, stage, inputs)
        record = state.stages[stage.name]
        _print(console, f"{label}: done in {format_duration(record.seconds)}, {record.summary}")
    _save(pipeline, state)
    return state


def _reason_to_run(pipeline: Pipeline, stage: Stage, record: StageRecord, inputs: dict[str, str]) -> str | None:
    """What to say before a stage runs; None where its work is kept.

    Raises:
        RunError: The run was trained from other inputs, or a file of the stage was changed by someone else.
    """
    if not record.inputs:
        return stage.title
    changes = describe_changes(record.inputs, inputs)
    if stage is STAGES[0]:
        return _reason_to_train(pipeline, stage, record, changes)
    present = {name: pipeline.folder / name for name in record.outputs if (pipeline.folder / name).is_file()}
    altered = [name for name, path in present.items() if hash_file(path) != record.outputs[name]]
    if altered:
        raise RunError(
            f"files of stage '{stage.name}' were changed since it wrote them:\n{format_list(altered)}",
            location=pipeline.folder,
            hint="move them away to have them made again, or choose another folder with --out",
        )
    if changes:
        return f"repeated, since {'; '.join(changes)}"
    if not record.is_finished:
        return f"again, since it did not end ({record.status})"
    missing = [name for name in record.outputs if name not in present]
    return f"repeated, since {', '.join(missing)} is missing" if missing else None


def _reason_to_train(pipeline: Pipeline, stage: Stage, record: StageRecord, changes: list[str]) -> str | None:
    if not is_run_dir(pipeline.run.path):
        return stage.title
    if changes:
        raise RunError(
            f"the run was trained from other inputs: {'; '.join(changes)}",
            location=pipeline.run.path,
            hint="choose another folder with --out, or go on with the same recipe and photos",
        )
    return None if record.is_finished else f"going on where it was ({record.status})"


def _run_stage(pipeline: Pipeline, state: PipelineState, stage: Stage, inputs: dict[str, str]) -> None:
    record = StageRecord(status="running", inputs=inputs, summary=stage.title)
    state.stages[stage.name] = record
    for later in STAGES[STAGES.index(stage) + 1 :]:
        # Until its own inputs are compared: they may be the same as before.
        if later.name in state.stages and state.stages[later.name].status == "done":
            state.stages[later.name].status = "waiting"
    _save(pipeline, state)
    start = time.monotonic()
    try:
        result = stage.work(pipeline)
    except MaskfitError as error:
        record.status, record.summary = "failed", error.message
        raise
    except BaseException as error:
        record.status, record.summary = "interrupted", type(error).__name__
        raise
    else:
        record.status, record.summary = "done", result.summary
        record.outputs = {str(path.relative_to(pipeline.folder)): hash_file(path) for path in result.outputs}
    finally:
        record.seconds = time.monotonic() - start
        _save(pipeline, state)


def _save(pipeline: Pipeline, state: PipelineState) -> None:
    state.write(pipeline.folder)
    write_progress_page(pipeline.folder, pipeline.recipe.name, state, [stage.name for stage in STAGES])


def _print(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
