"""What an evaluation shows on stderr while it runs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mlship.cli import progress


def test_without_a_terminal_each_step_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a gate that takes long says how far it is, now and then, not at every tick."""
    written = io.StringIO()
    monkeypatch.setattr(progress, "steps", lambda: Console(file=written, width=200))
    clock = iter([0.0, 1.0, 20.0, 20.0, 21.0])
    monkeypatch.setattr("mlship.cli.progress.time.monotonic", lambda: next(clock))
    with progress.told_on_stderr() as told:
        told("judging slices")  # at 1 s
        told.watch("slices", 0, 10)
        told.watch("slices", 4, 10)  # at 20 s
        told.watch("slices", 5, 10)  # at 21 s
        told.watch("slices", 10, 10)
    assert written.getvalue().splitlines() == ["mlship: judging slices", "mlship: judging slices: 40%"]


def test_on_a_terminal_each_gate_has_a_bar_that_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar moves with what the gate tells, and the result has the screen for itself."""
    written = io.StringIO()
    console = Console(file=written, width=100, force_terminal=True, color_system=None)
    monkeypatch.setattr(progress, "steps", lambda: console)
    monkeypatch.setattr(progress, "drawn", lambda _: True)
    with progress.told_on_stderr() as told:
        told("reading rows.parquet")
        told("judging slices")
        told.watch("slices", 0, 1)
        told.watch("slices", 5, 10)
        told.watch("slices", 1, 1)
    shown = written.getvalue()
    assert "reading rows.parquet" in shown
    assert "judging slices" in shown
    assert "100%" in shown
    assert shown.count("judging slices") >= 1
    last = shown.rpartition("\x1b[2K")[2]
    assert "judging" not in last
