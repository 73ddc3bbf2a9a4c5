"""`mlship history`: the ledger, as a table or as JSON. Reads one file; loads neither MLflow nor pandas."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from mlship.cli.common import Format, FormatOption, context, emit_json, err, leave, out
from mlship.ledger import Ledger
from mlship.types import LedgerEntry

#: What a person can look further with; `--format json` has all of the evidence.
_SHOWN = ("evaluation", "rollout", "model")


def history(
    ctx: typer.Context,
    model: Annotated[
        str | None, typer.Argument(help="Only this registered model.", metavar="MODEL", show_default=False)
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Show only the newest entries.", metavar="N", show_default=False)
    ] = None,
    fmt: FormatOption = Format.TEXT,
) -> None:
    """Show who did what, when, and on which evidence; the newest last."""
    home = context(ctx).home
    reading = Ledger(home.ledger).read()
    entries = [entry for entry in reading.entries if model is None or entry.model == model]
    entries = entries[-limit:] if limit else entries
    if fmt is Format.JSON:
        emit_json({"entries": [_document(entry) for entry in entries]})
    elif entries:
        _show(entries)
    else:
        of = f" of {model}" if model else ""
        out().print(f"no history{of} yet: nothing has been recorded in {home.ledger}", markup=False)
    if reading.damage is not None:
        err().print(f"mlship: {reading.damage}", markup=False)
        leave(reading.damage.exit_code)


def _document(entry: LedgerEntry) -> dict[str, Any]:
    return asdict(entry) | {"time": _when(entry.at)}


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().isoformat(timespec="seconds")


def _move(entry: LedgerEntry) -> str:
    if entry.from_version and entry.to_version:
        return f"{entry.from_version} -> {entry.to_version}"
    return entry.to_version or entry.from_version or ""


def _row(entry: LedgerEntry) -> tuple[str, ...]:
    named = {name: value for name, value in entry.evidence.items() if name in _SHOWN}
    evidence = " ".join(f"{name}={_short(value)}" for name, value in named.items())
    cells = (_when(entry.at), entry.model, entry.action, _move(entry), entry.who, entry.reason, evidence)
    return tuple(_plain(cell) for cell in cells)


def _plain(cell: str) -> str:
    """One line without control characters: what a model or a person wrote must not steer a terminal."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in cell).split())


def _short(value: str) -> str:
    return value[: len("sha256:") + 12] if value.startswith("sha256:") else value


def _show(entries: list[LedgerEntry]) -> None:
    """A table for a person; without a terminal, one line an entry in aligned columns, so that grep sees whole lines."""
    console = out()
    header = ("time", "model", "action", "version", "who", "reason", "evidence")
    rows = [_row(entry) for entry in entries]
    if not sys.stdout.isatty():
        widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
        for row in (header, *rows):
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            console.print(line.rstrip(), markup=False)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in header[:-1]:
        table.add_column(name, overflow="fold", no_wrap=name in ("time", "action", "version"))
    for *cells, reason, evidence in rows:
        table.add_row(*map(Text, cells), Text(reason + "\n" if evidence else reason).append(evidence, "dim"))
    console.print(table)
