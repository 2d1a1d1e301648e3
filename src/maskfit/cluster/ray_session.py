"""Connects to a Ray cluster or starts a small one on this machine; usage reports are off.

Every machine must have the photos, the runs and the image cache under the same paths, and the same version of maskfit.
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

from maskfit.errors import MaskfitError, MissingExtraError, RunError
from maskfit.version import __version__

LOCAL = "local"
"""Address of a cluster that is started on this machine for this command, and ends with it."""

AUTO = "auto"
"""Address of the cluster that RAY_ADDRESS names or that already runs on this machine; `LOCAL` if there is none."""

RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # Ray sends usage statistics by default
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # nodes have their own install; no environment is packed and sent
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # otherwise every machine without a GPU gets a warning
    "RAY_agent_register_timeout_ms": "120000",  # the default of 15 seconds is too short on a busy machine
    "RAY_worker_register_timeout_seconds": "300",  # likewise, 60 seconds for a worker; after five of them Ray gives up
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",  # Ray's messages about workers that died would mix with the command's output
}
"""Environment variables that are set unless the user has set them."""

OBJECT_STORE_BYTES = 1 << 30
"""Largest object store of a cluster that is started here: tasks exchange only numbers, scores and progress."""

CONNECT_TIMEOUT_SECONDS = 5.0
"""Time in which the head node must accept a connection."""

START_ATTEMPTS = 3
"""How often a local cluster is started before giving up: on a busy machine Ray's own timeout may expire."""


@dataclass(frozen=True)
class WorkerContext:
    """The command's working folder and version, for tasks on other machines that read the same files.

    Attributes:
        folder: Current folder, to which paths are relative.
        version: Version of maskfit.
    """

    folder: str
    version: str

    @classmethod
    def here(cls) -> WorkerContext:
        """Returns the context of this process.

        Returns:
            The context.
        """
        return cls(str(Path.cwd()), __version__)

    def activate(self) -> None:
        """Changes to the command's folder in a worker process.

        Raises:
            RunError: This machine does not have the folder, or has another version of maskfit.
        """
        node = platform.node()
        if self.version != __version__:
            raise RunError(
                f"the machine {node} has maskfit {__version__}, the command has {self.version}",
                hint="install the same version on every machine",
            )
        try:
            os.chdir(self.folder)
        except OSError:
            raise RunError(
                f"the machine {node} does not have this folder",
                location=self.folder,
                hint="work in a folder on storage that every machine of the cluster mounts at the same path",
            ) from None


@dataclass(frozen=True)
class TaskResources:
    """Resources of each of several tasks.

    Attributes:
        cpus: Number of cores.
        gpus: Number of GPUs.
        max_parallel: Number of tasks that fit on the cluster at a time.
    """

    cpus: int
    gpus: float
    max_parallel: int


@contextmanager
def ray_session(address: str, verb: str) -> Iterator[None]:
    """Connects to a cluster for the duration of a `with` block; a connection that exists already is reused.

    Args:
        address: `LOCAL`, `AUTO`, host:port of the head node, or ray://host:port.
        verb: The command, for the message where Ray is not installed.

    Yields:
        Nothing.

    Raises:
        MissingExtraError: Ray is not installed.
        MaskfitError: The address is a recipe override.
        RunError: No cluster at this address, or it failed in the block.
    """
    if importlib.util.find_spec("ray") is None:
        raise MissingExtraError(verb, "ray")
    if "=" in address:
        raise MaskfitError(
            f"--ray must be local, auto or HOST:PORT, got '{address}'",
            location="--ray",
            hint="write --ray local, --ray auto or --ray HOST:PORT, or put --ray at the end",
        )
    for name, value in RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    set_auth_token(address)
    import ray

    if ray.is_initialized():
        with _naming_failures():
            yield
        return
    _connect(address)
    try:
        with _naming_failures():
            yield
    finally:
        ray.shutdown()


