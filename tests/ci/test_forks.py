"""Comments for forks: what a stranger's run has left is text, for that stranger's pull request, and nothing else."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest

from tests.ci.hub import TOKEN, Hub

KEY, SHA = "0123456789abcdef", "a" * 40
EVENT = {
    "workflow_run": {
        "id": 77,
        "event": "pull_request",
        "head_sha": SHA,
        "head_repository": {"full_name": "visitor/models"},
        "actor": {"login": "visitor"},
        "html_url": "https://github.example/acme/models/actions/runs/77",
    }
}


def _pull(**changed: Any) -> dict[str, Any]:
    head = {"sha": changed.get("sha", SHA), "repo": {"full_name": changed.get("head", "visitor/models")}}
    return {"state": changed.get("state", "open"), "head": head, "base": {"repo": {"full_name": "acme/models"}}}


def _archive(text: str = "### passed", number: object = 12, key: object = KEY, **files: str) -> bytes:
    facts = json.dumps({"pull_request": number, "key": key})
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {"report.md": text, "comment.json": facts, **files}.items():
            archive.writestr(name, content)
    return written.getvalue()


def _damaged(at: int = 40) -> bytes:
    """An archive whose directory is sound, and whose first file's deflated bytes are not."""
    content = bytearray(_archive("### passed " * 50))
    content[at : at + 12] = b"\xff" * 12
    return bytes(content)


def _kept(hub: Hub, content: bytes, name: str = "mlship-evaluate-01234567", **more: Any) -> None:
    number = len(hub.archives) + 1
    hub.archives[number] = content
    hub.artifacts.append({"id": number, "name": name, "expired": False, "size_in_bytes": len(content), **more})


def test_a_forks_result_is_commented_on_its_pull_request(scripts: Any, hub: Hub, github: Any, capsys: Any) -> None:
    """Fetched without the token where files are kept, commented once, renewed by the next run."""
    github(EVENT)
    hub.pulls[12] = _pull()
    _kept(hub, _archive("### ✅ flight-delay 2: passed\n\n| a | b |\n|---|---|\n| 1 | 2 |"))
    _kept(hub, b"not a zip at all", name="coverage")
    assert scripts["fork"].main() == 0
    (body,) = hub.bodies
    assert body.startswith(f"<!-- mlship:{KEY} -->\n### ✅ flight-delay 2: passed\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")
    assert "by the pull request's own run of a fork, at aaaaaaaaaaaa" in body
    assert hub.strangers == [], "the token stays with the API"
    hub.artifacts.clear()
    _kept(hub, _archive("### ❌ flight-delay 2: failed"))
    assert scripts["fork"].main() == 0
    assert len(hub.comments) == 1
    assert "failed" in hub.comments[0]["body"]
    assert TOKEN not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("pull", "said"),
    [
        (None, "there is no such pull request"),
        (_pull(head="victim/models"), "it is not from visitor/models"),
        (_pull(sha="b" * 40), "it has moved on since"),
        (_pull(state="closed"), "it is not open"),
    ],
    ids=["missing", "somebody-elses", "moved-on", "closed"],
)
def test_the_number_counts_only_when_github_confirms_it(
    *, scripts: Any, hub: Hub, github: Any, capsys: Any, pull: dict[str, Any] | None, said: str
) -> None:
    """The number is the author's word: a pull request of another head repository or commit gets no comment."""
    github(EVENT)
    if pull is not None:
        hub.pulls[12] = pull
    _kept(hub, _archive())
    assert scripts["fork"].main() == 0
    assert f"::warning title=mlship::no comment on 12: {said}" in capsys.readouterr().out
    assert not hub.bodies


