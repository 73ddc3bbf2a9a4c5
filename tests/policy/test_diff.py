"""Two policies compared: every key of the schema has its way, and each change is called by its right name."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlship.cli.policy.revisions import Version
from mlship.cli.policy.subjects import read
from mlship.errors import PolicyError
from mlship.policy.diff import Change, compare
from mlship.policy.diff_kinds import Kind, kind_of
from mlship.policy.diff_rules import ROWS, Row, Way, patterns

OLD = """version: 1
model: flight-delay
owner: {team: flight-ops, contact: flight-ops@example.com, runbook: docs/night.md, review_by: 2027-06-30}
data:
  evaluation: {path: july.csv, target: late, time: time_hour}
gates:
  contract: {max_missing: 1%, columns: {distance: {type: integer, min: 0, max: 5000}}}
  leakage: {unavailable: [arr_time], vouched: [wind, rain]}
  metrics:
    recall: {min: 0.6, max_drop: 0.01}
    roc_auc: {min: 0.7}
  security: {allow_types: [a.B], requirements: {unpinned: fail}}
rollout:
  steps:
    - {mirror: 100%, bake: {requests: 1000}}
    - {weight: 1%, bake: {for: 10m, requests: 500}}
    - {weight: 50%, bake: {requests: 5000}}
  guard:
    labels: {max_ratio: 1.1}
    predictions: {action: pause}
  certify: {errors: 2x}
  freeze: ["Fri 16:00 - Mon 08:00 Europe/Berlin"]
