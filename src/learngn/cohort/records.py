"""``results.jsonl``: one line a pair, and what of it a later run can keep."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from learngn.errors import DatasetError, SettingsError
from learngn.io import parse_json, write_json, write_text

RECORDS_NAME = "results.jsonl"
_SHARE_OF_WRITING = 0.02  # of the time of a run, at most

Record = Mapping[str, Any]


def read_records(directory: Path) -> dict[str, Record]:
    """Records of a cohort by pair, in the order written; empty if there is no file.

    Raises
    ------
    DatasetError
        If a line is no record.
    """
    path = directory / RECORDS_NAME
    if not path.exists():
        return {}
    records: dict[str, Record] = {}
    # Bytes that are no UTF-8 make their line unreadable, not the file.
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
    """Write all records, whole or not at all: whoever reads them, or kills the run, finds no half line."""
    lines = (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in records.values())
    write_text("".join(lines), directory / RECORDS_NAME)


def leave_record(record: Record, folder: Path) -> None:
    """Leave the record of a pair that is done where a :class:`Ledger` finds it, even if its own process has died."""
    write_json(record, folder / f"{record['pair']}.json")


def left_record(pair: str, folder: Path) -> Record | None:
    """The record that :func:`leave_record` has left of a pair, if there is one."""
    path = folder / f"{pair}.json"
    if not path.exists():
        return None
    record: Record = json.loads(path.read_text(encoding="utf-8"))
    return record


class Ledger:
    """The records of a cohort while it runs: those written, and those that its workers leave in a folder.

    Parameters
    ----------
    directory : Path
        Of ``results.jsonl``.
    left : Path
        Where :func:`leave_record` leaves them.
    """

    def __init__(self, directory: Path, left: Path) -> None:
        self.directory, self.left = directory, left
        self.records = read_records(directory)
        self._unwritten: set[str] = set()
        self._next = 0.0
        for path in sorted(left.glob("*.json")):
            record = left_record(path.stem, left)
            if record is not None:
                self.records[path.stem] = record
                self._unwritten.add(path.stem)

    def add(self, record: Record) -> None:
        """Add a record; ``results.jsonl`` is written anew when that costs little beside the work."""
        self.records[record["pair"]] = record
        self._unwritten.add(record["pair"])
        if perf_counter() >= self._next:
            self.write()

    def close(self, order: Iterable[str]) -> None:
        """Write what is not written yet, the pairs of `order` first, in this order."""
        before = list(self.records)
        self.records = {pair: self.records[pair] for pair in dict.fromkeys([*order, *before]) if pair in self.records}
        if self._unwritten or list(self.records) != before:
            self.write()

    def write(self) -> None:
        """Write all records, and remove what the workers have left of them."""
        start = perf_counter()
        write_records(self.records, self.directory)
        for pair in self._unwritten:
            (self.left / f"{pair}.json").unlink(missing_ok=True)
        self._unwritten.clear()
        self._next = perf_counter() + (perf_counter() - start) / _SHARE_OF_WRITING


def check_same_request(record: Record, asked: Mapping[str, Any], directory: Path) -> None:
    """Raise :class:`SettingsError` if a pair was registered as something else than what is asked for now was."""
    differing = differences(record, asked)
    if differing:
        before, now = record.get("asked", {}), _as_json(asked)
        raise SettingsError(
            f"results of pair {record['pair']} in {directory}",
            ", ".join(f"{key} {before.get(key, 'by default')}" for key in differing),
            ", ".join(f"{key} {now.get(key, 'by default')}" for key in differing),
            "name another output folder, or delete this one to begin anew",
        )


def differences(record: Record, asked: Mapping[str, Any]) -> list[str]:
    """Return the names of what was asked for otherwise when a pair was registered."""
    before, now = record.get("asked", {}), _as_json(asked)
    return [key for key in {**now, **before} if before.get(key) != now.get(key)]


def _as_json(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON has them: lists for tuples."""
    found: dict[str, Any] = json.loads(json.dumps(asked, default=str))
    return found