@pytest.mark.parametrize(
    "content",
    [
        b"not a zip at all",
        _archive(number="12; rm -rf /"),
        _archive(number=True),
        _archive(number=-1),
        _archive(number=2**40),
        _archive(key="../../x"),
        _archive(text="x" * 300_001),
        _archive(**{"comment.json": "{" * 5_000}),
        _archive(**{"comment.json": " " * 10_001}),
        _archive(**{"comment.json": "[]"}),
        _archive(**{"comment.json": "null"}),
        _damaged(),
    ],
    ids=["zip", "text", "bool", "negative", "huge", "key", "bomb", "json", "padding", "list", "null", "damaged"],
)
def test_what_is_no_result_is_left_out(scripts: Any, hub: Hub, github: Any, capsys: Any, content: bytes) -> None:
    """Whatever stands in an artifact: a warning, no comment, no traceback; a good one beside it is commented."""
    github(EVENT)
    hub.pulls[12] = _pull()
    _kept(hub, content)
    _kept(hub, _archive("### passed"))
    assert scripts["fork"].main() == 0
    assert "::warning title=mlship::artifact mlship-evaluate-01234567: " in capsys.readouterr().out
    assert len(hub.bodies) == 1


def test_artifacts_that_are_too_large_are_not_fetched(scripts: Any, hub: Hub, github: Any, capsys: Any) -> None:
    """GitHub says how large they are; many are not all looked at."""
    github(EVENT)
    hub.pulls[12] = _pull()
    _kept(hub, _archive(), size_in_bytes=10**9)
    _kept(hub, _archive(), expired=True)
    assert scripts["fork"].main() == 0
    assert not [line for line in hub.requests if "/zip" in line]
    hub.artifacts.clear()
    for _ in range(40):
        _kept(hub, _archive())
    assert scripts["fork"].main() == 0
    assert sum("/zip" in line for line in hub.requests) == 20


def test_its_text_cannot_mention_link_draw_or_pose_as_another(scripts: Any) -> None:
    """What a reader sees is the text; what GitHub would act on is taken apart."""
    tame = scripts["fork"].tame
    gap = "\u200b"
    assert tame("@octocat &commat;octocat &#64;octocat \\@octocat") == (
        f"@{gap}octocat &amp;commat;octocat &amp;#{gap}64;octocat \\@{gap}octocat"
    )
    assert tame("[here](https://evil.example) ![x](//evil.example/x.png)") == (
        f"[here]{gap}(https:/{gap}/evil.example) ![x]{gap}(//evil.example/x.png)"
    )
    assert tame("[a]: https://evil.example\n[a][b]") == f"[a]{gap}: https:/{gap}/evil.example\n[a]{gap}[b]"
    assert tame("www.evil.example fixes #12 GH-12") == f"www{gap}.evil.example fixes #{gap}12 GH{gap}-12"
    assert tame(f"<!-- mlship:{KEY} --><img src=x><a href='//x'>y</a><script>") == (
        f"&lt;!-- mlship:{KEY} -->&lt;img src=x>&lt;a href='//x'>y&lt;/a>&lt;script>"
    )
    assert tame(f"by {SHA}") == f"by {SHA[:7]}{gap}{SHA[7:]}", "a whole commit id is a link"
    assert tame("<https://evil.example>") == f"&lt;https:/{gap}/evil.example>"
    assert tame("\x1b[31m\u202egnp.exe\x00") == "[31mgnp.exe"
    report = "### ✅ passed\n\n| **1 %** | `x` &lt; 2 |\n\n<details><summary>3 rules</summary>\n\nx\n\n</details>"
    assert tame(report) == report


@pytest.mark.parametrize(
    "changed",
    [
        {"event": "push"},
        {"head_repository": {"full_name": "acme/models"}},
        {"head_repository": None},
    ],
)
def test_runs_that_comment_for_themselves_are_left_to_it(
    scripts: Any, hub: Hub, github: Any, changed: dict[str, Any]
) -> None:
    """Only pull requests whose own jobs may not write."""
    github({"workflow_run": {**EVENT["workflow_run"], **changed}})
    assert scripts["fork"].main() == 0
    assert hub.requests == []


def test_dependabots_runs_are_commented_for_them(scripts: Any, hub: Hub, github: Any) -> None:
    """Their branch is in the repository, and their token reads only."""
    own = {"head_repository": {"full_name": "acme/models"}, "actor": {"login": "dependabot[bot]"}}
    github({"workflow_run": {**EVENT["workflow_run"], **own}})
    hub.pulls[12] = _pull(head="acme/models")
    _kept(hub, _archive())
    assert scripts["fork"].main() == 0
    assert len(hub.bodies) == 1
