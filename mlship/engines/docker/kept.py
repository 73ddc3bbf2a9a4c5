"""What a Docker engine keeps on disk: where it is, and what its router does for callers. The rest is in the world."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlship.engines import state
from mlship.engines.front import Front
from mlship.errors import StateError

#: The value of `engine` in the file, by which the table knows whose it is.
KIND = "docker"


@dataclass(frozen=True, slots=True)
class Kept:
    """The content of `engine.json`."""

    model: str
    home: str
    """What everything on the engine is labelled with; stays when the directory is moved."""
    at: str
    """Address of the engine; without a password."""
    front: Front

    def text(self) -> str:
        """As it is written."""
        document = {
            "engine": KIND,
            "model": self.model,
            "home": self.home,
            "at": self.at,
            "front": self.front.to_json(),
        }
        return json.dumps(document, indent=1)


def load(directory: Path) -> Kept | None:
    """Read the state in a directory; None when there is none.

    Raises ``StateError`` when it cannot be read, or is of another engine.
    """
    path = directory / state.FILE
    try:
        document: dict[str, Any] = json.loads(path.read_text())
        if document.get("engine") != KIND:
            raise StateError(
                f"another engine ({document.get('engine', 'local')}) serves this model",
                where=str(path),
                hint="`mlship down MODEL` ends it (callers are cut off), then run this again",
            )
        return Kept(document["model"], document["home"], document["at"], Front.from_json(document["front"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StateError(
            f"cannot read the engine's state: {type(error).__name__}: {error}",
            where=str(path),
            hint="remove this file: what runs is found by its labels, and `mlship down MODEL` ends it",
        ) from error


def save(directory: Path, kept: Kept) -> None:
    """Write the state, readable by its owner only."""
    state.write(directory / state.MARK, KIND, durable=True)
    state.write(directory / state.FILE, kept.text(), durable=True)


def forget(directory: Path) -> None:
    """Remove the state, the mark last."""
    for name in (state.FILE, state.MARK):
        (directory / name).unlink(missing_ok=True)
