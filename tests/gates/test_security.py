"""The security gate: what loading would run, the packages that are asked for, and what is known about them."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mlship.exhibits import Table
from mlship.gates import requirements
from mlship.gates.requirements import Required, audit, required
from mlship.gates.security import Security
from mlship.home import Home
from mlship.registry.files import digest_of
from mlship.types import ModelVersion, Status
from tests.gates.support import Case, assert_page_shows, harmless

PINNED = "mlflow==3.17.2\nscikit-learn==1.9.0  # as trained\n"
LOOSE = "scikit-learn\npandas>=2\nnumpy==2.4.0\n--extra-index-url x\n"


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def evil(directory: Path, number: str, mlmodel: str = "") -> ModelVersion:
    """A version whose pickle would run a command."""
    found = harmless(directory, number, requirements=LOOSE)
    (directory / "m.pkl").write_bytes(pickle.dumps(Evil()))
    if mlmodel:
        (directory / "MLmodel").write_text(mlmodel)
    return ModelVersion(found.model, number, digest_of(directory), directory)


@pytest.fixture(autouse=True)
def _no_pip_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "find_spec", lambda _name: None)


def case(tmp_path: Path, *versions: ModelVersion, **section: Any) -> Case:
    ours, theirs = (*versions, None)[:2]
    assert ours is not None
    return Case(gates={"security": section}, versions=(ours, theirs), base=tmp_path)


def test_a_sound_model_passes(tmp_path: Path) -> None:
    sound = [harmless(tmp_path / name, name, requirements=PINNED) for name in "21"]
    assert_page_shows(Security(), "passing", case(tmp_path, *sound))


def test_a_model_that_would_run_something_fails(tmp_path: Path) -> None:
    code = "flavors: {python_function: {loader_module: loader, code: code}}"
    versions = evil(tmp_path / "2", "2", code), harmless(tmp_path / "1", "1")
    strict = {"requirements": {"unpinned": "fail", "vulnerable": "fail"}}
    assert_page_shows(Security(), "failing", case(tmp_path, *versions, **strict))


def test_the_champion_is_told_too(tmp_path: Path) -> None:
    judged = case(tmp_path, harmless(tmp_path / "2", "2"), evil(tmp_path / "1", "1")).judged(Security())
    assert (judged["scan"].status, judged["champion"].status) == (Status.PASSED, Status.FAILED)
    assert judged["champion"].reason.startswith(
        "version 1, which the candidate is compared with, is not loaded: m.pkl needs posix.system, which can"
    )


def test_what_the_policy_trusts_passes(tmp_path: Path) -> None:
    code = "flavors: {python_function: {loader_module: loader, code: code}}"
    model = evil(tmp_path / "2", "2", code)
    judged = case(tmp_path, model, allow_types=["posix.system"], allow_code=True).judged(Security())
    assert (judged["scan"].status, judged["code"].status) == (Status.PASSED, Status.SKIPPED)


def test_without_a_scan_nothing_is_proved(tmp_path: Path) -> None:
    judged = case(tmp_path, evil(tmp_path / "2", "2"), scan=False).judged(Security())
    assert judged["scan"].status is Status.SKIPPED
    assert "loaded unseen" in judged["scan"].reason
    assert "code" not in judged


def test_many_findings_are_a_table(tmp_path: Path) -> None:
    model = harmless(tmp_path / "2", "2")
    for number in range(30):
        (model.path / f"{number}.pkl").write_bytes(pickle.dumps(Evil()))
    model = ModelVersion("m", "2", digest_of(model.path), model.path)
    found = case(tmp_path, model).judged(Security())["scan"]
    (table,) = found.exhibits
    assert isinstance(table, Table)
    assert len(table.rows) == 20
    assert table.note == "30 in all"
    assert "and 28 more" in found.reason


def test_requirements_that_are_open_are_listed_or_fail(tmp_path: Path) -> None:
    model = harmless(tmp_path / "2", "2", requirements=LOOSE)
    listed = case(tmp_path, model).judged(Security())["unpinned"]
    assert listed.status is Status.SKIPPED, "it is said, not judged"
    assert listed.reason == "2 of 3 requirements name no exact version: scikit-learn and pandas>=2"
    failed = case(tmp_path, model, requirements={"unpinned": "fail"}).judged(Security())["unpinned"]
    assert failed.status is Status.FAILED
    bare = harmless(tmp_path / "3", "3")
    assert case(tmp_path, bare).judged(Security())["unpinned"].status is Status.SKIPPED
    strict = case(tmp_path, bare, requirements={"unpinned": "fail"}).judged(Security())["unpinned"]
    assert strict.status is Status.INCONCLUSIVE


def test_without_an_audit_nothing_is_known(tmp_path: Path) -> None:
    """Never passed: skipped by default, inconclusive where the policy asks for it, absent where it does not."""
    model = harmless(tmp_path / "2", "2", requirements=PINNED)
    by_default = case(tmp_path, model).judged(Security())["vulnerable"]
    assert (by_default.status, by_default.reason) == (
        Status.SKIPPED,
        "pip-audit is not installed: pip install 'mlship[audit]'",
    )
    asked = case(tmp_path, model, requirements={"vulnerable": "fail"}).judged(Security())["vulnerable"]
    assert asked.status is Status.INCONCLUSIVE
    assert "vulnerable" not in case(tmp_path, model, requirements={"vulnerable": "off"}).judged(Security())


REPORT = {
    "dependencies": [
        {"name": "mlflow", "version": "3.17.2", "vulns": []},
        {
            "name": "scikit-learn",
            "version": "1.9.0",
            "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["1.9.1"], "description": "x"}],
        },
    ]
}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What pip-audit will say; what it was asked is kept in it."""
    told: dict[str, Any] = {"stdout": json.dumps(REPORT), "stderr": "", "asked": []}

    def run(command: list[str], **options: Any) -> Any:
        told["asked"].append(Path(command[command.index("-r") + 1]).read_text())
        if told.get("hangs"):
            raise subprocess.TimeoutExpired(command, options["timeout"])
        return subprocess.CompletedProcess(command, 1, told["stdout"], told["stderr"])

    monkeypatch.setattr(requirements, "find_spec", lambda _name: object())
    monkeypatch.setattr(subprocess, "run", run)
    return told


