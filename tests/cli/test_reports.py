"""Reports to files: whole or not at all, and never in the place of something that is no file."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from mlship.cli.reports import destinations, write
from mlship.errors import StateError
from tests.report.test_reports import EVALUATION


def test_a_link_is_written_through(tmp_path: Path) -> None:
    """The link stays a link; its target holds the report."""
    (tmp_path / "target.md").write_text("before")
    (tmp_path / "link.md").symlink_to(tmp_path / "target.md")
    write(EVALUATION, destinations([f"markdown={tmp_path / 'link.md'}"]))
    assert (tmp_path / "link.md").is_symlink()
    assert (tmp_path / "target.md").read_text().startswith("### ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.md", "target.md"]


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    """As a device would be: it is not replaced by a file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write(EVALUATION, destinations([f"text={pipe}"]))
    reader.join(10)
    assert pipe.is_fifo()
    assert read[0].startswith("FAILED")


def test_a_report_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One clear error, and no half-written file."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StateError, match="No space left"):
        write(EVALUATION, destinations([f"json={tmp_path / 'e.json'}"]))
    assert list(tmp_path.iterdir()) == []
