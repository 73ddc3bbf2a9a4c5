"""What every command obeys: quiet and verbose before or after its name, NO_COLOR, FORCE_COLOR, TERM=dumb."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from mlship.cli import common
from mlship.cli.common import Loudness
from mlship.cli.main import _in_front, app
from mlship.cli.progress import told_on_stderr


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """How much is said is a matter of one command."""
    yield
    common.set_loudness(Loudness.NORMAL)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["evaluate", "p.yaml", "-q"], ["-q", "evaluate", "p.yaml"]),
        (["evaluate", "--debug", "p.yaml", "--verbose"], ["--debug", "--verbose", "evaluate", "p.yaml"]),
        (["--home", "h", "status", "-v"], ["--home", "h", "-v", "status"]),
        (["status", "--home", "h", "m"], ["--home", "h", "status", "m"]),
        (["status", "--home=h", "--home"], ["--home=h", "--home", "status"]),
        (["status", "--", "-q"], ["status", "--", "-q"]),
        (["plan", "-quiet"], ["plan", "-quiet"]),
    ],
)
def test_options_of_every_command_stand_anywhere(written: list[str], read: list[str]) -> None:
    """As people write them; nothing else moves."""
    assert _in_front(written) == read


@pytest.mark.parametrize(
    ("arguments", "loudness"),
    [([], Loudness.NORMAL), (["-q"], Loudness.QUIET), (["--quiet"], Loudness.QUIET), (["-v"], Loudness.VERBOSE)],
)
def test_the_command_knows_how_much_to_say(
    tmp_path: Path, arguments: list[str], loudness: Loudness, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the result is told in any case."""
    app(["--home", str(tmp_path), "status", *arguments], standalone_mode=False)
    assert common.loudness() is loudness
    assert capsys.readouterr().out.startswith("nothing runs here")


@pytest.mark.parametrize(
    ("loudness", "said"),
    [
        (Loudness.QUIET, ""),
        (Loudness.NORMAL, "mlship: reaching the registry\n"),
        (Loudness.VERBOSE, "mlship:    0.0 s  reaching the registry\n"),
    ],
)
def test_steps_are_told_as_loud_as_asked(loudness: Loudness, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr; what went wrong is said however quiet it is to be."""
    common.set_loudness(loudness)
    with told_on_stderr() as progress:
        progress("reaching the registry")
    assert capsys.readouterr().err == said
    common.err().print("mlship: the registry is away")
    assert capsys.readouterr().err == "mlship: the registry is away\n"


def _run(tmp_path: Path, *arguments: str, terminal: bool = False, **environment: str) -> tuple[int, str, str]:
    """Run `mlship` with a clean environment, stdout on a terminal of 60 columns or in a pipe."""
    cleared = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    command = [sys.executable, "-m", "mlship", "--home", str(tmp_path), *arguments]
    ours, theirs = pty.openpty() if terminal else (0, subprocess.PIPE)
    done = subprocess.run(
        command,
        env={**cleared, "TERM": "xterm-256color", **environment},
        stdout=theirs,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    if not terminal:
        return done.returncode, done.stdout.decode(), done.stderr.decode()
    os.close(theirs)
    with io.FileIO(ours) as reader:
        said = b""
        try:
            while chunk := reader.read(4096):
                said += chunk
        except OSError:
            pass  # Linux says EIO when the other end is closed
    return done.returncode, said.decode(), done.stderr.decode()


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"FORCE_COLOR": "1"}, True)],
)
def test_a_terminal_gets_colours_unless_it_says_no(
    environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_COLOR and a dumb terminal get letters alone."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    written = io.StringIO()
    written.isatty = lambda: True  # type: ignore[method-assign]  # what it would be if a person looked
    monkeypatch.setattr(sys, "stdout", written)
    monkeypatch.setattr(common, "columns", lambda **_: 100)
    from mlship.cli.evaluate import _show
    from tests.report.test_reports import EVALUATION

    _show(EVALUATION)
    assert ("\x1b[3" in written.getvalue()) is coloured
    assert "FAILED  flight-delay 2" in written.getvalue()


def test_a_log_gets_no_pictures_though_colours_are_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    """FORCE_COLOR makes no terminal of a file; a dumb terminal cannot go back a line; neither can who wants lines."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert Console(file=io.StringIO()).is_terminal
    assert not common.drawn(Console(file=io.StringIO()))
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]  # as above
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert common.drawn(Console(stderr=True))
    common.set_loudness(Loudness.VERBOSE)
    assert not common.drawn(Console(stderr=True))
    common.set_loudness(Loudness.NORMAL)
    monkeypatch.setenv("TERM", "dumb")
    assert not common.drawn(Console(stderr=True))


def test_quiet_and_verbose_together_are_refused(tmp_path: Path) -> None:
    """One message, exit code 2."""
    code, out, err = _run(tmp_path, "status", "-q", "-v")
    assert (code, out) == (2, "")
    assert "ask for opposites" in err


def test_debug_works_behind_the_command(tmp_path: Path) -> None:
    """Where somebody adds it to the line that failed."""
    code, _, err = _run(tmp_path, "validate", str(tmp_path / "none.yaml"), "--debug")
    assert code == 2, err
