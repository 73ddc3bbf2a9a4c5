"""One pass of `mlship monitor` as text, Markdown and a checklist; the verdict first. Pure."""

from __future__ import annotations

import textwrap

from mlship.exhibits import Table
from mlship.report import blocks, cells, grids
from mlship.report import monitor_words as words
from mlship.report.checklist import Check, Checklist, Figure
from mlship.report.monitor_json import document
from mlship.report.monitor_seen import ColumnSeen, Seen
from mlship.report.times import local
from mlship.report.words import MARKS
from mlship.types import Status
from mlship.types.monitoring import Incident

__all__ = ["checklist", "document", "markdown", "outputs", "text", "wrapped"]

_WIDTH, _NARROWEST = 118, 40
#: Slices that text shows: the worst of them.
_SLICES = 12


def text(seen: Seen, columns: int | None = None) -> str:
    """For a terminal; `columns` is its width, None: as wide as a page is read well."""
    width = _WIDTH if columns is None else max(_NARROWEST, min(_WIDTH, columns))
    verdict, about = words.summary(seen).split("  ", 1)
    lines = [f"{verdict}  {cells.plain(about)}"]
    for said in (words.looked(seen), words.against(seen), words.coverage(seen)):
        lines += wrapped(said, width, "  ")
    for name, said in seen.facts:
        lines += wrapped(f"note: {said}", width, "  ") if name == "note" else []
    for one in (*seen.open, *_resolved(seen)):
        lines += ["", *_incident(seen, one, width)]
    if seen.troubles:
        lines.append("")
    for trouble in seen.troubles:
        lines += wrapped(f"{trouble.source}: {trouble.what}", width, "! ", "  ")
        lines += wrapped(f"since {local(trouble.since)}; this is no drift", width, "    ")
    for table in _tables(seen):
        if found := grids.lines(table, width - 2):
            lines += ["", found[0], *[f"  {line}" for line in found[1:]]]
    if seen.done:
        lines.append("")
    for each in seen.done:
        lines += wrapped(words.done(each), width, "- ", "  ")
    if seen.sources:
        lines.append("")
    for source in seen.sources:
        lines += wrapped(f"read: {words.source(source)}", width, "", "  ")
    return "\n".join(lines)


def markdown(seen: Seen) -> str:
    """For a job's summary, an issue, a chat."""
    told = [words.looked(seen), words.against(seen), words.coverage(seen)]
    open_ones = [
        [_name(one), one.sentence, words.incident(one), words.detail(seen, one)]
        for one in (*seen.open, *_resolved(seen))
    ]
    tables = [
        blocks.joined(f"**{table.title}**", blocks.table(table.columns, cells.rows_of(table)))
        for table in _tables(seen)
        if table.rows
    ]
    shows = [
        f"requests that show {words.subject(one.kind, one.subject)}: {'; '.join(one.requests)}" for one in seen.examples
    ]
    return blocks.joined(
        blocks.heading(seen.status, f"{seen.model} {seen.version}: {words.word(seen)}"),
        blocks.sentence(_sentence(words.outcome(seen))),
        blocks.sentence(_sentence("; ".join(one for one in told if one))),
        blocks.table(("incident", "what", "when", "more"), open_ones),
        blocks.bullets(shows),
        blocks.bullets([f"could not be asked: {one.source}: {one.what}" for one in seen.troubles]),
        *tables,
        blocks.bullets([words.done(one) for one in seen.done]),
    )


def checklist(seen: Seen) -> Checklist:
    """Each finding, each trouble, and each open incident that no finding of this pass tells of."""
    checks = [
        Check(
            one.kind,
            f"{one.subject} {one.what}" if one.what != one.subject else one.subject,
            words.status(one),
            one.sentence or f"{words.measured(one)}, limit {one.limit}",
            limit=one.limit,
            measured=words.measured(one),
            warning=one.over and not one.breach,
        )
        for one in words.findings(seen.findings)
    ]
    told = {(one.kind, one.subject) for one in seen.breaches}
    checks += [
        Check(one.kind, f"{one.subject} incident", Status.FAILED, f"{one.sentence} ({words.incident(one)})")
        for one in seen.open
        if (one.kind, one.subject) not in told
    ]
    checks += [Check("trouble", one.source, Status.ERROR, one.what) for one in seen.troubles]
    facts = (
        ("model", seen.model),
        ("version", seen.version),
        ("baseline", seen.baseline.digest if seen.baseline else ""),
    )
    return Checklist(
        "monitor",
        f"{seen.model} {seen.version}",
        seen.status,
        words.summary(seen),
        tuple(checks),
        file=seen.policy,
        started=seen.at,
        figures=tuple(_figures(seen)),
        properties=tuple(fact for fact in facts if fact[1]),
    )


def outputs(seen: Seen) -> dict[str, str]:
    """What a step of a GitHub workflow may read: the version, and what is open."""
    open_ones = ",".join(f"{one.kind}:{one.subject}" for one in seen.open)
    return {"champion-version": seen.version, "incidents": open_ones}


def _figures(seen: Seen) -> list[Figure]:
    found = [
        Figure("mlship_monitor_value", one.value, (("kind", one.kind), ("subject", one.subject), ("figure", one.what)))
        for one in seen.findings
        if one.value is not None
    ]
    return [*found, Figure("mlship_monitor_incidents", len(seen.open))]


def _tables(seen: Seen) -> list[Table]:
    return [
        words.judged(seen),
        words.columns(words.ranked([*_both(seen), *seen.features])),
        words.performance(seen.figures),
        words.performance(words.worst(seen.slices)[:_SLICES], "Slices, the worst first"),
    ]


def _both(seen: Seen) -> list[ColumnSeen]:
    return [one for one in (seen.predictions, seen.scores) if one is not None]


def _resolved(seen: Seen) -> list[Incident]:
    """Those that this pass has seen resolved."""
    return [one.incident for one in seen.events if one.what == "resolved"]


def _name(one: Incident) -> str:
    return f"{words.subject(one.kind, one.subject)}{'' if one.resolved is None else ' (resolved)'}"


def _incident(seen: Seen, one: Incident, width: int) -> list[str]:
    mark = MARKS[Status.FAILED if one.resolved is None else Status.PASSED]
    lines = wrapped(f"{_name(one)}: {one.sentence}", width, f"{mark} ", "  ")
    lines += wrapped(words.incident(one), width, "    ")
    lines += wrapped(words.detail(seen, one), width, "    ")
    if shows := words.requests(seen, one.kind, one.subject):
        lines.append("    requests that show it:")
        lines += [line for each in shows for line in wrapped(each, width, "      - ", "        ")]
    return lines


def _sentence(said: str) -> str:
    return f"{said[:1].upper()}{said[1:]}." if said else ""


def wrapped(said: str, width: int, first: str, rest: str | None = None) -> list[str]:
    """A text from elsewhere in lines between words, indented by `first`, further lines by `rest`."""
    return textwrap.wrap(
        cells.plain(said),
        width,
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
