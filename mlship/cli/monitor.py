"""`mlship monitor`: is the champion still right? One pass over live traffic, or one each so long."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlship.cli.common import PolicyArgument, context, leave
from mlship.cli.progress import told_on_stderr
from mlship.cli.telling import Format, FormatOption, ReportsOption, Told, destinations, tell
from mlship.errors import UsageError

if TYPE_CHECKING:
    from mlship.report.monitor_seen import Seen


def monitor(
    ctx: typer.Context,
    policy: PolicyArgument,
    *,
    every: Annotated[
        str | None,
        typer.Option(help="Go on, with a pass each so long, such as 1h; default: one pass.", metavar="DURATION"),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            help="Where the first pass begins, such as 2026-07-01 or 2026-07-01T12:00+02:00; default: the promotion.",
            metavar="TIME",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Look and tell, but keep nothing, and let nothing follow.")
    ] = False,
    metrics: Annotated[
        Path | None,
        typer.Option(
            help="Write Prometheus metrics into this file, as node_exporter's textfile collector reads them.",
            metavar="FILE",
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(help="With --every: serve the metrics at http://HOST:PORT/metrics.", metavar="HOST:PORT"),
    ] = None,
    fmt: FormatOption = Format.TEXT,
    report: ReportsOption = None,
) -> None:
    """Watch the champion after its promotion: drift, performance, value, age.

    Live traffic is held against the baseline that the champion's evaluation kept. What counts as a breach, and what
    follows one (people are told, a training is started), is the policy's section `monitor`. A breach is told once, when
    it opens, worsens and ends.

    Ends with 0 when all is within limits, 1 while an incident is open, 3 when something could not be asked, and 4 when
    there is nothing to judge yet. With --every it goes on until it is stopped, whatever it talks to is down meanwhile.

    \b
    Examples:
      mlship monitor mlship.yaml
      mlship monitor mlship.yaml --report html=monitor.html --format json
      mlship monitor mlship.yaml --every 1h --listen 127.0.0.1:9109
    """
    from mlship.cli.monitor_every import Endless, address, go_on, words, write_metrics
    from mlship.monitor.run import EXITS, Asked, look
    from mlship.policy.load import load_policy
    from mlship.policy.units import UnitError, parse_duration

    seconds = None
    if every is not None:
        try:
            seconds = parse_duration(every)
        except UnitError as error:
            raise UsageError(f"--every: {error.what}", hint=error.hint) from None
        if seconds < 1:
            raise UsageError("--every: a pass needs a second at least", hint="such as 1h")
        if dry_run:
            raise UsageError("--every and --dry-run exclude each other", hint="leave one of them out")
    if listen is not None and every is None:
        raise UsageError("--listen serves metrics while mlship goes on", hint="add --every 1h, or use --metrics FILE")
    if metrics is not None and not metrics.parent.is_dir():
        raise UsageError(f"--metrics: there is no directory {metrics.parent}", hint=f"mkdir -p {metrics.parent}")
    where, files = address(listen), destinations(report)
    loaded = load_policy(policy)
    if loaded.policy.monitor is None:
        raise UsageError(
            "the policy has no section `monitor`",
            where=str(policy),
            hint="add it, such as `monitor: {predictions: {psi: 0.1}}`; then evaluate again, which keeps the baseline",
        )
    home = context(ctx).home
    asked = Asked(since=_moment(since, loaded.policy.monitor.zone), dry_run=dry_run)
    if seconds is not None:
        go_on(Endless(words(sys.argv[1:]), seconds, metrics, where))
    with told_on_stderr("reading") as progress:
        seen = look(loaded, home, time.time(), asked, progress)
    if metrics is not None:
        from mlship.monitor.exposition import exposition

        write_metrics(metrics, exposition(seen))
    tell(told(seen), fmt, files)
    leave(EXITS[seen.status])


def _moment(text: str | None, zone: str) -> float | None:
    """A moment that a person gives, in Unix time; without an offset it is in the policy's zone."""
    if text is None:
        return None
    from datetime import datetime
    from zoneinfo import ZoneInfo

    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--since: '{text}' is no time", hint="such as 2026-07-01 or 2026-07-01T12:00+02:00") from None
    return (found if found.tzinfo is not None else found.replace(tzinfo=ZoneInfo(zone))).timestamp()


def told(seen: Seen) -> Told:
    """One pass, in every way in which it can be written."""
    from mlship.report import monitor_page, monitor_text

    outputs = {
        "incidents": str(len(seen.open)),
        "events": str(len(seen.events)),
        "version": seen.version,
    }
    return Told(
        lambda: monitor_text.text(seen),
        lambda: monitor_text.document(seen),
        lambda: monitor_text.markdown(seen),
        lambda: monitor_text.checklist(seen),
        lambda: monitor_page.render(seen),
        outputs,
    )
