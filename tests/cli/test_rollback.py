"""A rollback does not wait until the whole ledger is checked, and says afterwards when it is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mlship.cli import handle, rollback
from mlship.cli.common import Context
from mlship.types import LedgerEntry, Routes
from tests.fakes.rollout import MODEL, Stage


def test_traffic_goes_back_although_an_old_entry_is_damaged_and_then_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path)
    for _ in range(3):
        stage.ledger.append(LedgerEntry(1.0, "ada@host", "evaluated", MODEL, None, "1", "all gates passed"))
    stage.serve_stable()
    assert stage.run().verdict == "promoted"
    content = stage.ledger.path.read_bytes()
    stage.ledger.path.write_bytes(content.replace(b"ada", b"eve", 1))
    monkeypatch.setattr(handle, "engine_of", lambda *_: stage.engine)
    monkeypatch.setattr(handle, "LazyRegistry", lambda *_: stage.registry)
    stage.engine.lag = 0.0
    app = typer.Typer()
    app.command()(rollback.command)
    done = CliRunner().invoke(app, [MODEL], obj=Context(stage.home, debug=False))
    assert done.exit_code == 0, done.output
    assert f"{MODEL}: version 1 serves again instead of 2" in done.stdout
    assert "ledger.jsonl:2: the ledger is damaged" in done.stderr.replace("\n", "")
    assert stage.plan.stable is not None
    assert stage.engine.routes() == Routes(stage.plan.stable.server)
