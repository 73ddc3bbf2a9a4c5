"""Counting users from the router's log of first requests: once each, whoever writes the lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.engines import envoy, users
from mlship.engines.counters import BUCKETS, Counted
from mlship.engines.front import Front
from mlship.engines.users import Users
from mlship.types import Counts, Routes

STABLE, CANARY = "v1-aa", "v2-bb"


def line(
    user: str,
    arm: str = STABLE,
    code: int = 200,
    *,
    attempts: str = "1",
    flags: str = "-",
    ms: int = 5,
    since: str = "t",
) -> str:
    return f"{since} {user} {arm} {code} {attempts} {flags} 1000 {ms}\n"


def followed(log: Path, text: str, **how: Any) -> dict[str, tuple[int, int, int]]:
    """Requests, errors and timeouts by cluster of a log with this text."""
    log.write_text(text)
    return counts(Users(), log, **how)


def counts(
    follower: Users, log: Path, *, run: str = "r", since: str = "t", counted: dict[str, Counted] | None = None
) -> dict[str, tuple[int, int, int]]:
    found = follower.follow(run, since, counted or {}, users.reader(log))
    assert found is not None
    return {arm: (one.requests, one.errors, one.timeouts) for arm, one in found.items()}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "users.log"


def test_a_user_counts_once_by_the_first_line_whichever_thread_wrote_it(log: Path) -> None:
    pair = f"{CANARY}|{STABLE}"
    text = line("a") + line("b", pair, 500) + line("b", pair) + line("a", code=500) + line("c", pair)
    assert followed(log, text) == {STABLE: (1, 0, 0), CANARY: (2, 1, 0)}


def test_errors_and_timeouts_are_those_of_requests(log: Path) -> None:
    text = (
        line("a", ms=999, attempts="2")  # the clocks of an attempt and of a request differ by one
        + line("b", ms=500, attempts="2")
        + line("c", code=504, flags="UT", ms=2000)
        + line("d", code=0, flags="DC", ms=3)
        + line("e", code=200, flags="UPE")
        + line("f", code=400)
        + line("g", ms=1500)
        + line("h", code=0, attempts="0")  # the caller left before the whole request was there
    )
    follower = Users()
    log.write_text(text)
    found = follower.follow("r", "t", {}, users.reader(log))
    assert found is not None
    one = found[STABLE]
    assert (one.requests, one.errors, one.timeouts, sum(one.latency), one.latency[-1]) == (7, 5, 3, 7, 5)
    assert one.refused == 1


def test_only_whole_lines_of_this_time_count(log: Path) -> None:
    follower = Users()
    assert counts(follower, log) == {}
    whole = line("a") + line("b", since="before") + "nonsense\n" + line("c", ms=3).replace(" 3", " x")
    log.write_text(whole + line("d")[:-4])
    assert counts(follower, log) == {STABLE: (1, 0, 0)}
    log.write_text(whole + line("d"))
    assert counts(follower, log) == {STABLE: (2, 0, 0)}
    log.write_text(whole + line("d") + line("a") + line("e", CANARY))
    assert counts(follower, log) == {STABLE: (2, 0, 0), CANARY: (1, 0, 0)}


def test_an_emptied_log_forgets_nobody_and_another_time_or_run_everybody(log: Path) -> None:
    follower = Users()
    log.write_text(line("a") + line("b"))
    assert counts(follower, log) == {STABLE: (2, 0, 0)}
    users.empty(log)
    assert counts(follower, log) == {STABLE: (2, 0, 0)}
    log.write_text(line("b") + line("c"))
    assert counts(follower, log) == {STABLE: (3, 0, 0)}
    assert counts(follower, log, run="another") == {STABLE: (2, 0, 0)}
    log.write_text(line("a", since="u"))
    assert counts(follower, log, run="another", since="u") == {STABLE: (1, 0, 0)}
    assert follower.follow("another", "", {}, users.reader(log)) is None


def test_whoever_names_nobody_counts_by_itself_from_the_first_look_on(log: Path) -> None:
    def alone(requests: int, errors: int) -> dict[str, Counted]:
        row = (0,) * (BUCKETS - 2) + (requests - errors, errors)
        return {CANARY: Counted(alone=Counts(requests, errors, 0, row)), STABLE: Counted()}

    follower = Users()
    log.write_text(line("a", CANARY))
    assert counts(follower, log, counted=alone(100, 7)) == {CANARY: (1, 0, 0), STABLE: (0, 0, 0)}
    assert counts(follower, log, counted=alone(110, 8)) == {CANARY: (11, 1, 0), STABLE: (0, 0, 0)}
    log.write_text("")
    assert counts(follower, log, run="another", counted=alone(3, 1))[CANARY] == (0, 0, 0)
    assert counts(follower, log, run="another", counted=alone(4, 2))[CANARY] == (1, 1, 0)


@given(st.lists(st.integers(0, 30), max_size=80), st.integers(1, 200), st.lists(st.integers(0, 80), max_size=5))
def test_however_it_is_cut_the_log_says_the_same(known: list[int], piece: int, stops: list[int]) -> None:
    lines = [line(str(user)) for user in known]
    follower = Users()
    for stop in [*sorted(stops), len(lines)]:
        text = "".join(lines[:stop]).encode()

        def read(offset: int, most: int, text: bytes = text) -> tuple[bytes, int]:
            # More than one line at least, or nothing could ever be read.
            return text[offset : offset + max(piece, 40) if most else 0], len(text)

        found = follower.follow("r", "t", {}, read)
        assert found is not None
        seen = found.get(STABLE, Counts()).requests
        assert seen <= len(set(known[:stop]))
    whole = follower.follow("r", "t", {}, lambda offset, most: ("".join(lines).encode()[offset : offset + most], 10**6))
    assert whole is not None
    assert whole.get(STABLE, Counts()).requests == len(set(known))


def test_the_time_of_routes_goes_on_while_they_are_the_same() -> None:
    names = {"v1": STABLE, "v2": CANARY}
    front = Front("127.0.0.1:8080", 2.0)
    sticky = Routes("v1", "v2", 1 / 3, sticky="header:x-user")
    time = users.time_of(None, sticky)
    assert time
    there = envoy.routes(sticky, names, front, "1", since=time)
    assert users.since(there) == time
    assert users.time_of(there, sticky) == time
    for other in (
        Routes("v1", "v2", 0.5, sticky="header:x-user"),
        Routes("v1", "v2", 1 / 3, sticky="cookie:x-user"),
        Routes("v2", "v1", 1 / 3, sticky="header:x-user"),
    ):
        assert users.time_of(there, other) not in ("", time)
    for plain in (None, Routes("v1"), Routes("v1", "v2", 1 / 3)):
        assert users.time_of(there, plain) == ""
    assert users.since(None) == users.since(envoy.routes(Routes("v1"), names, front, "1", since="x")) == ""
