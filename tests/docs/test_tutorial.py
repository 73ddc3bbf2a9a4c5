"""The tutorial, done by a machine: every file and every command of its pages in order, and what they print."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import requires, version
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial"
PAGES = [TUTORIAL / f"{name}.md" for name in ("first-policy", "live-traffic", "way-back")]
#: Where the tutorial's endpoint listens; the test takes a port that is free.
ENDPOINT = "127.0.0.1:8080"
_BLOCK = re.compile(
    r"^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]*)\")?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
#: What differs from one run to the next: times, ids, digests, names, and everything that traffic counts.
_VARIES = [
    (r"\d{4}-\d\d-\d\dT[\d:]+(\+00:00|Z)?", "TIME"),
    (r"\b[\d.]+ (ms|s)\b", "SPAN"),
    (r"sha256:[0-9a-f]{12,64}", "DIGEST"),
    (r"\bv(\d+)-[0-9a-f]{8}\b", r"v\1-DIGEST"),
    (r"\b(evaluation|rollout) [0-9a-z-]{15,}", r"\1 ID"),
    (r"\d+ of (\d+) requests", r"N of \1 requests"),
    (r"errors [\d.]+ % against [\d.]+ %", "errors N against N"),
    (r"evidence [\d,.e+]*\d", "evidence N"),
    (r"\s+", " "),
]


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    where: str
    language: str
    title: str
    text: str


@dataclass
class Newcomer:
    """Somebody who does what the tutorial says, in a directory of their own."""

    directory: Path
    endpoint: str
    exports: list[str] = field(default_factory=list)
    printed: str = ""
    """What the latest command wrote, to stdout and stderr."""

    def run(self, block: Block) -> None:
        """Run a block of commands in a terminal; it must end well."""
        done = subprocess.run(
            ["bash", "-e", "-c", self._script(block)],
            cwd=self.directory,
            env=_environment(self.directory),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=280,
            check=False,
        )
        self.printed = done.stdout.replace(self.endpoint, ENDPOINT)
        assert done.returncode == 0, f"{block.where}\n{block.text}\n{self.printed}"
        self.exports += [line for line in block.text.splitlines() if line.startswith("export ")]

    @contextmanager
    def running(self, block: Block) -> Iterator[Path]:
        """Run a block in a second terminal, until Ctrl-C; yields the file with what it prints."""
        output = self.directory / "second-terminal.txt"
        with output.open("w") as told:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {self._script(block).strip().splitlines()[-1]}"],
                cwd=self.directory,
                env=_environment(self.directory),
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=subprocess.STDOUT,
            )
        try:
            yield output
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)

    def write(self, block: Block) -> None:
        """Write a file as the page shows it."""
        (self.directory / block.title).write_text(block.text.replace(ENDPOINT, self.endpoint))

    def _script(self, block: Block) -> str:
        return "\n".join([*self.exports, block.text.replace(ENDPOINT, self.endpoint)])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    """Everything in order; callers are never answered with an error once the champion serves."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{free.getsockname()[1]}"
    newcomer = Newcomer(tmp_path, endpoint)
    blocks = [block for page in PAGES for block in blocks_of(page)]
    try:
        before, (start, *after) = _until_second_terminal(blocks)
        for block in before:
            follow(newcomer, block)
        with newcomer.running(start) as heard:
            for block in after:
                follow(newcomer, block)
    finally:
        down = [sys.executable, "-m", "mlship", "down"]
        subprocess.run(down, cwd=tmp_path, env=_environment(tmp_path), capture_output=True, check=False)
    told = [re.findall(r"'(\d+) by version (\w+)'", line) for line in heard.read_text().splitlines()]
    answered = [{status for status, _ in line} for line in told]
    first = answered.index({"200"})  # before it the champion was starting
    last = len(answered) - 1 - answered[::-1].index({"200"})  # after it the servers were stopped
    assert all(statuses <= {"200"} for statuses in answered[first : last + 1])
    assert {by for line in told for status, by in line if status == "200"} >= {"1", "2"}


def test_what_the_tutorial_installs_is_what_is_tested() -> None:
    """The first command cannot be run without a network; this is as much of it as can."""
    (block,) = [block for block in blocks_of(PAGES[0]) if block.text.startswith("pip install")]
    assert block.text == "pip install 'mlship[local]'\n"
    needed = [line for line in requires("mlship") or [] if "extra == 'local'" in line or 'extra == "local"' in line]
    assert needed
    for line in needed:
        version(re.split(r"[^\w.-]", line)[0])


def follow(newcomer: Newcomer, block: Block) -> None:
    """Do what one block of a page asks for."""
    if block.language == "text":
        same(block, newcomer.printed)
    elif block.title.startswith("Part of "):
        file = newcomer.directory / block.title.removeprefix("Part of ")
        assert block.text in file.read_text(), block.where
    elif block.language != "sh":
        newcomer.write(block)
    elif not block.title.startswith("Instead") and not block.text.startswith("pip install"):
        newcomer.run(block)


def same(shown: Block, printed: str) -> None:
    """Whether a page shows what was printed: `…` for any lines, or for any part of one; what varies does not count."""
    parts = [re.escape(plain(part).strip()).replace(r"\ ", " ") for part in shown.text.split("…")]
    expected = r"\s*" + r".*?".join(parts) + r"\s*"
    assert re.fullmatch(expected, plain(printed)), f"{shown.where}\n{shown.text}\nbut it was:\n{printed}"


def plain(text: str) -> str:
    """A text without what varies, and without its line breaks."""
    for pattern, word in _VARIES:
        text = re.sub(pattern, word, text)
    return text


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = list(_BLOCK.finditer(text))
    assert text.count("\n```") == 2 * len(found), f"{page.name}: a block that this test does not understand"
    return [
        Block(f"{page.name}:{text.count(chr(10), 0, at.start()) + 1}", at["language"], at["title"] or "", at["text"])
        for at in found
    ]


def _until_second_terminal(blocks: list[Block]) -> tuple[list[Block], list[Block]]:
    at = next(at for at, block in enumerate(blocks) if block.title == "In a second terminal")
    return blocks[:at], blocks[at:]


def _environment(directory: Path) -> dict[str, str]:
    """The shell of a newcomer: no registry, no state directory, and a home without configuration."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "MLSHIP_", "GIT"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, "COLUMNS": "400", "MLFLOW_DISABLE_TELEMETRY": "true", "HOME": str(directory / "home")}
