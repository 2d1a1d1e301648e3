"""Joining a Ray cluster, or starting a small one here; nothing is told to anybody outside.

Every machine sees the photos, the runs and the store under the same paths, and has the same maskfit installed.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import platform
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskfit import __version__
from maskfit.errors import MaskfitError, MissingExtraError, RunError

HERE = "local"
"""The address of a cluster that is started for this command, on this machine, and ends with it."""

AUTO = "auto"
"""The cluster that RAY_ADDRESS names or that runs on this machine already; where there is none, as `HERE`."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # Ray reports its use to its makers unless told otherwise
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # nodes have their own install; none is packed and sent
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else a warning on every machine without a GPU
    "RAY_agent_register_timeout_ms": "120000",  # on a busy machine 15 seconds do not suffice
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",  # its words on workers that died, which it writes among a command's output
}

STORE_BYTES = 1 << 30
"""The most memory that a cluster started here gives to what tasks hand each other: numbers, scores, standings."""


KNOCK = 5.0
"""Seconds in which a cluster's head must answer."""

ATTEMPTS = 3
"""How often a cluster is started here before that is given up: on a busy machine Ray's own patience may end."""


@dataclass(frozen=True)
class WorkerContext:
    """Where the command runs, for work that runs elsewhere and reads the same files.

    Attributes:
        folder: The current folder, from which paths count.
        version: maskfit's.
    """

    folder: str
    version: str

    @classmethod
    def here(cls) -> WorkerContext:
        """This process's."""
        return cls(str(Path.cwd()), __version__)

    def activate(self) -> None:
        """Makes another process stand where the command does.

        Raises:
            RunError: That machine does not see the command's files, or has another maskfit.
        """
        node = platform.node()
        if self.version != __version__:
            raise RunError(
                f"the machine {node} has maskfit {__version__}, this one {self.version}",
                hint="install the same version on every machine",
            )
        try:
            os.chdir(self.folder)
        except OSError:
            raise RunError(
                f"the machine {node} does not see this folder",
                location=self.folder,
                hint="work in a folder on storage that every machine of the cluster mounts at the same path",
            ) from None


@dataclass(frozen=True)
class ResourceShare:
    """What one of several tasks gets.

    Attributes:
        cpus: Cores.
        gpus: GPUs.
        at_once: How many of the tasks the cluster holds at a time.
    """

    cpus: int
    gpus: float
    at_once: int


@contextmanager
def ray_session(address: str, verb: str) -> Iterator[None]:
    """Joins a cluster for the time of the block.

    Args:
        address: `HERE`, `AUTO`, or host:port of a cluster's head, or ray://host:port.
        verb: What the user asked for, for the message where Ray is not installed.

    Raises:
        MissingExtraError: Ray is not installed.
        RunError: There is no cluster at this address.
    """
    if importlib.util.find_spec("ray") is None:
        raise MissingExtraError(verb, "ray")
    if "=" in address:
        raise MaskfitError(
            f"'{address}' is no address of a cluster",
            location="--ray",
            hint="write --ray local, --ray auto or --ray HOST:PORT, or put --ray at the end",
        )
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    set_auth_token(address)
    import ray

    if ray.is_initialized():
        yield
        return
    _begin(address)
    try:
        yield
    finally:
        ray.shutdown()


def set_auth_token(address: str) -> None:
    """Has Ray show the user's token, where there is one, to a cluster that was named by its address.

    Ray makes a token with the first cluster that it starts by itself; from then on `ray start` begins clusters that ask
    for it, and of its own Ray shows it only to a cluster that it found itself. Those that ask for none take it too.
    """
    named = address not in (HERE, AUTO) or (address == AUTO and os.environ.get("RAY_ADDRESS", AUTO) != AUTO)
    given = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if named and (given or (Path.home() / ".ray" / "auth_token").is_file()):
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    # Ray tells every command anew that it uses one.
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)


def _begin(address: str) -> None:
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    wanted = os.environ.get("RAY_ADDRESS", AUTO) if address == AUTO else address
    if wanted != HERE:
        try:
            if wanted != AUTO:
                _knock(wanted)
            ray.init(address=wanted, **options)
        except (OSError, RuntimeError, ValueError) as error:
            if wanted != AUTO:
                what = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                fix = "check host and port, or start one with 'ray start --head'"
                raise RunError(f"no cluster can be joined: {what}", location=wanted, hint=fix) from None
        else:
            return
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 4 * STORE_BYTES
    options |= {
        "num_cpus": os.cpu_count(),
        "include_dashboard": False,
        "object_store_memory": min(STORE_BYTES, memory // 4),
    }
    for left in reversed(range(ATTEMPTS)):
        try:
            ray.init(address=HERE, **options)
        except Exception as error:
            # Ray says with a bare Exception that its processes did not come up in its 30 seconds.
            ray.shutdown()
            if not left:
                what = str(error).strip().splitlines()[0]
                fix = "try again when the machine is less busy"
                raise RunError(f"no cluster could be started here: {what}", hint=fix) from None
        else:
            return


def _knock(address: str) -> None:
    """Stops where nobody answers at an address: Ray itself would try for minutes.

    Raises:
        OSError: Nobody does.
        ValueError: It is no address.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("an address is HOST:PORT")
    socket.create_connection((host, int(port)), timeout=KNOCK).close()


def node_resources(kind: str = "CPU") -> list[int]:
    """How many cores, or GPUs, each machine of the cluster has that was joined."""
    import ray

    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    return [int(resources.get(kind, 0)) for resources in alive]


def allocate_resources(tasks: int, device: str = "auto") -> ResourceShare:
    """What each of so many tasks gets on the cluster that was joined: all its cores are used, none is promised twice.

    Args:
        tasks: How many there are, 1 or more.
        device: `cpu`, or what may use a GPU where the cluster has some.
    """
    cores = node_resources()
    gpus = sum(node_resources("GPU"))
    if gpus and device in ("auto", "cuda"):
        at_once = min(tasks, gpus)
        return ResourceShare(max(1, min(max(cores), sum(cores) // at_once)), 1, at_once)
    each = max(1, min(max(cores), sum(cores) // tasks))
    return ResourceShare(each, 0, min(tasks, max(1, sum(math.floor(count / each) for count in cores))))
