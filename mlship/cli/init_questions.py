"""What `mlship init` asks at a terminal, each with its default shown; without one it takes the defaults."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

if TYPE_CHECKING:
    from mlship.draft.facts import Owner

T = TypeVar("T", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks on stderr, so that stdout is the result's alone. Ctrl-C ends the command before anything is written."""

    waits: bool
    """A person sits there."""

    def model(self, names: list[str]) -> str:
        """One of the registry's models, or another name."""
        if names:
            typer.echo(f"The registry has: {', '.join(names[:20])}{' ...' * (len(names) > 20)}", err=True)
        return str(_prompt("Registered model", default=names[0] if len(names) == 1 else None))

    def data(self) -> Path | None:
        """The rows to measure on; None where there are none."""
        if not self.waits:
            return None
        while True:
            said = str(_prompt("Rows with labels to measure it on (a file; empty: none)", default="")).strip()
            if not said:
                return None
            path = Path(said).expanduser()
            if path.exists() or "*" in said:
                return path
            typer.echo(f"  there is no file {said}", err=True)

    def target(self, data: Path) -> str | None:
        """The column with the label."""
        return str(_prompt(f"Column of {data.name} that holds the label")).strip() if self.waits else None

    def time(self) -> str | None:
        """The column with the time."""
        said = str(_prompt("Column that holds the time of the row (empty: none)", default="")) if self.waits else ""
        return said.strip() or None

    def owner(self, known: Owner, team: str | None, contact: str | None) -> Owner:
        """Who answers for the model: as told, as asked, else as git knows."""
        from mlship.draft.facts import Owner

        if self.waits:
            team = team if team is not None else str(_prompt("Team that owns the model", default=known.team or None))
            contact = (
                contact if contact is not None else str(_prompt("What reaches them", default=known.contact or None))
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


def _prompt(text: str, **options: Any) -> Any:
    return _interruptible(lambda: typer.prompt(text, err=True, **options))


def _interruptible(ask: Any) -> Any:
    """Ctrl-C, and the end of input, end the command as anywhere else: with 130."""
    try:
        return ask()
    except typer.Abort:
        raise KeyboardInterrupt from None
