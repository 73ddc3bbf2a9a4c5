"""Orders to a running controller, as files: written whole or not at all, taken once, answered once."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlship.errors import StateError
from mlship.rollout.state import Command, Order

#: Names of letters; and digits of a time in ns that no letter reaches.
_LETTER, _DIGITS = re.compile(r"[^.].*-.*\..*"), 25
#: Characters of a name that are told.
_WHO = 200


@dataclass(frozen=True, slots=True)
class Letter:
    """One order that was taken, and the id under which its answer is awaited."""

    id: str
    command: Command


@dataclass(frozen=True, slots=True)
class Mailbox:
    """The orders and answers of one model's rollouts."""

    directory: Path

    def post(self, order: Order, who: str) -> str:
        """Leave an order for the controller; the id to ask the answer by. Raises ``StateError`` when it cannot."""
        letter = f"{time.time_ns()}-{secrets.token_hex(3)}"
        _write(self.directory / f"{letter}.order", {"order": order.value, "who": who})
        return letter

    def waiting(self) -> bool:
        """Whether an order lies here."""
        return bool(self._orders())

    def take(self) -> Letter | None:
        """The oldest order, which is then no longer here; None when there is none."""
        for path in self._orders():
            try:
                content = _content(path)
                path.unlink()
                who = "".join(filter(str.isprintable, str(content["who"])))[:_WHO]
                return Letter(path.stem, Command(Order(content["order"]), who))
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                _put_aside(path)  # withdrawn meanwhile, or not written by us
        return None

    def answer(self, letter: str, text: str) -> None:
        """Tell whoever posted this order what came of it; on a full disk they wait in vain, and ask again."""
        with suppress(StateError):
            _write(self.directory / f"{letter}.answer", {"text": text})

    def wait(self, letter: str, seconds: float, sleep: Callable[[float], None] = time.sleep) -> str | None:
        """The answer; after so many seconds without one the order is withdrawn, and this is None."""
        path = self.directory / f"{letter}.answer"
        for _ in range(max(1, round(seconds / 0.05))):
            if path.exists():
                text = _said(path)
                _put_aside(path)
                return text
            sleep(0.05)
        _put_aside(self.directory / f"{letter}.order")
        return None

    def clear(self, before: float | None = None) -> None:
        """Forget orders and answers of the past: they were not meant for this controller.

        Parameters
        ----------
        before
            Unix time at which this controller had taken the model's lock: what was posted since is meant for it.
            Default: now.

        Raises ``StateError`` when there can be no letters here: then nobody could give an order either.
        """
        until = time.time_ns() if before is None else int(before * 1e9)
        try:
            letters = list(self.directory.iterdir())
        except FileNotFoundError:
            return
        except OSError as error:
            raise StateError(
                f"cannot read orders: {error.strerror or error}",
                where=str(self.directory),
                hint="move it away if it is not a directory, or free permissions; then run the same command again",
            ) from error
        for path in letters:
            if _LETTER.fullmatch(path.name) and _posted(path) < until:
                _put_aside(path)

    def _orders(self) -> list[Path]:
        """What lies here. Where that cannot be told nothing does: a canary is watched on without orders."""
        try:
            found = [path for path in self.directory.iterdir() if path.suffix == ".order" and path.name[0] != "."]
        except OSError:
            return []
        return sorted(found, key=lambda path: (_posted(path), path.name))


def _posted(path: Path) -> int:
    """When a letter was posted, in ns of Unix time, as its name says; long ago when it does not."""
    number = path.name.partition("-")[0]
    return int(number) if number.isascii() and number.isdigit() and len(number) < _DIGITS else 0


def _content(path: Path) -> Any:
    if not path.is_file():  # to read from a pipe would be to wait
        raise ValueError("this is no letter")
    return json.loads(path.read_text())


def _said(path: Path) -> str:
    try:
        return str(_content(path)["text"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "the answer cannot be read; `mlship status` shows what came of it"


def _put_aside(path: Path) -> None:
    """Remove a letter; what cannot be removed is renamed, so that it is not met again."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        with suppress(OSError):
            path.rename(path.with_name(f".{path.name}.{secrets.token_hex(3)}"))


def _write(path: Path, content: dict[str, str]) -> None:
    fresh = path.with_name(f".{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh.write_text(json.dumps(content))
        fresh.replace(path)
    except OSError as error:
        raise StateError(
            f"cannot leave a letter for the controller: {error.strerror or error}",
            where=str(path.parent),
            hint="free space or permissions, then run the same command again",
        ) from error
