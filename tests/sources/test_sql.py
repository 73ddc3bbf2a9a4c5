"""Queries on a real SQLite database: rows in batches, nothing written, and one clear message without the password."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import make_url

from mlship.errors import DataError
from mlship.policy.data import Dataset, Sql
from mlship.sources import sql
from mlship.sources.files import Rows, read

#: (query, **options) -> rows of the database of this test.
Ask = Callable[..., Rows]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    (tmp_path / "data").mkdir()
    with sqlite3.connect(tmp_path / "data" / "flights.db") as database:
        database.execute("CREATE TABLE flights (id INTEGER, carrier TEXT, delay REAL, odd, late INTEGER)")
        rows = [(1, "UA", 1.5, 1, 0), (2, None, None, "one", 1), (3, "UA", 2.0, 2.5, 1), (4, "100%:x", -1.0, None, 0)]
        database.executemany("INSERT INTO flights VALUES (?, ?, ?, ?, ?)", rows)

    def of(query: str, url: str = "sqlite:///data/flights.db", target: str | None = "late") -> Rows:
        return read(Dataset(sql=Sql(url=url, query=query), target=target), tmp_path, labelled=True)

    return of


def test_a_query_gives_rows(ask: Ask) -> None:
    """Types as a file has them; relative paths start at the policy file."""
    rows = ask("SELECT id, carrier, delay, late FROM flights ORDER BY id")
    expected = pd.DataFrame(
        {"id": [1, 2, 3, 4], "carrier": ["UA", None, "UA", "100%:x"], "delay": [1.5, None, 2, -1], "late": [0, 1, 1, 0]}
    )
    pd.testing.assert_frame_equal(rows.frame.astype({"carrier": "str"}), expected, check_dtype=False)
    assert rows.path.name == "SQL query"
    assert len(ask("SELECT id, late FROM flights WHERE id > 9")) == 0


def test_signs_that_drivers_read_otherwise_are_meant_as_written(ask: Ask) -> None:
    assert len(ask("SELECT * FROM (SELECT id, carrier, late FROM flights) WHERE carrier LIKE '%:x' -- 100% :id ?")) == 1


def test_the_digest_is_of_columns_values_and_their_order(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    query = "SELECT id, carrier, late FROM flights ORDER BY id"
    digest = ask(query).digest
    assert digest == ask(f"{query} ASC").digest
    for other in (
        f"{query} DESC",
        query.replace("id, carrier", "carrier, id"),
        query.replace("id,", "id AS key,"),
        query.replace("carrier", "CAST(id AS TEXT) AS carrier"),
        query.replace("ORDER", "WHERE id < 4 ORDER"),
    ):
        assert ask(other).digest != digest
    monkeypatch.setattr(sql, "BATCH", 1)
    assert ask(query).digest == digest


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("DELETE FROM flights", "not a query for rows"),
        ("WITH gone AS (SELECT 1) DELETE FROM flights", "readonly database"),
        ("SELECT lte FROM flights", "the database refuses the query: no such column: lte"),
        ("SELECT 1; SELECT 2", "one statement at a time"),
        ("SELECT id, id, late FROM flights", "two columns of the query are named 'id'"),
        ("SELECT odd, late FROM flights ORDER BY id", "'odd' holds numbers in some rows and text in others"),
        ("SELECT late AS lat FROM flights", "there is no column 'late'; did you mean 'lat'?"),
        ("SELECT id, NULLIF(late, 0) AS late FROM flights", "2 of 4 rows have no label"),
    ],
)
def test_a_query_that_cannot_be_used_is_refused(ask: Ask, query: str, says: str) -> None:
    with pytest.raises(DataError) as caught:
        ask(query)
    assert says in str(caught.value)
    assert caught.value.hint
    assert len(ask("SELECT late FROM flights")) == 4, "nothing was deleted"


@pytest.mark.parametrize(
    ("url", "says", "hint"),
    [
        ("sqlite:///data/flight.db", "no such SQLite database", "did you mean 'flights.db'?"),
        ("nonsense", "not a SQLAlchemy URL", "dialect+driver"),
        ("postgres://ship:hunter2@db/flights", "knows no database 'postgres'", "postgresql://"),
        ("nowhere+driver://ship:hunter2@db/flights", "knows no database 'nowhere+driver'", "pip install"),
        ("mysql+asyncmy://ship:hunter2@db/flights", "asyncio only", "mysql+pymysql"),
        ("oracle+cx_oracle://ship:hunter2@db/flights", "the driver for oracle+cx_oracle is not installed", "cx_Oracle"),
    ],
)
def test_a_database_that_cannot_be_reached_is_told(ask: Ask, url: str, says: str, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        ask("SELECT 1 AS late", url)
    assert says in caught.value.what
    assert hint in caught.value.hint
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_database_is_not_made(ask: Ask, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        ask("SELECT 1 AS late", "sqlite:///new.db")
    assert not (tmp_path / "new.db").exists()


def test_whatever_a_driver_says_the_password_is_not_in_it() -> None:
    """In no spelling: as given, quoted for a URL, or among the URL's options."""
    url = make_url("postgresql://ship:p%40ss%2Fw%20rd@db/flights?sslkey=k3y&options=a&options=s3cret")
    with (
        pytest.raises(DataError) as caught,
        sql._told(url, "the database does not answer", "is it running?"),
    ):
        raise ValueError(f"{url.password} {url.render_as_string(hide_password=False)} sslkey=k3y s3cret p%40ss%2Fw+rd")
    shown = str(caught.value)
    for secret in ("p@ss", "p%40ss", "k3y", "s3cret", "w rd", "w+rd"):
        assert secret not in shown
    assert "postgresql://ship:***@db/flights" in shown
