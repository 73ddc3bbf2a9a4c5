"""`mlship why`: the evidence behind a decision, from ledger and journals; the registry is asked only where told to."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from mlship.cli.common import a_model, context, emit_json, err, leave
from mlship.cli.completion import models, rollouts
from mlship.cli.telling import Format, FormatOption, ReportsOption, Told, destinations, put, tell
from mlship.errors import Exit, MlshipError, StateError, UsageError
from mlship.ledger import Ledger
from mlship.policy.units import parse_duration

if TYPE_CHECKING:
    from mlship.home import Home
    from mlship.ledger import Reading
    from mlship.report.account import Account, Why
    from mlship.rollout.chain import Subject
    from mlship.types import LedgerEntry


def why(
    ctx: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(
            help="Name of the registered model; default: the only one.",
            metavar="MODEL",
            show_default=False,
            autocompletion=models,
            callback=a_model,
        ),
    ] = None,
    *,
    version: Annotated[str | None, typer.Option(help="Why this version serves, or does not.", metavar="N")] = None,
    rollout: Annotated[
        str | None, typer.Option(help="How this rollout ended, and why.", metavar="ID", autocompletion=rollouts)
    ] = None,
    evaluation: Annotated[str | None, typer.Option(help="What this evaluation decided.", metavar="ID")] = None,
    at: Annotated[
        str | None,
        typer.Option(help="As it was then: 2026-11-21T03:00 (local time), or so long ago: 2h.", metavar="TIME"),
    ] = None,
    registry: Annotated[
        bool, typer.Option("--registry", help="Also ask the registry: alias, digest, figures of the evaluation.")
    ] = False,
    fmt: FormatOption = Format.TEXT,
    report: ReportsOption = None,
) -> None:
    """Tell why a version serves or does not, with the evidence behind it.

    The latest decision, unless another is named: evaluation, image, latency proof and rollouts, who acted by hand, and
    whether their digests fit together. A chain that does not fit exits with 3.

    \b
    Examples:
      mlship why
      mlship why --at 2h --format markdown
      mlship why --report html=why.html
    """
    from mlship.report import why as telling

    files = destinations(report)
    named = [
        name for name, given in (("--version", version), ("--rollout", rollout), ("--evaluation", evaluation)) if given
    ]
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} ask for different things", hint="give one of them")
    home, until = context(ctx).home, _moment(at, time.time())
    reading = Ledger(home.ledger).read()
    name = _model(model, reading.entries, home)
    if name is None:
        _nothing(fmt, None, f"nothing is recorded yet in {home.path}: no evaluation and no rollout")
        _end(reading, 0)
    found = _why(_Asked(name, version, rollout, evaluation, at or "", until, registry), reading, home)
    if found is None:
        _nothing(fmt, name, f"{name}: nothing was decided {'by then' if at else 'yet'}")
        _end(reading, 0)
    told = Told(
        text=lambda: telling.text(found),
        document=lambda: telling.document(found),
        markdown=lambda: telling.markdown(found),
        checklist=lambda: telling.checklist(found),
        html=lambda: _page(found),
        outputs={"candidate-version": found.version, "champion-version": found.champion or ""},
    )
    tell(told, fmt, files)
    _end(reading, Exit.UNREACHABLE if found.breaks else 0)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The question."""

    model: str
    version: str | None
    rollout: str | None
    evaluation: str | None
    at: str
    until: float
    registry: bool


def _end(reading: Reading, code: int) -> NoReturn:
    """Tell what of the ledger is damaged; what came before the damage has been shown."""
    if reading.damage is not None:
        err().print(f"mlship: {reading.damage}", markup=False)
        leave(reading.damage.exit_code)
    leave(code)


def _nothing(fmt: Format, model: str | None, text: str) -> None:
    """There is no decision to tell; nor is any report written."""
    if fmt is Format.JSON:
        emit_json({"model": model, "version": None, "status": None, "headline": text, "whole": True, "links": []})
    else:
        put(text)


def _page(found: Why) -> str:
    from mlship.report import why_page

    return why_page.render(found)


def _why(asked: _Asked, reading: Reading, home: Home) -> Why | None:
    """The decision with its chain; None when nothing was decided.

    Raises ``UsageError`` for a version, rollout or evaluation that nobody knows.
    """
    from mlship.rollout import chain

    entries = tuple(one for one in reading.entries if one.model == asked.model and one.at <= asked.until)
    heads = [head for head in _heads(home, asked.model) if head.began <= asked.until]
    subject = _subject(asked, entries, heads, home)
    if subject is None:
        return None
    accounts = [_account(head, home, asked) for head in heads if head.version == subject.version]
    documents = _kept(entries, subject.version, home)
    facts: dict[str, str] | None = None
    if asked.registry:
        from mlship.cli.asking import Wanted, ask

        runs = [one.evidence.get("run", "") for one in entries if one.to_version == subject.version]
        wanted = Wanted(asked.model, subject.version, tuple(run for run in runs if run and run not in documents))
        try:
            facts, more = ask(heads[-1].plan if heads else {}, wanted, home)
            documents |= more
        except MlshipError as error:
            facts = {"fault": error.what}
    return chain.tell(subject, chain.Known(asked.model, entries, tuple(accounts), documents, facts))


