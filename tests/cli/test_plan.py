"""`mlship plan`: it tells what is known, says what is not, changes nothing, and reads the same in every format."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlship.cli import plan_checks as checks
from mlship.cli import plan_views as views
from mlship.cli.common import a_rate
from mlship.cli.main import main
from mlship.errors import RegistryError, UsageError
from mlship.home import Home
from mlship.ledger import Ledger
from mlship.policy.load import LoadedPolicy, load_policy
from mlship.registry import Registry
from mlship.report import github
from mlship.rollout import arrivals, earlier
from mlship.rollout.foresee import Traffic
from mlship.rollout.outlook import rounded, span
from mlship.rollout.plan import StepKind
from mlship.rollout.prospect import Prospect, prospect
from mlship.types import Candidate, LedgerEntry, ModelVersion, Scrape, ServerCounters
from tests.conftest import RegistryHome
from tests.schemas import conforms

POLICY = """version: 1
model: flight-delay
owner: {team: flight-ops, contact: flight-ops@example.com}
data: {evaluation: {path: july.csv, target: late}}
gates:
  metrics: {recall: {min: 0.6}}
  latency: {rate: 100/s, volume: 50/s, p99: 200ms}
rollout:
  steps:
    - {mirror: 100%, bake: {requests: 1000}}
    - {weight: 1%, bake: {for: 5m}}
    - {approve: {within: 24h}}
    - {weight: 50%, bake: {for: 10m, requests: 5000}}
  freeze: ["Fri 16:00 - Mon 08:00"]
