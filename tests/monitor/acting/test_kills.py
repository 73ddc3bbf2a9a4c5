"""kill -9 of the monitor, and of the program that sends, at one point after the other: nothing lost, nothing twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlship.home import Home
from mlship.monitor import store
from mlship.monitor.acting import claims
from mlship.policy.load import LoadedPolicy
from tests.monitor.acting import killed, passes
from tests.monitor.acting.world import Receiver, github, policy, webhook
from tests.monitor.made import MODEL, event, incident
from tests.thorough import often
from tests.waiting import until

NOW = time.time()
HOUR = 3600.0
#: Every so many points are tried, beginning at a random one: each run of the tests tries others, a night more of them.
STRIDE = often(9, 27)

pytestmark = pytest.mark.slow


def begin(home: Home, loaded: LoadedPolicy, point: int, **environ: str) -> subprocess.Popen[str]:
    """A pass in a process of its own."""
    arguments = [str(home.path), str(loaded.path), str(point), str(NOW)]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.monitor.acting.killed", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ},
    )


def points(home: Home, loaded: LoadedPolicy) -> int:
    """How many points an undisturbed pass comes by."""
    process = begin(home, loaded, 0)
    count, troubles = process.communicate()[0].split()
    assert (process.returncode, troubles) == (0, "0")
    return int(count)


def chosen(count: int, stride: int = STRIDE) -> Iterator[int]:
    return iter(range(random.randint(1, stride), count + 1, stride))


def carry_on(home: Home, loaded: LoadedPolicy) -> None:
    """Passes until nothing is left to do, as cron would begin them."""
    for hour in range(1, 6):
        until(lambda: not claims.under_way(home, MODEL), "what is under way ends")
        passes.run(home, loaded, [event(incident())], NOW + hour * HOUR)
        found = store.reading(home, MODEL)
        assert found is not None
        with found:
            if not found.pending():
                return
    pytest.fail("it never came to an end")


def test_a_monitor_that_is_killed_anywhere_sends_everything_once(receiver: Receiver, tmp_path: Path) -> None:
    loaded = policy(tmp_path, webhook())
    count = points(Home(tmp_path / "calm"), loaded)
    assert count > 40
    assert len(receiver.got) == 1
    for point in chosen(count):
        receiver.got.clear()
        home = Home(tmp_path / str(point))
        process = begin(home, loaded, point)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, point
        carry_on(home, loaded)
        assert len(receiver.got) == 1, f"point {point} of {count}"
        found = store.reading(home, MODEL)
        assert found is not None
        with found:
            assert len(found.open()) == len(found.events()) == 1
            assert [one.state for one in found.deliveries()] == ["done"]


def test_messages_are_told_once_although_the_monitor_is_killed(receiver: Receiver, tmp_path: Path) -> None:
    """Killed at random moments, by a clock instead of a point."""
    loaded = policy(tmp_path, "notify")
    moments = random.Random()
    for number in range(often(5, 2)):
        receiver.got.clear()
        home = Home(tmp_path / str(number))
        with begin(home, loaded, 0) as process:
            until(home.monitor(MODEL).joinpath("monitor.db").exists)
            time.sleep(moments.uniform(0, 0.4))
            process.kill()
        carry_on(home, loaded)
        assert len(receiver.messages()) == 1


def spoiled(tmp_path: Path, point: int) -> dict[str, str]:
    """The environment in which the program that sends is killed at this point, once."""
    directory = tmp_path / "custom"
    directory.mkdir(exist_ok=True)
    (directory / "sitecustomize.py").write_text(killed.SENDER)
    before = os.environ.get("PYTHONPATH")
    return {
        "PYTHONPATH": str(directory) + (os.pathsep + before if before else ""),
        "SENDER_FUSE": str(point),
        "SENDER_MARK": str(tmp_path / f"killed-{point}"),
    }


@pytest.mark.parametrize("by", ["webhook", "github"])
def test_a_sender_that_is_killed_anywhere(receiver: Receiver, tmp_path: Path, by: str) -> None:
    """A webhook is asked again by the same key at most; a workflow runs once, whatever is killed."""
    loaded = policy(tmp_path, github(receiver) if by == "github" else webhook())
    killed_at = 0
    for point in chosen(30, 6):
        receiver.got.clear()
        receiver.runs.clear()
        home = Home(tmp_path / str(point))
        environ = spoiled(tmp_path, point)
        process = begin(home, loaded, 0, **environ)
        process.communicate()
        assert process.returncode == 0
        killed_at += Path(environ["SENDER_MARK"]).exists()
        carry_on(home, loaded)
        if by == "github":
            assert len(receiver.runs) == 1, f"point {point}"
        else:
            keys = [one.headers["Idempotency-Key"] for one in receiver.posts("/hook/")]
            assert len(keys) in (1, 2), f"point {point}"
            assert len(set(keys)) == 1
    assert killed_at >= 2


def test_a_message_whose_sender_was_killed_in_the_middle_says_that_it_may_be_a_repeat(
    home: Home, receiver: Receiver, tmp_path: Path
) -> None:
    loaded = policy(tmp_path, "notify")
    receiver.answers.hold.clear()
    assert passes.run(home, loaded, [event(incident())], NOW, patience=0) == ()
    until(lambda: len(receiver.got) == 1)
    [pid] = senders(home)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not claims.under_way(home, MODEL))
    receiver.answers.hold.set()
    assert passes.run(home, loaded, [], NOW + HOUR) != (), "noted, and to be tried again"
    assert passes.run(home, loaded, [], NOW + 2 * HOUR) == ()
    first, second = (text for _, text in receiver.messages())
    assert "repeat" not in first
    assert "may be a repeat" in second


def senders(home: Home) -> list[int]:
    """Programs that hold a claim of this state directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                opened = [str(link.readlink()) for link in (entry / "fd").iterdir()]
            except OSError:
                continue
            if any(path.startswith(str(home.monitor(MODEL) / "sending")) for path in opened):
                found.append(int(entry.name))
    return found


def test_two_monitors_at_once_send_once(home: Home, receiver: Receiver, tmp_path: Path) -> None:
    loaded = policy(tmp_path, webhook())
    for process in [begin(home, loaded, 0) for _ in range(3)]:
        process.communicate()
    carry_on(home, loaded)
    assert len(receiver.got) == 1