"""


def changes(new: str, old: str = OLD) -> list[Change]:
    before, after = (Version(name, text, name, Path(name)) for name, text in (("old.yaml", old), ("new.yaml", new)))
    return compare(read(before), read(after))


def changed(old: str, new: str) -> list[tuple[str, str, str, str]]:
    assert old in OLD
    return [(one.path, one.old, one.new, one.kind.value) for one in changes(OLD.replace(old, new, 1))]


def test_every_key_and_every_optional_section_is_in_the_table_on_purpose() -> None:
    assert sorted(patterns()) == sorted(ROWS), (
        "a new key needs a row in mlship/policy/diff_rules.py: which way is it stricter?"
    )


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("max_missing: 1%", "max_missing: 2%", ("gates.contract.max_missing", "1%", "2%", "looser")),
        ("max_missing: 1%", "max_duplicates: 0.1%", None),
        ("min: 0.6,", "min: 0.7,", ("gates.metrics.recall.min", "0.6", "0.7", "stricter")),
        (", max_drop: 0.01", "", ("gates.metrics.recall.max_drop", "0.01", "none", "looser")),
        ("    roc_auc: {min: 0.7}\n", "", ("gates.metrics.roc_auc", "{min: 0.7}", "none", "looser")),
        ("{min: 0.6,", "{threshold: 0.3, min: 0.6,", ("gates.metrics.recall.threshold", "none", "0.3", "changed")),
        (", runbook: docs/night.md", "", ("owner.runbook", "docs/night.md", "none", "looser")),
        ("docs/night.md", "docs/day.md", ("owner.runbook", "docs/night.md", "docs/day.md", "changed")),
        ("2027-06-30", "2028-06-30", ("owner.review_by", "2027-06-30", "2028-06-30", "looser")),
        ("model: flight-delay", "model: other", ("model", "flight-delay", "other", "changed")),
        ("[arr_time]", "[arr_time, dest]", ("gates.leakage.unavailable", "[arr_time]", "[arr_time, dest]", "stricter")),
        ("[arr_time]", "[dest]", ("gates.leakage.unavailable", "[arr_time]", "[dest]", "changed")),
        ("[wind, rain]", "[rain]", ("gates.leakage.vouched", "[wind, rain]", "[rain]", "stricter")),
        ("[wind, rain]", "[rain, wind]", None),
        ("unpinned: fail", "vulnerable: fail", "two"),
        ("[a.B]", "[a.B, c.D]", ("gates.security.allow_types", "[a.B]", "[a.B, c.D]", "looser")),
        ("[a.B]", "[a.*]", ("gates.security.allow_types", "[a.B]", "[a.*]", "looser")),
        ("[a.B]", "[c.*]", ("gates.security.allow_types", "[a.B]", "[c.*]", "changed")),
        ("weight: 1%", "weight: 5%", ("rollout.steps[1].weight", "1%", "5%", "looser")),
        ("for: 10m", "for: 600s", None),
        ("for: 10m", "for: 1h", ("rollout.steps[1].bake.for", "10m", "1h", "stricter")),
        ("requests: 5000", "requests: 50", ("rollout.steps[2].bake.requests", "5000", "50", "looser")),
        (
            "    - {mirror: 100%, bake: {requests: 1000}}\n",
            "",
            ("rollout.steps[0]", "{mirror: 100%, bake: {requests: 1000}}", "none", "looser"),
        ),
        ("errors: 2x", "errors: 4x", ("rollout.certify.errors", "2x", "4x", "looser")),
        ("errors: 2x", "errors: null", ("rollout.certify.errors", "2x", "none", "looser")),
        ("action: pause", "action: warn", ("rollout.guard.predictions.action", "pause", "warn", "looser")),
        ("    labels: {max_ratio: 1.1}\n", "", ("rollout.guard.labels", "{max_ratio: 1.1}", "none", "looser")),
        (
            "    labels: {max_ratio: 1.1}\n",
            "    labels: {max_ratio: 1.1}\n    errors: null\n",
            ("rollout.guard.errors", "{max_ratio: 1.25} (default)", "none", "looser"),
        ),
        (
            "  guard:\n",
            "  guard:\n    false_rollback: 0.1%\n",
            ("rollout.guard.false_rollback", "1% (default)", "0.1%", "looser"),
        ),
        (
            '  freeze: ["Fri 16:00 - Mon 08:00 Europe/Berlin"]\n',
            "",
            ("rollout.freeze", "[Fri 16:00 - Mon 08:00 Europe/Berlin]", "[] (default)", "looser"),
        ),
        ("type: integer, ", "", ("gates.contract.columns.distance.type", "integer", "none", "looser")),
    ],
)
def test_each_change_is_told_with_its_path_its_values_and_what_it_makes_of_the_policy(
    old: str, new: str, told: tuple[str, str, str, str] | str | None
) -> None:
    found = changed(old, new)
    if told == "two":
        assert [one[3] for one in found] == ["looser", "stricter"]
    else:
        assert found == ([] if told is None else [told])


def test_comments_layout_and_defaults_that_are_written_out_are_no_change() -> None:
    head, tail = OLD.split("owner:")
    rest = tail.replace("certify: {errors: 2x}", "certify:\n    errors: 2.0x  # twice\n    negligible: 1%\n  lease: 1m")
    assert changes(f"# a comment\n{head}\n\nowner:{rest}\nnotify: []\n") == []


def test_a_change_is_shown_at_its_line_and_a_removal_where_it_was_removed_from() -> None:
    new = OLD.replace("min: 0.6", "min: 0.5").replace(", runbook: docs/night.md", "")
    places = {one.path: (one.line, one.column) for one in changes(new)}
    assert places == {"gates.metrics.recall.min": (10, 19), "owner.runbook": (3, 1)}
    assert new.splitlines()[9][18:].startswith("0.5")


@pytest.mark.parametrize(
    ("step", "before", "kind"),
    [
        ("{testers: {header: x-canary}, bake: {for: 1m}}", "{mirror", Kind.CHANGED),
        ("{mirror: 10%, bake: {for: 1m}}", "{mirror", Kind.STRICTER),
        ("{weight: 0.5%, bake: {for: 1m}}", "{weight: 1%", Kind.STRICTER),
    ],
)
def test_a_step_put_in_leaves_the_others_as_they_are_and_is_not_stricter_where_traffic_comes_earlier(
    step: str, before: str, kind: Kind
) -> None:
    (one,) = changes(OLD.replace(f"    - {before}", f"    - {step}\n    - {before}"))
    assert (one.old, one.new, one.kind) == ("none", step, kind)


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        ("", "late: {max_missing: 100%}", {"late": "looser"}),
        ("", "late: {max_missing: 100%, min: 0}", {"late": "looser"}),
        ("", "late: {max_missing: 0.5%}", {"late": "stricter"}),
        ("", "late: {min: 0}", {"late": "stricter"}),
        ("late: {max_missing: 5%, min: 0}", "late: {min: 0}", {"late.max_missing": "stricter"}),
        ("late: {min: 0}", "late: {max_missing: 5%, min: 0}", {"late.max_missing": "looser"}),
        ("late: {min: 0}", "late: {max_missing: 1%, min: 0}", {"late.max_missing": "changed"}),
        ("late: {max_missing: 3%}", "late: {max_missing: 2%}", {"late.max_missing": "stricter"}),
        ("late: {max_missing: 100%}", "", {"late": "changed"}),
        ("late: {max_missing: 0%}", "", {"late": "looser"}),
        ("late: {min: 0}", "", {"late": "looser"}),
    ],
)
def test_a_columns_own_limit_is_compared_with_the_contracts_which_it_replaces(
    old: str, new: str, kinds: dict[str, str]
) -> None:
    before, after = (OLD.replace("{distance: {type: integer, min: 0, max: 5000}}", f"{{{it}}}") for it in (old, new))
    found = {one.path: one.kind.value for one in changes(after, before)}
    assert found == {f"gates.contract.columns.{path}": kind for path, kind in kinds.items()}


def test_the_contracts_limit_at_either_time_is_the_one_that_held_then() -> None:
    wide = "max_missing: 50%, columns: {late: {max_missing: 20%}, "
    found = {one.path: one.kind.value for one in changes(OLD.replace("max_missing: 1%, columns: {", wide))}
    assert found == {"gates.contract.max_missing": "looser", "gates.contract.columns.late": "looser"}


def test_secrets_are_compared_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_A", "https://example.com/very-secret")
    hooks = '  hooks: {before_step: [{webhook: "%s"}]}\n'
    auth = 'endpoint: {auth: {api_keys: "${KEYS_%s}"}}\nnotify: ["${PAGER_%s}"]\n'
    found = changes(
        OLD + hooks % "https://example.com/other-secret" + auth % ("B", "B"),
        OLD + hooks % "${HOOK_A}" + auth % ("A", "A"),
    )
    assert [(one.path, one.old, one.new) for one in found] == [
        ("endpoint.auth.api_keys", "${KEYS_A}", "${KEYS_B}"),
        ("rollout.hooks.before_step[0].webhook", "${HOOK_A}", "(hidden)"),
        ("notify", "[${PAGER_A}]", "[${PAGER_B}]"),
    ]


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ('on_breach: [{retrain: {webhook: "https://h/very-secret"}}]', "{on_breach: [{retrain: {webhook: (hidden)}}]}"),
        (
            'on_breach: [{retrain: {github: a/b, token: "${T}"}}]',
            "{on_breach: [{retrain: {github: a/b, workflow: w.yml, token: ${T}}}]}",
        ),
        ("performance: {recall: {min: 0.6}}", "{performance: {recall: {min: 0.6}}}"),
        ("on_breach: [pause]", "{predictions: {psi: 0.1}, on_breach: [{pause: {when: [features,"),
    ],
)
def test_a_section_that_is_new_is_told_with_the_sections_in_it_and_without_their_secrets(
    section: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("T", "a-token-that-nobody-shows")
    whole = section.replace("a/b", "a/b, workflow: w.yml").replace("[pause]", "[pause]\n  predictions: {}")
    [one] = changes(f"{OLD}monitor:\n  {whole}\n")
    assert (one.path, one.old, one.kind) == ("monitor", "none", Kind.STRICTER)
    assert one.new.startswith(told)
    assert "secret" not in one.new
    assert "nobody" not in one.new


MONITOR = """monitor:
  log: {path: log.jsonl, prediction: answer, target: late}
  season: [hour]
  features: {psi: 0.2, missing: 1%, columns: [distance]}
  performance: {recall: {min: 0.6}, error: {max: 0.3}}
  min_rows: 100
  on_breach:
    - notify
    - retrain: {command: ./train, when: [performance, age]}
