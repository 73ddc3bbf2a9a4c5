"""How the end of a rollout is told in every format: the verdict's sentence first, then signals and steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlship.cli.answers import status_of
from mlship.cli.telling import Told
from mlship.types import Status

if TYPE_CHECKING:
    from mlship.home import Home
    from mlship.report.checklist import Check, Checklist


@dataclass(frozen=True, slots=True)
class Ended:
    """A rollout that ended, or that is not watched any further."""

    command: str
    """`rollout` or `watch`."""
    document: dict[str, Any]
    """As JSON has it: see ``verdicts.document``."""
    conclusion: str
    """As a person reads it; the first line is the verdict's sentence."""
    policy: str
    """Path of the policy; empty when it is not known."""
    home: Home
    markdown: Callable[[], str] | None = None
    """What there is to show besides signals and steps."""

    def told(self) -> Told:
        """In every format."""
        document = self.document
        return Told(
            text=lambda: self.conclusion,
            document=lambda: document,
            markdown=self.markdown or self._markdown,
            checklist=self._checklist,
            html=self._page,
            outputs={
                "verdict": str(document["verdict"]),
                "candidate-version": document.get("candidate_version") or "",
                "champion-version": document.get("champion_version") or "",
                "rollout-id": document.get("rollout_id") or "",
            },
        )

    @property
    def _title(self) -> str:
        champion = self.document.get("champion_version")
        against = f"champion {champion}" if champion else "no champion yet"
        version = self.document.get("candidate_version")
        return f"{self.document['model']} {version} ({against})" if version else str(self.document["model"])

    @property
    def _word(self) -> str:
        """The verdict as people are told it: of a candidate that is the champion already, nothing was promoted."""
        verdict = str(self.document["verdict"]).replace("_", " ")
        idle = verdict == "served" and str(self.document["reason"]).endswith("nothing to do")
        return "nothing to do" if idle else verdict

    @property
    def _status(self) -> Status:
        return status_of(self.document["exit_code"])

    def _markdown(self) -> str:
        from mlship.report import blocks

        document, lines = self.document, self.conclusion.splitlines()
        signals = [
            (one["name"], f"{one['e_value']:.3g}", one["action"], _count(one["canary"]), _count(one["stable"]))
            for one in document.get("signals", [])
        ]
        return blocks.joined(
            blocks.heading(self._status, f"{self._title}: {self._word}"),
            *map(blocks.sentence, lines),
            blocks.table(("signal", "evidence", "action", "canary", "stable"), signals),
            blocks.table(("step", "weight", "observed", "canary requests"), _steps(document)),
        )

    def _checklist(self) -> Checklist:
        from mlship.report.checklist import Checklist, Figure

        document, lines = self.document, self.conclusion.splitlines()
        seconds = float(document.get("seconds") or 0)
        ids = ("model", "rollout_id", "candidate_version", "champion_version")
        figures = [
            Figure("mlship_evidence", one["e_value"], (("signal", one["name"]),)) for one in document.get("signals", [])
        ]
        for one in document.get("signals", []):
            for arm in ("canary", "stable"):
                labels = (("signal", one["name"]), ("arm", arm))
                figures.append(Figure("mlship_signal_bad", one[arm]["bad"], labels))
                figures.append(Figure("mlship_signal_counted", one[arm]["counted"], labels))
        return Checklist(
            self.command,
            self._title,
            self._status,
            lines[0],
            tuple(self._checks()),
            file=self.policy,
            started=float(document["verdict_at"]) - seconds if document.get("verdict_at") else 0.0,
            seconds=seconds,
            figures=tuple(figures),
            properties=tuple((name, str(document[name])) for name in ids if document.get(name)),
        )

    def _checks(self) -> list[Check]:
        """The signals and the steps; what decided has the verdict's status, what counted nothing is skipped."""
        from mlship.report.checklist import Check

        document, checks = self.document, []
        reason = str(document["reason"])
        for one in document.get("signals", []):
            said = str(one["sentence"])
            decided = self._status is not Status.PASSED and bool(said) and said in reason
            counted = one["canary"]["counted"]
            status = self._status if decided else Status.PASSED if counted else Status.SKIPPED
            text = said if counted else f"nothing was counted: {said}"
            measured = f"evidence {one['e_value']:.3g}"
            checks.append(Check("signals", one["name"], status, text, limit=one["action"], measured=measured))
        for number, weight, observed, requests in _steps(document):
            text = f"{observed} and {requests} canary requests were observed"
            checks.append(Check("steps", f"step {number} at {weight}", Status.PASSED, text))
        if document.get("unproved"):
            text = "promoted although not everything was proved, as on_inconclusive says"
            checks.append(Check("rollout", "proofs", Status.PASSED, text, warning=True))
        return checks

    def _page(self) -> str:
        """The rollout over time; of one that never began there is the verdict."""
        from mlship.report import rollout_page
        from mlship.rollout import account

        path = self.home.rollouts(str(self.document["model"])) / f"{self.document.get('rollout_id')}.jsonl"
        return rollout_page.render(account.of_journal(path)) if path.is_file() else self._bare()

    def _bare(self) -> str:
        """The verdict alone: no traffic has moved."""
        from mlship.report.page import page
        from mlship.report.words import MARKS

        status = self._status
        return page("ended.html").render(
            command=self.command,
            model=self.document["model"],
            version=self.document.get("candidate_version") or "",
            champion=self.document.get("champion_version") or "",
            status=str(status),
            mark=MARKS[status],
            word=self._word,
            lines=self.conclusion.splitlines(),
        )


def _count(found: dict[str, int]) -> str:
    return f"{found['bad']:,} of {found['counted']:,}" if found["counted"] else "-"


def _steps(document: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Number, weight, time observed and canary requests of each step that was entered."""
    from mlship.rollout.words import duration, percent

    return [
        (str(number), percent(one["weight"]), duration(round(one["seconds"], 1)), f"{one['requests']:,}")
        for number, one in enumerate(document.get("steps", []), start=1)
    ]
