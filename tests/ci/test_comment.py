"""One comment for each command and policy, kept up to date, whatever GitHub's day is like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.ci.hub import TOKEN, Hub

KEY, OTHER = "0123456789abcdef", "fedcba9876543210"
PULL = {"number": 12, "head": {"sha": "c0ffee" * 6 + "0000", "repo": {"full_name": "acme/models"}}}


@pytest.fixture
def api(scripts: Any, hub: Hub) -> tuple[Any, list[float]]:
    """A client of the hub, and what it has waited."""
    waited: list[float] = []
    client = scripts["api"].Api(hub.url, "acme/models", TOKEN, sleep=waited.append, now=lambda: 1000.0)
    return client, waited


def _left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str = "### passed\n", key: str = KEY) -> None:
    (tmp_path / "reports").mkdir(exist_ok=True)
    (tmp_path / "reports" / "report.md").write_text(text)
    (tmp_path / "reports" / "comment.json").write_text(json.dumps({"pull_request": 12, "key": key}))
    monkeypatch.setenv("REPORTS", str(tmp_path / "reports"))


def test_one_comment_for_each_policy_is_renewed_on_any_page(
    *, scripts: Any, hub: Hub, github: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Written once, found again behind 250 others, renewed in place; all others stay as they are."""
    github({"pull_request": PULL})
    for number in range(250):
        hub.comment(f"remark {number}", "somebody")
    for key in (KEY, OTHER):
        _left(tmp_path, monkeypatch, "### failed\n", key)
        assert scripts["comment"].main() == 0
    others = [comment["body"] for comment in hub.comments[:250]]
    _left(tmp_path, monkeypatch, "### passed\n")
    assert scripts["comment"].main() == 0
    assert [comment["body"] for comment in hub.comments[:250]] == others
    mine, another = hub.comments[250:]
    assert mine["body"].startswith(f"<!-- mlship:{KEY} -->\n### passed\n")
    assert "https://github.example/acme/models/actions/runs/7" in mine["body"]
    assert another["body"].startswith(f"<!-- mlship:{OTHER} -->\n### failed\n")
    assert sum(line.startswith("POST") for line in hub.requests) == 2
    before = len(hub.bodies)
    assert scripts["comment"].main() == 0
    assert len(hub.bodies) == before, "the same text is not written again"
    assert TOKEN not in capsys.readouterr().out


def test_a_comment_of_somebody_else_with_our_marker_is_left_alone(scripts: Any, hub: Hub, api: Any) -> None:
    """Whoever copies the marker, or quotes it, does not get their comment overwritten."""
    copied = hub.comment(f"<!-- mlship:{KEY} -->\nmine", "mallory")
    quoted = hub.comment(f"see <!-- mlship:{KEY} -->")
    assert scripts["comment"].upsert(api[0], 12, KEY, f"<!-- mlship:{KEY} -->\nnew", "github-actions[bot]") == "written"
    bodies = {comment["id"]: comment["body"] for comment in hub.comments}
    assert (bodies[copied], bodies[quoted]) == (f"<!-- mlship:{KEY} -->\nmine", f"see <!-- mlship:{KEY} -->")
    assert len(bodies) == 3


def test_a_request_that_seemed_to_fail_does_not_comment_twice(scripts: Any, hub: Hub, api: Any) -> None:
    """The comment was written and the answer lost: looking again finds it."""
    hub.lost.append("POST ")
    assert (
        scripts["comment"].upsert(api[0], 12, KEY, f"<!-- mlship:{KEY} -->\nnew", "github-actions[bot]")
        == "nothing new"
    )
    assert len(hub.comments) == 1
    assert api[1] == [2.0]


def test_a_comment_that_is_deleted_meanwhile_is_written_anew(scripts: Any, hub: Hub, api: Any) -> None:
    """404 to the change of a comment that was there a moment ago."""
    hub.comment(f"<!-- mlship:{KEY} -->\nold")
    hub.trouble.append(("PATCH ", 404, {}, "Not Found"))
    assert scripts["comment"].upsert(api[0], 12, KEY, f"<!-- mlship:{KEY} -->\nnew", "github-actions[bot]") == "written"


