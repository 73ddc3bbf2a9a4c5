"""The policy's sections about rows: files, SQL, and datasets that MLflow knows."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from mlship.policy.section import Section


class Sql(Section):
    """A query whose result is the rows."""

    url: str = Field(
        min_length=1, description='SQLAlchemy URL, such as sqlite:///flights.db; secrets by "${NAME}" only'
    )
    query: str = Field(min_length=1, description="one SELECT statement")


class LoggedDataset(Section):
    """A dataset that was logged as an input of an MLflow run."""

    context: str | None = Field(None, description="the context it was logged with, such as training or evaluation")
    name: str | None = Field(None, description="its name, when several have the same context")
    run: str | None = Field(None, description="id of the run; default: the run that logged the candidate")


class Dataset(Section):
    """Rows: from files, from a query, or from a dataset logged with a run; exactly one of the three."""

    path: str | None = Field(
        None, min_length=1, description="Parquet, CSV or JSON lines, or a glob of them; relative to the policy file"
    )
    sql: Sql | None = Field(None, description="a query on a database")
    mlflow: LoggedDataset | None = Field(None, description="a dataset that was logged with an MLflow run")
    target: str | None = Field(None, description="the column that holds the label")
    time: str | None = Field(None, description="the column that holds the time of the row")

    @property
    def source(self) -> str:
        """Where the rows come from, for a message; never a URL, which may hold a password."""
        if self.path is not None:
            return self.path
        return "the SQL query" if self.sql is not None else "the MLflow dataset"


class Data(Section):
    """The rows that the gates look at."""

    evaluation: Dataset = Field(description="rows that candidate and champion are judged on; needs a target")
    reference: Dataset | None = Field(None, description="rows that the candidate was trained on")
    recent: Dataset | None = Field(None, description="the latest rows, without labels as a rule, for the drift gate")
    entity: tuple[str, ...] = Field((), description="columns that name the thing a row is about")


def _as_dataset(value: Any) -> Any:
    """A plain path stands for a dataset of that path."""
    return {"path": value} if isinstance(value, str) else value


class _OrPath:
    """Tells editors what `_as_dataset` allows."""

    @staticmethod
    def __get_pydantic_json_schema__(schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [handler(schema), {"type": "string", "minLength": 1}]}


#: A dataset, or just its path.
PathOrDataset = Annotated[Dataset, BeforeValidator(_as_dataset), _OrPath()]