def test_known_vulnerabilities_are_listed_or_fail(tmp_path: Path, answers: dict[str, Any]) -> None:
    model = harmless(tmp_path / "2", "2", requirements=PINNED)
    listed = case(tmp_path, model).judged(Security())["vulnerable"]
    assert (listed.status, listed.reason) == (
        Status.SKIPPED,
        "1 known vulnerability: scikit-learn 1.9.0 (PYSEC-2026-1)",
    )
    assert answers["asked"] == ["mlflow==3.17.2\nscikit-learn==1.9.0\n"]
    failed = case(tmp_path, model, requirements={"vulnerable": "fail"}).judged(Security())["vulnerable"]
    assert failed.status is Status.FAILED
    assert len(answers["asked"]) == 1, "once a day"
    (table,) = failed.exhibits
    assert isinstance(table, Table)
    assert table.rows == (("scikit-learn", "1.9.0", "PYSEC-2026-1", "1.9.1"),)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"hangs": True}, "did not answer within 120 s"),
        ({"stdout": "", "stderr": "x\nConnectionError: https://me:pw@host/"}, "ConnectionError: https://host/"),
        ({"stdout": "[]"}, "exit code 1"),
        (
            {
                "stdout": json.dumps(
                    {"dependencies": [{"name": n, "skip_reason": "x"} for n in ("mlflow", "scikit-learn")]}
                )
            },
            "pip-audit knows nothing about mlflow and scikit-learn",
        ),
    ],
)
def test_an_audit_that_fails_is_no_pass(
    tmp_path: Path, answers: dict[str, Any], change: dict[str, Any], reason: str
) -> None:
    answers.update(change)
    model = harmless(tmp_path / "2", "2", requirements=PINNED)
    found = case(tmp_path, model, requirements={"vulnerable": "fail"}).judged(Security())["vulnerable"]
    assert found.status is Status.INCONCLUSIVE
    assert reason in found.reason


def test_a_clean_audit_passes_unless_something_was_not_looked_at(tmp_path: Path, answers: dict[str, Any]) -> None:
    clean = {"dependencies": [{"name": "mlflow", "version": "3.17.2", "vulns": []}]}
    answers["stdout"] = json.dumps(clean)
    packages = (Required("mlflow==3.17.2", "mlflow", "3.17.2"),)
    assert audit(packages, Home(tmp_path)).found == ()
    unknown = (*packages, Required("acme-inhouse", "acme-inhouse", None))
    found = audit(unknown, Home(tmp_path))
    assert found.skipped == ("acme-inhouse",)
    model = harmless(tmp_path / "2", "2", requirements="mlflow==3.17.2\nacme-inhouse\n")
    result = case(tmp_path, model, requirements={"vulnerable": "fail"}).judged(Security())["vulnerable"]
    assert result.status is Status.INCONCLUSIVE
    assert result.reason == "none is known in 1 package; nothing is known about acme-inhouse"
    model = harmless(tmp_path / "3", "3", requirements="mlflow==3.17.2\n")
    assert case(tmp_path, model).judged(Security())["vulnerable"].status is Status.PASSED


def test_an_open_requirement_is_looked_up_as_it_is_installed_here(tmp_path: Path, answers: dict[str, Any]) -> None:
    from importlib.metadata import version

    audit((Required("numpy>=1", "numpy", None),), Home(tmp_path))
    assert answers["asked"] == [f"numpy=={version('numpy')}\n"]


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("a==1.0", "1.0"),
        ("a[extra]==1.0 ; python_version > '3'", "1.0"),
        ("a===1.0", "1.0"),
        ("a==1.0 --hash=sha256:00", "1.0"),
        ("a==1.*", None),
        ("a~=1.0", None),
        ("a", None),
        ("not a requirement", None),
        ("a @ https://example.com/a.whl", None),
        ("a @ https://example.com/a.whl#sha256=00", "https://example.com/a.whl#sha256=00"),
        (f"a @ git+https://example.com/a@{'0' * 40}", f"git+https://example.com/a@{'0' * 40}"),
    ],
)
def test_which_lines_name_an_exact_version(tmp_path: Path, line: str, version: str | None) -> None:
    (tmp_path / "requirements.txt").write_text(f"# comment\n\n-r other.txt\n{line}\n")
    (found,) = required(tmp_path)
    assert found.version == version


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("conda.yaml", "dependencies: [python=3.11, pip<=24, numpy=2.4.0, {pip: [mlflow==3.17.2]}]"),
        ("python_env.yaml", "python: 3.11\nbuild_dependencies: [pip]\ndependencies: [numpy==2.4.0, mlflow==3.17.2]"),
    ],
)
def test_environment_files_are_read_where_there_is_no_list(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert [(one.name, one.version) for one in required(tmp_path)] == [("numpy", "2.4.0"), ("mlflow", "3.17.2")]


@pytest.mark.parametrize("content", ["[", "7", "dependencies: 7", ""])
def test_files_that_say_nothing_name_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "conda.yaml").write_text(content)
    assert required(tmp_path) == ()
