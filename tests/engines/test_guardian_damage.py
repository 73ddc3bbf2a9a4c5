"""Given that the guardian's files are damaged, when nobody watches any more, then traffic is on stable all the same."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlship.guardian import lease
from mlship.guardian.spare import Unknown
from mlship.guardian.watch import Watch

SECONDS = 5.0


class World:
    """One endpoint's files, a guardian that has seen them whole, and a clock that stands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 1000.0
        write(folder, "routes.json", "v2")
        write(folder, "back-v2.json", "v1")
        self.guardian = self.new()

    def new(self) -> Watch:
        return Watch(str(self.folder), str(self.folder))

    def silent(self, seconds: float) -> str:
        self.now += seconds
        return self.guardian.look()

    def version(self) -> str:
        return str(json.loads((self.folder / "routes.json").read_text())["version_info"])

    def expired(self) -> bool:
        try:
            found = lease.look(str(self.folder))
        except OSError:
            return False
        return found is not None and found["expired_at"] is not None


def write(folder: Path, name: str, version: str) -> None:
    (folder / name).write_text(json.dumps({"version_info": version, "resources": []}))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    monkeypatch.setattr(lease, "clock", lambda: made.now)
    lease.hold(str(tmp_path), "ann", SECONDS)
    assert made.guardian.look() == ""
    return made


def directory(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def huge(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "seconds": 10**400}))


def garbage(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content)


LEASES: dict[str, Callable[[Path], object]] = {
    "bytes": lambda path: path.write_bytes(b"\xff\x00garbage"),
    "empty": garbage(""),
    "deep": garbage("[" * 100_000),
    "huge": huge,
    "directory": directory,
}


@pytest.mark.parametrize("case", LEASES)
def test_a_lease_that_becomes_unreadable_is_silence_for_as_long_as_it_last_said(world: World, case: str) -> None:
    world.silent(SECONDS / 2)
    LEASES[case](world.folder / "lease.json")
    assert world.silent(0) == ""
    assert world.silent(SECONDS - 0.5) == ""
    assert world.version() == "v2"
    assert world.silent(1) == "back"
    assert world.version() == "v1"
    assert world.expired()
    assert lease.hold(str(world.folder), "bob", SECONDS) is not None, "and somebody else can go on"


def test_a_lease_that_changes_all_the_time_and_is_never_readable_is_one_silence(world: World) -> None:
    for number in range(7):
        (world.folder / "lease.json").write_text("?" * number)
        world.silent(1)
    assert world.version() == "v1"


def test_a_lease_that_can_be_read_again_goes_on(world: World) -> None:
    whole = (world.folder / "lease.json").read_text()
    (world.folder / "lease.json").write_text("{")
    assert world.silent(1) == ""
    (world.folder / "lease.json").write_text(whole)
    lease.hold(str(world.folder), "ann", SECONDS)
    assert world.silent(SECONDS - 0.5) == ""
    assert world.version() == "v2"


def routes(act: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: act(folder / "routes.json")


def back(act: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: act(folder / "back-v2.json")


def both(folder: Path) -> None:
    (folder / "routes.json").unlink()
    (folder / "back-v2.json").unlink()


ROUTES: dict[str, Callable[[Path], object]] = {
    "routes garbage": routes(garbage("{")),
    "routes empty": routes(garbage("")),
    "routes deep": routes(garbage("[" * 100_000)),
    "routes of another kind": routes(garbage("[]")),
    "routes deleted": routes(Path.unlink),
    "routes a directory": routes(directory),
    "back garbage": back(garbage("{")),
    "back deleted": back(Path.unlink),
    "back a directory": back(directory),
    "both deleted": both,
    "lock a directory": lambda folder: directory(folder / "routes.lock"),
}


@pytest.mark.parametrize("case", ROUTES)
def test_whatever_happens_to_the_routes_the_way_back_is_taken(world: World, case: str) -> None:
    ROUTES[case](world.folder)
    assert world.silent(SECONDS - 1) == ""
    assert not world.expired()
    assert world.silent(2) == "back"
    assert world.version() == "v1"
    assert world.expired()
    assert world.silent(1) == ""


def test_routes_without_a_canary_are_their_own_way_back(world: World) -> None:
    write(world.folder, "routes.json", "v9")
    (world.folder / "back-v2.json").unlink()
    assert world.silent(1) == ""
    (world.folder / "routes.json").write_text("{")
    assert world.silent(SECONDS) == "back"
    assert world.version() == "v9"


def test_a_guardian_that_starts_after_the_damage_takes_the_way_back_that_was_written_last(world: World) -> None:
    write(world.folder, "back-v3.json", "v0")
    os.utime(world.folder / "back-v3.json", (1, 1))
    (world.folder / "routes.json").write_text("")
    world.guardian = world.new()
    assert world.silent(SECONDS + 1) == "back"
    assert world.version() == "v1"


@pytest.mark.parametrize("left", ["{", None])
def test_where_nobody_knows_the_way_back_nothing_is_claimed(world: World, left: str | None) -> None:
    (world.folder / "back-v2.json").write_text("{")
    if left is None:
        (world.folder / "back-v2.json").unlink()
        (world.folder / "routes.json").write_text("{")
    world.guardian = world.new()
    for _ in range(2):
        with pytest.raises(Unknown, match="damaged or gone"):
            world.silent(SECONDS + 1)
    assert not world.expired()
    write(world.folder, "back-v2.json", "v1")
    assert world.silent(0) == "back", "and it is tried again at each look"
    assert world.version() == "v1"
    assert world.expired()


def test_a_full_disk_links_the_way_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: str, _: str) -> None:
        raise OSError(28, "No space left on device", path)

    monkeypatch.setattr(lease, "_replace", full)
    with pytest.raises(OSError, match="No space"):  # of the note
        world.silent(SECONDS + 1)
    assert world.version() == "v1"
    assert not world.expired()
    monkeypatch.undo()
    monkeypatch.setattr(lease, "clock", lambda: time.monotonic() + 1e6)
    assert world.guardian.look() == "note"
    assert world.expired()
