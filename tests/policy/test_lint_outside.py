"""Hooks and notifications: what would not be asked, or would not be told, is said; and no fault shows a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlship.policy import references_rollout
from mlship.policy.load import check, examine
from tests.policy.conftest import VALID, Changed

SECRET = "hunter2-hunter2"


def hooks(text: str) -> tuple[str, str]:
    return "rollout:\n", f"rollout:\n  hooks: {{before_step: [{{{text}}}]}}\n"


@pytest.mark.parametrize(
    ("text", "what", "hint", "severity"),
    [
        ("", "a hook is a command or a webhook, and this is neither", "command: ./check.sh", "error"),
        ('command: ./check.sh, webhook: "https://h/x"', "and this is both", "keep one of the two", "error"),
        ("comand: ./check.sh", "unknown key 'comand'", "did you mean 'command'?", "error"),
        ("command: [./check.sh]", "'command': must be text", "", "error"),
        ("command: ./chek.sh", "there is no file ./chek.sh", "relative to the policy", "error"),
        ("command: nosuchprogram -x", "this machine has no program nosuchprogram: ", "./check.sh", "warning"),
        ("command: /no/such/program", "this machine has no program /no/such/program: ", "./check.sh", "warning"),
        ("command: '${S} -x'", "this machine has no program ${S}: ", "./check.sh", "warning"),
        ("command: ./plain.txt", "./plain.txt may not be executed", "chmod +x plain.txt", "error"),
        ('command: "./check.sh | grep x"', "and '|' would mean nothing", "sh -c '...'", "error"),
        ("command: ./check.sh $MLSHIP_WEIGHT", "and '$' would mean nothing", "sh -c '...'", "error"),
        ('command: "./check.sh \'x"', "this is no command: a quote is not closed", "as in a shell", "error"),
        ('command: " "', "this is no command: it names no program", "as in a shell", "error"),
        ('command: ""', "must not be empty", "", "error"),
        ("command: ./check.sh, timeout: 30", "a duration needs a unit", "did you mean '30s'", "error"),
        ("command: ./check.sh, timeout: 2h", "must be at most 1h", "", "error"),
        ("command: ./check.sh, timeout: 0s", "must be more than 0s", "", "error"),
        ('webhook: "ftp://h/hunter2-hunter2"', "a webhook is asked by http or https", "https://", "error"),
        ("webhook: hunter2-hunter2", "a webhook is asked by http or https", "https://", "error"),
        ('webhook: "https:///hunter2-hunter2"', "this URL names no server", "https://", "error"),
        ('webhook: "https://h:0/hunter2-hunter2"', "this URL names no server", "https://", "error"),
        ('webhook: "https://h:x/hunter2-hunter2"', "asked by http or https", "https://", "error"),
        ('webhook: "https://me:hunter2-hunter2@h/"', "user and password do not belong", "token", "error"),
        ('webhook: "http://example.com/hunter2-hunter2"', "over plain http anybody", "https?", "warning"),
        ('webhook: "${S}"', "a webhook is asked by http or https", "https://", "error"),
        ('command: "${SHELL_TEXT}"', "no shell reads this, and something in it would mean nothing", "", "error"),
    ],
)
def test_a_hook_that_could_not_be_asked_is_told_at_its_place(  # noqa: PLR0917 - one argument for each column above
    changed: Changed, policy_file: Path, text: str, what: str, hint: str, severity: str
) -> None:
    for name in ("check.sh", "plain.txt"):
        (policy_file.parent / name).touch(0o755 if name == "check.sh" else 0o644)
    [fault] = changed(*hooks(text), {"S": SECRET, "SHELL_TEXT": f"x {SECRET} | y"})
    assert what in fault.what
    assert hint in fault.hint
    assert fault.severity == severity
    assert fault.source_line.strip().startswith("hooks:")
    if "webhook" not in what:  # a word without a scheme is no URL, and may be anything
        assert SECRET not in str(fault)


@pytest.mark.parametrize(
    ("runbook", "what"),
    [
        ("nowhere.md", "there is no file nowhere.md"),
        ("${S}.md#first", "there is no file ${S}.md#first"),
        (".", "there is no file ."),
        ("there.md", ""),
        ("there.md#first", ""),
        ("https://example.com/runbook", ""),
    ],
)
def test_a_runbook_that_is_not_there_is_told_at_its_place(
    changed: Changed, policy_file: Path, runbook: str, what: str
) -> None:
    (policy_file.parent / "there.md").touch()
    faults = changed("review_by:", f'runbook: "{runbook}", review_by:', {"S": SECRET})
    assert [(fault.what, fault.line, str(fault.severity)) for fault in faults] == ([(what, 3, "error")] if what else [])
    assert SECRET not in str(faults)


@pytest.mark.parametrize(
    "text",
    [
        "command: ./check.sh --quick 'two words'",
        "command: sh -c 'test \"$MLSHIP_WEIGHT\" = 0.1'",
        "command: env python -m checks, timeout: 60m",
        'webhook: "https://example.com/agree"',
        'webhook: "http://localhost:8000/agree"',
        'webhook: "${URL}/agree"',
    ],
)
def test_a_hook_that_can_be_asked_has_no_fault(changed: Changed, policy_file: Path, text: str) -> None:
    (policy_file.parent / "check.sh").touch(0o755)
    assert changed(*hooks(text), {"URL": "https://example.com"}) == []


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        (f'["slack://{SECRET}/b/c"]', "a secret is named, never written", 'write "${NAME}"'),
        (f'["${{URL}}", "json://{SECRET}"]', "a secret is named, never written", 'write "${NAME}"'),
        (f'["${{URL:-json://{SECRET}}}"]', "a secret is named, never written", 'write "${NAME}"'),
        (f'["json://${{S}}/{SECRET}"]', "a secret is named, never written", 'write "${NAME}"'),
        ('["${S}"]', "what this variable holds is no URL of a service", "slack://"),
        ('["${URL}, ${S}"]', "what this variable holds is no URL of a service", "slack://"),
        (f'"slack://{SECRET}"', "'notify': must be a list of names of variables", 'write notify: ["${NAME}"]'),
        ('"${URL}"', "'notify': must be a list of names of variables", 'write notify: ["${NAME}"]'),
        (f"{{slack: {SECRET}}}", "'notify': must be a list of names of variables", 'write notify: ["${NAME}"]'),
        (f"[[{SECRET}]]", "item 1 of 'notify': must be text", 'write notify: ["${NAME}"]'),
        ("[7]", "item 1 of 'notify': must be text", 'write notify: ["${NAME}"]'),
        ("", "'notify' has no value", "apprise"),
        ('["${NOT_SET}"]', "the environment variable NOT_SET is not set", "set it"),
    ],
)
def test_a_notification_that_would_reach_nobody_is_told(changed: Changed, text: str, what: str, hint: str) -> None:
    [fault] = changed("rollout:\n", f"notify: {text}\nrollout:\n", {"S": SECRET, "URL": f"json://h/{SECRET}"})
    assert what in fault.what
    assert hint in fault.hint
    assert SECRET not in str(fault)
    assert SECRET not in str(fault.as_dict())


@pytest.mark.parametrize("text", ['["${URL}"]', '["${URL},${URL}"]', '["${URL} ${TWO}"]', "[]"])
def test_a_service_that_is_named_has_no_fault(changed: Changed, text: str) -> None:
    environ = {"URL": f"json://h/{SECRET}", "TWO": "slack://a/b/c, discord://a/b"}
    assert changed("rollout:\n", f"notify: {text}\nrollout:\n", environ) == []


def test_without_apprise_the_extra_is_named(changed: Changed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references_rollout, "find_spec", lambda _name: None)
    [fault] = changed("rollout:\n", 'notify: ["${URL}"]\nrollout:\n', {"URL": "json://h"})
    assert (str(fault.severity), fault.hint) == ("warning", "pip install 'mlship[notify]'")
    assert changed() == []


@pytest.mark.parametrize(
    "text",
    [
        f"notify: [no, slack://{SECRET}]",
        f"notify:\n- no\n- slack://{SECRET}",
        f"notify:\n  # who\n  - \"slack://{SECRET}\"\n  - 'slack://x {SECRET}'",
        f'notify: [\n"slack://{SECRET}",\n  no]',
        f"'notify': ['{SECRET}', x: y]",
        f"rollout:\n  hooks: {{after_step: [{{webhook: https://h/{SECRET}, tmeout: 3s}}]}}",
        f"rollout:\n  hooks: {{after_step: [{{tmeout: 3s, webhook: 'https://me:{SECRET}@h/?a={SECRET}'}}]}}",
        f"rollout:\n  hooks:\n    after_step:\n    - webhook:\n        'ftp://{SECRET}/{SECRET}'",
        f"rollout:\n  hooks:\n    after_step:\n    - webhook: >-\n        ftp://h/{SECRET}",
    ],
)
def test_a_written_secret_is_not_shown_with_any_fault_of_its_line(policy_file: Path, text: str) -> None:
    policy_file.write_text(VALID.partition("rollout:")[0] + text + "\n")
    faults = check(policy_file, {})
    assert faults
    for fault in faults:
        assert SECRET not in str(fault)
        assert SECRET not in str(fault.as_dict())


def test_lines_beside_notify_are_shown(policy_file: Path) -> None:
    policy_file.write_text(
        VALID.replace("rollout:\n", "rollout:\n  notify: [x]\n  leese: 60s\n") + "notify: []\nleese: 1s\n"
    )
    shown = [fault.source_line for fault in check(policy_file, {})]
    assert shown == ["  notify: [*]", "  leese: 60s", "leese: 1s"]


def test_who_is_asked_and_told_is_no_part_of_what_a_candidate_passed(policy_file: Path) -> None:
    """A token that is replaced does not undo an evaluation; another command does."""
    policy_file.write_text(VALID.replace(*hooks('webhook: "${URL}"')) + 'notify: ["${URL}"]\n')
    one, two = (examine(policy_file, {"URL": f"https://h/{name}"}, data=False).loaded for name in "ab")
    assert one is not None
    assert two is not None
    assert one.digest == two.digest
    policy_file.write_text(VALID.replace(*hooks("command: ./a.sh")))
    three = examine(policy_file, {}, data=False).loaded
    policy_file.write_text(VALID.replace(*hooks("command: ./b.sh")))
    four = examine(policy_file, {}, data=False).loaded
    assert three is not None
    assert four is not None
    assert three.digest != four.digest
