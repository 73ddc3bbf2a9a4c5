"""Exhibits in the other reports: aligned in the terminal, folded and bounded in Markdown, whole in JSON."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from mlship.exhibits import Curves, Exhibit, Heat, Series, Table
from mlship.report import cells, grids, render, text
from mlship.types import GateResult, Status
from tests.report.support import DRIFT, EVALUATION, RESULTS, ROC, SLICES, many, nasty


def shown(kind: str) -> str:
    return str(render(EVALUATION, kind))


def test_the_text_shows_what_explains_the_open_rules_below_the_table() -> None:
    report = shown("text")
    assert (
        "\n\nslices recall min: Worst slices\n"
        "  slice                                 rows  recall  champion  95 % interval\n"
        "  origin=LGA, carrier=MQ               1,012   0.412     0.447  0.358 to 0.469\n"
        "  carrier=HA                              31       -         -  too few rows\n"
    ) in report
    assert "Confusion" not in report, "a passed rule needs no explanation"
    assert report.splitlines()[-1].startswith("evaluation 01jd5z0k3v8qf")


def test_a_grid_marks_what_is_beyond_its_limit() -> None:
    lines = grids.lines(DRIFT, 100)
    assert lines[2] == "dep_delay    0.012    0.034    0.281 !  0.144    0.131    0.052"
    assert lines[-2:] == ["! is 0.2 or more", "September differs most."]


def test_the_rule_table_itself_has_no_exhibits() -> None:
    """The pages of the gates show it as it is."""
    assert text.table([replace(RESULTS[4], exhibits=())]) == text.table([RESULTS[4]])


def test_no_line_is_wider_than_the_page_and_no_exhibit_longer_than_a_screen() -> None:
    wide = Table("t" * 300, tuple("n" * 40 for _ in range(30)), (("v" * 500,) * 30,) * 50, "note " * 100)
    grid = tuple(tuple(float(i * j) for i in range(200)) for j in range(50))
    heat = Heat(
        "h", tuple(f"window {i}" for i in range(200)), tuple("r" * 90 + str(j) for j in range(50)), grid, limit=9
    )
    for exhibit in (wide, heat):
        lines = grids.lines(exhibit, 116)
        assert len(lines) <= 18
        assert all(len(line) <= 116 for line in lines)
    assert "and 38 more rows" in grids.lines(heat, 116)
    assert [line for line in grids.lines(heat, 116) if re.fullmatch(r"and \d+ more columns", line)]
    assert "window 199" in grids.lines(heat, 116)[1], "the columns with the largest values are kept"


def test_wide_letters_keep_the_columns_aligned() -> None:
    lines = grids.lines(Table("t", ("name", "n"), (("航空便", 1), ("JFK", 22))), 80)
    assert lines == ["t", "name     n", "航空便   1", "JFK     22"]


def test_a_terminal_gets_no_escape_sequence_from_the_data() -> None:
    lines = grids.lines(Table("a\x1b[31mb", ("c\u202e",), (("\x1b]0;x\x07",), ("two\nlines",))), 80)
    assert all(line.isprintable() for line in lines)
    assert "two lines" in lines


@pytest.mark.parametrize(
    "exhibit",
    [
        Table("t", ("a",), ()),
        Heat("t", (), (), ()),
        Heat("t", ("a",), (), ()),
        Curves("t", "x", "y", ()),
        Curves("t", "x", "y", (Series("s", (), ()),)),
        ROC,
    ],
)
def test_what_has_nothing_to_show_is_not_shown(exhibit: Exhibit) -> None:
    result = GateResult("g", "r", Status.FAILED, "", "why", exhibits=(exhibit,))
    evaluation = replace(EVALUATION, results=(result,))
    assert text.shown([result]) == []
    assert "<details>" not in str(render(evaluation, "markdown"))
    assert ("<figure" in str(render(evaluation, "html"))) == (exhibit is ROC)


def test_numbers_of_numpy_are_numbers() -> None:
    rows = ((np.int64(28293), np.float64(0.5), np.bool_(True), np.str_("x")),)
    table = Table("t", ("n", "share", "flag", "name"), rows, shares=("share",))  # type: ignore[arg-type]  # by mistake
    assert cells.rows_of(table) == [["28,293", "50%", "yes", "x"]]
    assert cells.numeric(table) == [True, True, True, False]
    heat = Heat("h", ("a",), ("b",), ((np.float32(0.5),),))  # type: ignore[arg-type]  # by mistake
    evaluation = replace(EVALUATION, results=(replace(RESULTS[0], exhibits=(table, heat)),))
    document = render(evaluation, "json")
    assert json.loads(json.dumps(document))["results"][0]["exhibits"][0]["rows"] == [[28293, 0.5, True, "x"]]


def test_the_json_has_every_figure_of_every_exhibit() -> None:
    document = json.loads(json.dumps(render(EVALUATION, "json"), allow_nan=False))
    found = {exhibit["title"]: exhibit for result in document["results"] for exhibit in result["exhibits"]}
    assert found[SLICES.title]["rows"] == [list(row) for row in SLICES.rows]
    assert found[ROC.title]["series"][0]["y"] == list(ROC.series[0].y)
    assert found[DRIFT.title]["values"] == [list(row) for row in DRIFT.values]
    assert found["Value by threshold"]["marked"] == {"at": 0.42, "name": "earns most: 0.42"}


def test_the_markdown_folds_what_explains_the_open_rules() -> None:
    report = shown("markdown")
    assert (
        "<details><summary>slices recall min: Worst slices</summary>\n\n"
        "| slice | rows | recall | champion | 95 % interval |\n"
        "|---|---:|---:|---:|---|\n"
        "| origin=LGA, carrier=MQ | 1,012 | 0.412 | 0.447 | 0.358 to 0.469 |\n"
    ) in report
    assert "| predictions | 0.021 | 0.044 | **0.312** | 0.187 | 0.168 | 0.061 |" in report
    assert report.count("<details>") == report.count("</details>") == 4


def test_markdown_stays_below_what_github_takes() -> None:
    long = "a reason with 🛫 and <b> and | " * 200
    results = tuple(
        replace(result, reason=long, rule=f"{result.rule} {i}", status=status)
        for i in range(120)
        for result in RESULTS
        for status in (Status.FAILED, Status.PASSED)
    )
    report = str(render(replace(EVALUATION, results=results), "markdown"))
    assert len(report.encode()) < 65_000
    assert re.search(r"[\d,]+ more rules of this kind", report)
    assert "passed or skipped" in report, "there is room for both"
    assert report.count("<details>") == report.count("</details>")
    assert len(str(render(many(200), "markdown")).encode()) < 65_000


def test_names_break_neither_text_nor_markdown() -> None:
    report = str(render(nasty(), "markdown"))
    assert "<script" not in report.replace("\\<script", "")
    assert not re.search(r"(?<!\\)<(?!/?(details|summary|sub)>)", report)
    assert "@team" not in report
    assert "\x07" not in report
    for line in report.splitlines():
        if line.startswith("| ") and " said |" in line:
            assert len(re.findall(r"(?<!\\)\|", line)) == 9


@pytest.mark.parametrize(
    ("values", "limit", "shares", "said"),
    [
        ((0.0000982, 0.0785, 3.4), 0.1, False, ["0.000", "0.079", "3.400"]),
        ((0.857, 0.5, -0.25), None, False, ["0.857", "0.500", "-0.250"]),
        ((0.966, 0.034, 1.0), None, True, ["96.6%", "3.4%", "100.0%"]),
        ((12.0, 28293.0, 0.0), None, False, ["12", "28,293", "0"]),
        ((1e300, None, math.nan), None, False, ["1e+300", "", ""]),
        ((0.0, 0.0, 0.0), 0.0, False, ["0", "0", "0"]),
    ],
)
def test_a_grid_has_the_same_decimals_everywhere(
    values: tuple[float | None, ...], limit: float | None, *, shares: bool, said: list[str]
) -> None:
    assert cells.grid_of(Heat("h", ("a", "b", "c"), ("r",), (values,), limit=limit, shares=shares)) == [said]


def test_values_that_are_not_finite_are_dashes() -> None:
    heat = Heat("h", ("a", "b", "c"), ("r",), ((math.nan, math.inf, None),), limit=0.1)
    assert grids.lines(heat, 80)[2].split() == ["r", "-", "-", "-"]
