"""Why a version serves, or does not, as one HTML file: the page of its rollout with the chain below, or the chain."""

from __future__ import annotations

from mlship.report import rollout_page
from mlship.report.account import Why
from mlship.report.page import page
from mlship.report.times import moment
from mlship.report.words import MARKS


def render(why: Why) -> str:
    """The file's content: the chain of evidence, after the rollout that decided where there was one."""
    decided = next((link.title for link in reversed(why.links) if link.signals), "")
    account = next((one for one in reversed(why.accounts) if decided.endswith(one.rollout_id)), None)
    if account is not None:
        return rollout_page.render(account, why)
    return page("why.html").render(
        why=why,
        marks={str(status): mark for status, mark in MARKS.items()},
        status=str(why.status),
        reason=f"{why.reason[:1].upper()}{why.reason[1:]}",
        headline=f"{why.headline[:1].upper()}{why.headline[1:]}",
        when=moment,
    )
