"""What `mlship init` asks at a terminal, each with its default shown; without one it takes the defaults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from mlship.cli.common import a_rate
from mlship.errors import UsageError

if TYPE_CHECKING:
    from mlship.draft.facts import Owner

T = TypeVar("T", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Choice:
    """Columns to choose from; empty where nobody could read them."""

    known: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    """Those that the model does not take."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks on stderr, so that stdout is the result's alone. Ctrl-C ends the command before anything is written."""

    waits: bool
    """A person sits there."""

    def model(self, names: list[str]) -> str:
        """One of the registry's models; any name where it has none, or is not there."""
        from mlship.report.figures import nearest

        if names:
            typer.echo(f"The registry has: {', '.join(names[:20])}{' ...' * (len(names) > 20)}", err=True)
        while True:
            said = str(_prompt("Registered model", default=names[0] if len(names) == 1 else None)).strip()
            if said in names or (said and not names):
                return said
            typer.echo(f"  the registry has no model named '{said}'{nearest(said, names)}", err=True)

    def data(self) -> Path | None:
        """The rows to measure on; None where there are none."""
        return _file("Rows with labels to measure it on (a file; empty: none)") if self.waits else None

    def reference(self) -> Path | None:
        """The rows that the model was trained on; None where there are none."""
        return _file("Rows that it was trained on (a file; empty: none)") if self.waits else None

    def columns(self, data: Path, inputs: Callable[[], tuple[str, ...]]) -> Choice:
        """The columns of the rows, shown, and those among them that the model does not take."""
        from mlship.policy.columns import NotATableError, columns
        from mlship.policy.formats import matches
        from mlship.report.figures import listed

        found = matches(str(data), data.absolute())
        try:
            known = columns(data if found is None else found[0][1]) or ()
        except (NotATableError, OSError, IndexError):
            known = ()  # reading the rows tells what is wrong with them
        if not known:
            return Choice()
        taken = inputs()
        others = tuple(name for name in known if name not in taken) if taken else ()
        typer.echo(f"{data.name} has: {listed(list(known), 40)}", err=True)
        if others and len(others) < len(known):
            typer.echo(f"The model does not take: {listed(list(others), 40)}", err=True)
        return Choice(known, others)

    def target(self, data: Path, choice: Choice | None) -> str | None:
        """The column with the label; by default the one that the model does not take."""
        if not self.waits or choice is None:
            return None
        default = choice.others[0] if len(choice.others) == 1 else None
        return _column(f"Column of {data.name} that holds the label", choice, default)

    def time(self, target: str, choice: Choice | None) -> str | None:
        """The column with the time."""
        if not self.waits or choice is None:
            return None
        rest = Choice(tuple(name for name in choice.known if name != target))
        return _column("Column that holds the time of the row (empty: none)", rest, "") or None

    def rate(self) -> float | None:
        """Requests a second that callers send; None where nobody knows."""
        while self.waits:
            said = str(_prompt("Requests that callers send, such as 50/s (empty: not known)", default="")).strip()
            try:
                return a_rate(said or None)
            except UsageError as error:
                typer.echo(f"  {error.what.removeprefix('--rate: ')}", err=True)
        return None

    def owner(self, known: Owner, team: str | None, contact: str | None) -> Owner:
        """Who answers for the model: as told, as asked, else as git knows."""
        from mlship.draft.facts import Owner

        if self.waits:
            team = team if team is not None else _needed("Team that owns the model", known.team, "who answers for it")
            contact = (
                contact if contact is not None else _needed("What reaches them", known.contact, "whom to ask about it")
            )
        said = Owner(team if team is not None else known.team, contact if contact is not None else known.contact)
        return Owner(said.team.strip(), said.contact.strip())

    def ci(self, default: T, kinds: type[T]) -> T:
        """Whose workflow is written."""
        if not self.waits:
            return default
        names = [one.value for one in kinds]
        while (said := str(_prompt(f"Workflow for ({', '.join(names)})", default=default.value)).strip()) not in names:
            typer.echo(f"  one of {', '.join(names)}", err=True)
        return kinds(said)

    def hooks(self, *, default: bool) -> bool:
        """Whether the pre-commit hooks are added."""
        if not self.waits:
            return default
        return bool(_interruptible(lambda: typer.confirm("Add mlship's pre-commit hooks?", default=default, err=True)))


def _file(question: str) -> Path | None:
    """A file that is there, or a glob; None for no answer."""
    while True:
        said = str(_prompt(question, default="")).strip()
        if not said:
            return None
        path = Path(said).expanduser()
        if path.exists() or "*" in said:
            return path
        typer.echo(f"  there is no file {said}", err=True)


def _column(question: str, choice: Choice, default: str | None) -> str:
    """One of the columns, where they are known; empty only where that is the default."""
    from mlship.report.figures import nearest

    while True:
        said = str(_prompt(question, default=default)).strip()
        if said == default or said in choice.known or (said and not choice.known):
            return said
        typer.echo(f"  there is no such column{nearest(said, list(choice.known))}", err=True)


def _needed(question: str, default: str, why: str) -> str:
    """An answer that a policy cannot do without."""
    while True:
        said = str(_prompt(question, default=default, show_default=bool(default))).strip()
        if said:
            return said
        typer.echo(f"  git does not tell it, and a policy names {why}: write `unknown` to settle it later", err=True)


def _prompt(text: str, **options: Any) -> Any:
    return _interruptible(lambda: typer.prompt(text, err=True, **options))


def _interruptible(ask: Any) -> Any:
    """Ctrl-C, and the end of input, end the command as anywhere else: with 130."""
    try:
        return ask()
    except typer.Abort:
        raise KeyboardInterrupt from None