@pytest.mark.parametrize(
    ("status", "headers", "message", "waited"),
    [
        (502, {}, "Server Error", 2.0),
        (503, {}, "no server is available", 2.0),
        (403, {"retry-after": "7"}, "You have exceeded a secondary rate limit", 7.0),
        (403, {}, "You have exceeded a secondary rate limit", 60.0),
        (429, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1030"}, "API rate limit exceeded", 30.0),
    ],
)
def test_it_waits_as_github_asks_for(
    *, scripts: Any, hub: Hub, api: Any, status: int, headers: dict[str, str], message: str, waited: float
) -> None:
    """By the header, until the reset, a minute for a limit without either, a moment for an outage; then it is done."""
    hub.trouble.append(("POST ", status, headers, message))
    assert scripts["comment"].upsert(api[0], 12, KEY, f"<!-- mlship:{KEY} -->\nnew", "github-actions[bot]") == "written"
    assert api[1] == [waited]
    assert len(hub.comments) == 1


def test_patience_ends(scripts: Any, hub: Hub, api: Any) -> None:
    """After five tries, or at once where an hour is asked for; the message says how often and how long."""
    upsert, error = scripts["comment"].upsert, scripts["api"].ApiError
    hub.trouble += [("GET ", 502, {}, "Server Error")] * 5
    with pytest.raises(error, match=r"HTTP 502: Server Error; given up after 5 tries and 30 s"):
        upsert(api[0], 12, KEY, "x", "github-actions[bot]")
    hub.trouble.append(("GET ", 403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "4600"}, "rate limit"))
    with pytest.raises(error, match="given up after 1 tries"):
        upsert(api[0], 12, KEY, "x", "github-actions[bot]")
    assert not hub.bodies


def test_a_refusal_is_not_repeated_and_says_what_is_missing(
    *, scripts: Any, hub: Hub, github: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """403 without a limit: one request, one annotation that names the permission, no token anywhere."""
    github({"pull_request": PULL})
    _left(tmp_path, monkeypatch)
    hub.may_write = False
    assert scripts["comment"].main() == 1
    told = capsys.readouterr().out
    assert told.startswith("::error title=mlship::no comment: POST /repos/acme/models/issues/12/comments: HTTP 403")
    assert "pull-requests: write" in told
    assert sum(line.startswith("POST") for line in hub.requests) == 1
    assert TOKEN not in told


def test_what_is_too_long_is_cut_at_a_line_with_its_folds_closed(scripts: Any, hub: Hub, api: Any) -> None:
    """GitHub takes what is left, also where every letter counts twice; the end says that there is more."""
    comment = scripts["comment"]
    text = "### failed\n<details><summary>rules</summary>\n\n" + "| 💥 | a rule that failed |\n" * 4000 + "</details>\n"
    body = comment.compose(text, KEY, "<sub>end</sub>")
    assert comment.units(body) <= 65_536
    assert body.count("<details>") == body.count("</details>") == 1
    assert body.endswith("<sub>end</sub>")
    assert "*Cut here: " in body
    assert not [line for line in body.splitlines() if line.startswith("|") and not line.endswith("|")]
    comment.upsert(api[0], 12, KEY, body, "github-actions[bot]")
    assert hub.bodies == [body]
    short = comment.compose("### passed", KEY, "<sub>end</sub>")
    assert short == f"<!-- mlship:{KEY} -->\n### passed\n\n<sub>end</sub>"
    fenced = comment.compose("```\n" + "x\n" * 40_000 + "```\n", KEY, "<sub>end</sub>")
    assert fenced.count("```") == 2


def test_the_token_goes_to_one_host_only(scripts: Any, hub: Hub, api: Any) -> None:
    """Neither to a next page elsewhere, nor along a redirect, nor without TLS."""
    error = scripts["api"].ApiError
    for number in range(150):
        hub.comment(f"remark {number}", "somebody")
    hub.elsewhere = "http://127.0.0.1:9"
    with pytest.raises(error, match="on another host"):
        list(api[0].pages("issues/12/comments?per_page=100"))
    hub.trouble.append(("GET ", 307, {"location": "http://127.0.0.1:9/"}, "Moved"))
    with pytest.raises(error, match="the repository has moved"):
        api[0].call("GET", "pulls/12")
    with pytest.raises(error, match="is not https"):
        scripts["api"].Api("http://github.example", "acme/models", TOKEN)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({}, "not for a pull request"),
        ({"pull_request": {**PULL, "head": {"sha": "1", "repo": {"full_name": "mallory/models"}}}}, "from a fork"),
        ({"pull_request": {**PULL, "head": {"sha": "1", "repo": None}}}, "from a fork"),
    ],
)
def test_where_nothing_can_be_written_nothing_is_tried(
    *, scripts: Any, hub: Hub, github: Any, capsys: Any, event: dict[str, Any], said: str
) -> None:
    """A push, and a fork's pull request: a notice, and no failure of the step."""
    github(event)
    assert scripts["comment"].main() == 0
    assert said in capsys.readouterr().out
    assert hub.requests == []
