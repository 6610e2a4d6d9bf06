"""``results.jsonl``: one line a pair, and what of it a later run can keep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from learngn.errors import DatasetError, SettingsError
from learngn.io import write_text

RECORDS_NAME = "results.jsonl"

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
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
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


def check_same_settings(record: Record, settings: Mapping[str, Any], directory: Path) -> None:
    """Raise :class:`SettingsError` if a pair was registered with other settings than those asked for now."""
    before, now = record.get("settings", {}), json.loads(json.dumps(settings))
    differing = [key for key in {**now, **before} if before.get(key) != now.get(key)]
    if differing:
        raise SettingsError(
            f"results of pair {record['pair']} in {directory}",
            ", ".join(f"{key} {before.get(key)}" for key in differing),
            ", ".join(f"{key} {now.get(key)}" for key in differing),
            "name another output folder, or delete this one to begin anew",
        )
