"""Annotations for a step of a GitHub workflow, within the limits of the place that shows them."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from mlship.report import github
from mlship.report.checklist import Check, Checklist
from mlship.types import Status
from tests.report.checks import LIST, TEXTS, checklists

_COMMAND = re.compile(r"::(error|warning|notice)( [a-z]+=[^:,\r\n]+(,[a-z]+=[^:,\r\n]+)*)?::[^\r\n]*")


def test_the_worst_is_first_and_at_its_line() -> None:
    """What stops a promotion, then what is only worth saying; what passed or was skipped is not said."""
    assert github.commands(LIST) == [
        "::error file=policies/mlship.yaml,line=9,col=3,title=mlship evaluate%3A leakage unavailable"
        "::takes arr_time as input%0Anext: train without it",
        "::error file=policies/mlship.yaml,title=mlship evaluate%3A metrics r2 min::needs numbers",
        "::warning file=policies/mlship.yaml,line=12,col=5,title=mlship evaluate%3A metrics recall min"
        "::it needs about 4%2C000 rows".replace("%2C", ","),
        "::warning file=policies/mlship.yaml,line=3,col=5,title=mlship evaluate%3A mlship.yaml 3%3A5::steps overlap",
    ]


def test_ten_of_a_kind_and_the_last_counts_the_rest() -> None:
    """GitHub drops the eleventh without a word."""
    many = [Check("metrics", f"m{number}", Status.FAILED, "low") for number in range(14)]
    lines = github.commands(replace(LIST, checks=tuple(many)))
    assert len(lines) == 10
    assert lines[-1].endswith("::and 5 more: metrics m9, metrics m10, metrics m11, metrics m12, metrics m13")
    assert len(github.commands(replace(LIST, checks=tuple(many[:10])))) == 10
    assert "more" not in "".join(github.commands(replace(LIST, checks=tuple(many[:10]))))


@settings(max_examples=40)
@given(checklists())
def test_each_annotation_is_one_command_on_one_line(checklist: Checklist) -> None:
    """Whatever names and reasons hold; and something is said whenever it was not passed."""
    lines = github.commands(checklist)
    assert all(_COMMAND.fullmatch(line) for line in lines), lines
    for kind in ("error", "warning"):
        assert sum(line.startswith(f"::{kind}") for line in lines) <= github.MOST
    if checklist.status not in (Status.PASSED, Status.SKIPPED):
        assert not lines[0].startswith("::notice")


def test_a_pass_is_told_as_a_notice() -> None:
    """The verdict is on the run's page, whatever it is."""
    passed = replace(LIST, status=Status.PASSED, checks=LIST.checks[:2], summary="PASSED  all 1 rule passed")
    assert github.commands(passed) == ["::notice title=mlship evaluate::PASSED  all 1 rule passed"]


def test_text_in_the_log_gives_no_commands() -> None:
    """A reason that begins with a command is shown, not obeyed."""
    begin, text, end = github.quoted("::set-env name=a::b\n")
    assert begin == f"::stop-commands::{end.strip(':')}"
    assert text == "::set-env name=a::b"
    assert github.quoted("x")[2] != end


@settings(max_examples=40)
@given(TEXTS, st.integers(0, 2**20 + 10))
def test_a_summary_never_takes_more_than_its_room(text: str, written: int) -> None:
    """With what is there already it stays below 1 MiB."""
    summary = github.summary((text.replace("\ud800", "") + "\n") * 40_000, written)
    assert written + len(summary.encode()) <= max(written, 2**20)


def test_a_long_summary_says_where_the_rest_is() -> None:
    """It ends with a whole line, and a link."""
    told = github.summary("| row |\n" * 200_000, where="report.html")
    assert len(told.encode()) <= github.SUMMARY_BYTES
    assert told.endswith("| row |\n\n*Cut: a summary holds 1 MiB. All of it: report.html*\n") or "report.html" in told
    assert github.summary("short\n\n") == "short\n"


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(["verdict", "failed-gates", "report-path"]), TEXTS))
def test_outputs_are_read_back_as_they_were(values: dict[str, str]) -> None:
    """As the runner reads its file: name, delimiter, lines until the delimiter."""
    lines = github.outputs(values).split("\n")
    found: dict[str, str] = {}
    while lines[0]:
        name, _, delimiter = lines.pop(0).partition("<<")
        end = lines.index(delimiter)
        found[name] = "\n".join(lines[:end])
        lines = lines[end + 1 :]
    assert found == values