"""
#: A Wednesday noon, and the Saturday after it.
WEDNESDAY, SATURDAY = 1_794_398_400.0, 1_794_657_600.0


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedPolicy:
    (tmp_path / "july.csv").write_text("late,distance\n1,100\n")
    (tmp_path / "mlship.yaml").write_text(POLICY)
    return load_policy(tmp_path / "mlship.yaml")


def told(loaded: LoadedPolicy, home: Home, now: float = WEDNESDAY, **options: Any) -> Prospect:
    return prospect(loaded, home, say=lambda _step: None, now=lambda: now, sleep=lambda _seconds: None, **options)


def note(home: Home, loaded: LoadedPolicy, action: str, digest: str, **evidence: str) -> None:
    found = {"status": "passed", "model": digest, "policy": loaded.digest, **evidence}
    Ledger(home.ledger).append(
        LedgerEntry(time.time(), "tester@here", action, "flight-delay", "1", "2", "because", found)
    )


def test_without_a_registry_the_stages_are_told_all_the_same(loaded: LoadedPolicy, tmp_path: Path) -> None:
    home = Home(tmp_path / ".mlship")
    found = told(loaded, home)
    assert found.told
    assert (found.candidate, found.next) == (None, "")
    assert found.missing == ("there is no registry here yet: name one by registry.uri or MLFLOW_TRACKING_URI",)
    assert not home.registry_dir.exists(), "a plan makes nothing"
    text = views.text(found)
    assert text.startswith("flight-delay: the candidate is not known\n")
    assert "not found: there is no registry here yet" in text
    assert "50/s (gates.latency.volume); 0.5% of it fails (assumed)" in text


def test_a_registry_that_is_away_leaves_what_the_ledger_remembers(
    loaded: LoadedPolicy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / ".mlship")
    home.ensure(home.registry_dir)
    (home.registry_dir / "mlflow.db").touch()

    def away(*_arguments: object) -> Registry:
        raise RegistryError("the registry does not answer")

    monkeypatch.setattr(Registry, "connect", away)
    note(home, loaded, "evaluated", "sha256:22")
    found = told(loaded, home)
    assert found.missing == ("the registry did not tell the candidate: the registry does not answer",)
    assert found.proofs[0].what.startswith("passed of version 2, the last in the ledger, ")
    assert (found.candidate, found.next) == (None, "")


def test_a_real_registry_tells_who_would_replace_whom(loaded: LoadedPolicy, registry_copy: RegistryHome) -> None:
    found = told(loaded, registry_copy.home)
    assert views.text(found).startswith("flight-delay: version 2 would replace version 1\n")
    assert [proof.state for proof in found.proofs] == ["missing", "not needed", "missing"]
    assert found.next == f"mlship evaluate {loaded.path}"


TWO, ONE = (ModelVersion("flight-delay", number, f"sha256:{number}", Path()) for number in ("2", "1"))


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[[Candidate], None]:
    """Lets the registry know a candidate and a champion."""

    def know(candidate: Candidate) -> None:
        monkeypatch.setattr("mlship.rollout.prospect._candidate", lambda *_arguments: candidate)

    return know


def test_each_proof_is_told_with_the_command_that_brings_it(
    loaded: LoadedPolicy, tmp_path: Path, known: Callable[[Candidate], None]
) -> None:
    home = Home(tmp_path / ".mlship")
    known(Candidate(TWO, ONE))
    note(home, loaded, "evaluated", TWO.digest, champion="sha256:somebody-else")
    assert "the champion is version 1 by now" in told(loaded, home).proofs[0].what
    note(home, loaded, "evaluated", TWO.digest, champion=ONE.digest)
    found = told(loaded, home)
    assert found.proofs[0].what.startswith("passed, ")
    assert found.next == f"mlship latency {loaded.path}"
    note(home, loaded, "measured", TWO.digest, status="failed")
    assert told(loaded, home).proofs[2].state == "failed"
    note(home, loaded, "measured", TWO.digest)
    assert told(loaded, home).next == f"mlship rollout {loaded.path}"
    known(Candidate(TWO, None))
    first = views.text(told(loaded, home))
    assert "version 2 would be the first champion" in first
    assert "there is no champion: the candidate gets all traffic at once, without stages" in first


def test_the_docker_engine_needs_images_of_both(
    loaded: LoadedPolicy, tmp_path: Path, known: Callable[[Candidate], None]
) -> None:
    home = Home(tmp_path / ".mlship")
    known(Candidate(TWO, ONE))
    loaded.path.write_text(loaded.text.replace("rollout:\n", "rollout:\n  engine: docker\n"))
    policy = load_policy(loaded.path)
    assert told(policy, home).proofs[1].command == f"mlship build {loaded.path}"
    note(home, policy, "built", TWO.digest, image="sha256:" + 64 * "a")
    assert told(policy, home).proofs[1].command == f"mlship build {loaded.path} --candidate 1"
    note(home, policy, "built", ONE.digest, image="sha256:" + 64 * "b")
    assert told(policy, home).proofs[1].what == "built: sha256:aaaaaaaaaaaa"


def test_a_freeze_is_told_while_it_holds(loaded: LoadedPolicy, tmp_path: Path) -> None:
    home = Home(tmp_path / ".mlship")
    assert "freeze      not now (Fri 16:00 - Mon 08:00)" in views.text(told(loaded, home))
    assert "no weight may rise until Mon 08:00" in views.text(told(loaded, home, SATURDAY))


def counters(requests: int, errors: int = 0, epoch: str = "a") -> ServerCounters:
    return ServerCounters(epoch, requests, errors, ())


def test_the_rate_is_that_of_the_running_endpoint() -> None:
    first = arrivals.Reading(Scrape(10.0, {"one": counters(5000, 50), "two": counters(100)}), "one")
    last = arrivals.Reading(Scrape(12.0, {"one": counters(5080, 51), "two": counters(120)}), "one")
    found = arrivals.traffic(first, last, Traffic(7.0, "rollout.rate"))
    assert (found.rate, found.source) == (50.0, "measured at the endpoint just now")
    assert (found.errors, found.measured) == (51 / 5080, True)


def test_an_endpoint_without_requests_leaves_the_policys_rate() -> None:
    same = arrivals.Reading(Scrape(10.0, {"one": counters(20)}), "one")
    later = arrivals.Reading(Scrape(11.0, {"one": counters(20)}), "one")
    assert arrivals.traffic(same, later, Traffic(7.0, "rollout.rate")) == Traffic(7.0, "rollout.rate")
    again = arrivals.Reading(Scrape(11.0, {"one": counters(90, epoch="b")}), "one")
    assert arrivals.traffic(same, again, Traffic(None)).rate is None, "a restart is no traffic"


def test_a_champion_that_never_failed_may_fail_once() -> None:
    reading = arrivals.Reading(Scrape(10.0, {"one": counters(4000)}), "one")
    found = arrivals.traffic(reading, reading, Traffic(1.0))
    assert (found.errors, found.failed, found.of) == (1 / 4000, 0, 4000)
    assert views._failing(found) == "none of 4,000 failed, planned as if 0.025% did"
    assert views._failing(Traffic(1.0, errors=0.004, measured=True, failed=8, of=2000)) == "0.4% of it fails (measured)"


def test_every_format_tells_the_same(loaded: LoadedPolicy, tmp_path: Path) -> None:
    found = told(loaded, Home(tmp_path / ".mlship"), rate=50.0)
    document = conforms("plan", views.document(found))
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert [step["foreseen"]["requests"] for step in document["steps"]] == [1000, 150, 0, 15000]
    assert document["traffic"] == {
        "rate": 50.0,
        "source": "--rate",
        "errors": 0.005,
        "measured": False,
        "failed": 0,
        "of": 0,
    }
    markdown = views.markdown(found)
    assert "| 2 | 1% | 5m | 150 | 5m | 0.5% -> " in markdown
    (warned, missing) = github.commands(checks.checklist(found, loaded))
    assert warned.startswith(
        f"::warning file={loaded.path},line=11,col=20,title=mlship plan%3A rollout step 2::step 2: 1%25 "
    )
    assert "%0Anext: 223 requests would show" in warned
    assert "there is no registry here yet" in missing
    assert "warning: step 2: 1% of 50/s for 5m" in views.text(found)


def test_names_are_no_markup_in_a_comment(loaded: LoadedPolicy, tmp_path: Path) -> None:
    """A model, a tester's header and what a hint quotes come from others; they end no cell and mention nobody."""
    hostile = "a|b <img src=x> [c](d) @all\n# e `f`"
    found = told(loaded, Home(tmp_path / "home"))
    first = replace(found.steps[0], kind=StepKind.TESTERS, testers=(hostile, "x"))
    odd = replace(
        found, model=hostile, missing=(hostile,), steps=(first, *found.steps[1:]), next=f"mlship evaluate '{hostile}'"
    )
    page = views.markdown(odd)
    before, _, after = page.rpartition("\nNext: `")
    assert after == "mlship evaluate 'a|b <img src=x> [c](d) @all # e 'f''`"
    for raw in ("a|b", "<img", "[c]", "@all", "\n# e", "`f`"):
        assert raw in views.text(odd)
        assert before.replace(f"\\{raw}", "").count(raw) == 0, raw
    table = [line for line in before.splitlines() if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in table} == {8}


