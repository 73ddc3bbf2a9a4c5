"""YAML with positions: every trap is found where it stands, and no text whatever makes the reader fail."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlship.policy.faults import Fault, Source
from mlship.policy.tree import key_spot, plain_value, value_spot
from mlship.policy.yaml import parse


def read(text: str) -> tuple[object, list[Fault]]:
    tree, faults = parse(text, Source.of("p.yaml", text))
    return (plain_value(tree) if tree is not None else None), faults


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", 1),
        ("a: -0.5", -0.5),
        ("a: 1.5e-3", 0.0015),
        ("a: true", True),
        ("a: ", None),
        ("a: ~", None),
        ("a: text", "text"),
        ("a: 'no'", "no"),
        ('a: "1e-3"', "1e-3"),
        ("a: 2027-06-30", "2027-06-30"),
        ("a: 10m", "10m"),
        ("a: 1%", "1%"),
        ("a: y", "y"),
        ("a: |\n  two\n  lines\n", "two\nlines\n"),
        ("\u00e4: [1, x]", None),
    ],
)
def test_what_all_yaml_tools_read_alike_is_read(text: str, value: object) -> None:
    document, faults = read(text)
    assert faults == []
    assert isinstance(document, dict)
    assert document.get("a") == value


@pytest.mark.parametrize(
    ("text", "line", "column", "what", "hint"),
    [
        ("a: no", 1, 4, "'no' is false to some", 'write false, or quote it: "no"'),
        ("a:\n  b: On", 2, 6, "'On' is true to some", "write true"),
        ("a: [yes]", 1, 5, "'yes' is true", "write true"),
        ("a: 1e-3", 1, 4, "'1e-3' is text to some", "write 0.001"),
        ("a: 1e6", 1, 4, "'1e6' is text to some", "write 1000000"),
        ("a: 12:30:00", 1, 4, "base 60", 'quote it: "12:30:00"'),
        ("a: 1:30", 1, 4, "base 60", "quote it"),
        ("a: 017", 1, 4, "octal", "write 17"),
        ("a: 08", 1, 4, "octal", "write 8"),
        ("a: 0o17", 1, 4, "'0o17' is a number to some", "write 15"),
        ("a: 0x1F", 1, 4, "'0x1F' is a number", "write 31"),
        ("a: 0b11", 1, 4, "'0b11' is a number", "write 3"),
        ("a: 1_000", 1, 4, "'1_000' is a number to some", "write 1000"),
        ("a: .nan", 1, 4, "cannot be a limit", "finite"),
        ("a: -.inf", 1, 4, "cannot be a limit", "finite"),
        ("a: 1.0e+999", 1, 4, "too large", ""),
        ("a: " + "9" * 5000, 1, 4, "too large", "quote"),
        ("1: x", 1, 1, "a key must be text, not a number", 'quote it: "1"'),
        ("true: x", 1, 1, "a key must be text, not a truth value", "quote"),
        ("a: {no: x}", 1, 5, "'no' is false", "quote"),
        ("~: x", 1, 1, "a key must be text, not empty", "quote"),
        ("? [a, b]\n: x", 1, 3, "a key must be text, not a list", "plain word"),
        ("a: &x {b: 1}\nc:\n  <<: *x", 3, 3, "merge keys", "write the keys out"),
        ("a: *nowhere", 1, 4, "nothing is anchored as '&nowhere'", "anchor"),
        ("a: !!str 1", 1, 4, "tags such as '!!str'", "remove"),
        ("a: !!python/object/apply:os.system [ls]", 1, 4, "tags such as", "remove"),
        ("a: 1\n---\nb: 2", 2, 1, "a second document", "remove ---"),
        ("a: &x [*x]", 1, 8, "contains itself", "write the value out"),
        ("a:\n\tb: 1", 2, 1, "a tab in the indentation", "spaces"),
        ("a: @x", 1, 4, "cannot begin with '@'", 'quote it: "@x"'),
        ("a: `x`", 1, 4, "cannot begin with '`'", "quote"),
        ("a: b: c", 1, 5, "second ': '", "quote text"),
        ("a: 1\n b: 2", 2, 3, "wrong indentation", "quote text"),
        ("a:\n  b: 1\n c: 2", 3, 2, "wrong indentation", "same column"),
        ("a: [1, 2", 1, 4, "list is not closed", "]"),
        ('a: "x', 1, 4, "never closed", "close it"),
        ("a: {b: ${X}}", 1, 9, "not closed", '"${NAME}" in quotes'),
        ("a: 1\nb: \x07", 2, 4, "control character U+0007", "delete"),
    ],
)
def test_each_trap_is_reported_where_it_stands_with_its_fix(
    text: str, line: int, column: int, what: str, hint: str
) -> None:
    _, faults = read(text)
    assert len(faults) == 1
    fault = faults[0]
    assert (fault.line, fault.col) == (line, column)
    assert what in fault.what
    assert hint in fault.hint


def test_a_duplicate_key_names_both_places_and_the_first_is_kept() -> None:
    document, [fault] = read("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n")
    assert (fault.line, fault.col) == (5, 3)
    assert fault.what == "duplicate key 'c'; the first is at 3:3"
    assert document == {"a": 1, "b": {"c": 1, "d": 2}}


def test_several_traps_are_found_in_one_run() -> None:
    _, faults = read("a: no\nb: 1e-3\nc: 017\n")
    assert [fault.line for fault in faults] == [1, 2, 3]


def test_an_alias_stands_for_its_value() -> None:
    assert read("a: &x {b: 1}\nc: *x\n") == ({"a": {"b": 1}, "c": {"b": 1}}, [])


def test_an_alias_bomb_is_refused_before_it_is_built() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    _, faults = read("\n".join(lines))
    assert "more than 20,000 values" in faults[-1].what


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{a: " * 50_000,
        "".join(" " * i + "a:\n" for i in range(1200)),
        "- " * 100_000 + "a",
        "\n".join(["a0: &a0 [x]", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 3000))]),
    ],
    ids=["lists", "sections", "indented", "dashes", "aliases"],
)
def test_deep_nesting_is_a_fault_and_not_a_crash(text: str) -> None:
    _, faults = read(text)
    assert "nested more than 40 levels deep" in faults[-1].what


def test_keys_and_values_know_their_line_and_column() -> None:
    text = "a:\n  b: [1, {c: xyz}]\n"
    tree, _ = parse(text, Source.of("p.yaml", text))
    assert tree is not None
    assert key_spot(tree, ("a", "b")) == (2, 3, 1)
    assert value_spot(tree, ("a", "b", 0)) == (2, 7, 1)
    assert key_spot(tree, ("a", "b", 1, "c")) == (2, 11, 1)
    assert value_spot(tree, ("a", "b", 1, "c")) == (2, 14, 3)
    assert value_spot(tree, ("a", "b", 7, "z")) == (2, 3, 1)


def test_the_caret_stands_under_the_fault_also_after_wide_letters_and_tabs() -> None:
    _, [fault] = read("'漢字': {\ta: no}")
    _, source, caret = str(fault).splitlines()
    assert source == "     '漢字': { a: no}"
    assert caret.index("^") == source.index("no") + 2  # each of the two letters takes two cells


def test_a_very_long_line_is_cut_around_the_fault() -> None:
    _, [fault] = read("a: [" + "x, " * 3000 + "no, " + "x, " * 3000 + "x]")
    _, source, caret = str(fault).splitlines()
    assert len(source) < 120
    assert source[caret.index("^") :].startswith("no")


def test_a_password_in_a_url_is_not_shown() -> None:
    _, [fault] = read("{a: 'https://me:hunter2@host/x', b: no}")
    assert "hunter2" not in str(fault)
    assert str(fault).splitlines()[2].index("^") == str(fault).splitlines()[1].index("no}")


@given(st.text())
@example("a: \ud800")
@example("\ufeff")
@example('a: "\\ud800"')
@example("%YAML 9.9\n---\na: 1")
@example("\u2028a: b: c")
@example("&a a: *a")
@example("? *a\n: b")
@example("&a 1: &a 2\n*a : 3")
def test_any_text_is_read_or_explained(text: str) -> None:
    document, faults = read(text)
    assert document is not None or faults or text.strip()
    for fault in faults:
        assert fault.line >= 1
        assert fault.col >= 1
        assert str(fault).startswith(f"p.yaml:{fault.line}:{fault.col}: ")


_YAMLISH = st.lists(
    st.sampled_from(
        ["a", "b", ": ", ":", "\n", "  ", "- ", "{", "}", "[", "]", ", ", "&x ", "*x", "<<", "? ", "!!int ", "|\n", '"',
         "'", "no", "1e3", "${A}", "---\n", "...\n", "#", "\t", "0o7", "\\"]
    ),
    max_size=40,
).map("".join)  # fmt: skip


@given(_YAMLISH)
def test_anything_like_yaml_is_read_or_explained(text: str) -> None:
    _, faults = read(text)
    assert all(fault.what for fault in faults)
