"""Hooks with real processes and a real server: only a clear yes is one, and nothing is left behind."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.policy.commands import shell_sign, words
from mlship.policy.rollout import Hook
from mlship.rollout import webhook
from mlship.rollout.hooks import Hooks
from mlship.rollout.state import HookAnswer
from tests.waiting import until

FACTS = {"model": "flight-delay", "version": "8", "weight": "0.1", "point": "before_step", "champion": ""}
YES = HookAnswer(True)

#: (command, timeout) -> what a single hook with it answers.
Asked = Callable[..., HookAnswer]


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    def ask(command: str, timeout: str = "30s") -> HookAnswer:
        hook = Hook.model_validate({"command": command, "timeout": timeout})
        return Hooks([hook], [], tmp_path).ask("before:1", FACTS)

    return ask


def script(directory: Path, text: str, name: str = "check.sh") -> str:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return f"./{name}"


def test_exit_code_0_agrees_and_anything_else_is_a_veto_with_the_last_lines(asked: Asked, tmp_path: Path) -> None:
    assert asked("true") == YES
    assert asked("false") == HookAnswer(False, "false ended with exit code 1")
    command = script(tmp_path, "echo one; echo two; echo; echo three >&2; echo four; exit 3")
    assert asked(command) == HookAnswer(False, "check.sh ended with exit code 3: two / three / four")


def test_a_program_knows_what_it_is_asked_about_and_runs_beside_the_policy(asked: Asked, tmp_path: Path) -> None:
    command = script(tmp_path, 'env > "$1"; pwd >> "$1"; cat >> "$1"')
    assert asked(f"{command} 'what was said.txt'") == YES
    said = (tmp_path / "what was said.txt").read_text().splitlines()
    assert {f"MLSHIP_{name.upper()}={value}" for name, value in FACTS.items()} <= set(said)
    assert said[-1] == str(tmp_path)  # and nothing waits on its standard input
    assert f"PATH={os.environ['PATH']}" in said


def test_there_is_no_shell_unless_it_is_named(asked: Asked, tmp_path: Path) -> None:
    assert asked("test '$MLSHIP_WEIGHT' = '$MLSHIP_WEIGHT'") == YES
    assert asked("test $MLSHIP_WEIGHT = 0.1").agreed is False
    assert asked("""sh -c 'test "$MLSHIP_WEIGHT" = 0.1 && exit 0'""") == YES
    (tmp_path / "evil").mkdir()
    hook = Hook(command="touch safe")
    assert Hooks([hook], [], tmp_path).ask("before:0", {"model": "$(touch bad); touch bad"}) == YES
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("./nowhere.sh", "nowhere.sh could not be started: No such file or directory"),
        ("no-such-program-anywhere", "no-such-program-anywhere could not be started: No such file or directory"),
        ("./plain.txt", "plain.txt could not be started: Permission denied"),
        ("./empty", "empty could not be started: Exec format error"),
        ("'unclosed", "a hook's command cannot be run: a quote is not closed"),
        ("''", "a hook's command cannot be run: it names no program"),
        ("   ", "a hook's command cannot be run: it names no program"),
        ("sh -c 'kill -9 $$'", "sh was ended by signal 9"),
        ("sh -c 'printf \"\\033[31mred\\007\"; exit 1'", "sh ended with exit code 1: [31mred"),
    ],
)
def test_what_cannot_be_asked_has_not_agreed(asked: Asked, tmp_path: Path, command: str, said: str) -> None:
    (tmp_path / "plain.txt").write_text("#!/bin/sh\n")
    (tmp_path / "empty").write_bytes(b"\x00\x01")
    (tmp_path / "empty").chmod(0o755)
    assert asked(command) == HookAnswer(False, said)


def gone(pid: int) -> bool:
    """Whether a process has ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo waiting; sleep 600 & echo $! > child; wait", "check.sh gave no answer within 0.5 s: waiting"),
        ("trap '' TERM INT HUP; sleep 600 & echo $! > child; exec sleep 600", "check.sh gave no answer within 0.5 s"),
        ("sleep 600 & echo $! > child; exec >/dev/null 2>&1; wait", "check.sh gave no answer within 0.5 s"),
        ("sleep 600 & echo $! > child; exit 0", ""),  # what it leaves behind holds its output open
        ("sleep 600 >/dev/null 2>&1 & echo $! > child; exit 0", ""),
        ("setsid sh -c 'echo $$ > child; touch there; exec sleep 600' & until test -e there; do :; done", ""),
    ],
)
def test_nothing_of_a_hook_outlives_its_answer(asked: Asked, tmp_path: Path, text: str, said: str) -> None:
    begun = time.monotonic()
    assert asked(script(tmp_path, text), "500ms") == HookAnswer(not said, said)
    assert time.monotonic() - begun < 5
    child = int((tmp_path / "child").read_text())
    until(lambda: gone(child))


def test_endless_output_neither_fills_memory_nor_hides_the_last_lines(asked: Asked, tmp_path: Path) -> None:
    command = script(tmp_path, "head -c 20000000 /dev/zero | tr '\\0' 'y'; echo; echo last; exit 1")
    answer = asked(command)
    assert answer.said.startswith("check.sh ended with exit code 1: yyy")
    assert len(answer.said) < 400
    assert asked("yes", "300ms").said == "yes gave no answer within 0.3 s: y / y / y"


def test_a_very_long_fact_is_cut_rather_than_refused(tmp_path: Path) -> None:
    hooks = Hooks([Hook(command="true")], [], tmp_path)
    assert hooks.ask("before:0", {"reason": "x" * 1_000_000, "model": "a\0b"}) == YES


def test_closing_ends_what_runs_and_lets_nothing_start(tmp_path: Path) -> None:
    hooks = Hooks([Hook(command=script(tmp_path, "touch there; sleep 600"))], [], tmp_path)
    found: list[HookAnswer] = []
    thread = threading.Thread(target=lambda: found.append(hooks.ask("before:0", {})))
    thread.start()
    until((tmp_path / "there").exists)
    hooks.close()
    thread.join(10)
    assert found == [HookAnswer(False, "check.sh was ended by signal 9")]
    assert hooks.ask("before:0", {}) == HookAnswer(False, "check.sh was not asked: the command ends")


def test_hooks_are_asked_in_order_up_to_the_first_veto_and_only_those_of_the_point(tmp_path: Path) -> None:
    def hook(name: str, code: int) -> Hook:
        return Hook(command=script(tmp_path, f"echo {name} >> order; exit {code}", name))

    hooks = Hooks([hook("a", 0), hook("b", 2), hook("c", 0)], [hook("d", 0)], tmp_path)
    assert hooks.ask("before:0", {}) == HookAnswer(False, "b ended with exit code 2")
    assert (tmp_path / "order").read_text().split() == ["a", "b"]
    assert hooks.ask("after:0", {}) == YES
    assert (tmp_path / "order").read_text().split() == ["a", "b", "d"]
    assert Hooks([], [], tmp_path).ask("before:0", {}) == YES


class Service(ThreadingHTTPServer):
    """Answers each POST with the next of its answers, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[Any] = []
        self.answers: list[tuple[int, bytes]] = []
        self.drip = threading.Event()
        self.over = threading.Event()

    def url(self, path: str = "/agree") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        document = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, dict(self.headers.items()), document))
        if self.server.drip.is_set():
            line = b"HTTP/1.0 200 OK\r\n"
            while not self.server.over.wait(0.05):
                try:
                    self.wfile.write(line)
                except OSError:
                    return
                line = b"x: y\r\n"
            return
        status, body = self.server.answers.pop(0) if self.server.answers else (204, b"")
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("location", self.server.url("/elsewhere"))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.answers[0][1])

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Service()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


def of_web(url: str, timeout: str = "10s") -> HookAnswer:
    hook = Hook.model_validate({"webhook": url, "timeout": timeout})
    return Hooks([], [hook], Path("/")).ask("after:0", FACTS)


def test_a_service_gets_the_facts_and_agrees_by_2xx(service: Service) -> None:
    service.answers = [(200, b"yes"), (204, b""), (202, b"")]
    assert [of_web(service.url("/agree?who=me")) for _ in range(3)] == [YES] * 3
    path, headers, document = service.asked[0]
    assert path == "/agree?who=me"
    assert document == FACTS
    assert {name.lower(): value for name, value in headers.items()}["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, b"\n  error budget is spent \nmore", "answered 403: error budget is spent"),
        (500, b"", "answered 500"),
        (404, b"\xff\xfe\x00 binary", "answered 404: \ufffd\ufffd binary"),
        (418, b"x" * 5000, "answered 418: " + "x" * 297 + "..."),
        (302, b"", "answered 302, and redirects are not followed"),
        (307, b"", "answered 307, and redirects are not followed"),
        (409, b"no hook s3cr3t-token here", "answered 409: no hook ******** here"),
    ],
)
def test_any_other_answer_is_a_veto_with_its_first_line(service: Service, status: int, body: bytes, said: str) -> None:
    service.answers = [(status, body)]
    answer = of_web(service.url("/hooks/s3cr3t-token?key=s3cr3t-key"))
    assert answer == HookAnswer(False, f"http://127.0.0.1:{service.server_port} {said}")
    assert len(service.asked) == 1


@pytest.mark.parametrize("said", ["se%2Dcret+token", "se-cret+token", "se-cret token", "SE%2dCRET%20TOKEN"])
def test_a_token_that_comes_back_is_hidden_however_it_is_written(said: str) -> None:
    url = "https://example.com/hooks/se%2Dcret+token?a=b"
    assert webhook.without(url, f"no such hook: {said}!") == "no such hook: ********!"


def test_a_service_has_its_time_and_no_more_however_it_answers(service: Service) -> None:
    service.drip.set()
    begun = time.monotonic()
    answer = of_web(service.url(), "300ms")
    assert time.monotonic() - begun < 2
    assert answer == HookAnswer(False, f"http://127.0.0.1:{service.server_port} gave no answer within 0.3 s")


def test_a_service_that_hangs_up_has_not_agreed(service: Service) -> None:
    service.drip.set()
    service.over.set()
    assert of_web(service.url()).said == f"http://127.0.0.1:{service.server_port} could not be asked: it hung up"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:9/s3cr3t", "http://127.0.0.1:9 could not be asked: Connection refused"),
        ("ftp://127.0.0.1/s3cr3t", "ftp://127.0.0.1 cannot be asked: this is no http or https URL"),
        ("file:///etc/s3cr3t", "the webhook cannot be asked: this is no http or https URL"),
        ("s3cr3t", "the webhook cannot be asked: this is no http or https URL"),
        ("http://[s3cr3t", "the webhook cannot be asked: this is no http or https URL"),
        (
            "http://me:s3cr3t@127.0.0.1:9/",
            "http://127.0.0.1:9 cannot be asked: user and password do not belong into a URL",
        ),
        ("http://127.0.0.1:9/s3cr3t s3cr3t", "http://127.0.0.1:9 could not be asked: InvalidURL"),
        ("http://127.0.0.1:9/s3cr3t\u00fc", "http://127.0.0.1:9 could not be asked: UnicodeEncodeError"),
    ],
)
def test_what_is_no_service_has_not_agreed_and_its_url_is_not_shown(
    url: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert of_web(url) == HookAnswer(False, said)


def test_a_certificate_that_nobody_trusts_is_a_veto(service: Service, tmp_path: Path) -> None:
    import ssl

    from tests.engines.issuer import certificate

    certificate(tmp_path, "a")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "a.pem", tmp_path / "a.key")
    service.socket = context.wrap_socket(service.socket, server_side=True)
    answer = of_web(service.url("/s3cr3t").replace("http:", "https:"))
    assert "its certificate is not trusted" in answer.said
    assert not answer.agreed


def test_a_hook_that_asks_nobody_is_a_veto(tmp_path: Path) -> None:
    assert Hooks([Hook()], [], tmp_path).ask("before:0", {}).agreed is False


def documented(name: str) -> str:
    return (Path(__file__).parents[2] / "docs" / name).read_text()


@pytest.mark.parametrize(
    ("alerts", "answer"),
    [
        ([], YES),
        ([{"state": "pending", "labels": {"alertname": "Disk"}}], YES),
        ([{"state": "firing", "labels": {"alertname": "Disk", "model": "another"}}], YES),
        (
            [{"state": "firing", "labels": {"alertname": "Disk"}}, {"state": "firing", "labels": {"alertname": "CPU"}}],
            HookAnswer(
                False,
                f"{Path(sys.executable).name} ended with exit code 1: "
                "flight-delay stays as it is while CPU, Disk fires",
            ),
        ),
    ],
)
def test_the_documented_example_does_what_it_says(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alerts: list[dict[str, Any]], answer: HookAnswer
) -> None:
    page = documented("reference/hooks.md")
    (tmp_path / "alerts.py").write_text(page.partition("```python\n")[2].partition("```")[0])
    service.answers = [(200, json.dumps({"status": "success", "data": {"alerts": alerts}}).encode())]
    monkeypatch.setenv("PROMETHEUS_URL", service.url(""))
    hooks = Hooks([Hook(command=f"{sys.executable} alerts.py")], [], tmp_path)
    assert hooks.ask("before:0", FACTS) == answer
    assert service.asked == ["/api/v1/alerts"]
    monkeypatch.setenv("PROMETHEUS_URL", "http://127.0.0.1:9")
    assert hooks.ask("before:0", FACTS).agreed is False


def test_the_documented_holidays_are_kept(tmp_path: Path) -> None:
    import yaml

    page = documented("how-to/freeze.md")
    section = yaml.safe_load(page.rpartition("```yaml\n")[2].partition("```")[0])
    hooks = Hooks([Hook(**section["rollout"]["hooks"]["before_step"][0])], [], tmp_path)
    (tmp_path / "holidays.txt").write_text("2013-12-25\n")
    assert hooks.ask("before:0", {}) == YES
    (tmp_path / "holidays.txt").write_text("".join(f"{time.strftime('%Y-%m-')}{day:02}\n" for day in range(1, 32)))
    assert hooks.ask("before:0", {}).agreed is False


def test_every_documented_fact_is_one_that_a_rollout_tells() -> None:
    import ast
    import inspect
    import textwrap

    from mlship.rollout.voice import Voice

    source = ast.parse(textwrap.dedent(inspect.getsource(Voice.facts)))
    told = {
        str(key.value)
        for node in ast.walk(source)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant)
    }
    page = documented("reference/hooks.md").partition("## Facts")[2].partition("## Example")[0]
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| `")]
    keys = [key.strip(" `") for row in rows for key in row[2].split(",")]
    assert sorted(keys) == sorted(told)
    assert [name.strip(" `") for row in rows for name in row[1].split(",")] == [f"MLSHIP_{key.upper()}" for key in keys]


def test_hooks_load_nothing_heavy() -> None:
    import subprocess

    code = "import sys, mlship.rollout.hooks; assert not {'pydantic', 'numpy', 'requests', 'mlflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("command", "sign"),
    [
        ("./check.sh --weight 10", ""),
        ("curl https://example.com/?a=1", ""),
        ("python -c 'import sys; print(1) | $x'", ""),
        (r"echo a\|b", ""),
        ('echo "a|b"', ""),
        ("echo a~b", ""),
        ("a | b", "|"),
        ("a && b", "&"),
        ("a; b", ";"),
        ("a > out", ">"),
        ("echo $MLSHIP_WEIGHT", "$"),
        ('echo "$MLSHIP_WEIGHT"', "$"),
        ('echo "`id`"', "`"),
        ("ls *.sh", "*"),
        ("~/check.sh", "~"),
        ("A=1 ./check.sh", "A="),
        ("a\nb", "\n"),
        ("curl https://example.com/?a=1&b=2", "&"),
    ],
)
def test_what_only_a_shell_would_act_upon_is_found(command: str, sign: str) -> None:
    assert shell_sign(command) == sign


@given(st.text(max_size=30))
def test_any_text_is_split_or_refused(command: str) -> None:
    try:
        found = words(command)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - most texts are commands, some are not
    else:
        assert found[0]


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1))
def test_quoted_words_come_out_as_they_went_in_and_need_no_shell(arguments: list[str]) -> None:
    import shlex

    command = shlex.join(["x", *arguments])
    assert words(command) == ("x", *arguments)
    assert shell_sign(command) == ""
