"""The judge: what each signal says so far about the canary, as evidence that stays honest at every look. Pure.

Rooms: `guards` (what is watched, and the error budget), `evidence` (what is remembered), `bets` (how it begins), `look`
(one look), `latency`, `outputs` (predictions) and `telemetry` (what they count), `proofs` (certificates), `words`
(sentences and rows), `written` (JSON).
"""

from mlship.rollout.judge.bets import begin
from mlship.rollout.judge.evidence import Evidence, Proof, Signal
from mlship.rollout.judge.guards import Guards, stage_shares
from mlship.rollout.judge.latency import COLD_START, QUANTILES, SHOWN, WARM_UP
from mlship.rollout.judge.look import restart, update
from mlship.rollout.judge.numbers import number
from mlship.rollout.judge.proofs import PROVED, unproved
from mlship.rollout.judge.words import Row, accusation, objections, rows, say, sentence, warnings
from mlship.rollout.judge.written import from_json, to_json

__all__ = [
    "COLD_START",
    "PROVED",
    "QUANTILES",
    "SHOWN",
    "WARM_UP",
    "Evidence",
    "Guards",
    "Proof",
    "Row",
    "Signal",
    "accusation",
    "begin",
    "from_json",
    "number",
    "objections",
    "restart",
    "rows",
    "say",
    "sentence",
    "stage_shares",
    "to_json",
    "unproved",
    "update",
    "warnings",
]
