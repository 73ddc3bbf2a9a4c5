"""Models as `mlship status --all` has gathered them: one in trouble, one overdue, one fine, one that is nobody's."""

from __future__ import annotations

from mlship.types.estate import (
    BrokenPolicy,
    Estate,
    LastVerdict,
    ModelSeen,
    Orphan,
    Overdue,
    RegistrySeen,
    Trace,
)
from tests.report import monitored
from tests.report.monitored import BREACH, DAY, NOW

_LINE = BREACH.figures[0].line
assert _LINE is not None
_PSI = BREACH.features[0].line
assert _PSI is not None

FLIGHTS = ModelSeen(
    "flight-delay",
    "teams/flights/mlship.yaml",
    team="flight-ops",
    contact="#flight-ops",
    review_by="2026-09-01",
    registry="https://mlflow.example.com",
    registered=True,
    champion="3",
    told_by="registry",
    made=NOW - 71 * DAY,
    promoted=NOW - 70 * DAY,
    serving="3",
    endpoint="http://127.0.0.1:8080",
    rollout="version 4: waiting for `mlship promote flight-delay` at step 3 of 5",
    verdict=LastVerdict("promoted", "passed", "3", NOW - 70 * DAY, "ada@host", "all 5 steps are done"),
    monitored=True,
    looked=NOW - 300,
    looked_verdict="failed",
    worst=monitored.FINDINGS[0],
    strain=1.64,
    incidents=monitored.INCIDENTS[:3],
    past=monitored.INCIDENTS[3:],
    drift=Trace("PSI of predictions", _PSI.at, _PSI.value, 0.1),
    performance=Trace("recall", _LINE.at, _LINE.value, 0.6),
    overdue=(
        Overdue(
            "flight-delay", "review", "the review was due on 2026-09-01", NOW - 11 * DAY, "flight-ops", "#flight-ops"
        ),
        Overdue("flight-delay", "approval", "the rollout of version 4 waits", None, "flight-ops", "#flight-ops"),
    ),
)
CHURN = ModelSeen(
    "churn-of-customers-with-a-very-long-name",
    "teams/crm/mlship.yaml",
    team="crm",
    contact="crm@example.com",
    champion="12",
    told_by="ledger",
    promoted=NOW - 200 * DAY,
    monitored=True,
    looked=NOW - 9 * DAY,
    overdue=(Overdue("churn-of-customers-with-a-very-long-name", "monitor", "not watched for 9 d", NOW, "crm", "crm"),),
    troubles=monitored.TROUBLES,
)
PRICE = ModelSeen(
    "price",
    "price.yaml",
    team="pricing",
    contact="pricing@example.com",
    registered=True,
    champion="1",
    told_by="registry",
)
FRAUD = ModelSeen(
    "fraud",
    registered=True,
    champion="1",
    told_by="registry",
    orphan=Orphan("no policy", "fraud", "fraud has no policy"),
)
assert FRAUD.orphan is not None

ESTATE = Estate(
    NOW,
    (CHURN, FLIGHTS, FRAUD, PRICE),
    ("old", "older"),
    (FRAUD.orphan,),
    (
        RegistrySeen("https://mlflow.example.com", 5),
        RegistrySeen("https://other.example.com", 0, "the registry does not answer (connection refused)"),
    ),
    (BrokenPolicy("x/mlship.yaml", "line 4: unknown key `metrix`", named=False),),
    (),
    "/srv/models",
)
