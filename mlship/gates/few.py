"""Rows that are few enough to be predicted for one purpose alone: a seeded sample of many, the same for all who ask."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mlship.sources.files import Rows
from mlship.stats import binning

#: Rows of reference and recent data that the candidate predicts; the evaluation rows are predicted anyway.
PREDICTED = 200_000


def few(rows: Rows, seed: int) -> tuple[Rows, Any]:
    """At most `PREDICTED` of the rows, under a name of their own, and which they are (a slice or sorted indices)."""
    chosen = binning.some(len(rows), PREDICTED, seed)
    if isinstance(chosen, slice):
        return rows, chosen
    name = f"{rows.digest} ({PREDICTED} rows, seed {seed})"
    return replace(rows, frame=rows.frame.iloc[chosen].reset_index(drop=True), digest=name), chosen
