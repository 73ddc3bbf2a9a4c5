"""What a monitor remembers: one transaction a pass, whatever happens to the process, the file or the disk."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.errors import Exit, StateError
from mlship.home import Home
from mlship.monitor import documents, store
from mlship.monitor.acting.delivery import Delivery
from mlship.monitor.kept import Champion, Changes, Pass
from mlship.monitor.store import Store, lasting
from mlship.types.monitoring import Finding, Labelled, Tally, Trouble
from tests.monitor.made import HOUR, MODEL, event, incident, tally

LAST = Pass(5.0, 1, "failed", "BREACH", 1.5, "4", 12 * HOUR, 12, 1440)
CHAMPION = Champion("4", "sha256:44", '{"model": "flight-delay"}', 100.0, 200.0)
FOUND = Finding("features", "dep_delay", "psi", 0.31, "psi <= 0.2", True, 9.1, True, 7.0, "moved", severity=2)
DELIVERY = Delivery("mlship-1", "retrain", "retrain#0", "i", "features", "a", "4", "retrain", {"reason": "x"}, {"i": 2})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / ".mlship")


def keep(home: Home, changes: Changes) -> None:
    with store.writing(home, MODEL, "tester") as found:
        found.commit(changes)


def seen(home: Home) -> Store:
    found = store.reading(home, MODEL)
    assert found is not None
    return found


def test_everything_comes_back_as_it_was(home: Home) -> None:
    opened = incident()
    over = incident("origin", resolved=2_000_000.0)
    everything = Changes(
        version="4",
        windows=[tally(number, part) for number in (3, 1, 2) for part in ("", "origin=JFK")],
        detectors={"features/dep_delay/level": {"up": [0.1, 2.0], "down": [0.0, 0.0], "windows": 3}},
        incidents=[opened, over],
        events=[event(opened), event(over, "resolved")],
        deliveries=[DELIVERY],
        troubles=[Trouble("log", "the database is away", 3.0)],
        findings=[FOUND],
        last=LAST,
        champion=CHAMPION,
        memory={"sketches": {"server-1": [1, 2, 3]}},
    )
    keep(home, everything)
    with seen(home) as found:
        assert found.windows("4") == tuple(tally(number) for number in (1, 2, 3))
        assert found.windows("4", part="origin=JFK") == tuple(tally(number, "origin=JFK") for number in (1, 2, 3))
        assert len(found.windows("4", part=None)) == 6
        assert found.windows("4", since=2 * HOUR, until=3 * HOUR) == (tally(2),)
        assert found.windows("5") == ()
        assert found.newest("4") == 4 * HOUR
        assert found.newest("5") is None
        assert found.detectors("4") == everything.detectors
        assert found.open() == (opened,)
        assert found.past() == (over,)
        assert found.incident(over.id) == over
        assert found.incident("nobody") is None
        assert found.events() == (event(opened), event(over, "resolved"))
        assert found.pending() == found.deliveries() == found.acts("retrain") == (DELIVERY,)
        assert found.acts("rollback") == ()
        assert found.troubles() == (Trouble("log", "the database is away", 3.0),)
        assert found.findings() == (FOUND,)
        assert found.last() == LAST
        assert found.champion() == CHAMPION
        assert found.memory("sketches") == {"server-1": [1, 2, 3]}
        assert found.memory("nothing") is None


def test_what_is_not_named_stays_and_what_is_known_is_replaced(home: Home) -> None:
    one = incident()
    keep(
        home,
        Changes("4", [tally(1), tally(2)], detectors={"a": 1, "b": 2}, incidents=[one], events=[event(one)], last=LAST),
    )
    worse = incident(worst=3)
    late = tally(2, rows=130)
    keep(home, Changes("4", [late], detectors={"b": 3}, incidents=[worse], events=[event(worse)], memory={"x": 1}))
    keep(home, Changes(memory={"x": None}))
    with seen(home) as found:
        assert found.windows("4") == (tally(1), late)
        assert found.detectors("4") == {"a": 1, "b": 3}
        assert found.open() == (worse,)
        assert found.events() == (event(one),), "an event stays as it was told"
        assert found.last() == LAST
        assert found.memory("x") is None


def test_a_delivery_is_decided_on_once(home: Home) -> None:
    keep(home, Changes(deliveries=[DELIVERY]))
    done = replace(DELIVERY, state="done", ended=5.0)
    keep(home, Changes(settled=[done]))
    keep(home, Changes(deliveries=[DELIVERY]))
    with seen(home) as found:
        assert found.deliveries() == (done,)
        assert found.pending() == ()
        assert found.delivery(DELIVERY.id) == done


def test_another_baseline_begins_anew(home: Home) -> None:
    keep(home, Changes("4", [tally(1)], [tally(1)], {"a": 1}))
    keep(home, Changes("5", [tally(1)], [tally(1)], {"a": 1}))
    keep(home, Changes("4", [tally(2)], [tally(3)], {"b": 2}, forget=["4"]))
    with seen(home) as found:
        assert found.windows("4") == (tally(2),)
        assert found.apart("4") == (tally(3),)
        assert found.detectors("4") == {"b": 2}
        assert found.windows("5") == found.apart("5") == (tally(1),)


def test_what_is_old_goes_and_what_is_open_stays(home: Home) -> None:
    now = 1000 * 86400.0
    old, young = now - store.KEPT - HOUR, now - store.KEPT_SLICES - HOUR
    gone = incident("gone", opened=1.0, resolved=now - store.KEPT_PAST - 1)
    open_ = incident("open", opened=1.0)
    keep(
        home,
        Changes(
            "4",
            [tally(int(at // HOUR), part) for at in (old, young, now) for part in ("", "origin=JFK")],
            incidents=[gone, open_],
            events=[event(gone), event(open_)],
        ),
    )
    keep(home, Changes(thin=now))
    with seen(home) as found:
        assert [one.start for one in found.windows("4")] == [young // HOUR * HOUR, now // HOUR * HOUR]
        assert [one.start for one in found.windows("4", part="origin=JFK")] == [now // HOUR * HOUR]
        assert found.past() == ()
        assert found.open() == (open_,)
        assert found.events() == (event(open_),)


COUNTS = st.lists(st.integers(0, 10**9), max_size=6).map(tuple)
LABELLED = st.builds(
    Labelled,
    st.integers(0, 10**6),
    st.lists(COUNTS, max_size=3).map(tuple),
    st.lists(COUNTS, max_size=3).map(tuple),
    st.tuples(*[st.floats(allow_nan=False)] * 4),
)
TALLIES = st.builds(
    Tally,
    st.floats(0, 4e9),
    st.floats(60, 604800),
    st.integers(0, 10**9),
    st.dictionaries(st.text(), COUNTS, max_size=3),
    st.none() | COUNTS,
    st.none() | COUNTS,
    st.none() | LABELLED,
    st.text(),
    st.none() | st.integers(0, 10**6),
)


@given(TALLIES)
def test_any_tally_comes_back(one: Tally) -> None:
    assert documents.tally(json.loads(documents.dumps(documents.of_tally(one)))) == one


def test_a_trouble_lasts_since_it_began() -> None:
    before = [Trouble("log", "refused", 10.0), Trouble("labels", "gone", 20.0)]
    now = [Trouble("log", "timed out", 30.0), Trouble("engine", "away", 30.0)]
    assert lasting(before, now) == (Trouble("log", "timed out", 10.0), Trouble("engine", "away", 30.0))


def test_nobody_has_monitored_it_here(home: Home) -> None:
    assert store.reading(home, MODEL) is None
    assert not home.path.exists(), "to look makes nothing"
    directory = home.ensure(home.monitor(MODEL))
    (directory / "monitor.db").touch()
    assert store.reading(home, MODEL) is None, "a pass was killed before its first word"


def test_one_writes_and_anybody_reads(home: Home) -> None:
    keep(home, Changes(last=LAST))
    with store.writing(home, MODEL, "alice") as mine:
        with pytest.raises(StateError, match=r"is being monitored already: alice \(monitor, process \d+") as caught:
            keep(home, Changes())
        assert caught.value.exit_code is Exit.UNREACHABLE
        with seen(home) as theirs:
            assert theirs.last() == LAST
        mine.commit(Changes(memory={"x": 1}))
        with seen(home) as theirs:
            assert theirs.memory("x") == 1
    keep(home, Changes())


def test_a_reader_sees_one_moment_and_a_commit_waits_for_it(home: Home) -> None:
    keep(home, Changes(memory={"x": 1, "y": 1}))
    with store.writing(home, MODEL, "alice") as mine:
        theirs = seen(home)
        assert theirs.memory("x") == 1
        writing = threading.Thread(target=mine.commit, args=[Changes(memory={"x": 2, "y": 2})])
        writing.start()
        time.sleep(0.05)
        assert theirs.memory("y") == 1
        theirs.close()
        writing.join(10)
        assert not writing.is_alive()
    with seen(home) as theirs:
        assert theirs.memory("y") == 2


def test_a_read_only_directory_can_be_read(home: Home) -> None:
    keep(home, Changes(last=LAST))
    directory = home.monitor(MODEL)
    (directory / "monitor.db").chmod(0o400)
    directory.chmod(0o500)
    try:
        with seen(home) as found:
            assert found.last() == LAST
    finally:
        directory.chmod(0o700)


def test_a_newer_format_is_left_alone(home: Home) -> None:
    keep(home, Changes(last=LAST))
    path = home.monitor(MODEL) / "monitor.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    for use in (lambda: keep(home, Changes()), lambda: seen(home)):
        with pytest.raises(StateError, match=r"a newer mlship has written this file \(format 99") as caught:
            use()
        assert "use that version" in caught.value.hint
    assert path.read_bytes() == before


def _not_sqlite(path: Path) -> None:
    path.write_bytes(b"this is no database at all" * 100)


def _torn(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _scrambled(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096 : len(content)] = random.Random(1).randbytes(len(content) - 4096)
    path.write_bytes(bytes(content))


def _other_tables(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        for table in ("documents", "windows", "incidents"):
            connection.execute(f"DROP TABLE {table}")
    connection.close()


def _other_row(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE documents SET body = x'00ff'")
        connection.execute("UPDATE incidents SET body = '[1]'")
        connection.execute("UPDATE windows SET body = x'789c'")
    connection.close()


def written(home: Home) -> None:
    with store.writing(home, MODEL, "tester") as found:
        look(found)


def looked(home: Home) -> None:
    with seen(home) as found:
        look(found)


def look(found: Store) -> None:
    found.windows("4")
    found.open()
    found.last()


@pytest.mark.parametrize("damage", [_not_sqlite, _torn, _scrambled, _other_tables, _other_row])
def test_a_damaged_file_is_one_clear_error_with_a_way_out(home: Home, damage: Callable[[Path], None]) -> None:
    one = incident()
    keep(home, Changes("4", [tally(number) for number in range(50)], incidents=[one], events=[event(one)], last=LAST))
    path = home.monitor(MODEL) / "monitor.db"
    damage(path)
    with pytest.raises(StateError, match="what the monitor remembers is damaged") as caught:
        written(home)
    assert caught.value.where == str(path)
    with pytest.raises(StateError, match="what the monitor remembers is damaged"):
        looked(home)
    command = caught.value.hint.split("`")[1]
    subprocess.run(command, shell=True, check=True)
    keep(home, Changes(last=LAST))
    with seen(home) as found:
        assert found.last() == LAST


def test_a_full_disk_changes_nothing(home: Home) -> None:
    keep(home, Changes("4", [tally(1)], last=LAST))
    with store.writing(home, MODEL, "tester") as found:
        pages = found._connection.execute("PRAGMA page_count").fetchone()[0]
        found._connection.execute(f"PRAGMA max_page_count = {pages + 3}")
        more = Changes("4", [tally(number) for number in range(500)], detectors={"a": 1}, incidents=[incident()])
        with pytest.raises(StateError, match="the disk is full; nothing has been changed") as caught:
            found.commit(more)
        assert "free space" in caught.value.hint
        assert found.windows("4") == (tally(1),)
        assert found.open() == ()
        found._connection.execute("PRAGMA max_page_count = 100000")
        found.commit(more)
        assert len(found.windows("4")) == 500


FULL = """
import resource, signal, sys
from pathlib import Path
from mlship.errors import StateError
from mlship.home import Home
from mlship.monitor import store
from mlship.monitor.kept import Changes
from tests.monitor.made import MODEL, tally
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with store.writing(Home(Path(sys.argv[1])), MODEL, "tester") as found:
    size = found.path.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 8192, size + 8192))
    try:
        found.commit(Changes("4", [tally(number) for number in range(2000)]))
    except StateError as error:
        print(error)
        sys.exit(int(error.exit_code))