def test_the_command_ends_with_3_only_when_nothing_can_be_told(
    loaded: LoadedPolicy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["mlship", "plan", str(loaded.path), *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0)

    monkeypatch.setenv("MLSHIP_HOME", str(tmp_path / ".mlship"))
    assert run("--format", "json") == 0
    assert conforms("plan", capsys.readouterr().out)["candidate"] is None
    loaded.path.write_text(loaded.text[: loaded.text.index("rollout:")])
    assert run() == 3
    assert "the policy has no rollout section" in capsys.readouterr().out
    assert run("--rate", "50") == 2
    assert "--rate: a rate needs a unit" in capsys.readouterr().err


@pytest.mark.parametrize("rate", ["50", "0/s", "", "fast"])
def test_a_rate_that_is_none_is_told(rate: str) -> None:
    with pytest.raises(UsageError, match="--rate: "):
        a_rate(rate)


PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "plan.md").read_text(encoding="utf-8")


def test_the_page_shows_what_the_command_says(tmp_path: Path) -> None:
    (tmp_path / "july.csv").write_text("late,distance\n1,100\n")
    rollout = PAGE.split("```yaml\n")[1].split("```")[0]
    (tmp_path / "mlship.yaml").write_text(POLICY[: POLICY.index("  latency:")] + rollout)
    found = told(load_policy(tmp_path / "mlship.yaml"), Home(tmp_path / ".mlship"))
    assert f"```text\n{views.text(found)}\n```" in PAGE


