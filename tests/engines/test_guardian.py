"""The lease and the guardian without engines: decisions for any values and times, and files in every state."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mlship.engines.lease import is_dead, lost, owner
from mlship.errors import LeaseLost
from mlship.guardian import lease
from mlship.guardian.watch import Watch, decide

TIMES = st.floats(0, 1e6)
SECONDS = st.floats(0.1, 1e4)
BOOT = "this start"


def document(**fields: Any) -> dict[str, Any]:
    known = {"owner": "ann", "seconds": 5.0, "beat": 100.0, "boot": BOOT, "expired_at": None, "told": None, "call": ""}
    return known | fields


# The decision


@given(TIMES, SECONDS, st.floats(0, 1), st.booleans(), st.sampled_from(["ann", ""]))
def test_nothing_is_done_while_there_are_signs_of_life(
    beat: float, seconds: float, part: float, away: bool, who: str
) -> None:
    found = document(owner=who, seconds=seconds, beat=beat)
    now = beat + part * seconds
    if now - beat <= seconds:
        assert decide(found, now, BOOT, since=0.0, away=away) == ""


@given(TIMES, SECONDS, st.floats(0.001, 1e6), st.sampled_from(["ann", ""]))
def test_after_the_lease_a_canary_loses_its_traffic(beat: float, seconds: float, more: float, who: str) -> None:
    found, now = document(owner=who, seconds=seconds, beat=beat), beat + seconds + more
    assert decide(found, now, BOOT, since=now, away=True) == "back"
    assert decide(document(owner=who, expired_at=1.0), now, BOOT, since=now, away=True) == "back", "it goes on guarding"


@given(TIMES, SECONDS, st.floats(0, 1e6))
def test_without_a_canary_it_is_only_noted_and_noted_once(beat: float, seconds: float, more: float) -> None:
    now = beat + seconds + more + 0.001
    found = document(seconds=seconds, beat=beat)
    assert decide(found, now, BOOT, since=beat, away=False) == "note"
    assert decide({**found, "expired_at": 7.0}, now, BOOT, since=beat, away=False) == ""
    assert decide({**found, "owner": ""}, now, BOOT, since=beat, away=False) == "", "nobody lost anything"


def test_without_a_lease_nothing_is_guarded() -> None:
    assert decide(None, 1e9, BOOT, since=0.0, away=True) == ""


@given(TIMES, TIMES, SECONDS, st.sampled_from(["", "another start", BOOT]))
def test_a_time_of_another_clock_does_not_count(beat: float, now: float, seconds: float, boot: str) -> None:
    """After the machine has started again (or where two kernels are at work), what counts is what was seen."""
    if boot == BOOT:
        beat = now + 1.0 + beat  # of the same start, but later than now: not of this clock either
    found = document(seconds=seconds, beat=beat, boot=boot)
    assert decide(found, now, BOOT, since=now - seconds / 2, away=True) == ""
    assert decide(found, now, BOOT, since=now - 2 * seconds, away=True) == "back"


# Who holds it


class Holders(RuleBasedStateMachine):
    """Three controllers, one lease: never two at once, whatever they do and whenever."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.found: dict[str, Any] | None = None
        self.until: dict[str, float] = {}
        """When each controller's latest hold runs out, unless it gave it up or was told dead."""

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(who=st.sampled_from("abc"), seconds=st.floats(1, 10), dead=st.sampled_from(["", "a", "b", "c"]))
    def hold(self, who: str, seconds: float, dead: str) -> None:
        others = [one for one, until in self.until.items() if one not in (who, dead) and until >= self.now]
        try:
            self.found = lease.taken(self.found, who, seconds, gone=dead, now=self.now, boot=BOOT)
        except lease.Refused as error:
            refused = error.found
        else:
            refused, self.until = None, {who: self.now + seconds}
        assert others == ([refused["owner"]] if refused else []), "refused, and for the one who holds it"

    @precondition(lambda self: self.found is not None)
    @rule(who=st.sampled_from("abc"))
    def release(self, who: str) -> None:
        assert self.found is not None
        if self.found["owner"] == who:
            self.found = {**self.found, "owner": ""}
            self.until.pop(who, None)

    @precondition(lambda self: self.found is not None)
    @rule()
    def guard(self) -> None:
        assert self.found is not None
        if decide(self.found, self.now, BOOT, self.now, away=True) and self.found["expired_at"] is None:
            assert all(until < self.now for until in self.until.values())
            self.found = {**self.found, "expired_at": self.now}

    @invariant()
    def one(self) -> None:
        assert sum(until >= self.now for until in self.until.values()) <= 1


