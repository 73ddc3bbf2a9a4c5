"""Models that differ have directories that differ, and every name can be one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.home import slug


@pytest.mark.parametrize(
    ("name", "directory"),
    [
        ("flight-delay_2.1", "flight-delay_2.1"),
        ("a/b c", "a%2fb%20c"),
        ("..", "%.."),
        ("100%", "100%25"),
        ("\n", "%0a"),
    ],
)
def test_an_ascii_name_keeps_its_directory(name: str, directory: str) -> None:
    assert slug(name) == directory


@pytest.mark.parametrize(
    ("one", "other"),
    [("\u00e90", "\u0e90"), ("\u1234", "\x1234"), ("x" * 300, "x" * 301), ("\U0001f600" * 80, "\U0001f600" * 81)],
)
def test_names_that_met_before_do_not(one: str, other: str) -> None:
    assert slug(one) != slug(other)


@given(st.text(st.characters(exclude_categories=()), max_size=300), st.text(max_size=20))
def test_any_name_is_one_directory_below(name: str, other: str) -> None:
    found = slug(name)
    assert found.isascii()
    assert len(found) <= 255
    assert not name or Path(f"/a/{found}").resolve().parent == Path("/a")
    assert (found == slug(other)) == (name == other)