@contextmanager
def _naming_failures() -> Iterator[None]:
    """Turns failures of the cluster into an error that says what to do; bugs in tasks keep their traceback.

    Raises:
        RunError: A worker cannot be started, or the cluster was lost.
    """
    import ray

    try:
        yield
    except ray.exceptions.RayTaskError:
        raise
    except ray.exceptions.RayError as error:
        raise RunError(
            f"the cluster failed: {(str(error).strip().splitlines() or [type(error).__name__])[0]}",
            hint="look at the cluster, or wait until its machines are less busy; then run again with --resume",
        ) from error


def set_auth_token(address: str) -> None:
    """Lets Ray send the user's authentication token, if there is one, to a cluster that is given by its address.

    Ray creates a token with the first cluster that it starts; clusters of `ray start` require it from then on, but Ray
    sends it by itself only to clusters that it found itself. Clusters that require no token accept one.

    Args:
        address: As for `ray_session`.
    """
    named = address not in (LOCAL, AUTO) or (address == AUTO and os.environ.get("RAY_ADDRESS", AUTO) != AUTO)
    token = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if named and (token or (Path.home() / ".ray" / "auth_token").is_file()):
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    # Otherwise Ray logs in every command that it uses a token.
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)


def _connect(address: str) -> None:
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    target = os.environ.get("RAY_ADDRESS", AUTO) if address == AUTO else address
    if target != LOCAL:
        try:
            if target != AUTO:
                _probe(target)
            ray.init(address=target, **options)
        except (OSError, RuntimeError, ValueError) as error:
            if target != AUTO:
                first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                raise RunError(
                    f"cannot connect to the cluster: {first_line}",
                    location=target,
                    hint="check host and port, or start a cluster with 'ray start --head'",
                ) from None
        else:
            return
    _start_local(options)


def _start_local(options: dict[str, Any]) -> None:
    import ray

    has_sysconf = hasattr(os, "sysconf")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if has_sysconf else 4 * OBJECT_STORE_BYTES
    options = options | {
        "num_cpus": os.cpu_count(),
        "include_dashboard": False,
        "object_store_memory": min(OBJECT_STORE_BYTES, memory // 4),
    }
    for remaining in reversed(range(START_ATTEMPTS)):
        try:
            ray.init(address=LOCAL, **options)
        except Exception as error:
            # Ray raises a bare Exception if its processes do not start within its 30 seconds.
            ray.shutdown()
            if not remaining:
                first_line = str(error).strip().splitlines()[0]
                hint = (
                    "set HOME to a folder that can be written"
                    if isinstance(error, OSError) and error.filename
                    else "try again when the machine is less busy"
                )
                raise RunError(f"cannot start a local cluster: {first_line}", hint=hint) from None
        else:
            return


def _probe(address: str) -> None:
    """Fails early if nothing listens at an address: Ray itself would try for minutes.

    Raises:
        OSError: Nothing listens there.
        ValueError: Not an address.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("the address must be HOST:PORT")
    socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_SECONDS).close()


def node_resources(kind: str = "CPU") -> list[int]:
    """Returns the resources of each live machine of the connected cluster.

    Args:
        kind: "CPU" or "GPU".

    Returns:
        Number of cores or GPUs per machine.
    """
    import ray

    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    return [int(resources.get(kind, 0)) for resources in alive]


def allocate_resources(tasks: int, device: str = "auto") -> TaskResources:
    """Divides the connected cluster's cores among tasks, or its GPUs if there are any.

    Args:
        tasks: Number of tasks, >= 1.
        device: `cpu`; `auto` or `cuda` use a GPU per task where the cluster has some.

    Returns:
        The resources of each task.
    """
    cores = node_resources()
    gpus = sum(node_resources("GPU"))
    if gpus and device in ("auto", "cuda"):
        max_parallel = min(tasks, gpus)
        return TaskResources(max(1, min(max(cores), sum(cores) // max_parallel)), 1, max_parallel)
    each = max(1, min(max(cores), sum(cores) // tasks))
    return TaskResources(each, 0, min(tasks, max(1, sum(math.floor(count / each) for count in cores))))
