"""`mlship demo`: the whole story on real data on one machine, from nothing."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlship.cli import common
from mlship.errors import StateError

if TYPE_CHECKING:
    from rich.console import Console

    from mlship.demo.stage import Stage
    from mlship.demo.story import Scenario, Told

#: Progress that every command makes; the story leaves it out.
_ROUTINE = ("reaching", "fetching", "reading", "judging", "keeping", "waiting")
_MARK = {"promoted": "[green]promoted[/]", "refused": "[red]refused[/]", "rolled_back": "[yellow]rolled back[/]"}


def command(
    ctx: typer.Context,
    directory: Annotated[
        Path, typer.Option(help="Where the demo lives; made anew each time it runs there.", metavar="DIR")
    ] = Path("mlship-demo"),
    report: Annotated[
        Path | None, typer.Option(help="Write what happened as JSON to this file.", metavar="FILE")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave servers and router running, to play with.")] = False,
    rate: Annotated[
        float, typer.Option(min=10, max=300, help="Requests a second that the callers send.", metavar="N")
    ] = 110,
) -> None:
    """Watch real models, on real flights, be promoted, refused and rolled back (about two minutes).

    A registry, a policy and four models are made from the flights that left New York in 2013. Callers ask an endpoint
    whether each of July's flights will be more than 15 minutes late. Every process is real, every request is HTTP.
    Needs no registry, no Docker and no network.

    \b
    Examples:
      mlship demo --directory demo --report demo.json
    """
    del ctx
    started = time.monotonic()
    console = common.out()
    console.print("[bold]mlship demo[/]: will this flight be more than 15 minutes late?")
    if report is not None and not report.absolute().parent.is_dir():
        raise StateError("the directory for the report does not exist", where=str(report.absolute().parent))
    from mlship.demo import stage as stages
    from mlship.demo import story

    stage = stages.build(directory)
    told = story.tell(stage, _Terminal(console, started), rate=rate, keep=keep)
    document = told.report()
    if report is not None:
        report.write_text(json.dumps(document, indent=2) + "\n")
    _sum_up(console, told, time.monotonic() - started)
    _where_next(console, stage, keep)
    if told.heard is not None and told.heard.failed:
        for failure in told.heard.failures:
            common.err().print(f"failed: {failure}", markup=False)
        raise StateError(f"{told.heard.failed} of {told.heard.sent} requests failed", hint="run it again with --debug")


class _Terminal:
    """Tells the story on a terminal, or as plain lines elsewhere."""

    def __init__(self, console: Console, started: float) -> None:
        self._console = console
        self._started = started
        self._held = ""

    def chapter(self, title: str) -> None:
        self._console.print(f"\n[bold cyan]{time.monotonic() - self._started:5.0f} s[/]  [bold]{title}[/]")

    def say(self, text: str) -> None:
        self._release()
        self._console.print(f"         {text}", markup=False)

    def command(self, line: str) -> None:
        self._console.print(f"         [green]$ {line}[/]")

    def progress(self, line: str) -> None:
        """Show what moves; a line is held until the next, because the last one says what the verdict says again."""
        if line.strip() and not line.removeprefix("mlship: ").startswith(_ROUTINE):
            self._release()
            self._held = line

    def _release(self) -> None:
        if self._held:
            self._console.print(f"         │ {self._held}", markup=False, style="dim")
        self._held = ""

    def output(self, text: str) -> None:
        width = max(40, self._console.width - 10)
        for line in text.splitlines():
            self._console.print(f"         {line if len(line) <= width else line[: width - 1] + '…'}", markup=False)

    def verdict(self, scenario: Scenario) -> None:
        if self._held != scenario.reason:
            self._release()
        self._held = ""
        mark = _MARK.get(scenario.verdict, scenario.verdict)
        self._console.print(f"         [bold]=> {mark}[/] (exit {scenario.exit_code}): {scenario.reason}")


def _sum_up(console: Console, told: Told, seconds: float) -> None:
    document = told.report()
    lags = ", ".join(f"{lag:.1f} ms" for lag in document["rollback_ms"])
    sent, failed = document["traffic"]["sent"], document["traffic"]["failed"]
    console.print(
        f"\n[bold]{sent:,} requests sent, {failed} failed[/], through a promotion, two rollbacks and a killed canary."
        f"\nFrom a rollback's verdict to the last answer of the version it removed: {lags}."
        f"\nAll of it took {seconds:.0f} s."
    )


def _where_next(console: Console, stage: Stage, keep: bool) -> None:
    here = stage.directory
    console.print("\nWhere to go next:")
    if keep:
        console.print(
            f"  cd {here}        everything still runs; mlship status, mlship history\n"
            f"  curl {stage.url}/version\n"
            f"  mlship down              stops it all",
            markup=False,
        )
    else:
        console.print(
            f"  cd {here}        policies, registry and ledger are here to look at; nothing runs any more\n"
            "  mlship demo --keep       leaves it running to play with\n"
            "  mlship validate flight-delay.yaml, mlship evaluate flight-delay.yaml, mlship ship flight-delay.yaml",
            markup=False,
        )
