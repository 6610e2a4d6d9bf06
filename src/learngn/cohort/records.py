"""Records of a cohort in ``results.jsonl``, one line for each pair, and their reuse by a later run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from learngn.errors import DatasetError, SettingsError
from learngn.io import parse_json, write_json, write_text

RECORDS_NAME = "results.jsonl"
_SHARE_OF_WRITING = 0.02  # largest share of a run's time for writing

Record = Mapping[str, Any]


def read_records(directory: Path) -> dict[str, Record]:
    """Read the records of a cohort by pair, in the order of the file; empty if there is no file.

    Raises
    ------
    DatasetError
        If a line is not a record.
    """
    path = directory / RECORDS_NAME
    if not path.exists():
        return {}
    records: dict[str, Record] = {}
    # Bytes that are not UTF-8 make only their line invalid.
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        try:
            record = parse_json(line)
            records[record["pair"]] = record
        except (ValueError, TypeError, KeyError) as failure:
            raise DatasetError(
                f"{path}, line {number}", f"'{line[:40]}'", "a JSON object with a pair", "delete this line"
            ) from failure
    return records


def write_records(records: Mapping[str, Record], directory: Path) -> None:
    """Write all records, atomically."""
    lines = (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in records.values())
    write_text("".join(lines), directory / RECORDS_NAME)


def save_record(record: Record, folder: Path) -> None:
    """Save the record of a finished pair to a file, from which a :class:`Ledger` of a later run can restore it."""
    write_json(record, folder / f"{record['pair']}.json")


def saved_record(pair: str, folder: Path) -> Record | None:
    """Read the record of a pair that :func:`save_record` has written, if there is one."""
    path = folder / f"{pair}.json"
    if not path.exists():
        return None
    record: Record = json.loads(path.read_text(encoding="utf-8"))
    return record


class Ledger:
    """Records of a running cohort: those in ``results.jsonl``, and those that its workers have saved in a folder.

    Parameters
    ----------
    directory : Path
        Folder of ``results.jsonl``.
    saved : Path
        Folder in which :func:`save_record` saves records.
    """

    def __init__(self, directory: Path, saved: Path) -> None:
        self.directory, self.saved = directory, saved
        self.records = read_records(directory)
        self._unwritten: set[str] = set()
        self._next = 0.0
        for path in sorted(saved.glob("*.json")):
            record = saved_record(path.stem, saved)
            if record is not None:
                self.records[path.stem] = record
                self._unwritten.add(path.stem)

    def add(self, record: Record) -> None:
        """Add a record; ``results.jsonl`` is rewritten if that takes little time compared with the run."""
        self.records[record["pair"]] = record
        self._unwritten.add(record["pair"])
        if perf_counter() >= self._next:
            self.write()

    def close(self, order: Iterable[str]) -> None:
        """Write the records that are not written yet, with the pairs of `order` first, in this order."""
        before = list(self.records)
        self.records = {pair: self.records[pair] for pair in dict.fromkeys([*order, *before]) if pair in self.records}
        if self._unwritten or list(self.records) != before:
            self.write()

    def write(self) -> None:
        """Write all records, and remove the files that the workers have saved."""
        start = perf_counter()
        write_records(self.records, self.directory)
        for pair in self._unwritten:
            (self.saved / f"{pair}.json").unlink(missing_ok=True)
        self._unwritten.clear()
        self._next = perf_counter() + (perf_counter() - start) / _SHARE_OF_WRITING


def check_same_request(record: Record, request: Mapping[str, Any], directory: Path) -> None:
    """Raise :class:`SettingsError` if a pair was registered with another request than the present one."""
    differing = differences(record, request)
    if differing:
        before, now = record.get("asked", {}), _as_json(request)
        raise SettingsError(
            f"results of pair {record['pair']} in {directory}",
            ", ".join(f"{key} {before.get(key, 'by default')}" for key in differing),
            ", ".join(f"{key} {now.get(key, 'by default')}" for key in differing),
            "name another output folder, or delete this one to begin anew",
        )


def check_same_scans(record: Record, files: Mapping[str, Any], directory: Path) -> None:
    """Raise :class:`DatasetError` if a pair of the same name was registered whose scans have other names.

    Parameters
    ----------
    record : Record
    files : dict
        Names of the scans, ``fixed`` and ``moving``.
    directory : Path
        Folder of the results, for the message.
    """
    for side in ("fixed", "moving"):
        if record.get(side) != files[side]:
            raise DatasetError(
                f"results of pair {record['pair']} in {directory}", f"the {side} scan {record.get(side)}",
                str(files[side]), "give the pair another id, or name another output folder",
            )  # fmt: skip


def differences(record: Record, request: Mapping[str, Any]) -> list[str]:
    """Return the names of the options in which the request of a registered pair differs from `request`."""
    before, now = record.get("asked", {}), _as_json(request)
    return [key for key in {**now, **before} if before.get(key) != now.get(key)]


def _as_json(request: Mapping[str, Any]) -> dict[str, Any]:
    """Convert values to those that JSON can hold, such as lists for tuples."""
    values: dict[str, Any] = json.loads(json.dumps(request, default=str))
    return values
