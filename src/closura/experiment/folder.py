"""A run folder as it is written: which steps are finished, and what they left."""

import errno
import importlib.util
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import yaml

from closura.data.store import write_atomically, write_json
from closura.evaluation.findings import each_once
from closura.experiment.steps import Step, changed

RECORD = "stages.json"
EXPERIMENT = "experiment.yaml"
LOCK = ".lock"
NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)  # file systems that know no locks
IDENTITY = ("name", "truth")  # what makes a run folder that of another experiment


class Folder:
    """The run folder of one experiment.

    Args:
        path: Where it is, or shall be.
        resolved: The experiment with its defaults filled in.

    Raises:
        ValueError: The folder holds something else: another experiment, or files of another kind.
    """

    def __init__(self, path: Path, resolved: Mapping[str, Any]):
        self.path = path
        self.resolved = resolved
        self._check_owner()
        self._record = self._read_record()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and keep every other run out of it inside the block.

        Raises:
            ValueError: Another run is at work in it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / LOCK).open("a") as file:
            if not _take(file):
                raise ValueError(
                    f"another run is at work in {self.path}. Wait until it has ended, or run "
                    "with --folder OTHER."
                )
            self._check_owner()  # the other run may just have ended
            self._record = self._read_record()
            yield

    def forget_stale(self, steps: Iterable[Step], prints: Mapping[str, str]) -> None:
        """Remove what steps left with other settings than those of `prints`, their fingerprints.

        Steps that are not to run now are meant too: their outputs rest on what is made anew.
        """
        for step in steps:
            entry = self._record.get(step.name)
            noted = entry if isinstance(entry, dict) else {}
            if prints[step.name] in (noted.get("fingerprint"), noted.get("begun")):
                continue
            if self._record.pop(step.name, None) is not None:
                self._write_record()
            for name in step.outputs:
                self._remove(self.path / name)

    def claim(self) -> None:
        """Write the resolved experiment into the folder."""
        text = yaml.safe_dump(dict(self.resolved), sort_keys=False, allow_unicode=True)
        write_text(self.path / EXPERIMENT, text)

    def is_finished(self, step: Step, fingerprint: str) -> bool:
        """Return whether a step need not run: it ran with these settings and nothing is missing.

        Raises:
            ValueError: An output is there but is not what the step wrote.
        """
        entry = self._record.get(step.name)
        if not isinstance(entry, dict) or entry.get("fingerprint") != fingerprint:
            return False
        stored = entry.get("outputs", {})
        if any(not (self.path / name).exists() for name in step.outputs):
            return False
        for name in step.outputs:
            if step.sealed and stored.get(name) != measure(self.path / name):
                raise ValueError(
                    f"{self.path / name} is not what step '{step.name}' wrote: it holds "
                    f"{_spelled(measure(self.path / name))}, wanted {_spelled(stored.get(name))}. "
                    "Delete it to have it made again, or run with --folder OTHER."
                )
        return True

    def begin(self, step: Step, fingerprint: str) -> None:
        """Note that a step begins; what it left with other settings is removed first.

        What an interrupted step of the same fingerprint left stays: it may go on from there.
        """
        entry = self._record.get(step.name)
        if not isinstance(entry, dict) or entry.get("begun") != fingerprint:
            self._record.pop(step.name, None)
            self._write_record()
            for name in step.outputs:
                self._remove(self.path / name)
            self._record[step.name] = {"stage": step.stage, "begun": fingerprint}
            self._write_record()

    def finish(self, step: Step, fingerprint: str, seconds: float, notes: list[str]) -> None:
        """Note that a step is finished and what it left."""
        self._record[step.name] = {
            "stage": step.stage,
            "fingerprint": fingerprint,
            "seconds": round(seconds, 3),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "warnings": notes,
            "outputs": {name: measure(self.path / name) for name in step.outputs},
        }
        self._write_record()

    def seconds(self, names: Iterable[str]) -> dict[str, float]:
        """Return how long each finished step of these names took."""
        found = {name: self._record.get(name, {}) for name in names}
        return {name: entry["seconds"] for name, entry in found.items() if "seconds" in entry}

    def warnings(self, names: Iterable[str]) -> list[str]:
        """Return what the finished steps of these names warned about, each line once."""
        entries = [self._record.get(name, {}) for name in names]
        return each_once([line for entry in entries for line in entry.get("warnings", ())])

    def note(self, event: str, **values: Any) -> None:
        """Append one line to metrics.jsonl."""
        line = {"time": round(time.time(), 3), "event": event} | values
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=str) + "\n")

    def _remove(self, path: Path) -> None:
        """Remove an output and what an interruption left half-written beside it."""
        patterns = (f".{path.name}.*", f".{path.stem}.partial-*")
        beside = [found for pattern in patterns for found in path.parent.glob(pattern)]
        for found in (path, *beside):
            if found.is_dir():
                shutil.rmtree(found)
            else:
                found.unlink(missing_ok=True)

    def _write_record(self) -> None:
        write_json(self.path / RECORD, self._record)

    def _read_record(self) -> dict[str, Any]:
        path = self.path / RECORD
        if not path.exists():
            return {}
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(
                f"{path} cannot be read ({error}). Delete it to run every stage again, or run "
                "with --folder OTHER."
            ) from error
        return record if isinstance(record, dict) else {}

    def _check_owner(self) -> None:
        if self.path.is_file():
            raise ValueError(f"{self.path} is a file; give --folder the name of a folder.")
        stored = self.path / EXPERIMENT
        if not stored.exists():
            if self.path.is_dir() and any(path.name != LOCK for path in self.path.iterdir()):
                raise ValueError(
                    f"{self.path} is not empty and holds no {EXPERIMENT}, so it is no run folder. "
                    "Run with --folder OTHER."
                )
            return
        try:
            before = yaml.safe_load(stored.read_text(encoding="utf-8"))
        except (yaml.YAMLError, ValueError) as error:
            raise ValueError(
                f"{stored} cannot be read. Run with --folder OTHER, or delete {self.path}."
            ) from error
        other = changed(before if isinstance(before, dict) else {}, self.resolved, IDENTITY)
        if other:
            what = other[0]
            found = before.get(what) if isinstance(before, dict) else None
            raise ValueError(
                f"{self.path} holds the run of another experiment: its {what} is {found}, and "
                f"this one's is {self.resolved.get(what)}. "
                f"Run with --folder OTHER, or delete {self.path}."
            )


def measure(path: Path) -> list[int]:
    """Return the number of files and of bytes at a path: cheap, and enough to see damage."""
    if path.is_dir():
        files = [file for file in path.rglob("*") if file.is_file()]
        return [len(files), sum(file.stat().st_size for file in files)]
    return [1, path.stat().st_size]


def write_text(path: Path, text: str) -> None:
    """Write a text file under a temporary name and rename it."""
    with write_atomically(path) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")


def _take(file: IO[str]) -> bool:
    """Return whether the lock on a file is ours now; it ends when the file is closed."""
    if importlib.util.find_spec("fcntl") is None:  # Windows: nothing keeps another run out
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True


def _spelled(size: Any) -> str:
    if not isinstance(size, list) or len(size) != 2:
        return "nothing"
    return f"{size[1]:,} bytes" + (f" in {size[0]} files" if size[0] != 1 else "")
