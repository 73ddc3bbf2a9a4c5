"""What is sent, by real processes to a real server: once each, in order, again when it failed, and without secrets."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mlship.home import Home
from mlship.monitor import store
from mlship.monitor.acting.delivery import Delivery
from mlship.policy.load import LoadedPolicy
from mlship.types.monitoring import Trouble
from tests.monitor.acting import passes
from tests.monitor.acting.world import SECRET, Receiver, github, policy, webhook
from tests.monitor.made import MODEL, event, incident
from tests.waiting import until

NOW = time.time()
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def kept(home: Home) -> tuple[Delivery, ...]:
    found = store.reading(home, MODEL)
    assert found is not None
    with found:
        return found.deliveries()


def nothing_secret(home: Home, *said: object) -> None:
    """Neither the state directory nor anything that was said shows what is secret."""
    for path in home.path.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
    assert SECRET not in repr(said)


def test_each_event_is_told_once(home: Home, receiver: Receiver, tmp_path: Path) -> None:
    loaded = policy(tmp_path, "notify")
    one = incident()
    over = incident(resolved=NOW, worst=2)
    for events in ([event(one)], [], [event(incident(worst=2), "worsened")], [event(over, "resolved")], [event(one)]):
        assert passes.run(home, loaded, events, NOW) == ()
    assert [title for title, _ in receiver.messages()] == [
        "flight-delay: incident: feature dep_delay of version 4",
        "flight-delay: incident has worsened: feature dep_delay of version 4",
        "flight-delay: incident is over: feature dep_delay of version 4",
    ]
    assert receiver.messages()[0][1] == "dep_delay has moved: PSI 0.31\nrequest 17 shows it"
    assert receiver.got[0].document["message"].endswith("at 1970-01-12 13:46:40 UTC\nowner: ops@example.com")
    assert [one.state for one in kept(home)] == ["done"] * 3
    assert kept(home)[0].said == "JSON was told"
    nothing_secret(home, kept(home))


def test_each_service_is_told_at_its_own_pace(
    home: Home, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_NOTIFY", f"{receiver.notify('a')}, {receiver.notify('b')}")
    receiver.answers.statuses["/a/"] = [503, 503]
    loaded = policy(tmp_path, "notify")
    [trouble] = passes.run(home, loaded, [event(incident()), event(incident("origin"))], NOW)
    assert trouble.source == "notify"
    assert "JSON: it answered 503; tried again by the first pass after" in trouble.what
    assert len(receiver.posts("/b/")) == 2
    assert len(receiver.posts("/a/")) == 1, "what is behind it waits, so that messages keep their order"
    assert passes.run(home, loaded, [], NOW + 1) != (), "not before its time"
    assert len(receiver.posts("/a/")) == 1
    assert passes.run(home, loaded, [], NOW + 2 * MINUTE)[0].since == NOW
    assert passes.run(home, loaded, [], NOW + HOUR) == ()
    subjects = [title.split()[3] for title, _ in receiver.messages("/a/")]
    assert subjects == ["dep_delay", "dep_delay", "dep_delay", "origin"]
    assert len(receiver.posts("/b/")) == 2
    assert "repeat" not in json.dumps(receiver.posts("/a/")[2].document), "nothing of it had arrived"
    nothing_secret(home, trouble)


def test_a_refusal_holds_up_nothing_else(home: Home, receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers.statuses["/n/"] = [400]
    passes.run(home, policy(tmp_path, "notify"), [event(incident()), event(incident("origin"))], NOW)
    assert [one.state for one in kept(home)] == ["pending", "done"]


def test_an_answer_that_never_came_makes_a_repeat_that_says_so(home: Home, receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers.hang_up.add("/n/")
    loaded = policy(tmp_path, "notify")
    [trouble] = passes.run(home, loaded, [event(incident())], NOW)
    assert "no connection, or no answer in time" in trouble.what
    assert passes.run(home, loaded, [], NOW + HOUR) == ()
    first, second = (text for _, text in receiver.messages())
    assert "repeat" not in first
    assert "(This may be a repeat: whether the message of 20" in second


def test_a_service_that_is_away_is_tried_for_a_day_and_given_up(
    home: Home, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_NOTIFY", f"json://user:{SECRET}@127.0.0.1:9/{SECRET}")
    loaded = policy(tmp_path, "notify")
    one = incident()
    [first] = passes.run(home, loaded, [event(one)], NOW)
    assert first.what.startswith("JSON: no connection; tried again")
    [last] = passes.run(home, loaded, [], NOW + DAY)
    assert last == Trouble("notify", "JSON: no connection; given up after a day", NOW)
    assert kept(home)[0].attempts == 2
    assert passes.run(home, loaded, [], NOW + 9 * DAY) == (last,), "told while its incident is open"
    over = replace(one, resolved=NOW + 10 * DAY)
    assert passes.run(home, policy(tmp_path, "pause"), [event(over, "resolved")], NOW + 10 * DAY) == ()
    assert receiver.got == []
    nothing_secret(home, first, last)


def test_a_clock_that_was_wrong_holds_nothing_up(home: Home, receiver: Receiver, tmp_path: Path) -> None:
    """Given a pass that took it for ten years later and could send nothing, then the next one sends it."""
    loaded = policy(tmp_path, "notify")
    receiver.answers.statuses["/n"] = [503]
    assert passes.run(home, loaded, [event(incident())], NOW + 3650 * DAY)
    assert passes.run(home, loaded, [], NOW) == ()
    assert [one.state for one in kept(home)] == ["done"]


def test_after_a_long_night_everything_is_tried_at_least_once(home: Home, receiver: Receiver, tmp_path: Path) -> None:
    loaded = policy(tmp_path, "notify")
    passes.run(home, loaded, [event(incident())], NOW, patience=0)  # and then this machine is off
    until(lambda: len(receiver.posts("/n/")) == 1)
    assert passes.run(home, loaded, [], NOW + 3 * DAY) == ()
    assert len(receiver.posts("/n/")) == 1


INPUTS = {
    "model": "flight-delay",
    "version": "4",
    "reason": "dep_delay has moved: PSI 0.31",
    "since": "1970-01-12T11:46:40Z",
}


def test_a_workflow_is_started_once_with_its_inputs(home: Home, receiver: Receiver, tmp_path: Path) -> None:
    loaded = policy(tmp_path, github(receiver), "notify")
    for hour in range(3):
        assert passes.run(home, loaded, [event(incident())] if not hour else [], NOW + hour * HOUR) == ()
    [asked] = receiver.posts("/dispatches")
    assert asked.path == "/repos/acme/flights/actions/workflows/retrain.yml/dispatches"
    assert asked.headers["X-Github-Api-Version"] == "2022-11-28"
    assert asked.headers["Authorization"] == f"Bearer {SECRET}"
    assert asked.headers["Accept"] == "application/vnd.github+json"
    inputs = asked.document["inputs"]
    assert asked.document["ref"] == "main"
    assert inputs.items() >= INPUTS.items()
    assert set(inputs) == {"request", "until", "policy_digest", *INPUTS}
    assert inputs["policy_digest"] == loaded.digest
    assert inputs["request"].startswith("mlship-")
    assert all(isinstance(text, str) for text in inputs.values())
    titles = [title for title, _ in receiver.messages()]
    assert titles[1] == "flight-delay: training asked for, instead of version 4"
    assert receiver.messages()[1][1] == "retrain.yml of acme/flights on main was started; dep_delay has moved: PSI 0.31"
    nothing_secret(home, kept(home))


def test_the_token_is_the_environments_unless_the_policy_names_one(
    home: Home, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = github(receiver)
    del without["retrain"]["token"]
    loaded = policy(tmp_path, without)
    [trouble] = passes.run(home, loaded, [event(incident())], NOW)
    assert "no token; set GITHUB_TOKEN" in trouble.what
    monkeypatch.setenv("GITHUB_TOKEN", SECRET)
    assert passes.run(home, loaded, [], NOW + HOUR) == ()
    assert receiver.got[0].headers["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "GitHub answered 401: Bad credentials ********"),
        (404, "GitHub answered 404: Bad credentials ********"),
        (422, "GitHub answered 422: Bad credentials ********"),
        (302, "GitHub answered 302, and redirects are not followed: Bad credentials ********"),
    ],
)
def test_what_github_refuses_is_told_in_its_words_and_asked_again(
    home: Home, receiver: Receiver, tmp_path: Path, status: int, said: str
) -> None:
    receiver.answers.statuses["/dispatches"] = [status]
    receiver.answers.bodies["/dispatches"] = json.dumps({"message": f"Bad credentials {SECRET}"}).encode()
    loaded = policy(tmp_path, github(receiver))
    [trouble] = passes.run(home, loaded, [event(incident())], NOW)
    assert trouble.source == "retrain"
    assert trouble.what.startswith(f"retrain.yml of acme/flights on main: {said}; tried again")
    assert passes.run(home, loaded, [], NOW + HOUR) == ()
    assert len(receiver.posts("/dispatches")) == 2
    assert not [one for one in receiver.got if one.method == "GET"], "an answer is an answer"
    nothing_secret(home, trouble)


def test_after_silence_its_run_is_looked_for_before_it_is_asked_again(
    home: Home, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answers.hang_up.add("/dispatches")
    loaded = policy(tmp_path, github(receiver), "notify")
    assert passes.run(home, loaded, [event(incident())], NOW)[0].source == "retrain"
    assert passes.run(home, loaded, [], NOW + HOUR) == ()
    assert len(receiver.posts("/dispatches")) == len(receiver.runs) == 1
    [look] = [one for one in receiver.got if one.method == "GET"]
    assert look.path.startswith("/repos/acme/flights/actions/workflows/retrain.yml/runs?event=workflow_dispatch&")
    assert "training asked for" in receiver.messages()[1][0]
    assert "https://github.example/runs/0" in receiver.messages()[1][1]


def test_silence_without_a_run_leads_to_a_second_request(home: Home, receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers.hang_up.add("/dispatches")
    loaded = policy(tmp_path, github(receiver))
    passes.run(home, loaded, [event(incident())], NOW)
    receiver.runs.clear()  # GitHub lost it
    other = {"display_title": "retrain mlship-0123456789abcdef", "created_at": "2999-01-01T00:00:00Z"}
    receiver.runs.append(other)
    assert passes.run(home, loaded, [], NOW + HOUR) == ()
    first, second = receiver.posts("/dispatches")
    assert first.document["inputs"]["request"] == second.document["inputs"]["request"]


def test_a_run_of_that_moment_without_any_name_is_taken_as_ours(home: Home, receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers.named = False
    receiver.answers.hang_up.add("/dispatches")
    loaded = policy(tmp_path, github(receiver))
    passes.run(home, loaded, [event(incident())], NOW)
    assert passes.run(home, loaded, [], NOW + HOUR) == ()
    assert len(receiver.runs) == 1
    [training] = kept(home)
    assert "let its `run-name` have `${{ inputs.request }}` in it" in training.said


def test_nothing_is_asked_for_again_while_github_does_not_tell_its_runs(
    home: Home, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answers.hang_up.add("/dispatches")
    receiver.answers.statuses["/runs?"] = [500]
    loaded = policy(tmp_path, github(receiver))
    passes.run(home, loaded, [event(incident())], NOW)
    [trouble] = passes.run(home, loaded, [], NOW + HOUR)
    assert "may have been started; GitHub cannot be asked for its runs: it answered 500" in trouble.what
    assert passes.run(home, loaded, [], NOW + 2 * HOUR) == ()
    assert len(receiver.runs) == 1


def test_a_webhook_gets_the_same_key_at_every_attempt(home: Home, receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers.hang_up.add("/hook/")
    receiver.answers.statuses["/hook/"] = [500, 418]
    receiver.answers.bodies["/hook/"] = f"no, {SECRET}".encode()
    loaded = policy(tmp_path, webhook())
    said = [passes.run(home, loaded, [event(incident())] if not hour else [], NOW + hour * HOUR) for hour in range(4)]
    assert [len(one) for one in said] == [1, 1, 1, 0]
    asked = receiver.posts("/hook/")
    assert len(asked) == 4
    assert len({one.headers["Idempotency-Key"] for one in asked}) == 1
    assert asked[0].document.items() >= INPUTS.items()
    assert asked[0].document["request"] == asked[0].headers["Idempotency-Key"]
    assert f"{receiver.base} answered 418: no, ********" in said[2][0].what
    nothing_secret(home, said)


def test_a_command_gets_the_request_in_variables(home: Home, receiver: Receiver, tmp_path: Path) -> None:
    script = tmp_path / "train.sh"
    script.write_text(
        "#!/bin/sh\nenv | grep ^MLSHIP_ | sort >> asked\necho no\ntest -e ready && exit 0\ntouch ready; exit 3\n"
    )
    script.chmod(0o755)
    loaded = policy(tmp_path, {"retrain": {"command": "./train.sh", "timeout": "5s"}})
    [trouble] = passes.run(home, loaded, [event(incident())], NOW)
    assert trouble.what.startswith("train.sh ended with exit code 3: no; tried again")
    assert passes.run(home, loaded, [], NOW + HOUR) == ()
    assert passes.run(home, loaded, [], NOW + 2 * HOUR) == ()
    asked = [line.partition("=") for line in (tmp_path / "asked").read_text().splitlines()]
    first = {name: value for name, _, value in asked[: len(asked) // 2]}
    assert first["MLSHIP_REASON"] == INPUTS["reason"]
    assert first["MLSHIP_SINCE"] == INPUTS["since"]
    assert first["MLSHIP_POLICY_DIGEST"] == loaded.digest
    assert first["MLSHIP_REQUEST"].startswith("mlship-")
    assert first["MLSHIP_REPEAT"] == ""
    assert [value for name, _, value in asked if name == "MLSHIP_REQUEST"] == [first["MLSHIP_REQUEST"]] * 2
    assert receiver.got == []


def test_no_second_training_within_the_cool_down(home: Home, receiver: Receiver, tmp_path: Path) -> None:
    loaded = policy(tmp_path, webhook(cool_down="7d"))
    for day in range(9):
        subject = {0: "dep_delay", 2: "origin"}.get(day)
        passes.run(home, loaded, [event(incident(subject))] if subject else [], NOW + day * DAY)
    first, second = receiver.posts("/hook/")
    assert first.document["reason"].startswith("dep_delay")
    assert second.document["reason"].startswith("origin"), "it waited, and was not forgotten"


def test_what_is_over_before_it_could_be_asked_for_is_not(home: Home, receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers.statuses["/hook/"] = [403]
    loaded = policy(tmp_path, webhook())
    one = incident()
    assert len(passes.run(home, loaded, [event(one)], NOW)) == 1
    over = incident(resolved=NOW)
    assert passes.run(home, loaded, [event(over, "resolved")], NOW + HOUR) == ()
    assert len(receiver.posts("/hook/")) == 1
    assert (kept(home)[0].state, kept(home)[0].said) == ("dropped", "the incident was over before")


def test_what_the_policy_no_longer_says_is_not_done(home: Home, receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers.statuses["/hook/"] = [403]
    passes.run(home, policy(tmp_path, webhook()), [event(incident())], NOW)
    assert passes.run(home, policy(tmp_path, "rollback"), [], NOW + HOUR) == ()
    assert kept(home)[0].said == "the policy no longer says so"


def test_a_service_that_hangs_is_waited_for_no_longer_than_told(home: Home, receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers.hold.clear()
    loaded = policy(tmp_path, "notify")
    begun = time.monotonic()
    assert passes.run(home, loaded, [event(incident())], NOW, patience=1.0) == ()
    assert time.monotonic() - begun < 5
    until(lambda: len(receiver.got) == 1, "it is under way")
    assert passes.run(home, loaded, [event(incident("origin"))], NOW + HOUR, patience=1.0) == ()
    assert len(receiver.got) == 1, "what is under way is left alone, and what is behind it waits"
    receiver.answers.hold.set()
    until(lambda: not locked(home))
    assert passes.run(home, loaded, [], NOW + 2 * HOUR) == ()
    assert [title.split()[3] for title, _ in receiver.messages()] == ["dep_delay", "origin"]


def locked(home: Home) -> bool:
    from mlship.monitor.acting import claims

    return bool(claims.under_way(home, MODEL))


def test_a_program_that_cannot_send_is_a_trouble(
    home: Home, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, python = policy(tmp_path, "notify"), sys.executable
    monkeypatch.setattr(sys, "executable", "/bin/true")
    [trouble] = passes.run(home, loaded, [event(incident())], NOW)
    assert "the program that sends has ended before it sent anything" in trouble.what
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-such-python"))
    found = passes.run(home, loaded, [], NOW + HOUR)
    assert [one.source for one in found] == ["notify", "disk"]
    assert "cannot be started: No such file" in found[1].what
    monkeypatch.setattr(sys, "executable", python)
    assert passes.run(home, loaded, [], NOW + 2 * HOUR) == ()
    assert len(receiver.got) == 1


def test_a_storm_of_incidents_arrives_in_order(home: Home, receiver: Receiver, tmp_path: Path) -> None:
    loaded: LoadedPolicy = policy(tmp_path, "notify")
    names = [f"f{number}" for number in range(45)]
    assert passes.run(home, loaded, [event(incident(name)) for name in names], NOW) == ()
    assert [title.split()[3] for title, _ in receiver.messages()] == names