def test_the_page_names_every_key_of_the_document(loaded: LoadedPolicy, tmp_path: Path) -> None:
    document = views.document(told(loaded, Home(tmp_path / ".mlship"), rate=50.0))
    foreseen = document["steps"][1]["foreseen"]
    parts = (
        document, document["traffic"], document["steps"][0], foreseen, foreseen["sights"][0], document["foresight"],
        document["foresight"]["certificates"][0], document["proofs"][0], document["remarks"][0],
    )  # fmt: skip
    assert [key for part in parts for key in part if f"`{key}`" not in PAGE] == []


def test_what_a_plan_cannot_know_or_prove_is_said(loaded: LoadedPolicy, tmp_path: Path) -> None:
    def said(steps: str, more: str = "") -> str:
        loaded.path.write_text(POLICY[: POLICY.index("  latency:")] + f"rollout:\n  steps: [{steps}]\n{more}")
        return views.text(told(load_policy(loaded.path), Home(tmp_path / ".mlship")))

    unknown = said("{weight: 5%, bake: {for: 5m, requests: 500}}")
    assert "500 or more" in unknown
    assert "canary requests; whether the bakes bring them depends on the rate" in unknown
    testers = said('{testers: {header: x-canary, value: "1"}, bake: {requests: 20}}')
    assert "never, for no step has a weight" in testers
    assert "sees: " not in testers
    proofs = "  certify: {errors: 3x, negligible: 0.1%}\n  sticky: {header: x-user}\n"
    full = said("{weight: 100%, bake: {requests: 9000}}", proofs)
    assert "never, for the last step leaves stable no requests" in full
    assert "sticky: users are judged, not requests" in full


def test_what_is_to_be_proved_is_a_part_of_the_whole(loaded: LoadedPolicy, tmp_path: Path) -> None:
    text = "rollout:\n  rate: 40.0508464056/s\n  steps: [{weight: 50%, bake: {for: 10s, requests: 200}}]\n"
    loaded.path.write_text(POLICY[: POLICY.index("  latency:")] + text)
    found = told(load_policy(loaded.path), Home(tmp_path / ".mlship"))
    foresight = found.foresight
    assert foresight is not None
    assert foresight.stretch is not None
    assert foresight.stretch.requests is not None
    assert foresight.whole.requests == pytest.approx(200 + foresight.stretch.requests, abs=1)
    assert foresight.whole.seconds == pytest.approx(10 + foresight.stretch.requests / 20.03, rel=0.01)
    proved, whole = (
        line.split() for line in views.text(found).splitlines() if "to be proved  " in line or "all of" in line
    )
    assert proved[3:] == [rounded(foresight.stretch.requests), span(foresight.stretch.seconds or 0.0), "-", "-"]
    assert whole[3:5] == [rounded(foresight.whole.requests or 0.0), span(foresight.whole.seconds or 0.0)]
    assert "40.0508" not in views.text(found)


