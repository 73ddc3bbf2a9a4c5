"""The examples of every command's help, as `--help` prints them, who runs them, and a directory to run them in."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlship.cli import common
from mlship.cli.common import Loudness
from mlship.cli.main import app, main
from tests.docs.commands import every_command

#: Who runs the examples of which commands.
LIGHT = ("validate", "policy test", "policy diff", "policy", "schema", "doctor")
TRAFFIC = (
    "init", "plan", "evaluate", "ship", "rollout", "status", "endpoint", "drill", "pause", "resume", "promote", "watch",
    "rollback", "abort", "history", "why", "down",
)  # fmt: skip
#: `tests/cli/test_latency.py`, which loads real servers.
LATENCY = ("latency",)
#: `tests/cli/test_ship_images.py`, which has an engine.
DOCKER = ("build",)
#: `.ci/run`, as a step of its own: it takes minutes.
CI = ("demo",)
#: `tests/monitor/test_command.py`, which has a champion, a baseline and a log.
MONITOR = ("monitor",)
RUN = (*LIGHT, *TRAFFIC, *LATENCY, *DOCKER, *MONITOR, *CI)


def told() -> dict[str, list[str]]:
    """The example lines of each command, by its name; those of `mlship --help` have the empty name."""
    return {name: of(name) for name in ("", *(name for name, _, _ in every_command()))}


def of(name: str) -> list[str]:
    """The example lines that the help of one command prints, without their comments."""
    return [line.partition("#")[0].strip() for line in printed(page(name))]


def page(name: str) -> str:
    """What `mlship NAME --help` prints on a terminal of 80 columns."""
    done = CliRunner(env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}).invoke(app, [*name.split(), "--help"])
    assert done.exit_code == 0, done.output
    return done.stdout


def printed(text: str) -> list[str]:
    """The lines below `Examples:` in a help page, up to the next empty one."""
    lines = text.splitlines()
    if "  Examples:" not in lines:
        return []
    after = lines[lines.index("  Examples:") + 1 :]
    return [line.strip() for line in after[: after.index("")]] if "" in after else [line.strip() for line in after]


def lines(*names: str) -> list[str]:
    """The examples of these commands, in order."""
    return [line for name in names for line in of(name)]


def unrun(told: Mapping[str, list[str]], run: tuple[str, ...] = RUN) -> list[str]:
    """What is wrong with the examples that the help pages tell: a command without any, or one that no test runs."""
    every = [line for name in run for line in told.get(name, [])]
    wrong = [f"mlship {name}: its help has no example" for name, examples in told.items() if not examples]
    wrong += [f"mlship {name}: no test runs its examples" for name in told if name and name not in run]
    wrong += [f"mlship: `{line}` is nobody's example" for line in told.get("", []) if line not in every]
    return wrong


class Bench:
    """A directory in which examples are run as a person would type them, in this process."""

    def __init__(
        self, directory: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.directory, self._patch, self._capsys = directory, monkeypatch, capsys
        self.ran: list[str] = []
        monkeypatch.chdir(directory)
        monkeypatch.setenv("MLSHIP_HOME", str(home))
        monkeypatch.setenv("MLSHIP_ACTOR", "tester")

    def run(self, line: str, code: int = 0) -> str:
        """Run one line, which must end with `code`; returns its stdout, which `> FILE` sends to a file as well."""
        program, *words = shlex.split(line)
        assert program == "mlship"
        arguments, file = (words[:-2], words[-1]) if words[-2:-1] == [">"] else (words, "")
        self._capsys.readouterr()
        self._patch.setattr("sys.argv", ["mlship", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        common.set_loudness(Loudness.NORMAL)
        said = self._capsys.readouterr()
        assert int(end.value.code or 0) == code, f"{line}\n{said.out}\n{said.err}"
        assert "Traceback" not in said.err
        if file:
            (self.directory / file).write_text(said.out, encoding="utf-8")
        self.ran.append(line)
        return said.out

    def all(self, *names: str) -> None:
        """Run the examples of these commands that have not been run yet, in order."""
        for line in lines(*names):
            if line not in self.ran:
                self.run(line)
