"""The HTML report: one file that needs nothing else, that no name can break, and that is the same every time."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from mlship.exhibits import Curves, Heat, Series, Table
from mlship.report import render
from mlship.report.intervals import interval
from mlship.report.plots import colour, curves
from mlship.report.svg import Scale, tick_labels
from mlship.types import Evaluation, GateResult, Measurement, Status
from tests.report.support import CANDIDATE, EVALUATION, RESULTS, many, measured, nasty

EMPTY = replace(EVALUATION, results=())
FIRST = replace(EVALUATION, candidate=replace(CANDIDATE, champion=None))
ALL = {"full": EVALUATION, "nasty": nasty(), "many": many(40), "empty": EMPTY, "first": FIRST}

_VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """Reads a page strictly: every element is closed in its turn, every id is there once."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute of {tag} is there twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def said(self) -> str:
        """All text, in one line."""
        return " ".join(" ".join(self.text).split())


@pytest.fixture(params=ALL)
def evaluation(request: pytest.FixtureRequest) -> Evaluation:
    return ALL[request.param]


def html(evaluation: Evaluation) -> str:
    return str(render(evaluation, "html"))


def test_the_page_is_well_formed_and_its_links_lead_somewhere(evaluation: Evaluation) -> None:
    page = Page(html(evaluation))
    ids = [str(attributes["id"]) for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for tag, attributes in page.tags:
        if tag == "a":
            assert str(attributes["href"]).removeprefix("#") in ids


def test_the_page_needs_nothing_else(evaluation: Evaluation) -> None:
    text = html(evaluation)
    page = Page(text)
    assert not {"script", "link", "iframe", "object", "embed", "img", "base", "form"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcdoc", "style")], tag
        assert tag == "a" or "href" not in attributes
    [style] = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    assert """content="default-src 'none'; style-src 'unsafe-inline'\"""" in text


def test_no_name_becomes_markup() -> None:
    text = html(nasty())
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert text.count("</style>") == 1
    assert text.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", text)
    assert "half a pair \ufffd and a bell \ufffd" in text


def test_the_same_evaluation_gives_the_same_page(evaluation: Evaluation) -> None:
    assert html(evaluation) == html(evaluation)


def test_everything_that_was_judged_is_on_the_page() -> None:
    said = Page(html(EVALUATION)).said
    assert "flight-delay version 3" in said
    assert "compared with the champion, version 2" in said
    assert "21 November 2025, 01:53:20 UTC" in said
    assert "ada@example.com" in said
    assert CANDIDATE.version.digest in said
    for result in RESULTS:
        assert result.gate in said
        assert result.rule in said
        assert result.reason in said
        for exhibit in result.exhibits:
            assert exhibit.title in said
            assert exhibit.note in said
    assert "0.758 [0.749, 0.767] ≥ 0.75 0.741 28,293" in said


def test_the_worst_comes_first() -> None:
    page = html(EVALUATION)
    gates = re.findall(r"<h2 [^>]*><bdi>(.*?)</bdi>", page)
    assert gates[:4] == ["skew", "drift", "metrics", "slices"]
    statuses = re.findall(r'<span class="pill (\w+)">', page)
    order = ["failed", "error", "inconclusive", "passed", "skipped"]
    assert all(order.index(a) <= order.index(b) for a, b in pairwise(statuses))


def test_a_partial_evaluation_says_so() -> None:
    page = Page(html(replace(EVALUATION, partial="only metrics was judged"))).said
    assert "This evaluation lets nobody onto traffic: only metrics was judged." in page


def test_an_evaluation_without_rules_says_so() -> None:
    said = Page(html(EMPTY)).said
    assert "No rule was judged; nothing was measured." in said


def test_tables_tell_what_their_heads_are() -> None:
    for tag, attributes in Page(html(EVALUATION)).tags:
        if tag == "th":
            assert attributes.get("scope") in ("row", "col")
        if tag == "svg":
            assert attributes.get("role") == "img" or attributes.get("aria-hidden") == "true"


def test_the_page_stays_small_however_much_there_is_to_show() -> None:
    rows = tuple((f"row {i} " + "x" * 300, i, i / 3) for i in range(5000))
    table = Table("large", ("name", "n", "value"), rows)
    line = tuple(float(i) for i in range(50_000))
    plot = Curves("long", "x", "y", tuple(Series(f"line {i}", line, line) for i in range(20)))
    exhibits = tuple(
        exhibit
        for i in range(25)
        for exhibit in (replace(table, title=f"table {i}"), replace(plot, title=f"plot {i}", series=plot.series[:3]))
    )
    crowded = replace(EVALUATION, results=(GateResult("slices", "all", Status.FAILED, "", "", exhibits=exhibits),))
    text = html(crowded)
    assert len(text.encode()) < 1_000_000
    assert "4,940 more rows are in the JSON report." in text
    assert re.search(r"\d+ more exhibits are in the JSON report", text)
    assert len(html(many(400)).encode()) < 1_500_000


def test_a_gate_is_looked_through_once_however_many_rules_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rule is put into words a fixed number of times, and none of it again for each row of the table."""
    from mlship.report import html as page

    class Counted(page._Rule):
        def __getattribute__(self, name: str) -> object:
            looked.append(name)
            return super().__getattribute__(name)

    def looks(rules: int) -> int:
        looked.clear()
        html(
            replace(
                EVALUATION, results=tuple(GateResult("own", f"rule {i}", Status.PASSED, "", "") for i in range(rules))
            )
        )
        return len(looked)

    looked: list[str] = []
    monkeypatch.setattr(page, "_Rule", Counted)
    few, many_ = looks(20), looks(80)
    assert 0 < few < many_ <= 4 * few


def test_an_exhibit_that_two_rules_share_is_drawn_once() -> None:
    assert html(EVALUATION).count("<h3><bdi>Distance from the first half of the year (PSI)</bdi></h3>") == 1


def test_cells_beyond_the_limit_are_marked() -> None:
    page = html(EVALUATION)
    assert re.findall(r'<td class="beyond">(.*?)</td>', page) == ["0.281", "0.312", "0.226"]


@pytest.mark.parametrize(
    ("limit", "found", "drawn"),
    [
        (">= 0.6", measured("recall", 0.7, 0.05), True),
        ("<= 1%", Measurement("share", 0.002, n=10), True),
        (">= -1,200", Measurement("gain", 5.0), True),
        ("no such input", Measurement("inputs", 0), False),
        (">= 0.6", Measurement("recall", None), False),
        (">= 0.6", Measurement("recall", float("nan")), False),
        (">= 0.6", Measurement("recall", float("inf")), False),
        (">= 0.6", None, False),
    ],
)
def test_a_rule_with_a_value_and_a_limit_has_a_picture(limit: str, found: Measurement | None, *, drawn: bool) -> None:
    picture = interval(GateResult("g", "r", Status.PASSED, limit, "", found))
    assert (picture is not None) == drawn


def test_the_picture_shows_value_limit_and_champion_in_their_order() -> None:
    """The value is right of its limit, the champion left of it."""
    result = GateResult(
        "g", "r", Status.PASSED, ">= 0.6", "", measured("recall", 0.7, 0.05), measured("recall", 0.5, 0.02)
    )
    picture = str(interval(result))
    [dot] = re.findall(r'class="dot candidate" cx="([\d.]+)"', picture)
    [limit] = re.findall(r'class="limit" x1="([\d.]+)"', picture)
    [champion] = re.findall(r'class="dot champion" points="[\d.]+,[\d.]+ [\d.]+,[\d.]+ ([\d.]+),', picture)
    assert float(champion) < float(limit) < float(dot)
    assert "r: 0.7 [0.65, 0.75], limit &gt;= 0.6, champion 0.5" in picture


def test_a_difference_is_shown_against_zero_and_not_against_the_champions_value() -> None:
    result = GateResult(
        "g",
        "max_drop",
        Status.PASSED,
        ">= -0.01",
        "",
        measured("recall difference", 0.02, 0.01),
        measured("recall", 0.9, 0),
    )
    picture = str(interval(result))
    assert "dot champion" not in picture
    assert 'class="zero"' in picture


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0, 1, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0.52, 0.58, ["0.52", "0.54", "0.56", "0.58"]),
        (-3000, 4100, ["-2,000", "0", "2,000", "4,000"]),
        (-0.1, 0.1, ["-0.10", "-0.05", "0.00", "0.05", "0.10"]),
        (0, 3e7, ["0", "10M", "20M", "30M"]),
    ],
)
def test_axes_are_labelled_at_round_numbers(low: float, high: float, labels: list[str]) -> None:
    assert tick_labels(Scale(low, high, 0, 100).ticks()) == labels


@pytest.mark.parametrize(
    "values", [[], [1.0], [0.0, 0.0], [float("nan")], [1e300, -1e300], [5e-324], [float("inf"), 2.0], [1e15, 1e15 + 1]]
)
def test_a_scale_has_room_for_anything(values: list[float]) -> None:
    scale = Scale.over(values, 0, 100, padding=0.05)
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 13
    assert len(tick_labels(ticks)) == len(ticks)
    assert all(-1 <= scale(tick) <= 101 for tick in ticks)


def test_a_line_breaks_where_there_is_no_value() -> None:
    y = (0.0, 1.0, float("nan"), 1.0, 0.0)
    plot = Curves("t", "x", "y", (Series("candidate", (0, 1, 2, 3, 4), y),))
    assert str(curves(plot)).count("<polyline") == 2


def test_points_and_their_intervals_are_drawn_when_there_are_few_on_every_line() -> None:
    def drawn(*counts: int) -> str:
        lines = [tuple(float(i) for i in range(n)) for n in counts]
        return str(curves(Curves("t", "x", "y", tuple(Series(str(len(x)), x, x, x, x) for x in lines))))

    assert drawn(5, 20).count("<circle") == drawn(5, 20).count('class="whisker') == 25
    assert "<circle" not in drawn(5, 21)
    assert drawn(5, 21).count('class="band') == 2


def test_an_axis_of_shares_goes_from_0_to_1() -> None:
    plot = Curves("t", "recall", "precision", (Series("candidate", (0.05, 0.97), (0.9, 0.2)),))
    assert re.findall(r'text-anchor="middle">([\d.]+)<', str(curves(plot))) == [
        "0.0",
        "0.2",
        "0.4",
        "0.6",
        "0.8",
        "1.0",
    ]


def test_candidate_and_champion_look_the_same_in_every_plot() -> None:
    def looks(*names: str) -> list[str]:
        plot = Curves("t", "x", "y", tuple(Series(name, (0,), (0,)) for name in names))
        return [colour(plot, index) for index in range(len(names))]

    assert looks("champion", "candidate (AUC 0.9)", "chance") == ["champion", "candidate", "s2"]
    assert looks("noise, candidate", "noise, champion", "missing, candidate", "missing, champion") == [
        "s0",
        "s0 dashed",
        "s1",
        "s1 dashed",
    ]


def test_a_grid_without_a_value_is_drawn_empty() -> None:
    heat = Heat("nothing yet", ("a",), ("b",), ((None,),), limit=0.2)
    text = html(replace(EVALUATION, results=(replace(RESULTS[0], exhibits=(heat,)),)))
    assert '<td class="none"></td>' in text