TestHolders = Holders.TestCase
TestHolders.settings = settings(max_examples=50, deadline=None)


def test_that_it_ran_out_is_told_until_a_holder_has_lived_to_renew_it() -> None:
    ran_out = document(owner="ann", expired_at=7.0)

    def hold(found: dict[str, Any], who: str, call: str, gone: str = "") -> dict[str, Any]:
        return lease.taken(found, who, 5.0, gone=gone, call=call, now=200.0, boot=BOOT)

    first = hold(ran_out, "bob", "1")
    assert first["told"] == 7.0
    assert hold(first, "bob", "1")["told"] == 7.0, "the answer was lost, and the same call comes again"
    assert hold(first, "cid", "2", gone="bob")["told"] == 7.0, "bob died before the next sign of life"
    assert hold(first, "bob", "2")["told"] is None
    assert hold(hold(first, "bob", "2"), "cid", "3", gone="bob")["told"] is None


def test_a_refusal_says_who_and_since_when() -> None:
    found = {"owner": "ann@corp#12@host#nonce", "seconds": 60.0, "silent": 3.21, "expired_at": None}
    assert str(lost(found, "flights", "bob#1@host#n")).startswith(
        "flights: ann@corp#12@host moves this endpoint's traffic (last heard of 3.2 s ago, the lease is 60 s)"
    )
    assert "has run out" in lost(found, "flights", "ann@corp#12@host#nonce").what
    assert "nobody holds" in lost(None, "flights", "bob").what


# Owners


def test_an_owner_of_this_process_lives_and_one_that_has_ended_does_not() -> None:
    mine = owner("ann@corp#dev")
    assert mine.startswith(f"ann@corp#dev#{os.getpid()}@")
    assert mine != owner("ann@corp#dev")
    assert not is_dead(mine)
    child = os.posix_spawn("/bin/true", ["true"], {})
    theirs = mine.replace(f"#{os.getpid()}@", f"#{child}@")
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert is_dead(theirs), "a zombie"
    os.waitpid(child, 0)
    assert is_dead(theirs), "gone"
    with subprocess.Popen(["sleep", "60"]) as other:
        assert is_dead(mine.replace(f"#{os.getpid()}@", f"#{other.pid}@")), "another process has that number now"
        other.kill()


