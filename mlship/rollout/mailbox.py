"""Orders to a running controller, as files: written whole or not at all, taken once, answered once."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlship.errors import StateError
from mlship.rollout.state import Command, Order


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
                content = json.loads(path.read_text())
                path.unlink()
                return Letter(path.stem, Command(Order(content["order"]), content["who"]))
            except (OSError, ValueError, KeyError, TypeError):
                path.unlink(missing_ok=True)  # withdrawn meanwhile, or not written by us
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
                text = str(json.loads(path.read_text())["text"])
                path.unlink()
                return text
            sleep(0.05)
        (self.directory / f"{letter}.order").unlink(missing_ok=True)
        return None

    def clear(self) -> None:
        """Forget orders and answers of the past: they were not meant for this controller."""
        for path in self.directory.glob("*-*.*"):
            path.unlink(missing_ok=True)

    def _orders(self) -> list[Path]:
        try:
            return sorted(path for path in self.directory.iterdir() if path.suffix == ".order" and path.name[0] != ".")
        except FileNotFoundError:
            return []


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