"""


def test_a_file_that_may_not_grow_is_an_error_of_the_house(home: Home) -> None:
    keep(home, Changes("4", [tally(1)]))
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(home.path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (3, "")
    assert "nothing has been changed" in done.stdout
    with seen(home) as found:
        assert found.windows("4") == (tally(1),)


WRITER = """
import sys
from pathlib import Path
from mlship.home import Home
from mlship.monitor import store
from mlship.monitor.kept import Changes, Pass
from tests.monitor.made import MODEL, event, incident, tally
with store.writing(Home(Path(sys.argv[1])), MODEL, "writer") as found:
    done = found.last().windows if found.last() else 0
    while True:
        done += 40
        one = incident(str(done))
        found.commit(Changes(
            "4", [tally(number) for number in range(done - 40, done)], detectors={"a": done},
            incidents=[one], events=[event(one)], last=Pass(1.0, 0, "passed", "", windows=done)))
        print(done, flush=True)
"""


@pytest.mark.slow
def test_kill_9_at_any_moment_leaves_whole_passes(home: Home) -> None:
    """Given a writer that is killed again and again, then each pass is there wholly or not at all, and none is lost."""
    moments = random.Random(7)
    told = 0
    for _ in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(home.path)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
        )
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(moments.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split("\n")
        process.stdout.close()
        process.wait()
        told = int(([first.strip()] + [line for line in rest[:-1] if line])[-1])
        with seen(home) as found:
            last = found.last()
            assert last is not None
            assert last.windows >= told, "what was told to be kept is"
            assert found.detectors("4") == {"a": last.windows}
            assert found.windows("4") == tuple(tally(number) for number in range(last.windows))
            assert len(found.open()) == len(found.events()) == last.windows // 40
    assert told > 0


def test_a_reader_takes_back_what_a_killed_writer_has_left_half_done(home: Home) -> None:
    keep(home, Changes("4", [tally(1)], last=LAST))
    path = home.monitor(MODEL) / "monitor.db"
    script = (
        "import os, signal, sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('PRAGMA cache_size = 1'); c.execute('BEGIN IMMEDIATE')\n"
        "c.executemany('INSERT OR REPLACE INTO documents VALUES (?, ?)', ((str(n), b'x' * 4000) for n in range(200)))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert path.with_name("monitor.db-journal").exists()
    with seen(home) as found:
        assert found.last() == LAST
        assert found.memory("17") is None


def test_status_reads_it_without_anything_heavy(home: Home) -> None:
    keep(home, Changes("4", [tally(1)], last=LAST))
    script = (
        "import sys; from pathlib import Path; from mlship.home import Home; from mlship.monitor import store\n"
        f"s = store.reading(Home(Path({str(home.path)!r})), {MODEL!r}); assert s.last() and s.open() == ()\n"
        "heavy = {'pydantic', 'numpy', 'pandas', 'mlflow', 'apprise', 'requests', 'scipy', 'sklearn', 'yaml'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_only_its_owner_may_read_it(home: Home) -> None:
    keep(home, Changes(last=LAST))
    path = home.monitor(MODEL) / "monitor.db"
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
