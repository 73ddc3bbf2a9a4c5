"""The state directory `.mlship/`: where everything that outlives a command is kept, and how it is found."""

from __future__ import annotations

import hashlib
import os
import stat
import string
from dataclasses import dataclass
from pathlib import Path

from mlship.errors import StateError

NAME = ".mlship"
#: Characters that a model's name keeps on disk; and how many bytes a file's name may have.
_KEPT, _LONGEST = frozenset(string.ascii_letters + string.digits + "._-"), 255


@dataclass(frozen=True, slots=True)
class Home:
    """The state directory; its properties are the only place that spells a path inside it."""

    path: Path

    @classmethod
    def find(cls, explicit: Path | None = None) -> Home:
        """The directory given, else `MLSHIP_HOME`, else the nearest `.mlship/` upwards, else a new one here.

        Nothing is created until something is written.
        Raises ``StateError`` when it is no directory and cannot become one, or when the working directory is gone.
        """
        named = explicit or os.environ.get("MLSHIP_HOME")
        if named and Path(named).is_absolute():
            return cls(_usable(Path(named)))
        try:
            here = Path.cwd()
        except FileNotFoundError as error:
            raise StateError(
                "the directory that this runs in has been deleted", hint="cd to one that is there, and try again"
            ) from error
        if named:
            return cls(_usable(here / named))
        for directory in (here, *here.parents):
            if (directory / NAME).is_dir():
                return cls(directory / NAME)
        return cls(_usable(here / NAME))

    @property
    def ledger(self) -> Path:
        """The append-only ledger."""
        return self.path / "ledger.jsonl"

    @property
    def begun(self) -> bool:
        """Whether anything about a model has been recorded here: an entry in the ledger, or a rollout."""
        return self.ledger.exists() or (self.path / "rollouts").is_dir()

    @property
    def registry_uri(self) -> str:
        """URI of the embedded SQLite registry."""
        return f"sqlite:///{self.registry_dir / 'mlflow.db'}"

    @property
    def registry_dir(self) -> Path:
        """Database and artifacts of the embedded registry."""
        return self.path / "registry"

    @property
    def registry_lock(self) -> Path:
        """Held while an alias moves; excludes mlship's own processes only."""
        return self.path / "registry.lock"

    @property
    def models(self) -> Path:
        """Content-addressed copies of model versions."""
        return self.path / "models"

    @property
    def cache(self) -> Path:
        """Things that can be computed again, such as predictions by model and data digest."""
        return self.path / "cache"

    @property
    def scanned(self) -> Path:
        """One empty file for each digest of a model that a policy has let onto a server."""
        return self.path / "scanned"

    @property
    def builds(self) -> Path:
        """What went into each image, and the log of its build."""
        return self.path / "builds"

    def engine(self, model: str) -> Path:
        """What a local engine keeps for one model: configuration, logs, process manager."""
        return self.path / "engines" / slug(model)

    def monitor(self, model: str) -> Path:
        """What `mlship monitor` remembers of one model."""
        return self.path / "monitor" / slug(model)

    def rollouts(self, model: str) -> Path:
        """Journals of one model's rollouts, and its lock."""
        return self.path / "rollouts" / slug(model)

    def ensure(self, directory: Path) -> Path:
        """Create a directory inside the state directory (mode 0700) and return it.

        Raises ``StateError`` when the disk or the permissions do not allow it.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StateError(
                f"cannot create the state directory: {error.strerror}",
                where=str(directory),
                hint="free space or permissions, or point MLSHIP_HOME at a writable directory",
            ) from error
        return directory


def _usable(path: Path) -> Path:
    """The path, which is a directory or may become one."""
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            return path
        what = "this is a file, and the state directory is to be a directory"
    except FileNotFoundError:
        return path
    except OSError as error:
        what = f"the state directory cannot be reached: {error.strerror}"
    raise StateError(what, where=str(path), hint="name a directory by --home or MLSHIP_HOME")


def slug(name: str) -> str:
    """A file-system name for a registered model; models that differ keep names that differ."""
    encoded = name.encode("utf-8", "surrogatepass")
    plain = "".join(char if char in _KEPT else f"%{ord(char):02x}" for char in encoded.decode("latin-1"))
    plain = f"%{plain}" if plain.startswith(".") else plain
    if len(plain) <= _LONGEST:
        return plain
    # No shorter name has this sign in it: what follows a percent sign there is a number, or the dot at the beginning.
    return f"{plain[:150]}%-{hashlib.sha256(encoded).hexdigest()}"
