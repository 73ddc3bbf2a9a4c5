"""`mlship monitor` as people and schedulers call it: exit codes, formats, metrics, and a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlship import schemas
from mlship.cli.monitor_every import words
from tests.cli import examples
from tests.cli.examples import Bench
from tests.engines.support import free_port
from tests.monitor.watched import Watched
from tests.schemas import conforms
from tests.waiting import until

_SINCE = "--since 2013-07-01"


@pytest.fixture
def bench(place: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(place.directory, place.home.path, monkeypatch, capsys)


def test_the_examples_and_what_they_tell(bench: Bench, place: Watched) -> None:
    """A breach is open: exit 1, and every format says so; nothing new: the same."""
    first, second, third = examples.of("monitor")
    assert "--every" in third, "run by the next test"
    told = bench.run(f"{first} {_SINCE}", 1)
    assert re.match(r"BREACH  flight-delay 1: \d+ incidents are open: ", told)
    assert "dep_delay has moved since 1" in told
    said = bench.run(second, 1)
    assert said.startswith("{"), said
    document = json.loads(said)
    conforms("monitor", document)
    assert {one["subject"] for one in document["incidents"]} >= {"dep_delay", "scores"}
    page = (place.directory / "monitor.html").read_text()
    assert "dep_delay has moved since" in page
    github = bench.run("mlship monitor mlship.yaml --format github", 1)
    assert "::error" in github
    markdown = bench.run("mlship monitor mlship.yaml --format markdown --metrics out.prom", 1)
    assert markdown.startswith("### ❌ flight-delay 1: breach")
    assert 'mlship_monitor_status{model="flight-delay",status="failed"} 1' in (place.directory / "out.prom").read_text()


def test_what_it_is_called_with_must_make_sense(bench: Bench, place: Watched) -> None:
    for line in (
        "mlship monitor mlship.yaml --every 3",
        "mlship monitor mlship.yaml --every 100ms",
        "mlship monitor mlship.yaml --every 1h --dry-run",
        "mlship monitor mlship.yaml --listen 127.0.0.1:9109",
        "mlship monitor mlship.yaml --every 1h --listen nonsense",
        "mlship monitor mlship.yaml --metrics nowhere/out.prom",
        "mlship monitor mlship.yaml --since yesterday",
    ):
        bench.run(line, 2)
    bench.run("mlship monitor mlship.yaml --since 2013-07-01 --dry-run", 1)
    place.write("monitor:", "x-monitor:")
    bench.run("mlship monitor mlship.yaml", 2)
    place.write("x-monitor:", "monitor:")
    place.write('candidate: "1"', 'candidate: "1"\nchampion: "@nobody"')
    bench.run("mlship monitor mlship.yaml", 4)
    place.write("@nobody", "@challenger")
    bench.run("mlship monitor mlship.yaml", 3)


def test_a_pass_is_called_without_what_repeats_it() -> None:
    given = ["--home", "h", "monitor", "p.yaml", "--every", "1h", "--listen=:1", "--metrics", "m", "--report", "html=x"]
    assert words(given) == ("--home", "h", "monitor", "p.yaml", "--report", "html=x")


@contextmanager
def endless(place: Watched, *more: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "mlship", "--home", str(place.home.path), "monitor", str(place.policy), *more]
    process = subprocess.Popen(
        command, cwd=place.directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ.copy()
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _metrics(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def test_a_process_of_its_own_outlives_its_passes_and_whatever_they_ask(place: Watched) -> None:
    """It goes on while a pass is killed and the log is away, tells metrics meanwhile, and ends when it is told to."""
    port, log = free_port(), place.directory / "log"

    def trouble(value: str) -> str:
        return f'mlship_monitor_trouble{{model="flight-delay",source="log"}} {value}'

    more = ("--every", "1s", "--since", "2013-07-01", "--listen", f"127.0.0.1:{port}")
    with endless(place, *more) as process:
        until(lambda: 'mlship_monitor_status{model="flight-delay",status="failed"} 1' in _metrics(port), within=120)
        until(lambda: bool(_passes(process.pid)), within=60)
        for pid in _passes(process.pid):
            os.kill(pid, signal.SIGKILL)
        log.rename(place.directory / "away")
        until(lambda: trouble("1") in _metrics(port), "the log is told as a trouble", within=120)
        (place.directory / "away").rename(log)
        until(lambda: trouble("0") in _metrics(port), "it is back", within=120)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert "Traceback" not in said
    assert said.count("dep_delay has moved since") >= 1, said


def _passes(parent: int) -> list[int]:
    """The processes that it has started."""
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in found]


def test_its_schema_is_the_one_that_is_printed() -> None:
    assert "monitor" in schemas.names()
