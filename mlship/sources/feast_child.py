"""Runs in Feast's own Python, without mlship: reads historical and online features of some entities into Parquet files.

Usage: python -I feast_child.py REQUEST.json OUT_DIRECTORY PARENT_PID. Leaves offline.parquet, online.parquet and
told.json in the directory, or error.json with `what` and `hint`. (-I: no file beside this one is taken for Feast.)
"""

from __future__ import annotations

import difflib
import importlib
import json
import os
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

ROW = "mlship_row"
TIME = "event_timestamp"
#: Rows per look-up: a feature server and a database take so many at once.
_BATCH = 2000
#: Moments of materialisation at which the offline side is asked as well, to tell stale values; the latest ones.
_MOMENTS = 5


class Problem(Exception):
    """What cannot be done, and what to do about it."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


def main(request: dict[str, Any], out: Path) -> None:
    """Read both sides and write them."""
    import pandas as pd

    try:
        feast = importlib.import_module("feast")
    except ImportError as error:
        raise Problem(
            f"this Python has no Feast ({error})", "name one that has: `python` in the policy, or FEAST_PYTHON"
        ) from None
    sys.path.append(request["repository"])  # for providers and transformations of the repository's own
    store = _store(feast, request["repository"])
    references, views = _references(store, request["features"])
    keys = list(dict.fromkeys(key for view in views for key in _join_keys(view)))
    given = list(dict.fromkeys(name for view in views for name in _request_columns(view)))
    entities = pd.read_parquet(request["entities"])
    for name in [*keys, *given]:
        if name not in entities.columns:
            near = difflib.get_close_matches(name, list(entities.columns), n=1)
            meant = f"; did you mean '{near[0]}'?" if near else ""
            raise Problem(
                f"the entity rows have no column '{name}', which Feast joins by{meant}",
                "one row per entity, with all join keys",
            )
        gone = int(entities[name].isna().sum())
        if gone:
            raise Problem(f"{gone:,} entity rows have no '{name}'", "drop them: Feast cannot look them up")
    timed = TIME in entities.columns
    asked = entities[[*keys, *given]].copy()
    now = pd.Timestamp(datetime.now(timezone.utc)).floor("ms")  # noqa: UP017 - Feast still runs on Python 3.10
    asked[TIME] = pd.to_datetime(entities[TIME], utc=True) if timed else now
    asked[ROW] = range(len(asked))
    names = [reference.split(":")[1] for reference in references]
    full = len(set(names)) < len(names)
    columns = [reference.replace(":", "__") for reference in references] if full else names
    filled = {view.name: moment for view in views if (moment := _materialised(view)) is not None}
    moments = sorted(set(filled.values()))[-_MOMENTS:]
    sides = [_historical(store, asked, references, full)]
    for moment in moments:
        earlier = asked[asked[TIME] > moment]
        if len(earlier):
            sides.append(_historical(store, earlier.assign(**{TIME: moment}), references, full))
    offline = pd.concat(sides, ignore_index=True)
    online, statuses = _online(store, asked, references, full, sent=[*keys, *given], columns=columns)
    lacking = [name for name in columns if name not in offline.columns or name not in online.columns]
    if lacking:
        raise Problem(f"Feast gave no column '{lacking[0]}'", "name features as view:feature")
    offline[[ROW, *keys, TIME, *columns]].to_parquet(out / "offline.parquet", index=False)
    online[[ROW, *keys, TIME, *columns]].to_parquet(out / "online.parquet", index=False)
    told = {
        "keys": keys,
        "columns": columns,
        "timed": timed,
        "materialised": {name: str(moment) for name, moment in filled.items()},
        "never": [
            view.name
            for view in views
            if _join_keys(view) and hasattr(view, "materialization_intervals") and view.name not in filled
        ],
        "statuses": statuses,
        "earliest": str(asked[TIME].min()),
        "feast": feast.__version__,
    }
    (out / "told.json").write_text(json.dumps(told), encoding="utf-8")


def _store(feast: Any, repository: str) -> Any:
    if not (Path(repository) / "feature_store.yaml").is_file():
        raise Problem(
            f"there is no feature_store.yaml in {repository}", "name the directory that `feast apply` was run in"
        )
    try:
        return feast.FeatureStore(repo_path=repository)
    except Exception as error:
        raise Problem(
            f"Feast cannot open the repository: {_line(error)}", "try `feast feature-views list` in it"
        ) from error


def _references(store: Any, features: list[str]) -> tuple[list[str], list[Any]]:
    """All features as view:feature, and their views."""
    services = [name for name in features if ":" not in name]
    references = [name for name in features if ":" in name]
    for name in services:
        known = [service.name for service in store.list_feature_services()]
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"; did you mean '{near[0]}'?" if near else ""
            raise Problem(
                f"there is no feature service '{name}'{meant}", "name features as view:feature, or a feature service"
            )
        for projection in store.get_feature_service(name).feature_view_projections:
            references += [f"{projection.name_to_use()}:{feature.name}" for feature in projection.features]
    every = {
        view.name: view
        for view in [
            *store.list_feature_views(),
            *store.list_on_demand_feature_views(),
            *store.list_stream_feature_views(),
        ]
    }
    if not every:
        raise Problem("the repository has no feature view", "run `feast apply` in it first")
    views: list[Any] = []
    for reference in references:
        view_name, name = reference.split(":", 1)
        if view_name not in every:
            near = difflib.get_close_matches(view_name, list(every), n=1)
            raise Problem(
                f"there is no feature view '{view_name}'" + (f"; did you mean '{near[0]}'?" if near else ""),
                f"the repository has {', '.join(sorted(every))}",
            )
        known = [feature.name for feature in every[view_name].features]
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise Problem(
                f"feature view '{view_name}' has no feature '{name}'"
                + (f"; did you mean '{near[0]}'?" if near else ""),
                f"it has {', '.join(known)}",
            )
        for one in [every[view_name], *_sources(store, every[view_name])]:
            if all(one.name != other.name for other in views):
                views.append(one)
    return list(dict.fromkeys(references)), views


def _sources(store: Any, view: Any) -> list[Any]:
    """The views that an on-demand view computes from."""
    return [store.get_feature_view(name.name) for name in getattr(view, "source_feature_view_projections", {}).values()]


def _join_keys(view: Any) -> list[str]:
    dummy = "__dummy_id"
    return [key for key in getattr(view, "join_keys", None) or [] if key != dummy]


def _request_columns(view: Any) -> list[str]:
    read = getattr(view, "get_request_data_schema", None)
    return list(read()) if read is not None else []


def _materialised(view: Any) -> Any:
    """Up to when the online store was filled, in UTC; None when it never was, or when Feast does not know."""
    import pandas as pd

    moment = getattr(view, "most_recent_end_time", None)
    if moment is None:
        return None
    stamp = pd.Timestamp(moment)
    return stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")


def _historical(store: Any, asked: Any, references: list[str], full: bool) -> Any:
    """The rows asked for with their historical values. Each entity and time is asked for once: stores drop twins."""
    apart = [name for name in asked.columns if name != ROW]
    group = asked.groupby(apart, sort=False).ngroup()
    once = asked.loc[~group.duplicated(), apart].assign(**{ROW: group[~group.duplicated()]})
    try:
        found = store.get_historical_features(entity_df=once, features=references, full_feature_names=full).to_df()
    except Exception as error:
        raise Problem(
            f"the historical store failed: {_line(error)}", "try get_historical_features on these rows"
        ) from error
    values = found.drop(columns=apart, errors="ignore").set_index(ROW)
    known = group.isin(values.index)  # what Feast leaves out has no offline row, and is told as that
    rows = asked[known].reset_index(drop=True)
    return rows.join(values.loc[group[known]].reset_index(drop=True))


def _online(
    store: Any, asked: Any, references: list[str], full: bool, *, sent: list[str], columns: list[str]
) -> tuple[Any, dict[str, dict[str, int]]]:
    """The online values, and how often each feature was found, missing, or too old."""
    import pandas as pd

    parts = []
    statuses: dict[str, dict[str, int]] = {name: {} for name in columns}
    for start in range(0, len(asked), _BATCH):
        rows = asked.iloc[start : start + _BATCH]
        try:
            answer = store.get_online_features(
                features=references, entity_rows={name: rows[name].tolist() for name in sent}, full_feature_names=full
            )
        except Exception as error:
            raise Problem(
                f"the online store failed: {_line(error)}",
                "was it materialised? run `feast materialize-incremental` first",
            ) from error
        found = answer.to_df()
        _count(answer.proto, statuses)
        extra = [name for name in columns if name in found.columns]
        parts.append(rows.reset_index(drop=True).join(found[extra]))
        sys.stderr.write(f"progress {min(start + _BATCH, len(asked))} {len(asked)}\n")
        sys.stderr.flush()
    return pd.concat(parts, ignore_index=True), statuses


def _count(proto: Any, statuses: dict[str, dict[str, int]]) -> None:
    for name, column in zip(proto.metadata.feature_names.val, proto.results, strict=True):
        if name in statuses:
            for status in column.statuses:
                word = type(proto).DESCRIPTOR.file.enum_types_by_name["FieldStatus"].values_by_number[status].name
                statuses[name][word] = statuses[name].get(word, 0) + 1


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:400]


def _end_with(parent: int) -> None:
    """Nobody waits for this process once its parent is gone."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(int(sys.argv[3]),), daemon=True).start()
    target = Path(sys.argv[2])
    try:
        main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), target)
    except Problem as problem:
        (target / "error.json").write_text(json.dumps({"what": problem.what, "hint": problem.hint}), encoding="utf-8")
        sys.exit(1)
