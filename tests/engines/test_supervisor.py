"""The process manager's files: no path and no argument can be misread."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mlship.engines import processes, state, supervisor
from mlship.engines.supervisor import Supervisor
from mlship.errors import EngineError


def test_a_script_passes_on_exactly_what_it_was_given(tmp_path: Path) -> None:
    odd = ["it's", "50% ;#", '"$HOME"', "a\nb", ""]
    path = tmp_path / "run.sh"
    path.write_text(supervisor.script(["printf", r"%s\0", *odd], {"X": "y'z"}, before="true"))
    done = subprocess.run(["/bin/sh", str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.split("\0")[:-1] == odd


def test_the_configuration_holds_no_path_but_its_own_and_no_password() -> None:
    text = supervisor.config(20_001, "secret", ["envoy", "v1-aa"])
    assert "secret" not in text
    assert "port=127.0.0.1:20001" in text
    assert "command=/bin/sh run/v1-aa.sh" in text
    assert "=/" not in text.replace("=/bin/sh", "")


def test_a_manager_that_does_not_answer_is_an_error_without_its_password(tmp_path: Path) -> None:
    (port,) = state.free_ports(1)
    manager = Supervisor(tmp_path, port, "secret")
    assert not manager.alive()
    with pytest.raises(EngineError, match="does not answer") as caught:
        manager.processes()
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_free_ports_are_free_and_different() -> None:
    ports = state.free_ports(20)
    assert len(set(ports)) == 20
    assert all(state.bindable("127.0.0.1", port) is None for port in ports)


def test_an_unknown_port_has_no_owner() -> None:
    (port,) = state.free_ports(1)
    assert processes.listener(port) == ""


def test_the_last_lines_of_a_log_that_is_not_there_are_none(tmp_path: Path) -> None:
    assert supervisor.tail(tmp_path, "x") == ""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "x.log").write_bytes(b"\xff\n" + b"line\n" * 20)
    assert supervisor.tail(tmp_path, "x", lines=3).split() == ["line"] * 3