"""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("psi: 0.2", "psi: 0.3", ("monitor.features.psi", "0.2", "0.3", "looser")),
        (", missing: 1%", "", ("monitor.features.missing", "1%", "none", "looser")),
        ("[distance]", "[]", ("monitor.features.columns", "[distance]", "[]", "stricter")),
        ("min: 0.6", "min: 0.7", ("monitor.performance.recall.min", "0.6", "0.7", "stricter")),
        ("max: 0.3", "max: 0.4", ("monitor.performance.error.max", "0.3", "0.4", "looser")),
        (", error: {max: 0.3}", "", ("monitor.performance.error", "{max: 0.3}", "none", "looser")),
        ("min_rows: 100", "false_alarms: 5", ("monitor.false_alarms", "1 (default)", "5", "stricter")),
        ("min_rows: 100", "max_age: 90d", ("monitor.max_age", "none", "90d", "stricter")),
        ("min_rows: 100", "recovered: 1d", ("monitor.recovered", "3d (default)", "24h", "looser")),
        ("min_rows: 100", "estimate: false", ("monitor.estimate", "true (default)", "false", "looser")),
        ("[hour]", "[hour, weekday]", ("monitor.season", "[hour]", "[hour, weekday]", "changed")),
        ("    - notify\n", "", ("monitor.on_breach[0]", "{notify: {}}", "none", "looser")),
        ("- notify", "- {notify: {}}", None),
        (
            "- notify",
            "- notify: {when: [age]}",
            ("monitor.on_breach[0].notify.when", "[] (default)", "[age]", "looser"),
        ),
        ("[performance, age]", "[age]", ("monitor.on_breach[1].retrain.when", "[performance, age]", "[age]", "looser")),
        ("./train", "./fit", ("monitor.on_breach[1].retrain.command", "./train", "./fit", "changed")),
        (MONITOR, "", "gone"),
    ],
)
def test_what_is_watched_after_promotion_is_stricter_when_more_of_it_is_seen(
    monkeypatch: pytest.MonkeyPatch, old: str, new: str, told: tuple[str, str, str, str] | str | None
) -> None:
    monkeypatch.setenv("PAGER", "json://h")
    policy = OLD + 'notify: ["${PAGER}"]\n'
    assert old in MONITOR
    found = changes(policy + MONITOR.replace(old, new, 1), policy + MONITOR)
    mine = [(one.path, one.old, one.new, one.kind.value) for one in found if one.path != "monitor.min_rows"]
    if told == "gone":
        assert [(path, kind) for path, _, _, kind in mine] == [("monitor", "looser")]
        return
    assert mine == ([] if told is None else [told])


def test_a_variable_that_is_not_set_stands_for_itself_but_a_limit_must_be_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DRIFT", raising=False)
    registry = 'registry: {uri: "${NOWHERE}"}\n'
    (one,) = changes(OLD + registry)
    assert (one.path, one.new) == ("registry.uri", "${NOWHERE}")
    with pytest.raises(PolicyError, match=r"new.yaml:7:27: the environment variable DRIFT is not set"):
        changes(OLD.replace("max_missing: 1%", 'max_missing: "${DRIFT}"'))
    assert changes(OLD.replace("max_missing: 1%", 'max_missing: "${DRIFT:-1%}"')) == []


def test_an_invalid_policy_is_named_with_its_faults() -> None:
    with pytest.raises(PolicyError) as refused:
        changes(OLD, OLD.replace("metrics:", "metrik:").replace("10m", "10"))
    assert refused.value.where == "old.yaml"
    assert "2 faults" in refused.value.what
    assert "old.yaml:9:3: unknown key 'metrik'" in refused.value.what


@pytest.mark.parametrize(
    ("row", "old", "new", "kind"),
    [
        (Row(Way.LESS), None, 5, Kind.STRICTER),
        (Row(Way.MORE), 5, None, Kind.LOOSER),
        (Row(Way.LESS_OF_TWO), None, 5, Kind.CHANGED),
        (Row(Way.LESS_OF_TWO), 6, 5, Kind.STRICTER),
        (Row(Way.ON), True, False, Kind.LOOSER),
        (Row(Way.OFF), False, True, Kind.LOOSER),
        (Row(Way.ITEMS, empty_is_all=True), (), ("a",), Kind.LOOSER),
        (Row(Way.ITEMS, empty_is_all=True), ("a",), (), Kind.STRICTER),
        (Row(Way.ITEMS, empty_is_all=True), ("a",), ("a", "b"), Kind.STRICTER),
        (ROWS["gates.drift.columns"], (), ("a",), Kind.LOOSER),
        (ROWS["gates.skew.columns"], (), ("a",), Kind.LOOSER),
        (ROWS["monitor.min_rows"], 10, 100, Kind.LOOSER),
        (Row(Way.FEW, modules=True), ("a.*",), ("a.b.C", "a.b.*"), Kind.STRICTER),
        (Row(Way.FEW), None, ("a",), Kind.STRICTER),
        (Row(Way.FEW), (), ("a",), Kind.LOOSER),
        (Row(Way.FEW, empty_is_all=True), (), ("a",), Kind.STRICTER),
        (Row(Way.FEW), ("1",), (1,), Kind.CHANGED),
        (Row(Way.THERE), None, "x", Kind.STRICTER),
        (Row(Way.RANK, ("promote", "pause", "rollback")), "promote", "pause", Kind.STRICTER),
    ],
)
def test_what_each_way_says(row: Row, old: object, new: object, kind: Kind) -> None:
    assert kind_of(row, old, new) is kind
