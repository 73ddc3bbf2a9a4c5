"""The dashboard and the alert rules ask for nothing that is not exported: names, labels, and values of labels."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlship.engines import state
from mlship.engines.front import Front
from mlship.engines.state import State
from mlship.templates import template
from tests.monitor.exported import Exported, everything

_NAME = r"(?:mlship|envoy|process)_[a-z0-9_]+"
_SELECTOR = re.compile(rf"\b({_NAME})\b(?:{{([^}}]*)}})?")
_MATCH = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_USED = re.compile(r"\{\{\s*\$?(?:labels\.)?(\w+)")
#: Made by an expression itself.
_MADE = re.compile(r'label_replace\(.*?"(\w+)",\s*"\$1"')


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(template("prometheus/mlship.rules.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(template("grafana/mlship.json").read_text())
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression, and where it stands."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for annotation in dashboard()["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", variable["query"]["query"]


def faults(expression: str, exported: Exported) -> list[str]:
    """Names, labels and values of an expression that nothing exports."""
    found = []
    asked: list[str] = []
    for name, selector in _SELECTOR.findall(expression):
        if name not in exported:
            found.append(f"no metric {name}")
            continue
        asked.append(name)
        for label, operator, value in _MATCH.findall(selector):
            values = exported[name].get(label)
            if values is None:
                found.append(f"{name} has no label {label}")
            elif operator in ("=", "=~") and "$" not in value and values:
                matched = [one for one in value.split("|") if not any(re.fullmatch(one, it) for it in values)]
                found += [f"{name} never has {label}={one}" for one in matched]
    known = {label for name in asked for label in exported[name]} | set(_MADE.findall(expression))
    for group in _GROUPS.findall(expression):
        found += [f"no label {label}" for label in re.findall(r"\w+", group) if label not in known]
    return found


def _templated(name: str) -> str:
    """`{__name__=~"a|b"}` asks for both."""
    return re.sub(r'\{__name__=~"([^"]*)"\}', lambda match: " ".join(match[1].split("|")), name)


@pytest.fixture(scope="module")
def exported() -> Exported:
    return everything()


@pytest.mark.parametrize(("where", "expression"), list(expressions()), ids=[where for where, _ in expressions()])
def test_every_expression_asks_for_what_is_exported(where: str, expression: str, exported: Exported) -> None:
    assert faults(_templated(expression), exported) == [], where


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("mlship_monitor_incidents > 0", "no metric mlship_monitor_incidents"),
        ('mlship_monitor_trouble{sauce="log"}', "mlship_monitor_trouble has no label sauce"),
        ('mlship_monitor_trouble{source="lag"}', "mlship_monitor_trouble never has source=lag"),
        ('mlship_requests_total{outcome=~"failed|lost"}', "mlship_requests_total never has outcome=lost"),
        ("sum by (modell) (mlship_ready)", "no label modell"),
        ('envoy_mlship_requests{code=~"9.."}', "envoy_mlship_requests never has code=9.."),
    ],
)
def test_what_is_not_exported_is_noticed(expression: str, fault: str, exported: Exported) -> None:
    assert faults(expression, exported) == [fault]


def test_what_is_said_of_an_alert_names_labels_that_its_expression_keeps(exported: Exported) -> None:
    for rule in rules():
        names = [name for name, _ in _SELECTOR.findall(rule["expr"])]
        groups = re.findall(r"\bby\s*\(([^)]*)\)", rule["expr"])
        if groups:
            kept = {label for group in groups for label in re.findall(r"\w+", group)}
        else:  # of `a unless on (x) b` the labels of a are left, of `a or b` those of either
            kept = set.intersection(*(set(exported[name]) for name in names[: 1 if "unless" in rule["expr"] else None]))
        for text in rule["annotations"].values():
            assert set(_USED.findall(text)) <= kept | {"value"}, rule["alert"]


def test_every_rule_says_what_it_is_and_how_urgent() -> None:
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found) >= 15
    for rule in found:
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
    names = {name for rule in found for name, _ in _SELECTOR.findall(rule["expr"])}
    for prefix in ("mlship_monitor_", "mlship_requests", "envoy_mlship_"):
        assert any(name.startswith(prefix) for name in names)


def test_legends_name_labels_that_are_there(exported: Exported) -> None:
    for panel in panels():
        for target in panel["targets"]:
            names = [name for name, _ in _SELECTOR.findall(target["expr"])]
            known = {label for name in names for label in exported[name]} | set(_MADE.findall(target["expr"]))
            assert set(_USED.findall(target["legendFormat"])) <= known, panel["title"]


def test_the_dashboard_can_be_imported_anywhere() -> None:
    """Its own id, a data source that is asked for, panels that do not overlap, and words on each."""
    document = dashboard()
    assert document["uid"] == "mlship-models"
    assert "id" not in document, "an id is of one Grafana"
    ids = [panel["id"] for panel in document["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        place = panel["gridPos"]
        assert 0 <= place["x"] <= place["x"] + place["w"] <= 24
        mine = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not mine & taken, panel["title"]
        taken |= mine
    for panel in panels():
        assert panel["description"].endswith("."), panel["title"]
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    names = [variable["name"] for variable in document["templating"]["list"]]
    used = set(re.findall(r"\$(?:\{)?([a-z]+)", json.dumps(document)))
    assert used <= set(names), "every variable is asked for"
    assert set(names) <= used


def test_promtool_has_nothing_to_say(tmp_path: Path) -> None:
    """About the rules, and about the dashboard's expressions made into rules."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool (Debian: apt-get install prometheus)")
    told = [{"record": "x", "expr": target["expr"]} for panel in panels() for target in panel["targets"]]
    text = json.dumps({"groups": [{"name": "dashboard", "rules": told}]}).replace("$__rate_interval", "5m")
    (tmp_path / "dashboard.yml").write_text(text)
    for path in (template("prometheus/mlship.rules.yml"), tmp_path / "dashboard.yml"):
        done = subprocess.run([promtool, "check", "rules", str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_targets_are_found_where_the_engine_notes_them(tmp_path: Path) -> None:
    """By the script that is shipped, as a program, of a state that the engine itself has written."""
    engine = State.new("flight delay", Front("127.0.0.1:8080", 5.0))
    servers = {
        name: state.Deployment(name, version, f"sha256:{version:0>64}", port, "nonce", ("x",))
        for name, version, port in (("v1-a", "1", 21001), ("v2-b", "2", 21002))
    }
    for server in servers.values():
        engine = engine.with_server(server)
    (tmp_path / "engines" / "flight delay").mkdir(parents=True)
    state.save(tmp_path / "engines" / "flight delay", engine)
    (tmp_path / "engines" / "broken").mkdir()
    (tmp_path / "engines" / "broken" / "engine.json").write_text("{}")
    script = template("prometheus/targets.py")
    done = subprocess.run(["python3", str(script), str(tmp_path)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        {"targets": ["127.0.0.1:21001"], "labels": {"model": "flight delay", "version": "1", "role": "server"}},
        {"targets": ["127.0.0.1:21002"], "labels": {"model": "flight delay", "version": "2", "role": "server"}},
        {
            "targets": [f"127.0.0.1:{engine.admin_port}"],
            "labels": {"model": "flight delay", "role": "router", "__metrics_path__": "/stats/prometheus"},
        },
    ]
    assert engine.password not in done.stdout + done.stderr
    assert "broken" in done.stderr
