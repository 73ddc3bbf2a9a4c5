"""Checklists for the tests of the machine reports: one of every kind, and any that hypothesis can think of."""

from __future__ import annotations

from hypothesis import strategies as st

from mlship.report.checklist import Check, Checklist, Figure
from mlship.types import Status, worst

CHECKS = (
    Check("ownership", "runbook", Status.SKIPPED, "owner.runbook is not set", limit="exists"),
    Check("contract", "max_missing", Status.PASSED, "largest missing share is 0.12%", limit="<= 1%", measured="0.12%"),
    Check("metrics", "recall min", Status.INCONCLUSIVE, "it needs about 4,000 rows", line=12, column=5, limit=">= 0.6"),
    Check("leakage", "unavailable", Status.FAILED, "takes arr_time as input", "train without it", line=9, column=3),
    Check("metrics", "r2 min", Status.ERROR, "needs numbers"),
    Check("mlship.yaml", "3:5", Status.PASSED, "steps overlap", warning=True, line=3, column=5, kind="warning"),
)
LIST = Checklist(
    "evaluate",
    "flight-delay 2 (champion 1)",
    Status.FAILED,
    "FAILED  flight-delay 2 (champion 1): 1 of 4 rules failed",
    CHECKS,
    file="policies/mlship.yaml",
    started=1763690000.5,
    seconds=3.21,
    figures=(Figure("mlship_measured", 0.62, (("gate", "metrics"), ("rule", "recall min"), ("arm", "candidate"))),),
    properties=(("model", "flight-delay"), ("candidate_version", "2")),
)

#: Text of every sort: control characters, halves of surrogate pairs, ends of sections, right-to-left marks.
TEXTS = st.one_of(
    st.text(st.characters(), max_size=40),
    st.sampled_from(
        [
            "]]>",
            "<![CDATA[",
            "a\nb\r\nc\x85\u2028d",
            "\x00\x1b[31m\x07",
            "🛫🏽‍✈️",
            "\u202eevil\u202c שלום",
            "\"&<>'\\",
            "::error::x",
            "%0A::set-output name=a::b",
            "\ud800",
            "-->",
            " ",
            "",
        ]
    ),
)
CHECK = st.builds(
    Check,
    group=TEXTS,
    name=TEXTS,
    status=st.sampled_from(Status),
    reason=TEXTS,
    hint=TEXTS,
    file=TEXTS,
    line=st.integers(0, 10**6),
    column=st.integers(0, 10**4),
    limit=TEXTS,
    measured=TEXTS,
    warning=st.booleans(),
    seconds=st.floats(0, 1e6),
    kind=st.sampled_from(["", "fault", "warning"]),
)
FIGURE = st.builds(
    Figure, name=TEXTS, value=st.floats(), labels=st.lists(st.tuples(TEXTS, TEXTS), max_size=3).map(tuple)
)


@st.composite
def checklists(draw: st.DrawFn) -> Checklist:
    """Any checklist whose status is the worst of its checks, or worse."""
    checks = tuple(draw(st.lists(CHECK, max_size=6)))
    folded = worst([check.status for check in checks])
    return Checklist(
        draw(TEXTS),
        draw(TEXTS),
        draw(st.sampled_from([folded, Status.FAILED])),
        draw(TEXTS),
        checks,
        file=draw(TEXTS),
        started=draw(st.floats(0, 2e9)),
        seconds=draw(st.floats(0, 1e6)),
        figures=tuple(draw(st.lists(FIGURE, max_size=5))),
        properties=tuple(draw(st.lists(st.tuples(TEXTS, TEXTS), max_size=4))),
    )
