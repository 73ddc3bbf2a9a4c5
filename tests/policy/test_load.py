"""From a file to a policy: all faults in one run, at the right place; secrets and comments leave no trace."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlship.errors import Exit, PolicyError
from mlship.policy.faults import Fault, Severity
from mlship.policy.load import check, examine, load_policy
from tests.policy.conftest import VALID, Changed


def test_a_valid_policy_has_no_fault_and_loads(policy_file: Path) -> None:
    assert check(policy_file) == []
    loaded = load_policy(policy_file)
    assert loaded.policy.model == "flight-delay"
    assert loaded.policy.rollout is not None
    bake = loaded.policy.rollout.steps[0].bake
    assert bake is not None
    assert bake.for_ == 600
    assert loaded.text == VALID
    assert loaded.digest.startswith("sha256:")


def test_the_fault_reads_as_the_design_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mlship.yaml").write_text(
        "version: 1\nmodel: m\nowner: {team: a, contact: abc}\ngates:\n    metrik: {min: 0.6}\n"
    )
    assert str(check(Path("mlship.yaml"))[0]) == (
        "mlship.yaml:5:5: unknown key 'metrik'\n     metrik: {min: 0.6}\n     ^ did you mean 'metrics'?"
    )


@pytest.mark.parametrize(
    ("old", "new", "at", "what", "hint"),
    [
        ("recall: {min: 0.6", "recall: {mni: 0.6", "mni", "unknown key 'mni'", "did you mean 'min'?"),
        (
            "model: flight-delay",
            "model: flight-delay\ntarget: late",
            "target: late",
            "unknown key 'target'",
            "known here",
        ),
        ("entity: [tailnum]", "unavailable: [x]", "unavailable", "unknown key", "belongs under gates.leakage"),
        ("rollout:\n", "monitor: {window: 30s}\nrollout:\n", "30s", "must be at least 1m", "windows of this length"),
        ("rollout:\n", "monitor: {widow: 1h}\nrollout:\n", "widow", "unknown key 'widow'", "did you mean 'window'?"),
        ("{max_missing: 1%}", "{schema: c.yaml}", "schema", "not available in mlship 0.1", "later"),
        (
            "rollout:\n",
            "rollout:\n  engine: kubernetes\n",
            "kubernetes",
            "'kubernetes' is not available in mlship 0.1",
            "write local or docker",
        ),
        ("rollout:\n", "rollout:\n  engine: locl\n", "locl", "'locl' is not known", "did you mean 'local'?"),
        ("version: 1", "version: 2", "2", "'2' is not known here", "write 1"),
        ("version: 1", "version: true", "true", "'true' is not known here", "write 1"),
        ("model: flight-delay", "model: 7", "7", "must be text, not '7'", 'quote it: "7"'),
        ("model: flight-delay", "model:", "model:", "'model' has no value", "registered model"),
        ("model: flight-delay", 'model: ""', '""', "must not be empty", ""),
        ("contact: flight-ops@example.com, ", "", "owner", "missing key 'contact' in 'owner'", "an e-mail address"),
        ("2027-06-30", "2027-06-31", "2027-06-31", "is not a date", "2027-06-30"),
        ("entity: [tailnum]", "entity: tailnum", "tailnum", "must be a list", "write [tailnum]"),
        ("min: 0.6", 'min: "0.6"', '"0.6"', "must be a number", "write 0.6 without quotes"),
        ("min: 0.6", "min: 60%", "60%", "must be a number, not '60%'", "write 0.6"),
        ("max_missing: 1%", "max_missing: 1", "1}", "a percentage needs its sign", "did you mean '1%'?"),
        ("for: 10m", "for: 10", "10,", "a duration needs a unit", "did you mean '10s' or '10ms'?"),
        ("for: 10m", "for: 10 minutes", "10 minutes", "'10 minutes' is not a duration", "10m"),
        ("weight: 1%", "weight: 0%", "0%", "must be more than 0%", "share of the traffic"),
        ("weight: 50%", "weight: 150%", "150%", "more than 100%", "between"),
        ("requests: 5000", "requests: 0.5", "0.5", "must be a whole number", ""),
        ("labels: {max_ratio: 1.1}", "labels: {max_ratio: 0.9}", "0.9", "must be at least 1", ""),
        ("labels: {max_ratio: 1.1}", "false_rollback: 60%", "60%", "must be less than 50%", "chance"),
        ("labels: {max_ratio: 1.1}", "labels: yes please", "yes please", "must be a section", "metric, max_ratio"),
        ("weight: 1%, bake: {for: 10m, requests: 500}", "miror: 100%", "miror", "unknown key 'miror'", "'mirror'?"),
        ("weight: 1%, bake: {for: 10m, requests: 500}", "pause: 10", "10}", "needs a unit", "did you mean '10s'"),
        ("weight: 1%, bake: {for: 10m, requests: 500}", "pause: 0s", "0s", "must be more than 0s", "wait so long"),
        ("weight: 1%, bake: {for: 10m, requests: 500}", "approve: yes please", "yes please", "a section", "within"),
        (
            "weight: 1%, bake: {for: 10m, requests: 500}",
            "approve: {on_expiry: stop}",
            "stop",
            "not known",
            "pause or ab",
        ),
        (
            "weight: 1%, bake: {for: 10m, requests: 500}",
            "approve: {whithin: 1h}",
            "whithin",
            "unknown key",
            "'within'?",
        ),
        (
            "{weight: 1%, bake: {for: 10m, requests: 500}}",
            "{bake: {for: 1h}}",
            "{bake",
            "this step does nothing",
            "exactly",
        ),
        ("{weight: 1%, bake: {for: 10m, requests: 500}}", "{weight: 1%}", "{", "missing key 'bake'", "add `bake:"),
        ("weight: 1%, ", "mirror: 0%, ", "0%", "must be more than 0%", "a copy of"),
        ("weight: 1%, ", "testers: {}, ", "testers", "missing key 'header' in 'testers'", "x-canary"),
        ("weight: 1%, ", "testers: {header: X-Canary}, ", "X-Canary", "not valid", "did you mean 'x-canary'?"),
        ("weight: 1%, ", "testers: {header: x-canary, value: 1}, ", "1}", "must be text", 'quote it: "1"'),
        ("labels: {max_ratio: 1.1}", "timeout: {}", "timeout", "unknown key 'timeout'", "did you mean 'timeouts'?"),
        ("labels: {max_ratio: 1.1}", "timeouts: 1.25", "1.25", "must be a section", "max_ratio"),
        ("labels: {max_ratio: 1.1}", "latency: {p99: 200}", "200", "needs a unit", "did you mean '200s' or '200ms'?"),
        ("labels: {max_ratio: 1.1}", "latency: {p95: 1s}", "p95", "unknown key 'p95'", "did you mean"),
        ("labels: {max_ratio: 1.1}", "predictions: {action: wran}", "wran", "not known", "did you mean 'warn'?"),
        ("labels: {max_ratio: 1.1}", "agreement: {tolerance: 0}", "agreement", "missing key 'min'", "both must agree"),
        ("labels: {max_ratio: 1.1}", "agreement: {min: 0.9}", "0.9", "needs its sign", "did you mean '90%'"),
        ("labels: {max_ratio: 1.1}", "agreement: {min: 100%}", "100%", "must be less than 100%", "share of"),
        ("rollout:\n", "rollout:\n  certify: {errors: 3}\n", "3", "a factor needs its sign", "did you mean '3x'?"),
        ("rollout:\n", "rollout:\n  certify: {errors: 1x}\n", "1x", "must be more than 1x", ""),
        ("rollout:\n", "rollout:\n  certify: {timeouts: 3x}\n", "timeouts", "unknown key", "under rollout.guard"),
        ("rollout:\n", "rollout:\n  on_inconclusive: stop\n", "stop", "not known", "pause or promote or rollback"),
        ("rollout:\n", "rollout:\n  on_inconclusiv: pause\n", "on_inconclusiv", "unknown", "'on_inconclusive'?"),
        ("rollout:\n", "rollout:\n  on_new_candidate: refus\n", "refus", "not known", "did you mean 'refuse'?"),
        ("rollout:\n", "rollout:\n  lease: 1s\n", "1s", "must be at least 5s", "all traffic goes back"),
        ("rollout:\n", "rollout:\n  lease: 60\n", "60", "a duration needs a unit", "did you mean '60s'"),
        ("rollout:\n", "rollout:\n  keep_warm: forever\n", "forever", "is not a duration", "24h"),
        ("rollout:\n", "rollout:\n  sticky: {header: X-User}\n", "X-User", "not valid", "did you mean 'x-user'?"),
        ("rollout:\n", "rollout:\n  sticky: {cookie: 'a b'}\n", "'a b'", "is not valid here", "cookie that names"),
        ("rollout:\n", "rollout:\n  sticky: x-user\n", "x-user", "must be a section", "header, cookie"),
        ("rollout:\n", "rollout:\n  hooks: {before: []}\n", "before", "unknown key 'before'", "'before_step'?"),
        ("rollout:\n", "rollout:\n  hooks: {before_step: ./a.sh}\n", "./a.sh", "must be a list", ""),
        ("rollout:\n", "rollout:\n  notify: []\n", "notify", "unknown key", "under the top level"),
        ('"127.0.0.1:8080"', "8080", "8080", "must be text", 'quote it: "8080"'),
        ('"127.0.0.1:8080"', "somewhere", "somewhere", "is not valid here", "127.0.0.1:8080"),
        (
            "{max_missing: 1%}",
            "{columns: {distance: {values: [1, null]}}}",
            "null",
            "item 2 of 'values' has no value",
            "",
        ),
        ("{max_missing: 1%}", "{columns: {distance: {values: [[1]]}}}", "[1]", "must be text, a number", ""),
        ("{max_missing: 1%}", "{columns: {distance: {type: text}}}", "text", "'text' is not known here", "number or"),
    ],
)
def test_a_fault_is_told_in_human_words_at_its_place(  # noqa: PLR0917 - one argument for each column of the table above
    changed: Changed, old: str, new: str, at: str, what: str, hint: str
) -> None:
    [fault] = changed(old, new)
    text = VALID.replace(old, new, 1)
    index = text.index(at, text.index(new) if new else 0)
    assert (fault.line, fault.col) == (text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))
    assert what in fault.what
    assert hint in fault.hint
    assert fault.severity is Severity.ERROR


def test_faults_of_syntax_schema_environment_and_data_come_in_one_run(tmp_path: Path) -> None:
    path = tmp_path / "mlship.yaml"
    path.write_text(
        "version: 1\nmodel: no\nowner: {team: a}\nregistry: {uri: '${NOT_SET}'}\ncandidate: challenger\n"
        "data: {evaluation: {path: nowhere.csv, target: late}}\ngates: {metrics: {recal: {min: 0.5}, f1: {mni: 1}}}\n"
        "rollout:\n  steps:\n  - {weight: 10%, bake: {for: 5}}\n  - {weight: 5%, bake: {requests: 1}}\n"
    )
    found = [(fault.line, fault.what) for fault in check(path, {})]
    assert [line for line, _ in found] == [2, 3, 4, 5, 6, 7, 7, 10, 11]
    for word, (_, what) in zip(
        ["'no'", "'contact'", "NOT_SET", "@alias", "no file", "'recal'", "'mni'", "unit", "5%"], found, strict=True
    ):
        assert word in what


def test_an_unknown_section_does_not_hide_what_is_wrong_elsewhere(changed: Changed) -> None:
    faults = changed("gates:\n", "gates:\n  latency: {}\n  metrics2: {}\n")
    assert len(faults) == 2


def test_faults_are_not_repeated_for_what_hangs_on_them(changed: Changed) -> None:
    """A data section that is wrong is not reported as missing by the gates that need it."""
    [fault] = changed("path: july.csv, ", "")
    assert fault.what == "'evaluation' names no rows"


def test_the_environment_is_read_with_defaults(policy_file: Path) -> None:
    policy_file.write_text(VALID.replace("owner:", 'registry: {uri: "${URI}/${PART:-x}"}\nowner:'))
    checked = examine(policy_file, {"URI": "http://host"})
    assert checked.loaded is not None
    assert checked.loaded.policy.registry.uri == "http://host/x"


def test_a_doubled_dollar_is_a_plain_one(policy_file: Path) -> None:
    policy_file.write_text(VALID.replace("owner:", "registry: {uri: 'a$${B}'}\nowner:"))
    checked = examine(policy_file, {})
    assert checked.loaded is not None
    assert checked.loaded.policy.registry.uri == "a${B}"


@pytest.mark.parametrize(
    ("environ", "said"),
    [({}, "URI is not set"), ({"URI": ""}, "URI is empty"), ({"URI": "\udcff"}, "does not hold UTF-8")],
)
def test_a_variable_without_a_usable_value_is_a_fault(changed: Changed, environ: dict[str, str], said: str) -> None:
    [fault] = changed("owner:", 'registry: {uri: "${URI}"}\nowner:', environ)
    assert said in fault.what


def test_a_reference_that_is_not_one_is_a_fault(changed: Changed) -> None:
    [fault] = changed("owner:", 'registry: {uri: "${1X"}\nowner:')
    assert "does not begin a valid reference" in fault.what


SECRET = "hunter2-" + "x" * 20


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("flight-delay", "${S}/x"),
        ("2027-06-30", "${S}"),
        ("july.csv", "${S}"),
        ("july.csv", "${S}/july.csv"),
        ("target: late", "target: '${S}'"),
        ("min: 0.6", "min: '${S}'"),
        ("[tailnum]", "['${S}']"),
        ("[tailnum]", "${S}"),
        ('"127.0.0.1:8080"', '"${S}"'),
        ('"127.0.0.1:8080"', '"[${HEX}:zz]:80"'),
        ("10m", "${S}"),
        ("50%", "${S}"),
        ("version: 1", "version: ${S}"),
        ("owner:", "candidate: '${S}!'\nowner:"),
        ("owner:", "champion: '${S}'\nowner:"),
        ("rollout:\n", "rollout:\n  engine: ${S}\n"),
    ],
)
def test_no_message_ever_shows_a_value_from_the_environment(changed: Changed, old: str, new: str) -> None:
    faults = changed(old, new.replace("'", '"') if "{" in new else new, {"S": SECRET, "HEX": "deadbeefcafe"})
    text = "\n".join([*map(str, faults), *(str(fault.as_dict()) for fault in faults)])
    assert faults
    assert SECRET not in text
    assert "deadbeefcafe" not in text


def test_a_loaded_policy_does_not_show_its_values_by_accident(policy_file: Path) -> None:
    policy_file.write_text(VALID.replace("owner:", 'registry: {uri: "${S}"}\nowner:'))
    assert SECRET not in repr(examine(policy_file, {"S": SECRET}))


def test_the_digest_follows_the_meaning_and_not_the_layout(policy_file: Path) -> None:
    first = load_policy(policy_file).digest
    policy_file.write_text("# a comment\n" + VALID.replace("[tailnum]", "\n    - 'tailnum'  # the plane"))
    assert load_policy(policy_file).digest == first
    policy_file.write_text(VALID.replace("min: 0.6", "min: 0.61"))
    assert load_policy(policy_file).digest != first


def test_a_limit_from_the_environment_is_part_of_the_digest(policy_file: Path) -> None:
    """Or a candidate could pass its gates under one limit and be rolled out under another."""
    policy_file.write_text(VALID.replace("max_missing: 1%", 'max_missing: "${M}"'))
    one, two, again = (examine(policy_file, {"M": value}, data=False).loaded for value in ("1%", "90%", "1%"))
    assert one is not None
    assert two is not None
    assert again is not None
    assert one.digest != two.digest
    assert one.digest == again.digest


def test_the_digest_does_not_depend_on_where_the_registry_is(policy_file: Path) -> None:
    policy_file.write_text(VALID.replace("owner:", 'registry: {uri: "${S}"}\nowner:'))
    one, two = (examine(policy_file, {"S": value}).loaded for value in ("a", "b"))
    assert one is not None
    assert two is not None
    assert one.digest == two.digest


def test_paths_are_relative_to_the_policy(policy_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    loaded = load_policy(policy_file)
    assert loaded.resolve("july.csv") == policy_file.parent / "july.csv"
    assert loaded.resolve("../x") == policy_file.parent.parent / "x"
    assert loaded.resolve("/abs") == Path("/abs")


def test_loading_leaves_the_data_files_to_the_gates(policy_file: Path) -> None:
    (policy_file.parent / "july.csv").unlink()
    assert "there is no file" in check(policy_file)[0].what
    assert load_policy(policy_file).policy.model == "flight-delay"


def test_loading_an_invalid_policy_raises_with_every_fault(policy_file: Path) -> None:
    policy_file.write_text("version: 1\nmodel: no\n")
    with pytest.raises(PolicyError, match="missing key 'owner'") as caught:
        load_policy(policy_file)
    assert "'no' is false" in str(caught.value)
    assert caught.value.exit_code is Exit.USAGE


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the policy is empty"),
        (b"# only a comment\n", "the policy is empty"),
        (b"---\n", "a mapping"),
        (b"- a\n", "a mapping"),
        (b"text", "a mapping"),
        (b"\x00\x01\x02", "binary"),
        (b"\x89PNG\r\n\x1a\n", "not UTF-8"),
        (b"PK\x03\x04\x14\x00", "binary"),
        ("version: 1".encode("utf-16"), "UTF-16"),
        ("model: caf\u00e9".encode("latin-1"), "not UTF-8"),
        (b"a" * 1_000_001, "too large for a policy: 1.0 MB"),
    ],
)
def test_a_file_that_is_no_policy_has_one_fault(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(content)
    [fault] = check(path)
    assert said in fault.what


def test_a_byte_order_mark_does_no_harm(policy_file: Path) -> None:
    policy_file.write_bytes(b"\xef\xbb\xbf" + VALID.replace("\n", "\r\n").encode())
    assert check(policy_file) == []


def test_a_huge_file_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    with path.open("wb") as handle:
        handle.truncate(50_000_000)
    begun = time.perf_counter()
    [fault] = check(path)
    assert "too large for a policy: 50.0 MB" in fault.what
    assert time.perf_counter() - begun < 0.1


def test_missing_directories_pipes_and_impossible_paths_have_one_fault_each(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, said in [
        (tmp_path / "nowhere.yaml", "no such file"),
        (tmp_path, "directory"),
        (tmp_path / "pipe", "not a regular file"),
        (tmp_path / "a\0b", "cannot be read"),
        (tmp_path / ("x" * 5000), "cannot be read"),
    ]:
        [fault] = check(path)
        assert said in fault.what


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_has_one_fault(policy_file: Path) -> None:
    policy_file.chmod(0)
    [fault] = check(policy_file)
    assert "cannot be read: Permission denied" in fault.what


def test_thousands_of_faults_are_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("".join(f"k{i}: no\n" for i in range(5000)))
    faults = check(path)
    assert len(faults) == 101
    assert "more faults are not shown" in faults[-1].what


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary())
def test_any_bytes_yield_faults_and_never_raise(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(content)
    faults = check(path)
    assert faults
    assert all(isinstance(fault, Fault) for fault in faults)


_WORDS = """
version model owner team contact data evaluation path target reference gates metrics recall min max contract columns
leakage rollout steps weight bake for requests guard errors labels slices mirror endpoint listen testers approve within
pause header value latency predictions agreement certify sticky cookie freeze hooks before_step command webhook notify
"""

_VALUES = st.recursive(
    st.sampled_from(
        ["1", "0.5", "1%", "10s", "text", "'${X}'", "null", "true", "no", "@champion", "''", "-1", "latest"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(
            st.sampled_from(_WORDS.split()),
            inner,
            max_size=5,
        ).map(lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items.items()) + "}")
    ),
    max_leaves=25,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["data", "gates", "rollout", "endpoint", "registry", "owner", "candidate", "notify"]), _VALUES
    )
)
def test_any_policy_of_known_words_yields_faults_and_never_raises(tmp_path: Path, sections: dict[str, str]) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("version: 1\nmodel: m\n" + "".join(f"{key}: {value}\n" for key, value in sections.items()))
    checked = examine(path, {"X": "x"})
    assert (checked.loaded is None) == any(fault.severity is Severity.ERROR for fault in checked.faults)