def test_a_candidate_that_is_the_champion_is_all_there_is_to_tell(
    loaded: LoadedPolicy, tmp_path: Path, known: Callable[[Candidate], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No stages, no warnings: how another one is named; a program gets every field all the same."""
    home = Home(tmp_path / ".mlship")
    known(Candidate(TWO, TWO))
    back(home, "2", loaded.digest)
    found = told(loaded, home)
    assert views.text(found).splitlines() == [
        "flight-delay: version 2 is the champion already: nothing to promote",
        "  to promote another version, let @challenger name it: "
        'mlflow.MlflowClient().set_registered_model_alias("flight-delay", "challenger", VERSION)',
        "",
        f"next: mlship rollout {loaded.path}",
    ]
    assert "| stage |" not in views.markdown(found)
    (line,) = github.commands(checks.checklist(found, loaded))
    assert line.startswith("::notice ")
    document = conforms("plan", json.dumps(views.document(found)))
    assert len(document["steps"]) == 4
    assert document["proofs"]
    monkeypatch.setattr("mlship.engines.table.running", lambda _home: ["flight-delay"])
    assert told(loaded, home).next == "", "it serves: there is nothing to run"


def back(home: Home, version: str, policy: str, *, at: float = WEDNESDAY, hand: bool = False) -> None:
    """That a version was rolled back, by its rollout or by hand."""
    evidence = {"model": "sha256:1"} if hand else {"model": f"sha256:{version}", "policy": policy, "rollout": "r1"}
    reason = "rolled back by ada: version 2 to version 1" if hand else "errors 31.6 % against 0.0 %"
    entry = LedgerEntry(at, "ada", "rolled_back", "flight-delay", version, "1", reason, evidence)
    Ledger(home.ledger).append(entry)


AGAIN = "this is another try, with evidence of its own"


@pytest.mark.parametrize(
    ("version", "policy", "hand", "said"),
    [
        ("2", "same", False, f"version 2 was rolled back 2026-11-11 12:00 UTC: errors 31.6 % against 0.0 %; {AGAIN}"),
        (
            "2",
            "other",
            False,
            "version 2 was rolled back 2026-11-11 12:00 UTC under another policy: errors 31.6 % against 0.0 %; "
            f"{AGAIN}",
        ),
        ("2", "same", True, f"version 2 was rolled back 2026-11-11 12:00 UTC by hand, by ada; {AGAIN}"),
        ("3", "same", False, ""),
        ("3", "same", True, ""),
    ],
)
def test_a_candidate_that_was_rolled_back_before_is_told_in_every_format(
    loaded: LoadedPolicy,
    tmp_path: Path,
    known: Callable[[Candidate], None],
    *,
    version: str,
    policy: str,
    hand: bool,
    said: str,
) -> None:
    home = Home(tmp_path / ".mlship")
    known(Candidate(TWO, ONE))
    back(home, version, loaded.digest if policy == "same" else policy, hand=hand)
    found = told(loaded, home)
    mine = [one for one in found.remarks if one.location == ("candidate",)]
    assert [one.what for one in mine] == [said] * bool(said)
    annotated = [line for line in github.commands(checks.checklist(found, loaded)) if "rolled back" in line]
    assert len(annotated) == bool(said)
    if said:
        assert f"warning: candidate: {said}\n" in views.text(found)
        assert said in views.markdown(found)
        (remark,) = [one for one in views.document(found)["remarks"] if one["location"] == "candidate"]
        assert remark["what"] == said
        assert "`mlship why flight-delay`" in remark["hint"]
        assert annotated[0].startswith("::warning file=")


def test_what_was_promoted_since_is_no_second_try(loaded: LoadedPolicy, tmp_path: Path) -> None:
    """And the same files under another number are."""
    home = Home(tmp_path / ".mlship")
    back(home, "2", loaded.digest)
    again = ModelVersion("flight-delay", "7", TWO.digest, Path())
    assert earlier.rolled_back(Ledger(home.ledger).entries(), again, loaded.digest).startswith(
        "version 2, the same files as version 7, was rolled back "
    )
    note(home, loaded, "promoted", TWO.digest)
    assert earlier.rolled_back(Ledger(home.ledger).entries(), TWO, loaded.digest) == ""
