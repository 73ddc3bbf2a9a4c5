"""What the program is told, in a file that it reads again whenever it changes, so that a change needs no restart."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mlship.errors import StateError


@dataclass(frozen=True, slots=True)
class Settings:
    """How to answer."""

    kind: str
    """rule | queue; anything else: new requests are refused, and jobs of before are still worked off."""
    models: str = ""
    """Base URL under which the router reaches the models, without a fallback and without asking for credentials."""
    timeout: float = 5.0
    """Seconds that a model may take for a job."""
    limit: float = 0.5
    """Seconds that the rule's function may take."""
    answer: dict[str, Any] | None = None
    function: str = ""
    directory: str = ""
    """Where the function's module is found."""
    digest: str = ""
    """sha256 of the module's file: a changed function is another setting."""
    max_jobs: int = 10_000
    keep: float = 86400.0
    """Seconds that an answer can be fetched."""

    def to_json(self) -> dict[str, Any]:
        """A document that `load` reads back as the same value."""
        return asdict(self)


def load(path: Path) -> Settings:
    """Read the file.

    Raises
    ------
    StateError
        It is not there, cannot be read, or is not ours.
    """
    try:
        document = json.loads(path.read_text())
        known = {field.name for field in fields(Settings)}
        return Settings(**{name: value for name, value in document.items() if name in known})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise StateError(f"cannot read the settings: {type(error).__name__}: {error}", where=str(path)) from error
