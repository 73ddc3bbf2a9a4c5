"""What the hand-written pages say is so: files and tests that they name, terms, policies, commands and scripts."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mlship.home import Home

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = (
    "first-promotion",
    "custom-gate",
    "rollback-at-3-am",
    "from-scripts",
    "from-mlflow-stages",
    "freeze",
    "monitor",
)
_BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)

#: The design's table of terms: one word per idea.
TERMS = (
    "candidate", "champion", "challenger", "stable", "canary", "gate", "rule", "measurement", "evidence", "verdict",
    "step", "weight", "bake", "mirror", "promotion", "abort", "rollback", "inconclusive", "error", "reference",
    "current", "PSI", "ledger",
)  # fmt: skip
#: Other people's words for these, which would be a second word for one idea.
SYNONYMS = {
    "mirror": r"shadow (traffic|mode|deployment|request)s?|dark launch\w*",
    "bake": r"soak(ing|ed| time| period)?",
    "ledger": r"audit (log|trail)",
    "stable": r"control arm|control group",
    "champion": r"incumbent|production model",
    "candidate": r"challenger model",
}
#: Pages about others use the others' words.
OTHERS = {DOCS / "comparison.md", DOCS / "how-to" / "from-mlflow-stages.md"}


def blocks(page: str, language: str) -> list[str]:
    """The fenced texts in one language of a page of how-tos."""
    text = (DOCS / "how-to" / f"{page}.md").read_text(encoding="utf-8")
    return [found["text"] for found in _BLOCK.finditer(text) if found["language"] == language]


def test_every_file_and_test_that_the_promises_name_is_there() -> None:
    text = (DOCS / "explanation" / "promises.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:tests|mlship)/[\w/.-]+)(?:::(\w+))?`", text)
    missing = [
        f"{path}::{test}" if test else path
        for path, test in named
        if not (ROOT / path).exists() or (test and f"def {test}(" not in (ROOT / path).read_text(encoding="utf-8"))
    ]
    assert missing == []
    sections = re.split(r"^## ", text, flags=re.MULTILINE)
    assert [section[0] for section in sections[1:8]] == list("1234567")
    assert all("`tests/" in section and "`mlship/" in section for section in sections[1:8])


def test_the_glossary_has_every_term_once_and_says_where_it_occurs() -> None:
    rows = re.findall(
        r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", (DOCS / "glossary.md").read_text(encoding="utf-8"), re.M
    )
    terms = [term for term, _, _ in rows if term != "term" and not term.startswith("---")]
    assert sorted(set(terms)) == sorted(terms)
    assert set(TERMS) <= set(terms)


@pytest.mark.parametrize("term", SYNONYMS)
def test_nobody_uses_a_second_word_for_a_term(term: str) -> None:
    pages = [page for page in [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))] if page not in OTHERS]
    banned = re.compile(rf"\b({SYNONYMS[term]})\b", re.IGNORECASE)
    found = {
        f"{page.relative_to(ROOT)}: {match[0]}"
        for page in pages
        for match in banned.finditer(page.read_text(encoding="utf-8"))
    }
    assert found == set(), f"the word is {term!r} (docs/glossary.md)"


@pytest.mark.parametrize("page", PAGES)
def test_policies_load_and_commands_are_there(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlship.cli.table import COMMANDS
    from mlship.policy.load import load_policy

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///registry.db")
    monkeypatch.setenv("OPS_URL", "json://ops.example.com")
    for text in blocks(page, "yaml"):
        if text.startswith("version:"):
            (tmp_path / "runbook.md").touch()
            (tmp_path / "policy.yaml").write_text(text, encoding="utf-8")
            load_policy(tmp_path / "policy.yaml")
    shown = "\n".join(blocks(page, "sh") + blocks(page, "text"))
    called = re.findall(r"^(?:\$ )?mlship (?:--home \S+ )?([a-z]+)\b", shown, re.MULTILINE)
    assert set(called) <= set(COMMANDS)
    for text in blocks(page, "python"):
        compile(text, page, "exec")


def test_rollback_at_3_am_begins_with_the_command_and_fits_a_screen() -> None:
    text = (DOCS / "how-to" / "rollback-at-3-am.md").read_text(encoding="utf-8")
    assert text.splitlines()[2:5] == ["```sh", "mlship rollback MODEL", "```"]
    assert len(text.partition("\n## If it did not")[0].splitlines()) <= 40


def test_the_custom_gates_of_the_how_to_pass_and_fail(tmp_path: Path) -> None:
    import numpy as np
    import pandas as pd

    from mlship.gates.given import Given, Model

    def model(flagged: int) -> Model:
        says = np.array([1] * flagged + [0] * (100 - flagged))
        return Model("2", "sha256:0", tmp_path, ("returned_before",), says, None, (0, 1))

    code = blocks("custom-gate", "python")[0]
    names: dict[str, Any] = {}
    exec(compile(code, "checks.py", "exec"), names)
    rows = pd.DataFrame({"returned_before": [0.0] * 100, "returned": [0] * 100})
    for flagged, kept in ((2, True), (9, False)):
        told = Given("customers", tmp_path, "m", model(flagged), model(1), rows, "returned", None)
        [result] = names["new_customers"](told)
        assert (result["value"] <= result["max"]) is kept
        assert result["champion"] == pytest.approx(0.01)

    script, given = tmp_path / "size.sh", tmp_path / "given.json"
    script.write_text(next(text for text in blocks("custom-gate", "sh") if text.startswith("#!")), encoding="utf-8")
    given.write_text(json.dumps({"candidate": {"path": str(tmp_path)}}), encoding="utf-8")
    done = subprocess.run(
        ["sh", str(script)], env={"MLSHIP_INPUT": str(given), "PATH": "/usr/bin:/bin"}, capture_output=True, check=True
    )
    answer = json.loads(done.stdout)
    assert answer["rule"] == "kilobytes"
    assert 0 < answer["value"] <= answer["max"]


@pytest.mark.filterwarnings("ignore:.*transition_model_version_stage.*is deprecated:FutureWarning")
def test_stages_become_aliases_on_a_real_registry_and_nothing_is_overwritten(home: Home) -> None:
    """Given stages as people had them, the page's script sets each alias once; a stage that moves moves no alias."""
    from mlflow import MlflowClient

    client = MlflowClient(home.registry_uri, home.registry_uri)
    client.create_registered_model("churn")
    for number in (1, 2, 3):
        client.create_model_version("churn", source=f"/models/{number}")
    client.transition_model_version_stage("churn", "1", "Production")
    client.transition_model_version_stage("churn", "2", "Production", archive_existing_versions=True)
    client.transition_model_version_stage("churn", "3", "Staging")
    stages = {str(version.version): version.current_stage for version in client.search_model_versions("name = 'churn'")}
    assert stages == {"1": "Archived", "2": "Production", "3": "Staging"}
    assert client.get_registered_model("churn").aliases == {}

    names: dict[str, Any] = {"__name__": "aliases"}
    exec(compile(blocks("from-mlflow-stages", "python")[0], "aliases.py", "exec"), names)
    shown = next(text for text in blocks("from-mlflow-stages", "text") if text.startswith("$ python aliases.py"))
    said = [names["aliases_from_stages"](client, "churn") for _ in range(2)]
    assert said[0] + said[1] == [line for line in shown.splitlines() if not line.startswith("$")]
    client.transition_model_version_stage("churn", "3", "Production", archive_existing_versions=True)
    aliases = {alias: str(version) for alias, version in client.get_registered_model("churn").aliases.items()}
    assert aliases == {"champion": "2", "challenger": "3"}
