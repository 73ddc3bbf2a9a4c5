"""What `mlship init` writes around a policy: valid for GitHub and GitLab, safe, and of use as it is."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from check_jsonschema.cli import main as check_jsonschema  # type: ignore[import-untyped]  # it ships no types
from click.testing import CliRunner

from mlship.draft import around
from mlship.draft.place import place
from tests.ci.driver import ROOT

BIN = Path(sys.executable).parent
#: A name that YAML, a shell and a regular expression could all misread.
POLICY = "models/flight #1 (delay).yaml"


@pytest.fixture
def drafted(tmp_path: Path) -> Path:
    """A repository with the files of both kinds of pipeline, and hooks."""
    for ci in ("github", "gitlab"):
        files, _ = around.around(
            tmp_path, ci, hooks=ci == "github", policy=POLICY, data="data/july.parquet", read=lambda _: None, force=True
        )
        place(files)
    return tmp_path


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        (["vendor.github-workflows"], around.GITHUB),
        (["vendor.github-actions"], f"{around.ACTION}/action.yml"),
        (["vendor.gitlab-ci", "--data-transform", "gitlab-ci", "--regex-variant", "nonunicode"], around.GITLAB),
        (["vendor.gitlab-ci", "--data-transform", "gitlab-ci", "--regex-variant", "nonunicode"], around.GITLAB_MAIN),
    ],
)
def test_each_is_what_its_schema_says(drafted: Path, schema: list[str], name: str) -> None:
    """By the schemas that check-jsonschema carries; no network."""
    done = CliRunner().invoke(check_jsonschema, ["--builtin-schema", *schema, str(drafted / name)])
    assert done.exit_code == 0, done.output


def test_nothing_in_them_is_unsafe(drafted: Path) -> None:
    """Zizmor finds nothing in the workflow and its action, and does look."""
    command = [str(BIN / "zizmor"), "--offline", "--config", str(ROOT / "tests/ci/zizmor.yml"), "--no-progress"]

    def zizmor() -> subprocess.CompletedProcess[str]:
        files = [str(drafted / around.GITHUB), str(drafted / around.ACTION / "action.yml")]
        return subprocess.run([*command, *files], capture_output=True, text=True, check=False, timeout=120)

    done = zizmor()
    assert done.returncode == 0, done.stdout + done.stderr
    (drafted / around.GITHUB).write_text((drafted / around.GITHUB).read_text().replace("persist-credentials", "clean"))
    assert zizmor().returncode != 0


def test_the_workflow_has_what_a_comment_needs_and_nothing_more(drafted: Path) -> None:
    """The action beside it, inputs that it has, the mlship that wrote it, and no secrets where there are none."""
    text = (drafted / around.GITHUB).read_text()
    workflow: dict[Any, Any] = yaml.safe_load(text)
    (job,) = workflow["jobs"].values()
    step = job["steps"][-1]
    assert step["uses"] == f"./{around.ACTION}"
    assert step["with"] == {
        "command": "evaluate",
        "policy": POLICY,
        "version": version("mlship"),
        "python-version": "3.12",
        "comment": "true",
    }
    action = yaml.safe_load((drafted / around.ACTION / "action.yml").read_text())
    assert set(step["with"]) <= set(action["inputs"])
    assert workflow["permissions"] == {}
    assert job["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert "pull-requests: write # one comment" in text
    assert "head.repo.full_name == github.repository" in job["if"]
    assert workflow[True]["pull_request"]["paths"] == [  # to YAML 1.1 `on` is true
        POLICY,
        "data/july.parquet",
        around.GITHUB,
        f"{around.ACTION}/**",
    ]
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EVALUATOR_TOKEN"):
        assert name in text
        assert name in (ROOT / "docs" / "how-to" / "github.md").read_text(), "what to set is told there"


def test_the_pipeline_takes_the_mlship_that_wrote_it(drafted: Path) -> None:
    job = yaml.safe_load((drafted / around.GITLAB).read_text())["mlship"]
    assert f'pip install "mlship=={version("mlship")}"' in job["before_script"][0]


def test_what_is_there_already_is_not_written_again(drafted: Path) -> None:
    """And of the action only the file that differs."""

    def read(path: Path) -> str | None:
        return path.read_text() if path.exists() else None

    (drafted / around.ACTION / "run.py").write_text("mine\n")
    files, kept = around.around(
        drafted, "github", hooks=True, policy=POLICY, data="data/july.parquet", read=read, force=False
    )
    assert [file.path for file in files] == [drafted / around.ACTION / "run.py"]
    assert [one.path.name for one in kept] == ["mlship.yml", ".pre-commit-config.yaml"]
