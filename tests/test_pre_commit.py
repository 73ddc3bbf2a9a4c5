"""The hooks of `.pre-commit-hooks.yaml`, run by the real pre-commit on a scratch repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlship.draft.around import with_hooks

HOOKS = Path(__file__).parents[1] / ".pre-commit-hooks.yaml"
SCRIPTS = Path(sys.executable).parent
POLICY = """version: 1
model: flight-delay
owner: {team: flight-ops, contact: flight-ops@example.com}
data: {evaluation: {path: july.csv, target: late}}
gates:
  metrics: {recall: {min: 0.6}}
"""
TESTS = """policy: mlship.yaml
tests:
  - name: a candidate that finds too few
    given: {metrics: {recall min: 0.5}}
    expect: {verdict: failed}
"""


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """pre-commit with a cache of its own, and this very mlship on the PATH."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    home = tmp_path_factory.mktemp("pre-commit")
    return kept | {"PRE_COMMIT_HOME": str(home), "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture
def scratch(tmp_path: Path, environ: dict[str, str]) -> Path:
    """A repository with a policy, its tests and both hooks; the hooks come from a git clone, as they would from afar.

    Only the language differs from what a user has: `system` takes the mlship that is there, and installs nothing.
    """
    hooks, scratch = tmp_path / "hooks", tmp_path / "scratch"
    hooks.mkdir()
    shutil.copy(HOOKS, hooks)
    revision = commit(hooks, environ)
    scratch.mkdir()
    (scratch / "july.csv").write_text("late,distance\n1,100\n")
    (scratch / "mlship.yaml").write_text(POLICY)
    (scratch / "mlship.test.yaml").write_text(TESTS)
    (scratch / ".pre-commit-config.yaml").write_text(
        f"repos:\n  - repo: {hooks.as_uri()}\n    rev: {revision}\n    hooks:\n"
        "      - {id: mlship-validate, language: system}\n"
        "      - {id: mlship-policy-test, language: system}\n"
    )
    commit(scratch, environ)
    return scratch


def git(directory: Path, environ: dict[str, str], *arguments: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "core.hooksPath=/nowhere")
    command = ["git", "-C", str(directory), *who, *arguments]
    return subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout


def commit(directory: Path, environ: dict[str, str]) -> str:
    git(directory, environ, "init", "-q")
    git(directory, environ, "add", "-A")
    git(directory, environ, "commit", "-q", "-m", "first")
    return git(directory, environ, "rev-parse", "HEAD").strip()


def pre_commit(directory: Path, environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(SCRIPTS / "pre-commit"), *arguments]
    return subprocess.run(command, cwd=directory, env=environ, check=False, capture_output=True, text=True, timeout=120)


def test_the_manifest_is_valid(environ: dict[str, str]) -> None:
    done = pre_commit(HOOKS.parent, environ, "validate-manifest", str(HOOKS))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_commit_is_let_through_and_a_looser_or_broken_policy_is_not(scratch: Path, environ: dict[str, str]) -> None:
    fine = pre_commit(scratch, environ, "run", "--all-files")
    assert fine.returncode == 0, fine.stdout + fine.stderr
    assert fine.stdout.count("Passed") == 2

    (scratch / "mlship.yaml").write_text(POLICY.replace("min: 0.6", "min: 0.4"))
    git(scratch, environ, "add", "mlship.yaml")
    looser = pre_commit(scratch, environ, "run")
    assert looser.returncode == 1
    assert looser.stdout.count("Passed") == 1, looser.stdout
    assert "x mlship.test.yaml:3: a candidate that finds too few" in looser.stdout

    (scratch / "mlship.yaml").write_text(POLICY.replace("metrics:", "metrik:"))
    git(scratch, environ, "add", "mlship.yaml")
    broken = pre_commit(scratch, environ, "run")
    assert broken.returncode == 1
    assert "mlship.yaml:6:3: unknown key 'metrik'" in broken.stdout

    (scratch / "mlship.yaml").write_text(POLICY)
    git(scratch, environ, "add", "mlship.yaml")
    (scratch / "notes.yaml").write_text("gates: none of mlship's business\n")
    git(scratch, environ, "add", "notes.yaml")
    skipped = pre_commit(scratch, environ, "run")
    assert skipped.returncode == 0
    assert skipped.stdout.count("Skipped") == 2, skipped.stdout


@pytest.mark.parametrize(
    ("name", "hooks"),
    [
        ("mlship.yaml", {"mlship-validate", "mlship-policy-test"}),
        ("models/flight-delay/mlship.yaml", {"mlship-validate", "mlship-policy-test"}),
        ("flight-delay.mlship.yml", {"mlship-validate", "mlship-policy-test"}),
        ("mlship.test.yaml", {"mlship-policy-test"}),
        ("notmlship.yaml", set()),
        ("mlship.yaml.md", set()),
    ],
)
def test_which_files_wake_which_hook(name: str, hooks: set[str]) -> None:
    import re

    import yaml

    manifest = yaml.safe_load(HOOKS.read_text(encoding="utf-8"))
    assert {hook["id"] for hook in manifest if re.search(hook["files"], name)} == hooks


def test_what_init_drafts_lets_a_first_commit_through_and_no_broken_policy(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    """No tests are there yet, so none are run; with them, a test that fails stops the commit."""
    (tmp_path / "july.csv").write_text("late,distance\n1,100\n")
    (tmp_path / "mlship.yaml").write_text(POLICY)
    (tmp_path / ".pre-commit-config.yaml").write_text(with_hooks(None, "mlship.yaml") or "")
    commit(tmp_path, environ)
    first = pre_commit(tmp_path, environ, "run", "--all-files")
    assert first.returncode == 0, first.stdout + first.stderr
    assert (first.stdout.count("Passed"), first.stdout.count("Skipped")) == (1, 1)

    (tmp_path / "mlship.yaml").write_text(POLICY.replace("min: 0.6", "min: 0.4"))
    (tmp_path / "mlship.test.yaml").write_text(TESTS)
    git(tmp_path, environ, "add", "-A")
    tested = pre_commit(tmp_path, environ, "run")
    assert tested.returncode == 1
    assert "x mlship.test.yaml:3: a candidate that finds too few" in tested.stdout
