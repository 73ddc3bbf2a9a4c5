"""The ledger keeps every entry it has acknowledged, whatever cuts a write short, and says when it was tampered with."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mlship import ledger as room
from mlship.errors import StateError
from mlship.ledger import Ledger, built_image, evaluations, serving_image, who
from mlship.types import LedgerEntry


def entry(action: str = "promoted", model: str = "m", old: str | None = "1", new: str | None = "2") -> LedgerEntry:
    return LedgerEntry(1763700000.5, "ada@host", action, model, old, new, "because\nönë\ud800", {"run": "abc"})


def test_what_is_appended_is_read_back_in_order_and_by_model(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "new" / "ledger.jsonl")
    assert ledger.entries() == []
    written = [entry(model="a"), entry("evaluated", "b", None, "7"), entry("rolled_back", "a")]
    for one in written:
        ledger.append(one)
    assert ledger.entries() == written
    assert ledger.entries("a") == [written[0], written[2]]
    assert evaluations(ledger.entries()) == [written[1]]


def test_cut_at_every_byte_of_the_last_line_nothing_earlier_is_lost_and_appending_carries_on(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for number in range(3):
        ledger.append(entry(new=str(number)))
    whole = ledger.path.read_bytes()
    start = whole.rindex(b"\n", 0, len(whole) - 1) + 1
    for cut in range(start, len(whole)):
        ledger.path.write_bytes(whole[:cut])
        torn = ledger.path.with_suffix(".torn")
        torn.unlink(missing_ok=True)
        assert [one.to_version for one in ledger.entries()] == ["0", "1"], f"cut at byte {cut}"
        ledger.append(entry(new="after"))
        assert [one.to_version for one in ledger.entries()] == ["0", "1", "after"], f"cut at byte {cut}"
        assert (torn.read_bytes() if torn.exists() else b"\n") == whole[start:cut] + b"\n", "the torn bytes are kept"


def test_a_changed_line_is_named_and_what_comes_before_it_can_be_read(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for number in range(4):
        ledger.append(entry(new=str(number)))
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    for damaged, found in (
        ([lines[0], lines[1].replace(b"ada", b"eve"), *lines[2:]], 3),
        ([lines[0], *lines[2:]], 2),
        ([lines[0], b"\0\0\0\n", *lines[2:]], 2),
        ([lines[0], b"[]\n", *lines[2:]], 2),
        (lines[1:], 1),
    ):
        ledger.path.write_bytes(b"".join(damaged))
        with pytest.raises(StateError, match="damaged") as caught:
            ledger.entries()
        assert caught.value.where == f"{ledger.path}:{found}"
        assert [one.to_version for one in ledger.read().entries] == [str(number) for number in range(found - 1)]
        ledger.append(entry(new="late"))  # evidence of what happens now is not lost over what happened then
        assert b'"late"' in ledger.path.read_bytes().splitlines()[-1]


def test_some_entries_are_found_without_reading_the_rest(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    assert ledger.some("m", ("promoted",)) == []
    names = ["m", 'ü"m', "other"]
    for number in range(12):
        ledger.append(entry(("promoted", "evaluated", "rolled_back", "built")[number % 4], names[number % 3]))
    ledger.append(replace(entry("evaluated"), reason='"promoted"'))
    for name in (*names, "nobody"):
        wanted = [one for one in ledger.entries(name) if one.action in ("promoted", "built")]
        assert ledger.some(name, ("promoted", "built")) == wanted
        assert len(wanted) == (0 if name == "nobody" else 2)
    with ledger.path.open("ab") as file:
        file.write(b'{"action":"promoted","model":"m"')
    assert len(ledger.some("m", ("promoted",))) == 1, "the remains of a write that was cut short"


def test_damage_is_found_in_and_beside_some_entries_and_elsewhere_by_the_reading_of_all(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for action in ("evaluated", "evaluated", "evaluated", "promoted", "evaluated", "evaluated"):
        ledger.append(entry(action))
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    eve = [line.replace(b"ada", b"eve") for line in lines]
    for number, damaged, found in (
        (0, eve[0], False),
        (0, b"\0\0\n", False),
        (1, eve[1], False),
        (2, eve[2], True),
        (3, eve[3], True),
        (3, b'{"action":"promoted","model":"m",\n', True),
        (4, b"{\n", True),
        (5, eve[5], False),
    ):
        ledger.path.write_bytes(b"".join([*lines[:number], damaged, *lines[number + 1 :]]))
        if found:
            with pytest.raises(StateError, match="damaged"):
                ledger.some("m", ("promoted",))
        else:
            assert [one.action for one in ledger.some("m", ("promoted",))] == ["promoted"]
        assert (ledger.read().damage is None) == (number == 5), "the last line has none that follows"


def test_an_append_reads_the_end_only_however_long_the_ledger_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for _ in range(3):
        ledger.append(replace(entry(), reason="x" * 300_000))
    read, total = os.pread, [0]

    def counting(descriptor: int, size: int, offset: int) -> bytes:
        total[0] += size
        return read(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", counting)
    ledger.append(entry(new="after a long line"))
    assert 300_000 < total[0] < 700_000
    total[0] = 0
    ledger.append(entry(new="end"))
    assert total[0] <= 65_536
    assert len(ledger.entries()) == 5
    ledger.path.write_bytes(ledger.path.read_bytes() + b"\0\0\n")
    ledger.append(entry(new="late"))
    assert json.loads(ledger.path.read_bytes().splitlines()[-1])["seq"] == 7, "counted, where the last does not say"


def test_a_line_without_a_field_is_damage_and_an_unknown_field_is_not(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append(entry())
    document = json.loads(ledger.path.read_text())
    ledger.path.write_text(json.dumps(document | {"later_version": 1}) + "\n")
    assert ledger.entries() == [entry()]
    ledger.path.write_text(json.dumps({key: document[key] for key in document if key != "who"}) + "\n")
    with pytest.raises(StateError, match="lacks 'who'"):
        ledger.entries()


WRITER = """
import sys
from pathlib import Path
from mlship.ledger import Ledger, built_image, serving_image
from mlship.types import LedgerEntry
ledger = Ledger(Path(sys.argv[1]))
for number in range(1_000_000):
    ledger.append(LedgerEntry(0.0, "w", "promoted", "m", None, f"{sys.argv[2]}-{number}", "x" * 2000))
    print(number, flush=True)
