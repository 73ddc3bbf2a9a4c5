"""The endpoint's lint: what would let in too many, or nobody; and no fault shows a key."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.engines.front import front
from mlship.errors import PolicyError
from mlship.policy.faults import Fault, Source, Spot, is_named_only
from mlship.policy.lint_endpoint import split_keys
from mlship.policy.load import check, load_policy
from mlship.policy.references_endpoint import split_lines
from tests.engines.issuer import Issuer, certificate
from tests.policy.conftest import VALID, Changed

ENDPOINT = 'endpoint: {listen: "127.0.0.1:8080"}'
LONG = "a-key-of-more-than-16"
JWT = 'jwt: {issuer: "https://i", jwks: '


def endpoint(text: str, listen: str = "127.0.0.1:8080") -> tuple[str, str]:
    return ENDPOINT, f'endpoint: {{listen: "{listen}", {text}}}'


@pytest.mark.parametrize(
    ("text", "what", "severity"),
    [
        ("auth: {}", "no credentials are named, and nobody could call", "error"),
        ("auth: {header: x-key}", "no credentials are named", "error"),
        ("auth: {api_keys: abc-def-ghi-jkl-mno}", "a secret is named, never written", "error"),
        ('auth: {api_keys: "${KEYS},another-one-of-some-length"}', "a secret is named, never written", "error"),
        ('auth: {api_keys: "${NONE:-default-key-of-length}"}', "a secret is named, never written", "error"),
        ('auth: {api_keys: ""}', "a secret is named, never written", "error"),
        ('auth: {api_keys: "${SHORT}"}', "1 of 1 API keys has fewer than 16 characters", "warning"),
        ('auth: {api_keys: "${KEYS},${SHORT}"}', "1 of 3 API keys has fewer than 16 characters", "warning"),
        ('auth: {api_keys: "${ENDLESS}"}', "1 of 1 API keys is longer than 1024 bytes", "warning"),
        ('auth: {api_keys: "${KEYS}", header: host}', "'host' has a meaning of its own", "error"),
        ("auth: {api_keys_file: nothing.txt}", "there is no such file", "error"),
        ("auth: {api_keys_file: /nothing/keys.txt}", "there is no such file", "warning"),
        ("auth: {api_keys_file: .}", "this file cannot be read: Is a directory", "error"),
        ("auth: {api_keys_file: empty.txt}", "there is no key in this file", "error"),
        ("auth: {api_keys_file: short.txt}", "1 of 2 API keys has fewer than 16 characters", "warning"),
        ("auth: {api_keys_file: open.txt}", "everybody on this machine can read this file", "warning"),
        (f"auth: {{{JWT}nothing.json}}}}", "there is no such file", "error"),
        (f"auth: {{{JWT}empty.txt}}}}", "this is no set of keys (JWKS)", "error"),
        (f"auth: {{{JWT}none.json}}}}", "this is no set of keys (JWKS)", "error"),
        (f"auth: {{{JWT}list.json}}}}", "this is no set of keys (JWKS)", "error"),
        (f"auth: {{{JWT}secret.json}}}}", "there is a secret in this file", "error"),
        (f'auth: {{{JWT}"ftp://i/keys"}}}}', "keys are fetched by http or https only", "error"),
        (f'auth: {{{JWT}"https:///keys"}}}}', "this URL names no server", "error"),
        (f'auth: {{{JWT}"https://i:x/keys"}}}}', "this is no URL", "error"),
        (f'auth: {{{JWT}"https://u:p@i/keys"}}}}', "the router does not sign in", "error"),
        (f'auth: {{{JWT}"http://i/keys"}}}}', "over plain http anybody", "warning"),
        ("tls: {certificate: nothing.pem, key: a.key}", "there is no such file", "error"),
        ("tls: {certificate: a.pem, key: /nothing/a.key}", "there is no such file", "warning"),
        ("tls: {certificate: a.pem, key: b.key}", "b.key does not belong to the certificate a.pem", "error"),
        ("tls: {certificate: empty.txt, key: a.key}", "are not a certificate and its key in PEM", "error"),
        ("fallback: rule", "there is no rule that could answer", "error"),
        ("fallback: rule, rule: {}", "an answer or a function, and this is neither", "error"),
        (
            'fallback: rule, rule: {answer: {predictions: [0]}, function: "rules:answer"}',
            "an answer or a function, and this is both",
            "error",
        ),
        ("fallback: rule, rule: {function: answer}", "'answer' is not module:function", "error"),
        ('fallback: rule, rule: {function: "nobody:answer"}', "there is no module 'nobody' beside the policy", "error"),
        ('fallback: rule, rule: {function: "rules:other"}', "rules.py has no function 'other'", "error"),
        ("rule: {answer: {predictions: [0]}}", "this rule is never asked: fallback is stable", "warning"),
        ("fallback: fail, queue: {max_jobs: 5}", "nothing waits in this queue: fallback is fail", "warning"),
    ],
)
def test_what_would_let_in_the_wrong_callers_is_said_once(
    changed: Changed, policy_file: Path, text: str, what: str, severity: str
) -> None:
    prepare(policy_file.parent)
    environ = {"KEYS": f"{LONG}-1, {LONG}-2", "SHORT": "tooshort", "ENDLESS": "k" * 1025}
    [fault] = changed(*endpoint(text), environ)
    assert what in fault.what
    assert fault.severity == severity
    assert_hidden(fault, LONG, "tooshort", "abc-def-ghi", "another-one", "default-key")


def prepare(directory: Path) -> None:
    certificate(directory, "a")
    certificate(directory, "b")
    (directory / "rules.py").write_text("def answer(document): return {}\n")
    issuer = Issuer()
    documents = {
        "keys.json": issuer.jwks,
        "none.json": '{"keys": []}',
        "list.json": "[1]",
        "secret.json": json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}),
        "empty.txt": "# nobody\n\n",
        "short.txt": f"# two\n{LONG}\n  tooshort  \n",
        "open.txt": LONG,
        "good.txt": f"{LONG}\n",
    }
    for name, text in documents.items():
        (directory / name).write_text(text)
        (directory / name).chmod(0o644 if name == "open.txt" else 0o600)


def assert_hidden(fault: Fault, *secrets: str) -> None:
    for secret in secrets:
        assert secret not in str(fault)
        assert secret not in json.dumps(fault.as_dict())


@pytest.mark.parametrize(
    ("text", "listen", "what"),
    [
        ("timeout: 1s", "0.0.0.0:8080", "0.0.0.0 can be reached from other machines, and nobody is asked who they are"),
        ('auth: {api_keys: "${KEYS}"}', "[::]:8080", "other machines, and credentials go there in plain text"),
        ('auth: {api_keys: "${KEYS}"}, tls: {certificate: a.pem, key: a.key}', "0.0.0.0:8080", None),
        ('auth: {api_keys: "${KEYS}"}', "127.0.0.1:8080", None),
        ("auth: {api_keys_file: good.txt}", "localhost:8080", None),
        (f"auth: {{{JWT}keys.json}}}}", "[::1]:8080", None),
        (f'auth: {{{JWT}"https://login.example.com/keys.json"}}}}', "[::1]:8080", None),
        (f'auth: {{{JWT}"http://localhost:8000/keys.json"}}}}', "[::1]:8080", None),
        ("fallback: rule, rule: {answer: {predictions: [0]}}", "127.0.0.1:8080", None),
        ('fallback: rule, rule: {function: "rules:answer"}', "127.0.0.1:8080", None),
        ("fallback: queue, queue: {max_jobs: 5}", "127.0.0.1:8080", None),
    ],
)
def test_what_is_reached_from_outside_needs_credentials_and_tls(
    changed: Changed, policy_file: Path, text: str, listen: str, what: str | None
) -> None:
    prepare(policy_file.parent)
    found = changed(*endpoint(text, listen), {"KEYS": LONG})
    if what is None:
        assert found == []
        return
    [fault] = found
    assert what in fault.what
    assert fault.severity == "warning"


def test_a_budget_beyond_the_timeout_is_no_budget(changed: Changed) -> None:
    found = changed("  leakage:", "  latency: {rate: 100/s, p50: 100ms, p99: 6s}\n  leakage:")
    assert [(fault.what, str(fault.severity)) for fault in found] == [
        ("p99 6s is more than endpoint.timeout, 5s", "warning")
    ]


@pytest.mark.parametrize("quote", ["", '"', "'"])
def test_a_written_key_is_not_shown_with_another_fault_of_its_line(policy_file: Path, quote: str) -> None:
    """Whatever the fault is about, and wherever in the line."""
    key = f"{quote}secret-of-some-length{quote}"
    for line in (f"auth: {{api_keys: {key}, heeder: x}}", f"auth: {{heeder: x, api_keys: {key}}}"):
        policy_file.write_text(VALID.replace(*endpoint(line)))
        found = check(policy_file, {})
        assert len(found) == 2
        for fault in found:
            assert_hidden(fault, "secret-of-some-length")
            assert "********" in str(fault)


@given(st.text(alphabet="abc\"'{}$:-_ ,#\t", max_size=20), st.text(alphabet="kK3y", min_size=4, max_size=20))
def test_no_way_of_writing_a_key_shows_it(around: str, key: str) -> None:
    line = f"  api_keys: {key}" + around.partition("api_keys")[0]
    assert key not in Source.of("p.yaml", line).fault(Spot(1, 3), "what").source_line.partition(":")[2].split(" ")[1]


@pytest.mark.parametrize(
    ("written", "only"),
    [
        ("${A}", True),
        ("${A},${B}", True),
        ("${A}, ${B_2}", True),
        ('"${A}"', True),
        ("", False),
        (",", False),
        ("$A", False),
        ("${A:-x}", False),
        ("x${A}", False),
        ("${A}x", False),
        ("$${A}", False),
        ("${1}", False),
    ],
)
def test_a_secret_is_only_named(written: str, only: bool) -> None:
    assert is_named_only(written) is only


def test_keys_are_read_from_variable_and_file(policy_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(policy_file.parent)
    (policy_file.parent / "more.txt").write_text(f"# comment\n\n{LONG}-2\n  {LONG}-3  \n{LONG}-2\n")
    policy_file.write_text(VALID.replace(*endpoint('auth: {api_keys: "${KEYS}", api_keys_file: more.txt}')))
    monkeypatch.setenv("KEYS", f" {LONG}-1 ,,{LONG}-2\n")
    loaded = load_policy(policy_file)
    found = front(loaded.policy.endpoint, loaded.resolve)
    assert found.key_digests is not None
    assert len(found.key_digests) == 3
    assert LONG not in json.dumps(found.to_json())
    assert type(found).from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("auth: {api_keys_file: nothing.txt}", "the file of API keys cannot be read: No such file"),
        ("auth: {api_keys_file: bytes.txt}", "the file of API keys cannot be read: it is not text"),
        ("auth: {api_keys_file: empty.txt}", "asks for API keys, and there is none"),
        ("auth: {api_keys_file: long.txt}", "an API key is longer than 1024 bytes"),
        (f"auth: {{{JWT}nothing.json}}}}", "the file of the issuer's keys cannot be read: No such file"),
        (f"auth: {{{JWT}none.json}}}}", "this is no set of keys"),
        ("tls: {certificate: a.pem, key: b.key}", "does not belong to the certificate"),
    ],
)
def test_a_front_is_not_made_of_files_that_do_not_hold(policy_file: Path, text: str, what: str) -> None:
    prepare(policy_file.parent)
    (policy_file.parent / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    (policy_file.parent / "long.txt").write_text("k" * 1025)
    policy_file.write_text(VALID.replace(*endpoint(text)))
    loaded = load_policy(policy_file)
    with pytest.raises(PolicyError, match=what):
        front(loaded.policy.endpoint, loaded.resolve)


@given(st.lists(st.text(alphabet=st.characters(exclude_characters=",#", exclude_categories=["C", "Z"]), min_size=1)))
def test_keys_survive_being_written_down(keys: list[str]) -> None:
    assert split_keys(" , ".join(keys) + ",") == keys
    assert split_keys("\n".join(keys)) == keys
    assert split_lines("# keys\n\n" + os.linesep.join(keys) + "\n") == keys
