"""Runs maskfit commands one after the other, each in a process of its own that has imported nothing for itself.

`import torch` and what belongs to it take five seconds, most of the time of a command on few drawn photos. This program
imports them once and forks for each command: `WarmCommands` starts it and asks for commands.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Self

PRELOADED = ("maskfit.cli", "maskfit.training.train", "maskfit.inference.predictor", "maskfit.inference.export")
"""Modules that are imported before the first command, with what they import."""


class WarmCommands:
    """A process that has imported the packages, and forks for each command.

    Args:
        environment: Environment variables of all commands.
        log: File for what the process itself says.
    """

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._log = log.open("w", encoding="utf-8")
        command = [sys.executable, str(Path(__file__).resolve())]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=environment, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(60)
        self._log.close()

    def run(
        self, folder: Path, words: list[str], environment: dict[str, str], timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Runs one command.

        Args:
            folder: Working directory.
            words: What is typed after `maskfit`.
            environment: Environment variables besides those of all commands.
            timeout: Seconds after which it is killed.

        Returns:
            Exit code and output, as of `subprocess.run`.
        """
        assert self._process.stdin
        assert self._process.stdout
        outputs = [folder.parent / name for name in ("stdout.txt", "stderr.txt")]
        task = {
            "folder": str(folder),
            "words": words,
            "environment": environment,
            "outputs": [str(path) for path in outputs],
            "timeout": timeout,
        }
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        printed = [path.read_text("utf-8", errors="replace") for path in outputs]
        return subprocess.CompletedProcess(["maskfit", *words], code, *printed)


def _serve() -> None:
    for name in PRELOADED:
        __import__(name)
    assert threading.active_count() == 1, "a fork of a process with threads has only one of them"
    tasks, answers = sys.stdin, sys.stdout
    for line in tasks:
        task = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(task)
        answers.write(f"{_wait(child, task['timeout'])}\n")
        answers.flush()


def _wait(child: int, seconds: float) -> int:
    """The exit code; a process that takes longer is killed with those that it started."""
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
            end = float("inf")
        time.sleep(0.02)


def _run(task: dict[str, Any]) -> None:
    """Becomes the command, in a forked process."""
    os.setpgid(0, 0)
    os.chdir(task["folder"])
    os.environ.update(task["environment"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor, path in zip((1, 2), task["outputs"], strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), descriptor)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    sys.argv = ["maskfit", *task["words"]]
    from maskfit.cli import main

    main()


if __name__ == "__main__":
    _serve()
