"""The plan file: it keeps what a promotion was to rest on, and says what of it has moved, however it was treated."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mlship.errors import MlshipError, MovedError, UsageError
from mlship.policy.load import LoadedPolicy, load_policy
from mlship.rollout import planfile
from mlship.rollout.pins import Arm, Pins, Proved, moved, pins
from mlship.rollout.planfile import PlanFile
from mlship.rollout.views import RolloutView
from mlship.types import Candidate, LedgerEntry, ModelVersion

SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "plan-file.schema.json"
POLICY = """version: 1
model: flight-delay
owner: {team: flight-ops, contact: flight-ops@example.com}
data: {evaluation: {path: july.csv, target: late}}
gates:
  metrics: {recall: {min: 0.6}}
  latency: {rate: 100/s, p99: 200ms}
rollout:
  engine: docker
  steps: [{weight: 10%, bake: {for: 5m}}]
"""


def sha(letter: str) -> str:
    return f"sha256:{64 * letter}"


PROOF = Proved("e1", "r1", 1000.5, "ann@ci", (("evaluation", sha("d")), ("recent", sha("e"))))
PINS = Pins(
    "flight-delay",
    "mlship.yaml",
    sha("0"),
    Arm("@challenger", "2", sha("2"), sha("b")),
    Arm("@champion", "1", sha("1"), sha("a")),
    PROOF,
    None,
)
PLAN = PlanFile(PINS, 2000.0, "ann@laptop", "1.2.3")


def test_a_plan_is_read_as_it_was_written_and_is_what_its_schema_says(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    before = os.umask(0o077)
    try:
        written = planfile.write(PLAN, path)
    finally:
        os.umask(before)
    assert planfile.read(path) == written
    assert dataclasses.replace(written, checksum="", path="") == PLAN
    assert path.stat().st_mode & 0o777 == 0o644
    assert [each.name for each in tmp_path.iterdir()] == ["plan.json"]
    jsonschema.validate(json.loads(path.read_text()), json.loads(SCHEMA.read_text()))


def test_a_plan_of_a_first_promotion_is_one_too(tmp_path: Path) -> None:
    first = dataclasses.replace(PINS, champion=Arm("@champion", None), evaluation=None)
    written = planfile.write(dataclasses.replace(PLAN, pins=first), tmp_path / "plan.json")
    assert planfile.read(tmp_path / "plan.json").pins == first == written.pins
    jsonschema.validate(json.loads((tmp_path / "plan.json").read_text()), json.loads(SCHEMA.read_text()))
    assert first.changes


def changed(**more: Any) -> str:
    """The plan with other values, and a checksum that fits."""
    document = {**planfile.document(PLAN), **more}
    return json.dumps({**document, "checksum": planfile.checksum(document)})


TEXT = json.dumps(planfile.document(PLAN), indent=2)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(TEXT[:200], "the plan is torn", id="torn"),
        pytest.param("", "the plan is torn", id="empty"),
        pytest.param("\x00\xff", "the plan is torn", id="bytes"),
        pytest.param("[" * 100_000, "the plan is torn", id="nested"),
        pytest.param('{"kind": 1' + " " * (1 << 20) + "}", "the plan is torn", id="huge"),
        pytest.param("[]", "this is no plan of mlship", id="list"),
        pytest.param('{"model": "flight-delay"}', "this is no plan of mlship", id="other JSON"),
        pytest.param(TEXT.replace('"version": "1"', '"version": "3"'), "was changed after it was made", id="edited"),
        pytest.param(TEXT.replace("@champion", "@other"), "was changed after it was made", id="another alias"),
        pytest.param(changed(format=2), "the plan has format 2, and this mlship reads format 1", id="newer"),
        pytest.param(changed(checksum=None).replace('"sha', '"'), "was changed after it was made", id="no checksum"),
        pytest.param(changed(candidate=None), "the plan is damaged (TypeError", id="no candidate"),
        pytest.param(changed(made={"at": "now", "by": "", "mlship": ""}), "the plan is damaged (ValueError", id="time"),
        pytest.param(changed(policy={"path": 3, "digest": ""}), "3 is no text", id="path"),
        pytest.param(changed(evaluation={"id": "e"}), "the plan is damaged (KeyError", id="proof"),
    ],
)
def test_a_file_that_is_no_sound_plan_is_told_in_one_message(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError) as refused:
        planfile.read(path)
    assert said in refused.value.what
    assert (refused.value.where, bool(refused.value.hint)) == (str(path), True)


def test_layout_is_no_change(tmp_path: Path) -> None:
    shuffled = dict(reversed(planfile.document(PLAN).items()))
    (tmp_path / "plan.json").write_text(json.dumps(shuffled, separators=(",", ":")))
    assert planfile.read(tmp_path / "plan.json").pins == PINS


def test_a_plan_that_is_not_there_or_is_a_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such plan"):
        planfile.read(tmp_path / "none.json")
    with pytest.raises(UsageError, match="the plan cannot be read: Is a directory"):
        planfile.read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="the plan cannot be read: it is no regular file"):
        planfile.read(tmp_path / "pipe")


def test_nothing_but_a_plan_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "mlship.yaml"
    path.write_text(POLICY)
    with pytest.raises(UsageError, match="is there already, and is no plan; it was left as it is"):
        planfile.write(PLAN, path)
    assert path.read_text() == POLICY
    with pytest.raises(UsageError, match="there is no directory"):
        planfile.destination(tmp_path / "none" / "plan.json")
    os.mkfifo(tmp_path / "pipe")
    for other in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(UsageError, match="this is no file"):
            planfile.destination(other)
    planfile.write(PLAN, tmp_path / "plan.json")
    newer = planfile.write(dataclasses.replace(PLAN, at=3000.0), tmp_path / "plan.json")
    assert planfile.read(tmp_path / "plan.json") == newer


def arm(role: str, **values: Any) -> Pins:
    return dataclasses.replace(PINS, **{role: dataclasses.replace(getattr(PINS, role), **values)})


@pytest.mark.parametrize(
    ("now", "said"),
    [
        pytest.param(PINS, [], id="nothing"),
        pytest.param(
            arm("champion", version="3", digest=sha("3")),
            ["@champion moved from version 1 to version 3"],
            id="champion",
        ),
        pytest.param(
            arm("champion", version=None, digest=""), ["@champion moved from version 1 to nothing"], id="no champion"
        ),
        pytest.param(
            arm("candidate", version="4", digest=sha("4")),
            ["@challenger moved from version 2 to version 4"],
            id="candidate",
        ),
        pytest.param(
            arm("candidate", digest=sha("f")),
            [
                "the files of the candidate, version 2, are others: digest sha256:ffffffffffff now, "
                "sha256:222222222222 as planned"
            ],
            id="files",
        ),
        pytest.param(
            arm("candidate", image=sha("c")),
            [
                "the image of the candidate, version 2, is another: sha256:cccccccccccc now, "
                "sha256:bbbbbbbbbbbb as planned"
            ],
            id="image",
        ),
        pytest.param(arm("candidate", image=""), [], id="image not known here"),
        pytest.param(
            dataclasses.replace(PINS, policy_digest=sha("9")),
            [
                "the policy, or what the environment puts into it, says something else: digest "
                "sha256:999999999999 now, sha256:000000000000 as planned"
            ],
            id="policy",
        ),
        pytest.param(dataclasses.replace(PINS, evaluation=None), [], id="proofs are not pinned"),
    ],
)
def test_what_moved_is_told_from_what_to_what(now: Pins, said: list[str]) -> None:
    assert moved(PINS, now) == said


def test_everything_that_moved_is_told_at_once() -> None:
    now = dataclasses.replace(arm("candidate", version="4", digest=sha("4")), policy_digest=sha("9"))
    with pytest.raises(MovedError) as refused:
        planfile.hold(dataclasses.replace(PLAN, path="plan.json"), now)
    assert refused.value.exit_code == 3
    assert "sha256:999999999999 now, sha256:000000000000 as planned; @challenger moved from version 2 to version 4" in (
        refused.value.what
    )
    assert refused.value.hint.endswith("mlship plan mlship.yaml --out plan.json")


def test_an_image_that_is_built_after_the_plan_is_no_surprise() -> None:
    assert moved(arm("candidate", image=""), PINS) == []


def view(candidate: str, champion: str | None) -> RolloutView:
    return RolloutView("r", "flight-delay", candidate, champion, "promoting", None, 0, 1, 1.0, "", 0.0, running=False)


def test_the_rollout_under_way_may_have_moved_the_alias_itself() -> None:
    over = arm("champion", version="2", digest=sha("2"), image=sha("b"))
    assert moved(PINS, over) == ["@champion moved from version 1 to version 2"]
    assert moved(PINS, over, view("2", "1")) == []
    assert moved(PINS, over, view("2", "3")) != [], "that rollout began from another champion"
    assert moved(PINS, over, view("4", "1")) != [], "that rollout is of another candidate"
    first = dataclasses.replace(PINS, champion=Arm("@champion", None))
    assert moved(first, over, view("2", None)) == []
    assert moved(first, over) == ["@champion moved from nothing to version 2"]


def test_a_plan_grows_old() -> None:
    planfile.fresh(PLAN, 3600.0, PLAN.at + 3600.0)
    planfile.fresh(PLAN, 3600.0, PLAN.at - 200.0)
    with pytest.raises(MovedError, match="the plan is 3h old, and may be 1h"):
        planfile.fresh(PLAN, 3600.0, PLAN.at + 3 * 3600.0)
    with pytest.raises(MovedError, match="the plan was made 10m from now: a clock is wrong"):
        planfile.fresh(PLAN, 3600.0, PLAN.at - 600.0)


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedPolicy:
    (tmp_path / "mlship.yaml").write_text(POLICY)
    return load_policy(tmp_path / "mlship.yaml")


def test_a_plan_of_another_model_or_policy_is_told(loaded: LoadedPolicy) -> None:
    def meant(**values: Any) -> None:
        planfile.meant(dataclasses.replace(PLAN, pins=dataclasses.replace(PINS, **values)), loaded)

    with pytest.raises(UsageError, match=r"the plan is of fraud, and .* is the policy of flight-delay"):
        meant(model="fraud")
    with pytest.raises(UsageError, match=r"the plan is of staging/mlship.yaml, not of "):
        meant(policy="staging/mlship.yaml")
    meant(policy="staging/mlship.yaml", policy_digest=loaded.digest)
    meant(policy="mlship.yaml")
    meant(policy="./mlship.yaml")


def entry(action: str, version: str, **evidence: str) -> LedgerEntry:
    return LedgerEntry(1000.5, "ann@ci", action, "flight-delay", "1", version, "because", evidence)


def test_pins_are_what_a_promotion_would_rest_on(loaded: LoadedPolicy) -> None:
    two, one = (ModelVersion("flight-delay", number, sha(number), Path()) for number in ("2", "1"))
    common = {"policy": loaded.digest}
    proved = {**common, "model": two.digest, "status": "passed", "run": "r1", "data": sha("d"), "recent": sha("e")}
    entries = [
        entry("built", "1", **common, model=one.digest, image=sha("a")),
        entry("built", "2", **common, model=two.digest, image=sha("b")),
        entry("evaluated", "2", **proved, evaluation="e1", champion=one.digest),
        entry("measured", "2", **proved, evaluation="l1", image=sha("b")),
    ]
    found = pins(loaded, Candidate(two, one), entries)
    assert (found.candidate, found.champion) == (PINS.candidate, PINS.champion)
    assert found.evaluation == PROOF
    assert found.latency is not None
    assert (found.latency.id, found.changes) == ("l1", True)
    bare = pins(loaded, Candidate(two, two), [])
    assert (bare.evaluation, bare.latency, bare.candidate.image, bare.changes) == (None, None, "", False)


def test_no_secret_gets_into_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PASSWORD", "open-sesame")
    secret = "registry: {uri: 'https://ann:${REGISTRY_PASSWORD}@registry.example.com'}\n"
    (tmp_path / "mlship.yaml").write_text(POLICY + secret)
    loaded = load_policy(tmp_path / "mlship.yaml")
    version = ModelVersion("flight-delay", "2", sha("2"), Path())
    planfile.write(PlanFile(pins(loaded, Candidate(version, None), []), 1.0, "a", "1"), tmp_path / "plan.json")
    content = (tmp_path / "plan.json").read_text()
    assert "open-sesame" not in content
    assert "registry.example.com" not in content


def test_a_plan_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(MlshipError, match="the plan cannot be written: No space left on device") as refused:
        planfile.write(PLAN, tmp_path / "plan.json")
    assert refused.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []
