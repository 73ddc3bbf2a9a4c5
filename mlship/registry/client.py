"""The registry as mlship sees it: exact versions, candidate and champion, aliases that move by compare-and-set."""

from __future__ import annotations

import difflib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.errors import MovedError, RegistryError, StateError
from mlship.home import Home
from mlship.policy.data import LoggedDataset
from mlship.policy.schema import Policy
from mlship.registry import baselines, connection, datasets, evidence, files
from mlship.types import Candidate, Evaluation, ModelVersion

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as Registered

#: How long a move waits for another move on this machine.
LOCK_SECONDS = 30.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Registry:
    """One MLflow registry, reached; make it with `connect`. No MLflow global state is read or changed."""

    client: MlflowClient
    tracking_uri: str
    registry_uri: str
    home: Home

    @classmethod
    def connect(cls, uri: str | None, home: Home) -> Registry:
        """Reach the registry at `uri`, else at `MLFLOW_TRACKING_URI`, else the embedded one.

        The embedded one is made on first use: while nothing has been recorded in this state directory. Later a file
        that is not there is a registry that is gone, or another one than is meant.

        Raises ``RegistryError`` when it does not answer within seconds, is a file that is not there, or `uri` cannot be
        a registry.
        """
        tracking, registry, embedded = connection.choose(uri, home)
        first = embedded and not home.begun
        if first:
            home.ensure(home.registry_dir)
        client = connection.open_client(tracking, registry, create=first)
        return cls(client, tracking, registry, home)

    @property
    def uri(self) -> str:
        """The tracking URI, as MLflow understands it. It may carry a password: show `connection.safe(uri)`."""
        return self.tracking_uri

    def version(self, model: str, reference: str) -> ModelVersion:
        """The exact version that `@alias`, a version number or `latest` (the highest number) means now, fetched.

        Raises ``RegistryError`` when there is no such model, alias or version, or its files are gone.
        """
        number = self._number(model, reference)
        with self._told():
            registered = self._registered(model, number)
            location = self._location(registered)
        where = f"{model} version {number}"
        if registered.status != "READY":
            raise RegistryError(
                f"the version is {registered.status}, not READY", where=where, hint="wait for it, or log it again"
            )
        fetched = files.fetch(lambda directory: self._download(location, directory, where), self.home, where)
        return ModelVersion(
            model=model,
            version=number,
            digest=fetched.digest,
            path=fetched.path,
            run_id=registered.run_id or None,
            inputs=files.signature_inputs(fetched.path),
        )

    def candidate(self, policy: Policy, *, version: str | None = None, against: str | None = None) -> Candidate:
        """The policy's candidate, and the champion it is compared with: None when that alias does not exist yet.

        `version` and `against` (references as in the policy) stand in for what the policy names.
        Raises ``RegistryError`` as `version` does.
        """
        candidate = self.version(policy.model, version or policy.candidate)
        if against is not None:
            return Candidate(candidate, self.version(policy.model, against))
        number = self.alias(policy.model, policy.champion)
        if number is None:
            return Candidate(candidate, None)
        return Candidate(candidate, candidate if number == candidate.version else self.version(policy.model, number))

    def alias(self, model: str, alias: str) -> str | None:
        """The version that an alias (with or without its `@`) points at; None when it does not exist.

        Raises ``RegistryError`` when there is no such model.
        """
        return self._aliases(model).get(alias.removeprefix("@"))

    def move_alias(self, model: str, alias: str, *, expected: str | None, to: str) -> None:
        """Move an alias by compare-and-set: only if it points at `expected` (None: does not exist) at this moment.

        mlship's own processes on one state directory exclude each other by a file lock. MLflow itself offers no atomic
        compare-and-set, so against other writers a window remains: from the read to the write, a few milliseconds
        on SQLite and one round trip on a server. A write of theirs inside that window is overwritten; one after it is
        found by reading back. A caller that resumes after a crash reads `alias` first: when the alias already points at
        `to`, this raises as for any other surprise.

        Raises ``MovedError`` when it points elsewhere, before or after; ``RegistryError`` when `to` does not exist.
        """
        name = alias.removeprefix("@")
        with _lock(self.home):
            found = self._aliases(model).get(name)
            if found != expected:
                raise MovedError(
                    f"@{name} points at {_named(found)}, not at {_named(expected)} as before: nothing was moved",
                    where=model,
                    hint="find out who moved it (`mlship history`), then begin again from what it points at now",
                )
            with self._told():
                self._registered(model, to)
                self.client.set_registered_model_alias(model, name, to)
            after = self._aliases(model).get(name)
        if after != to:
            raise MovedError(
                f"@{name} was moved to {_named(to)}, and someone else moved it to {_named(after)} right after",
                where=model,
                hint="agree on who moves it, then begin again",
            )

    def dataset(self, which: LoggedDataset, version: ModelVersion) -> Path:
        """The local file of a dataset that was logged with a run: by default the run that logged `version`.

        Raises ``DataError`` when it cannot be told which, or no file can be got from it; ``RegistryError``.
        """
        with self._told():
            return datasets.fetch(self.client, which, version, self.home, connection.safe)

    def log_evaluation(
        self, evaluation: Evaluation, policy_text: str, texts: dict[str, str], *, label: str = ""
    ) -> str:
        """Keep an evaluation as an MLflow run that is linked to the model version both ways; returns the run's id.

        `texts` are the reports, by file name; `label` names a proof beside the evaluation, such as `latency`. A run
        that cannot be completed ends as FAILED, or KILLED on Ctrl-C. Raises ``RegistryError``.
        """
        location = connection.artifacts(self.tracking_uri, self.home)
        with self._told():
            return evidence.log(self.client, evaluation, policy_text, texts, location, label=label)

    def results(self, run_id: str) -> list[tuple[str, str, str]]:
        """(gate, rule, status) of every result of an evaluation that was kept here. Raises ``RegistryError``."""
        with self._told():
            return evidence.results(self.client, run_id)

    def baseline(self, model: str, version: str) -> baselines.Kept:
        """The baseline of a version (its number), as its evaluation kept it, and verified.

        Raises ``RegistryError`` when there is none, or another than was kept; it says what to do.
        """
        with self._told():
            self._registered(model, version)
            return baselines.find(self.client, model, version)

    def tag(self, version: ModelVersion, tags: dict[str, str]) -> None:
        """Set tags of a model version. Raises ``RegistryError``."""
        with self._told():
            for key, value in tags.items():
                self.client.set_model_version_tag(version.model, version.version, key, value)

    def _told(self) -> AbstractContextManager[None]:
        return connection.told(self.registry_uri)

    def _number(self, model: str, reference: str) -> str:
        if reference.startswith("@"):
            aliases = self._aliases(model)
            if (number := aliases.get(reference[1:])) is not None:
                return number
            known = ", ".join(f"@{alias} = {version}" for alias, version in sorted(aliases.items())) or "none"
            raise RegistryError(
                f"there is no alias {reference} (aliases: {known})",
                where=model,
                hint=f"set it: MlflowClient().set_registered_model_alias('{model}', '{reference[1:]}', VERSION)",
            )
        if reference.isascii() and reference.isdigit():
            return str(int(reference))
        if reference == "latest":
            if versions := self._versions(model):
                return str(versions[-1])
            raise RegistryError(
                "the model has no version yet", where=model, hint="log one with mlflow.<flavor>.log_model"
            )
        raise RegistryError(
            f"{reference!r} is no reference to a version",
            where=model,
            hint=f"write @{reference} for an alias, a version number such as 7, or latest",
        )

    def _aliases(self, model: str) -> dict[str, str]:
        from mlflow.exceptions import MlflowException

        with self._told():
            try:
                aliases = self.client.get_registered_model(model).aliases
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                raise self._unknown_model(model) from None
        return {str(name): str(version) for name, version in dict(aliases).items()}

    def _registered(self, model: str, number: str) -> Registered:
        from mlflow.exceptions import MlflowException

        try:
            return self.client.get_model_version(model, number)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
        versions = self._versions(model)
        known = ", ".join(map(str, versions[-10:])) or "none"
        gone = bool(versions) and int(number) < versions[-1]
        raise RegistryError(
            f"there is no version {number}{' any more: it was deleted' if gone else ''} (versions: {known})",
            where=model,
            hint="name one of these, an alias, or latest",
        )

    def _versions(self, model: str) -> list[int]:
        self._aliases(model)  # says so when there is no such model
        quote = '"' if "'" in model else "'"
        with self._told():
            found: list[Registered] = []
            token: str | None = None
            while True:
                page = self.client.search_model_versions(f"name={quote}{model}{quote}", page_token=token)
                found += page
                token = page.token
                if not token:
                    return sorted(int(version.version) for version in found)

    def _unknown_model(self, model: str) -> RegistryError:
        names = sorted(found.name for found in self.client.search_registered_models(max_results=1000))
        where = connection.safe(self.registry_uri)
        if not names:
            return RegistryError(
                f"there is no model named {model!r}: the registry is empty",
                where=where,
                hint=f"log one with MLFLOW_TRACKING_URI={where}, or name your registry by registry.uri in the policy",
            )
        close = difflib.get_close_matches(model, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"it holds: {', '.join(names[:10])}"
        return RegistryError(f"there is no model named {model!r}", where=where, hint=hint)

    def _location(self, registered: Registered) -> str:
        """Where the files are. MLflow's own helper would look the logged model up at its global tracking URI."""
        location = str(self.client.get_model_version_download_uri(registered.name, str(registered.version)))
        if location.startswith("models:/m-"):
            location = str(self.client.get_logged_model(location.removeprefix("models:/")).artifact_location)
        return location

    def _download(self, location: str, directory: Path, where: str) -> None:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        try:
            repository = get_artifact_repository(
                location, tracking_uri=self.tracking_uri, registry_uri=self.registry_uri
            )
            repository.download_artifacts("", str(directory))  # type: ignore[no-untyped-call]  # MLflow has no type for it
        except Exception as error:  # every kind of storage raises exceptions of its own, or lacks its package
            if isinstance(error, OSError) and error.errno in _FULL:
                raise
            for code in _FULL:  # MLflow fetches in threads, and hands on no more than their text
                if f"[Errno {code}] {os.strerror(code)}" in str(error):
                    raise OSError(code, os.strerror(code)) from error
            cause = " ".join(connection.safe(str(error)).split())[:200]
            raise RegistryError(
                f"the version's files cannot be fetched: {cause}",
                where=f"{where} at {connection.safe(location)}",
                hint="were they deleted, or is their storage out of reach? if they are gone, log the model again",
            ) from error


def _named(version: str | None) -> str:
    return "no version" if version is None else f"version {version}"


@contextmanager
def _lock(home: Home) -> Iterator[None]:
    home.ensure(home.path)
    try:
        descriptor = os.open(home.registry_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"cannot lock: {error.strerror}", where=str(home.registry_lock)) from error
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StateError(
                        f"another mlship has been moving an alias for {LOCK_SECONDS:.0f} s",
                        where=str(home.registry_lock),
                        hint=f"see which one with `fuser {home.registry_lock}`, then try again",
                    ) from None
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)
