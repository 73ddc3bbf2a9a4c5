"""`mlship history`: the ledger, as a table or as JSON. Reads one file; loads neither MLflow nor pandas."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlship.cli.common import AnyModelArgument, columns, context, err, leave, out
from mlship.cli.known import must_know
from mlship.cli.telling import Format, FormatOption, Told, tell
from mlship.ledger import Ledger
from mlship.report.cells import plain
from mlship.report.figures import digest
from mlship.report.times import local
from mlship.types import LedgerEntry, Status

if TYPE_CHECKING:
    from mlship.errors import StateError
    from mlship.report.checklist import Checklist

#: What a person can look further with; `--format json` has all of the evidence.
_SHOWN = ("evaluation", "rollout", "model")
_HEADER = ("time", "model", "action", "version", "who", "reason", "evidence")


def history(
    ctx: typer.Context,
    model: AnyModelArgument = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Show only the newest N entries; default: all.", metavar="N", show_default=False),
    ] = None,
    fmt: FormatOption = Format.TEXT,
) -> None:
    """Show who did what, when, and on which evidence; the newest last.

    \b
    Examples:
      mlship history
      mlship history flight-delay --limit 20 --format json
    """
    home = context(ctx).home
    reading = Ledger(home.ledger).read()
    entries = [entry for entry in reading.entries if model is None or entry.model == model]
    if model is not None and not entries and reading.damage is None:
        must_know(home, model)
    entries = entries[-limit:] if limit else entries
    of = f" of {model}" if model else ""
    nothing = f"no history{of} yet: nothing has been recorded in {home.ledger}"
    tell(_told(entries, nothing, model or "all models", reading.damage), fmt)
    if reading.damage is not None:
        err().print(f"mlship: {reading.damage}", markup=False)
        leave(reading.damage.exit_code)


def _told(entries: list[LedgerEntry], nothing: str, title: str, damage: StateError | None) -> Told:
    def markdown() -> str:
        from mlship.report import blocks

        head = blocks.heading(_status(damage), f"History of {title}")
        rows = [_row(entry) for entry in entries]
        said = blocks.sentence(str(damage)) if damage else "" if rows else blocks.sentence(nothing)
        return blocks.joined(head, said, blocks.table(_HEADER, rows))

    def checklist() -> Checklist:
        from mlship.report.checklist import Checklist

        summary = str(damage) if damage else f"{len(entries):,} entries" if entries else nothing
        return Checklist("history", title, _status(damage), summary, ())

    return Told(
        lambda: "\n".join(_aligned(entries)) if entries else nothing,
        lambda: {"entries": [_document(entry) for entry in entries]},
        markdown,
        checklist,
        show=(lambda: _show(entries)) if entries and columns() is not None else None,  # nobody knows how wide a log is
    )


def _status(damage: StateError | None) -> Status:
    return Status.PASSED if damage is None else Status.ERROR


def _document(entry: LedgerEntry) -> dict[str, Any]:
    return asdict(entry) | {"time": local(entry.at)}


def _move(entry: LedgerEntry) -> str:
    if entry.from_version and entry.to_version:
        return f"{entry.from_version} -> {entry.to_version}"
    return entry.to_version or entry.from_version or ""


def _row(entry: LedgerEntry) -> tuple[str, ...]:
    named = {name: value for name, value in entry.evidence.items() if name in _SHOWN}
    evidence = " ".join(f"{name}={digest(value)}" for name, value in named.items())
    cells = (local(entry.at), entry.model, entry.action, _move(entry), entry.who, entry.reason, evidence)
    return tuple(plain(cell) for cell in cells)


def _aligned(entries: list[LedgerEntry]) -> list[str]:
    """One line an entry in aligned columns, so that grep sees whole lines."""
    rows = [_HEADER, *(_row(entry) for entry in entries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _show(entries: list[LedgerEntry]) -> None:
    """A table for a person."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in _HEADER[:-1]:
        table.add_column(name, overflow="fold", no_wrap=name in ("time", "action", "version"))
    for *cells, reason, evidence in map(_row, entries):
        table.add_row(*map(Text, cells), Text(reason + "\n" if evidence else reason).append(evidence, "dim"))
    out().print(table)