@pytest.mark.parametrize(
    ("said", "dead"), [(PermissionError, False), (None, False), (ProcessLookupError, True), (OverflowError, True)]
)
def test_a_process_that_proc_hides_is_dead_only_if_there_is_none(
    said: type[Exception] | None, dead: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mounted with hidepid=2 it does not show what other users run."""
    mine = owner("ann@corp")
    theirs = mine.replace(f"#{os.getpid()}@", "#99999998@")
    asked: list[tuple[int, int]] = []

    def kill(pid: int, number: int) -> None:
        asked.append((pid, number))
        if said is not None:
            raise said

    monkeypatch.setattr(os, "kill", kill)
    assert is_dead(theirs) == dead
    assert asked == [(99999998, 0)]


@pytest.mark.parametrize("name", ["", "ann", "ann#x@y#z", "ann#99999999@elsewhere#1.2.3", "#@#", "ann#99999999@{}#5"])
def test_who_cannot_be_told_to_be_dead_is_not(name: str) -> None:
    assert not is_dead(name.format(os.uname().nodename))


def test_a_process_of_another_machine_or_container_is_not_looked_for_here() -> None:
    rest, _, nonce = owner("ann").rpartition("#")
    started, _, end = nonce.split(".")
    gone = rest.replace(str(os.getpid()), "99999999")
    assert is_dead(f"{gone}#{nonce}")
    assert not is_dead(f"{gone}#{started}.00000000.{end}"), "another table of processes"
    assert not is_dead(f"{gone}x#{nonce}"), "another host"


# The files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "routes.json", "v2")
    write(tmp_path, "back-v2.json", "v1")
    return tmp_path


def write(folder: Path, name: str, version: str) -> None:
    (folder / name).write_text(json.dumps({"version_info": version, "resources": []}))


def version(folder: Path) -> str:
    return str(json.loads((folder / "routes.json").read_text())["version_info"])


def held(folder: Path, silent: float, seconds: float = 5.0, **fields: Any) -> None:
    beat = lease.clock() - silent
    (folder / "lease.json").write_text(json.dumps(document(seconds=seconds, beat=beat, boot=lease.boot(), **fields)))


def watch(folder: Path) -> Watch:
    return Watch(str(folder), str(folder))


def test_the_way_back_is_one_rename_and_is_noted(folder: Path) -> None:
    held(folder, silent=4.0)
    guardian = watch(folder)
    assert guardian.look() == ""
    assert version(folder) == "v2"
    held(folder, silent=6.0)
    assert guardian.look() == "back"
    assert version(folder) == "v1"
    found = lease.look(str(folder))
    assert found is not None
    assert found["expired_at"] == pytest.approx(time.time(), abs=5)
    assert found["owner"] == "ann"
    assert guardian.look() == ""
    write(folder, "routes.json", "v2")  # whoever was asleep meanwhile
    assert guardian.look() == "back"
    again = lease.look(str(folder))
    assert again is not None
    assert again["expired_at"] == found["expired_at"], "when it happened first"


def test_a_way_back_of_other_routes_is_not_taken(folder: Path) -> None:
    write(folder, "routes.json", "v3")  # of an earlier version of mlship, say
    held(folder, silent=6.0)
    assert watch(folder).look() == "note"
    assert version(folder) == "v3"


def test_only_the_way_back_of_the_routes_as_they_are_is_kept(folder: Path) -> None:
    write(folder, "back-v1.json", "v0")
    write(folder, "back-v9.json", "v0")
    write(folder, "clusters.json", "v0")
    lease.prune(str(folder))
    assert {path.name for path in folder.iterdir()} == {"routes.json", "back-v2.json", "clusters.json"}


def test_a_full_disk_does_not_stop_the_way_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    held(folder, silent=6.0)
    (folder / "routes.json.back").write_text("left behind by a crash")
    monkeypatch.setattr(lease, "_replace", full)
    with pytest.raises(OSError, match="No space"):  # of the note, which is tried again
        watch(folder).look()
    assert version(folder) == "v1"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null", '{"owner": 1, "seconds": "x"}', "\x00" * 20])
def test_a_damaged_lease_lasts_a_minute_from_when_it_is_seen(
    folder: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "lease.json").write_text(content)
    now = [1000.0]
    monkeypatch.setattr(lease, "clock", lambda: now[0])
    guardian = watch(folder)
    assert guardian.look() == ""
    now[0] += 59.0
    assert guardian.look() == ""
    now[0] += 2.0
    assert guardian.look() == "back"
    assert version(folder) == "v1"
    found = lease.hold(str(folder), "bob", 5.0)
    assert found is not None
    assert found["expired_at"] == pytest.approx(time.time(), abs=5)


def test_a_step_of_the_wall_clock_is_no_silence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held(folder, silent=4.0)
    guardian = watch(folder)
    for step in (86_400.0, -86_400.0 * 365):
        monkeypatch.setattr(time, "time", lambda step=step: 1_800_000_000.0 + step)
        assert guardian.look() == ""
        assert lease.hold(str(folder), "ann", 5.0) is not None
        with pytest.raises(lease.Refused):
            lease.hold(str(folder), "bob", 5.0)


def test_a_sign_of_life_that_comes_while_the_lock_is_waited_for_counts(folder: Path) -> None:
    held(folder, silent=6.0)
    acts: list[str] = []
    with lease.locked(str(folder)):
        guardian = threading.Thread(target=lambda: acts.append(watch(folder).look()))
        guardian.start()
        time.sleep(0.1)
        lease.hold(str(folder), "ann", 5.0)
    guardian.join()
    assert acts == [""]
    assert version(folder) == "v2"


def test_one_who_stands_still_with_the_lock_is_not_waited_for_and_comes_too_late(folder: Path) -> None:
    """The process is stopped after it was looked at whether it may, and before it writes: SIGSTOP comes any time."""
    held(folder, silent=0.0, seconds=0.2)

    def act() -> None:
        time.sleep(0.3)
        assert watch(folder).look() == "back"
        assert version(folder) == "v1"
        write(folder, "back-v3.json", "v1")
        write(folder, "routes.json", "v3")

    with lease.locked(str(folder)), pytest.raises(lease.Refused):
        lease.fenced(str(folder), str(folder), "ann", act)
    assert version(folder) == "v1"


def test_a_guardian_lives_as_long_as_its_lock(folder: Path) -> None:
    assert not lease.guarded(str(folder))
    with lease.alive(str(folder)):
        assert lease.guarded(str(folder))
    assert not lease.guarded(str(folder))


def test_a_lease_that_is_lost_is_an_error_of_its_own() -> None:
    assert isinstance(lost(None, "m", "x"), LeaseLost)
