"""Where the two sides of the skew gate come from: files, SQL, or Feast's historical and online stores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.errors import DataError
from mlship.gates.base import GateContext
from mlship.gates.skew.show import Shown
from mlship.policy.gates import FeastStore, SkewGate
from mlship.report.figures import count, listed, nearest, things
from mlship.sources import feast, files

if TYPE_CHECKING:
    import pandas as pd

    from mlship.policy.data import Dataset


@dataclass(frozen=True, slots=True)
class Sides:
    """Offline and online rows, and how they are to be matched."""

    offline: pd.DataFrame
    online: pd.DataFrame
    keys: tuple[str, ...]
    time: str | None
    max_age: float | None
    shown: tuple[str, ...]
    """Columns that tell a person which row it is."""
    columns: tuple[str, ...] | None = None
    """What to compare, when the source says so."""
    notes: tuple[str, ...] = ()

    @property
    def for_eyes(self) -> Shown:
        """How a person finds the rows again."""
        return Shown(self.offline, self.online, self.shown, self.time)


def from_files(context: GateContext, rules: SkewGate, offline: Dataset, online: Dataset) -> Sides:
    """The two sides as the policy names them."""
    frames = []
    for dataset, side in ((offline, "offline"), (online, "online")):
        if dataset.mlflow is not None:
            raise DataError(
                "skew reads files and SQL, not MLflow datasets", where=f"gates.skew.{side}", hint="give its path"
            )
        rows = files.read(dataset, context.resolve(dataset.path or "."))
        for name in (*rules.key, *filter(None, [rules.time])):
            known = [str(column) for column in rows.frame.columns]
            if name not in known:
                raise DataError(
                    f"there is no column '{name}'{nearest(name, known)}",
                    where=f"gates.skew.{side} ({dataset.source})",
                    hint=f"`key` and `time` are columns of both sides; this one has {listed(known, 12)}",
                )
        frames.append(rows.frame)
    shown = (*rules.key,)
    return Sides(frames[0], frames[1], rules.key, rules.time, rules.max_age, shown)


def from_feast(context: GateContext, store: FeastStore) -> tuple[Sides, str]:
    """Both of Feast's stores for the entities, and a sentence about rows that the online store is too new for.

    The offline side also holds the values of the moments when the online store was filled, so that a value which was
    right then is told as stale.
    """
    import pandas as pd

    entities = files.read(store.entities, context.resolve(store.entities.path or ".")).frame
    if not len(entities):
        raise DataError("there are no entity rows", where=f"gates.skew.feast.entities ({store.entities.source})")
    python = None
    if store.python is not None:
        python = context.resolve(store.python) if "/" in store.python else Path(store.python)
    found = feast.retrieve(
        store,
        context.resolve(store.repository),
        entities,
        context.home,
        python=python,
        progress=context.say,
        tick=context.tick,
    )
    notes = [f"'{view}' was never materialised" for view in found.never]
    latest = max(map(pd.Timestamp, found.filled.values()), default=None)
    online, newer = found.online, ""
    if latest is not None:
        if not found.never:
            notes.append(f"the online store was last filled up to {latest:%Y-%m-%d %H:%M} UTC")
        late = online[feast.TIME] < latest
        if late.any():
            newer = (
                f"{things(int(late.sum()), 'entity row')} of {count(len(late))} ask for a time before "
                f"{latest:%Y-%m-%d %H:%M} UTC, up to which the online store was filled: it may hold later values, so "
                f"they were not compared; leave out '{feast.TIME}' to compare the values of now"
            )
            online = online[~late].reset_index(drop=True)
    absent = {name: counts.get("NOT_FOUND", 0) for name, counts in found.statuses.items() if counts.get("NOT_FOUND")}
    if absent:
        name = max(absent, key=lambda key: absent[key])
        notes.append(f"the online store does not know {things(absent[name], 'entity row')} (feature '{name}')")
    sides = Sides(found.offline, online, (feast.ROW,), feast.TIME, None, found.keys, found.columns, tuple(notes))
    return sides, newer