def _model(model: str | None, entries: Sequence[LedgerEntry], home: Home) -> str | None:
    """The model that is asked about; None when nothing is recorded at all. Raises ``UsageError`` for an unknown one."""
    from mlship.cli.known import known, unknown
    from mlship.report.figures import listed

    names = known(home, entries)
    if model in names or (model is None and len(names) == 1):
        return model or names[0]
    if not names:
        return None
    if model is None:
        raise UsageError(f"{len(names)} models are recorded: {listed(names, 20)}", hint=f"mlship why {names[0]}")
    raise unknown(home, model, names)


@dataclass(frozen=True, slots=True)
class _Head:
    """The beginning of a rollout's journal."""

    path: Path
    rollout: str
    version: str
    began: float
    plan: dict[str, Any]


def _heads(home: Home, model: str) -> list[_Head]:
    """Every rollout of the model whose journal begins with a plan, oldest first."""
    from mlship.rollout import lines

    found = []
    for path in home.rollouts(model).glob("*.jsonl"):
        try:
            plan = lines.plan(path)
            found.append(_Head(path, plan["rollout_id"], plan["canary"]["version"], lines.begun(path), plan))
        except StateError as error:
            err().print(f"mlship: passed over: {error.what} ({path.name})", markup=False)
    return sorted(found, key=lambda head: (head.began, head.rollout))


def _account(head: _Head, home: Home, asked: _Asked) -> Account:
    from mlship.rollout import lock
    from mlship.rollout.account import of_journal

    pointer = home.rollouts(asked.model) / "current"
    current = pointer.is_file() and pointer.read_text(encoding="ascii", errors="replace").strip() == head.path.stem
    running = current and lock.holder(home.rollouts(asked.model)) is not None
    return of_journal(head.path, running=running, until=asked.until)


def _subject(asked: _Asked, entries: Sequence[LedgerEntry], heads: list[_Head], home: Home) -> Subject | None:
    from mlship.rollout import chain
    from mlship.rollout.entries import evaluated

    then = f" at {asked.at}" if asked.at else ""
    if asked.rollout:
        ids = [head.rollout for head in heads]
        one = heads[ids.index(_pick("--rollout", asked.rollout, ids))]
        return chain.Subject(one.version, rollout=one.rollout, asked=f"rollout {one.rollout}{then}")
    if asked.evaluation:
        ids = [entry.evidence.get("evaluation", "") for entry in entries if entry.action == "evaluated"]
        found = evaluated(entries, _pick("--evaluation", asked.evaluation, ids))
        assert found is not None
        which = found.evidence["evaluation"]
        return chain.Subject(found.to_version or "", evaluation=which, asked=f"evaluation {which}{then}")
    if asked.version:
        versions = [*(v for e in entries for v in (e.from_version, e.to_version) if v), *(h.version for h in heads)]
        return chain.Subject(
            _pick("--version", asked.version, versions, whole=True), asked=f"version {asked.version}{then}"
        )
    last = _account(heads[-1], home, asked) if heads else None
    subject = chain.latest(entries, last)
    if subject is None or not asked.at:
        return subject
    return chain.Subject(subject.version, asked=f"the decision{then}")


def _pick(option: str, wanted: str, known: Sequence[str], *, whole: bool = False) -> str:
    """The one that is meant, by its name or how that begins. Raises ``UsageError`` when there is no such one."""
    names = list(dict.fromkeys(name for name in known if name))
    found = [wanted] if wanted in names else [name for name in names if not whole and name.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    from mlship.report.figures import listed

    what = f"{option} {wanted}: {'there is no such one' if not found else f'{len(found)} begin so'}"
    shown = found or names[::-1]
    raise UsageError(what, hint=f"recorded here: {listed(shown, 10)}" if shown else "none is recorded here")


def _kept(entries: Sequence[LedgerEntry], version: str, home: Home) -> dict[str, dict[str, Any]]:
    """Evaluations of the version that the embedded registry keeps as files; no MLflow is needed to read them."""
    found = {}
    for run in (one.evidence.get("run", "") for one in entries if one.to_version == version):
        path = home.registry_dir / "artifacts" / run / "artifacts" / "evaluation.json"
        try:
            document = json.loads(path.read_text(encoding="utf-8")) if run.isalnum() and path.is_file() else None
        except (OSError, ValueError):
            continue
        if isinstance(document, dict) and "/" not in run:
            found[run] = document
    return found


def _moment(at: str | None, now: float) -> float:
    """Unix time of `--at`; infinite without. Raises ``UsageError`` for what is neither a time nor a duration."""
    if at is None:
        return float("inf")
    try:
        return datetime.fromisoformat(at).timestamp()
    except (ValueError, OverflowError):
        pass
    try:
        return now - parse_duration(at)
    except ValueError:
        raise UsageError(
            f"--at {at}: neither a time nor a duration", hint="such as 2026-11-21T03:00, or 2h for two hours ago"
        ) from None
