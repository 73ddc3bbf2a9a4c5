"""Packages are resolved for the base, locked by their hashes, fetched once, and what cannot be had is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlship.errors import EngineError
from mlship.home import Home
from mlship.images import indexes, lock, wheels
from mlship.images.base import Base
from mlship.images.lock import Lock, Pinned
from mlship.images.requirements import Wanted

BASE = Base("b", "p", "sha256:0", "linux/amd64", "3.11.2", "x86_64", "glibc", "2.36")


def asked(*lines: str, **options: str) -> Wanted:
    return Wanted(lines, options.get("constraints", ""), "", ())


@pytest.fixture(scope="module")
def resolved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Lock]:
    """One small lock from the real package index, or a skip where it is out of reach."""
    home = Home(tmp_path_factory.mktemp("lock"))
    try:
        return home, lock.resolve(asked("markupsafe", "iniconfig<2.1"), BASE, home)
    except EngineError as error:
        if "out of reach" in error.what:
            pytest.skip(f"needs the package index: {error.what}")
        raise


def test_an_open_version_is_the_one_that_evaluated_the_model(resolved: tuple[Home, Lock]) -> None:
    _, found = resolved
    names = {one.name: one for one in found.packages}
    assert names["markupsafe"].version == lock.installed()["markupsafe"] == found.preferred["markupsafe"]
    assert names["iniconfig"].version.startswith("2.0")
    assert all(one.hashes for one in found.packages)
    assert f"markupsafe=={names['markupsafe'].version} --hash=sha256:" in found.text


def test_the_second_time_needs_no_network(resolved: tuple[Home, Lock], monkeypatch: pytest.MonkeyPatch) -> None:
    home, found = resolved
    first = wheels.fetch(found, BASE, home)
    assert [one.name for one in first] == ["iniconfig", "markupsafe"]
    assert first[1].file.endswith("x86_64.whl")
    for name in ("UV_DEFAULT_INDEX", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/simple")
    monkeypatch.setattr(lock, "uv", lambda: pytest.fail("it was resolved again"))
    assert lock.resolve(asked("markupsafe", "iniconfig<2.1"), BASE, home) == found
    assert wheels.fetch(found, BASE, home) == first


def test_another_version_here_resolves_anew(resolved: tuple[Home, Lock], monkeypatch: pytest.MonkeyPatch) -> None:
    home, _ = resolved
    monkeypatch.setattr(lock, "installed", lambda: {"markupsafe": "3.0.1"})
    found = lock.resolve(asked("markupsafe", "iniconfig<2.1"), BASE, home)
    assert {one.name: one.version for one in found.packages}["markupsafe"] == "3.0.1"


def test_a_dependency_without_a_wheel_is_named(resolved: tuple[Home, Lock], tmp_path: Path) -> None:
    """docopt was only ever published as source."""
    with pytest.raises(EngineError) as caught:
        lock.resolve(asked("markupsafe", "docopt==0.6.2"), BASE, Home(tmp_path))
    assert caught.value.what == "docopt has no wheel for Python 3.11.2 on linux/amd64 (glibc 2.36)"
    assert "nothing is compiled" in caught.value.hint
    assert caught.value.exit_code == 3


def test_requirements_that_contradict_each_other_are_told(resolved: tuple[Home, Lock], tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"the requirements cannot be met .*markupsafe") as caught:
        lock.resolve(asked("markupsafe<3", constraints="markupsafe>=3\n"), BASE, Home(tmp_path))
    assert "image: {requirements: ...}" in caught.value.hint


def test_an_index_out_of_reach_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://user:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    with pytest.raises(EngineError, match="the package index is out of reach") as caught:
        lock.resolve(asked("markupsafe"), BASE, Home(tmp_path))
    assert "secret" not in str(caught.value)


def test_a_lock_file_binds_the_files_too(resolved: tuple[Home, Lock], tmp_path: Path) -> None:
    version = lock.installed()["markupsafe"]
    _, found = resolved
    (own,) = (one.hashes for one in found.packages if one.name == "markupsafe")
    wanted = Wanted((f"markupsafe=={version}",), "", "", (), {"markupsafe": own[:2]})
    assert lock.resolve(wanted, BASE, Home(tmp_path)).packages == (Pinned("markupsafe", version, own[:2]),)
    foreign = Wanted((f"markupsafe=={version}",), "", "", (), {"markupsafe": ("0" * 64,)})
    with pytest.raises(EngineError, match="other files of markupsafe"):
        lock.resolve(foreign, BASE, Home(tmp_path))


def test_a_file_that_is_not_the_locked_one_is_refused(resolved: tuple[Home, Lock], tmp_path: Path) -> None:
    version = lock.installed()["markupsafe"]
    with pytest.raises(EngineError, match=r"markupsafe.* is not the file that was locked"):
        wheels.fetch(Lock((Pinned("markupsafe", version, ("0" * 64,)),), {}), BASE, Home(tmp_path))


def test_what_pip_is_told_uv_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in indexes._UV:
        monkeypatch.delenv(name, raising=False)
    said = {"index-url": "https://index/simple", "extra-index-url": "https://more/simple", "find-links": "/a /b"}
    monkeypatch.setattr(indexes, "_pip_says", lambda: said)
    told = indexes.environment()
    assert (told["UV_DEFAULT_INDEX"], told["UV_INDEX"]) == ("https://index/simple", "https://more/simple")
    assert told["UV_FIND_LINKS"] == "/a,/b"
    assert told["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    monkeypatch.setenv("UV_INDEX_URL", "https://uvs/simple")
    assert "UV_DEFAULT_INDEX" not in indexes.environment()
