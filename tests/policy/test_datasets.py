"""What a policy says about its rows is checked offline: files, globs, the shape of a database's URL."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from mlship.policy.faults import Severity
from mlship.policy.formats import matches
from tests.policy.conftest import VALID, Changed

PATH = "path: july.csv"
HEADER = "late,time_hour,tailnum,distance,arr_time\n1,2013-07-01,N1,100,900\n"
POSTGRES = "postgresql://ship@db/flights"


def sql(url: str, query: str = "SELECT 1 ORDER BY 1") -> str:
    return f'sql: {{url: "{url}", query: "{query}"}}'


def test_a_glob_is_as_good_as_its_files(policy_file: Path, changed: Changed) -> None:
    for month in ("06", "07"):
        (policy_file.parent / "months" / month).mkdir(parents=True)
        (policy_file.parent / "months" / month / "rows.csv").write_text(HEADER)
    for glob in ("months/*/rows.csv", "months/**/*.csv", "months/0[67]/rows.csv", "months/0?/*"):
        assert changed(PATH, f'path: "{glob}"') == []
    [fault] = changed(PATH, 'path: "months/*/row.csv"')
    assert "no file matches" in fault.what
    (policy_file.parent / "months" / "07" / "rows.csv").write_text(HEADER.replace("distance", "miles"))
    [fault] = changed(PATH, 'path: "months/*/rows.csv"')
    assert fault.what == "the files have different columns: 'distance' is in 06/rows.csv, not in 07/rows.csv"
    (policy_file.parent / "months" / "07" / "rows.csv").write_text("")
    [fault] = changed(PATH, 'path: "months/*/rows.csv"')
    assert "07/rows.csv cannot be used: the file is empty" in fault.what


def test_the_keys_of_json_lines_are_columns(policy_file: Path, changed: Changed) -> None:
    lines = [{"late": 1, "time_hour": "2013-07-01"}, {"late": 0, "tailnum": "N1", "distance": 1, "arr_time": 2}]
    (policy_file.parent / "july.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert changed(PATH, "path: july.jsonl") == []
    [fault] = changed(f"{PATH}, target: late", "path: july.jsonl, target: lat")
    assert (fault.what, fault.hint) == ("this file has no column 'lat'", "did you mean 'late'?")
    (policy_file.parent / "july.jsonl").write_text('{"late": 1}\n[1]\n')
    [fault] = changed(PATH, "path: july.jsonl")
    assert "line 2 is not a JSON object" in fault.what


def test_recent_rows_are_checked_like_the_others(changed: Changed) -> None:
    [fault] = changed("  entity: [tailnum]", "  recent: {path: august.csv}\n  entity: [tailnum]")
    assert "there is no file" in fault.what
    [fault] = changed("  entity: [tailnum]", "  recent: {path: july.csv, time: hour}\n  entity: [tailnum]")
    assert fault.what == "this file has no column 'hour'"


@pytest.mark.parametrize(
    ("source", "what", "severity"),
    [
        (sql("db.sqlite"), "not a SQLAlchemy URL", Severity.ERROR),
        (sql("postgres://ship@db/flights"), "SQLAlchemy knows no database 'postgres'", Severity.ERROR),
        (sql("postgresql+asyncpg://ship@db/flights"), "works with asyncio only", Severity.ERROR),
        (sql("postgressql://ship@db/flights"), "'postgressql' is none of the databases", Severity.WARNING),
        (sql("postgresql://ship:hunter2@db/flights"), "a password does not belong into a policy", Severity.ERROR),
        (sql("sqlite:///nowhere.db"), "there is no SQLite database", Severity.ERROR),
        (sql(POSTGRES, "DELETE FROM flights"), "not a query for rows", Severity.ERROR),
        (sql(POSTGRES, "/* SELECT */ DROP TABLE flights -- ORDER BY"), "not a query for rows", Severity.ERROR),
        (sql(POSTGRES, "SELECT * FROM flights"), "leaves the order of its rows", Severity.WARNING),
    ],
)
def test_a_query_that_cannot_work_is_told(changed: Changed, source: str, what: str, severity: Severity) -> None:
    [fault] = changed(PATH, source)
    assert what in fault.what
    assert fault.severity is severity
    assert "hunter2" not in str(fault)


def test_a_query_that_can_work_is_fine(policy_file: Path, changed: Changed) -> None:
    sqlite3.connect(policy_file.parent / "flights.db").execute("CREATE TABLE flights (late INTEGER)")
    assert changed(PATH, sql("sqlite:///flights.db", "with f as (select 1) select * from f order by 1")) == []
    assert changed(PATH, sql("${DB}", " -- why\\n (SELECT 1) ORDER BY 1"), {"DB": "postgresql://u:hunter2@h/d"}) == []


def test_a_file_that_is_called_like_a_pattern_is_a_file(tmp_path: Path) -> None:
    """And a directory that is called so does not make a pattern of what is in it."""
    odd = tmp_path / "[2013]"
    odd.mkdir()
    (odd / "a*.csv").touch()
    (odd / "ab.csv").touch()
    assert matches("a*.csv", odd / "a*.csv") is None
    assert matches("ab.csv", odd / "ab.csv") is None
    assert matches("?b.csv", odd / "?b.csv") == [("ab.csv", odd / "ab.csv")]
    assert matches(f"{tmp_path}/[12]*/ab.csv", tmp_path / "[12]*" / "ab.csv") == []
    assert matches("../[[]*/ab.csv", tmp_path / "[[]*" / "ab.csv") == [("[2013]/ab.csv", odd / "ab.csv")]


def test_checking_loads_neither_pandas_nor_a_driver(policy_file: Path) -> None:
    policy_file.write_text(VALID.replace(PATH, sql(POSTGRES)))
    script = (
        "import sys, pathlib; from mlship.policy.load import check\n"
        "assert check(pathlib.Path(sys.argv[1]), {}) == []\n"
        "assert not {'pandas', 'pyarrow', 'sqlalchemy', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script, policy_file], check=True)
