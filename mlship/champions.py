"""Who was champion before whom, told from the ledger's entries: where a rollback goes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlship.types import LedgerEntry

#: Actions that tell who is champion.
TELLING = ("promoted", "rolled_back", "served")


def champions(entries: Sequence[LedgerEntry]) -> list[str]:
    """The stack of one model's champions, the present one last; the one before it is where a rollback goes.

    Below each champion stands the one that it replaced, however often people went back and forth since:

    - `promoted` (from the champion of that moment, to the new one) puts the new one on top. A champion of that moment
      that is another one than we know of was named by hand: that counts as if it had been `served` before.
    - `rolled_back` goes to a version, wherever it stands; what stands below it is known as before. Only if the version
      that was left is champion: a rollback during a rollout leaves one that never was, and changes nothing.
    - `served`, a champion that was named by hand, goes to a version that is known, and puts another one on top.

    A version that was left by going back is in nobody's stack until it is champion again. One that was left for a
    version above it, so that an earlier rollback was taken back, stays.
    """
    known = _Known()
    for entry in entries:
        old, new = entry.from_version, entry.to_version
        if entry.action == "promoted" and new is not None:
            if old is not None:
                known.named(old)
            known.promoted(new)
        elif entry.action == "served" and new is not None:
            known.named(new)
        elif entry.action == "rolled_back" and new is not None:
            if known.now is None and old is not None and "rollout" not in entry.evidence:
                known.promoted(new)  # by hand, in a ledger that has begun since: the earlier one stands below
                known.promoted(old)
            if known.now is not None and known.now.version == old:
                known.went(new)
    return known.stack()


@dataclass(frozen=True, slots=True)
class _Place:
    """A champion, on top of the one that it replaced."""

    version: str
    below: _Place | None

    def down(self) -> Iterator[_Place]:
        """This place, and all below it."""
        place: _Place | None = self
        while place is not None:
            yield place
            place = place.below


class _Known:
    """What the entries so far have told."""

    def __init__(self) -> None:
        self.now: _Place | None = None
        self._latest: dict[str, _Place] = {}
        self._left: set[str] = set()

    def promoted(self, version: str) -> None:
        """It replaces the present one, although it may have been champion before."""
        if self.now is None or self.now.version != version:
            self.now = _Place(version, self.now)
        self._latest[version] = self.now
        self._left.discard(version)

    def named(self, version: str) -> None:
        """Somebody has made it champion without us."""
        if self.now is None or version not in self._latest:
            self.promoted(version)
        elif self.now.version != version:
            self.went(version)

    def went(self, version: str) -> None:
        """Traffic and alias went to it from the present one: down, up, or to a version beside."""
        now = self.now
        assert now is not None, "the caller has looked"
        below = next((place for place in now.down() if place.version == version), None)
        place = below or self._latest.get(version) or _Place(version, now.below)
        if below is not None or all(one is not now for one in place.down()):
            self._left.add(now.version)
        self.now = self._latest[version] = place
        self._left.discard(version)

    def stack(self) -> list[str]:
        """Versions, the present one last, without those that were left."""
        if self.now is None:
            return []
        kept = [place.version for place in self.now.down() if place.version not in self._left]
        return [version for number, version in enumerate(kept) if not number or kept[number - 1] != version][::-1]