"""


def test_kill_9_while_writing_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    acknowledged: list[str] = []
    for attempt in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(ledger.path), str(attempt)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(0.003 * attempt)
            writer.send_signal(signal.SIGKILL)
            seen = 1 + len([line for line in writer.stdout.read().splitlines() if line])
        acknowledged += [f"{attempt}-{number}" for number in range(seen)]
    ledger.append(entry(new="end"))
    versions = [one.to_version for one in ledger.entries()]
    assert set(acknowledged) <= set(versions)
    assert versions[-1] == "end"


def test_two_processes_at_once_keep_one_chain(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    script = WRITER.replace("1_000_000", "40")
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(ledger.path), name], stdout=subprocess.DEVNULL)
        for name in "ab"
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert len(ledger.entries()) == 80


def test_a_full_disk_is_one_clear_error_and_leaves_the_ledger_as_it_was(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append(entry())
    before = ledger.path.read_bytes()
    child = os.fork()
    if child == 0:  # a file-size limit cuts the write short exactly as a full disk does
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, len(before) + 20))
        try:
            ledger.append(entry())
        except StateError as error:
            os._exit(7 if "No space left" in str(error) else 8)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert ledger.path.read_bytes() == before


def test_a_lock_that_is_never_given_back_ends_in_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    monkeypatch.setattr(room, "LOCK_SECONDS", 0.1)
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append(entry())
    with ledger.path.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StateError, match="lock"):
            ledger.append(entry())
    assert len(ledger.entries()) == 1


def test_a_path_that_cannot_be_a_ledger_is_a_state_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "ledger.jsonl"):
        with pytest.raises(StateError, match="cannot use the ledger"):
            Ledger(path).append(entry())


def test_who_acts_is_named_by_the_environment_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTOR", "octo")
    assert who().startswith("octo@")
    monkeypatch.setenv("MLSHIP_ACTOR", "ada")
    assert who().startswith("ada@")
    assert who().partition("@")[2]


def test_a_version_serves_from_the_image_that_it_was_promoted_with() -> None:
    """Whatever somebody built of it since, under another policy and on another base."""

    def entry(action: str, image: str, policy: str) -> LedgerEntry:
        return LedgerEntry(
            0.0, "a", action, "m", None, "7", "", {"model": "sha256:m", "image": image, "policy": policy}
        )

    entries = [entry("built", "i1", "p"), entry("promoted", "i1", "p"), entry("built", "i2", "other")]
    assert serving_image(entries, "sha256:m") == "i1"
    assert serving_image(entries[2:], "sha256:m") == "i2"
    assert serving_image(entries[2:], "sha256:m", "p") == ""
    assert built_image(entries, "sha256:m", "p") == "i1"
    assert built_image(entries, "sha256:m", "third") == ""
    assert serving_image(entries, "sha256:other") == ""
