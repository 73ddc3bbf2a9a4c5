"""Every model in every format: what asks for a person first, whose it is, and no name becomes markup."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlship.report import estate_page, estate_text
from mlship.report import estate_words as words
from mlship.types import Status
from mlship.types.estate import Estate
from tests.report.estates import CHURN, ESTATE, FLIGHTS, FRAUD, PRICE
from tests.report.monitored import DAY, NOW
from tests.report.test_html import Page
from tests.schemas import conforms

QUIET = Estate(NOW, (PRICE,))


def test_the_page_shows_a_row_a_model_and_what_asks_for_a_person_first() -> None:
    said = Page(estate_page.render(ESTATE)).said
    assert said.index("flight-delay") < said.index("churn-of-customers") < said.index("price.yaml")
    for part in ("crm (crm)", "the review was due on 2026-09-01", "does not answer", "unknown key metrix", "old"):
        assert part in said, part


@pytest.mark.parametrize(
    ("estate", "first", "plain", "strict"),
    [
        (ESTATE, Status.FAILED, Status.ERROR, Status.ERROR),
        (replace(ESTATE, registries=()), Status.FAILED, Status.PASSED, Status.FAILED),
        (Estate(NOW, (CHURN,)), Status.INCONCLUSIVE, Status.PASSED, Status.FAILED),
        (QUIET, Status.PASSED, Status.PASSED, Status.PASSED),
    ],
)
def test_what_is_seen_first_and_how_the_command_ends(
    estate: Estate, first: Status, plain: Status, strict: Status
) -> None:
    assert words.verdict(estate) is first
    assert words.status(estate, strict=False) is plain
    assert words.status(estate, strict=True) is strict
    assert estate_text.checklist(estate).status is plain
    failed = [one for one in estate_text.checklist(estate, strict=True).checks if one.status is Status.FAILED]
    assert bool(failed) is estate.waits


@pytest.mark.parametrize("estate", [ESTATE, QUIET, Estate(NOW, ())])
def test_json_is_what_its_schema_says(estate: Estate) -> None:
    found = conforms("status", estate_text.document(estate))
    assert found["whole"] is not bool(estate.faults)
    assert len(found["models"]) == len(estate.models)


def test_each_model_has_its_word() -> None:
    said = {one.model: words.word(one) for one in (FLIGHTS, CHURN, FRAUD, PRICE)}
    assert list(said.values()) == ["3 incidents open", "could not ask", "orphan", "not monitored"]
    assert words.champion(CHURN) == "12 (by the ledger)"
    assert words.drift(PRICE) == "not monitored"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(5, "5 s ago"), (150, "2 min ago"), (3 * 3600, "3 h ago"), (40 * DAY, "40 d ago"), (-5, "0 s ago")],
)
def test_how_long_ago_is_said_in_one_unit(seconds: float, said: str) -> None:
    assert words.ago(NOW - seconds, NOW) == said


def test_in_a_pipe_each_row_is_whole_and_on_a_terminal_it_fits() -> None:
    assert "predictions psi 0.164, limit <= 0.1" in estate_text.text(ESTATE)
    assert max(map(len, estate_text.text(ESTATE, 80).splitlines())) <= 80


def test_no_name_becomes_markup() -> None:
    evil = '<script>alert(1)</script>"&\x07'
    model = replace(
        FLIGHTS, model=evil, policy=evil, team=evil, contact=evil, rollout=evil, champion=evil,
        overdue=tuple(replace(one, model=evil, sentence=evil, team=evil) for one in FLIGHTS.overdue),
        incidents=tuple(replace(one, model=evil, sentence=evil) for one in FLIGHTS.incidents),
    )  # fmt: skip
    estate = replace(ESTATE, models=(model,), without=(evil,), unread=(evil,), searched=evil)
    text = estate_page.render(estate)
    assert "<script" not in text
    assert "\x07" not in text
    Page(text)
    assert "<script" not in estate_text.markdown(estate).replace("\\<", "")
