"""The daily tasks: `uvx nox -s test`, or `uvx nox` for lint, types and test. All run in uv's locked environment."""

import re
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "test"]

UV = ("uv", "run", "--locked")


@nox.session
def lint(session: nox.Session) -> None:
    """Style and format."""
    session.run(*UV, "ruff", "check", external=True)
    session.run(*UV, "ruff", "format", "--check", external=True)


@nox.session
def types(session: nox.Session) -> None:
    """Types, strictly."""
    session.run(*UV, "mypy", external=True)


@nox.session
def test(session: nox.Session) -> None:
    """The fast tests; arguments after -- go to pytest."""
    session.run(*UV, "pytest", *(session.posargs or ("-n", "2")), external=True)


@nox.session
def python(session: nox.Session) -> None:
    """The fast tests with another Python: `-- 3.12`, or the path of an interpreter; more arguments go to pytest."""
    if not session.posargs:
        session.error("name a version or an interpreter, as in: uvx nox -s python -- 3.12")
    interpreter, *arguments = session.posargs
    name = re.sub(r"[^\w.]+", "-", interpreter).strip("-")
    environment = {"UV_PROJECT_ENVIRONMENT": f".nox/python-{name}"}
    command = [*UV, "--python", interpreter, "pytest", *(arguments or ("-n", "2"))]
    session.run(*command, env=environment, external=True)


@nox.session
def coverage(session: nox.Session) -> None:
    """The fast tests with the share of lines that they run; fails below 90 %."""
    # An absolute path: processes that tests start in other folders would leave their part of the data there.
    environment = {"COVERAGE_FILE": str(Path(".coverage").resolve())}
    session.run(*UV, "coverage", "run", "-m", "pytest", *session.posargs, env=environment, external=True)
    session.run(*UV, "coverage", "combine", external=True)
    session.run(*UV, "coverage", "report", "--fail-under=90", external=True)


@nox.session
def docs(session: nox.Session) -> None:
    """The site, strictly; into site/."""
    session.run(*UV, "mkdocs", "build", "--strict", external=True)
