"""Pictures of reports, taken in Chromium: pairs, a cohort, and pairs that go wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import scenes

import learngn
from learngn.phantom import ORGANS, abdomen

WIDTH = 1200  # of a page [pixel]


@contextmanager
def browser(executable: str | None) -> Iterator[Any]:
    """Open Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=executable)
        try:
            yield opened
        finally:
            opened.close()


def shoot(
    opened: Any, page: Path, target: Path, *, height: int, mode: str = "", go_to: str = "", dark: bool = False
) -> None:
    """Take a picture of the top of a report, in one mode of its viewer."""
    tab = opened.new_page(viewport={"width": WIDTH, "height": height}, color_scheme="dark" if dark else "light")
    tab.goto(page.as_uri())
    tab.wait_for_selector("[data-state=ready]", timeout=60_000)
    if mode:
        tab.locator("#viewer .toolbar").get_by_text(mode, exact=True).first.click()
    if go_to:
        tab.get_by_role("button", name=go_to).click()
        tab.evaluate("scrollTo(0, 0)")
    tab.wait_for_timeout(1000)  # pictures are drawn one after another
    tab.screenshot(path=str(target))
    tab.close()


def pictures(opened: Any, folder: Path, work: Path) -> None:
    """Write the pictures of all reports."""
    for name, case in scenes.cases().items():
        registration = learngn.register(
            case.fixed.scan,
            case.moving.scan,
            fixed_labels=case.fixed.labels if case.labels else None,
            moving_labels=case.moving.labels if case.labels else None,
            **case.options,
        )
        print(name, registration.verdict, registration.scores.dice_mean if case.labels else "")
        page = work / f"{name}.html"
        registration.report(page)
        if name == "ok":
            for dark, suffix in ((False, ""), (True, "-dark")):
                shoot(opened, page, folder / f"report-pair{suffix}.png", height=1090, dark=dark)
            shoot(opened, page, folder / "report-displacement.png", height=1090, mode="Displacement")
            shoot(opened, page, folder / "report-jacobian.png", height=1090, mode="Jacobian")
        shoot(opened, page, folder / f"trouble-{name}.png", height=1000, mode=case.mode, go_to=case.go_to)
    shoot(opened, cohort(work), folder / "report-cohort.png", height=1290)


def cohort(work: Path) -> Path:
    """Register the pairs of four subjects, and return the report."""
    root = work / "Phantoms"
    names = [f"Phantoms_{number:04d}_0000.nii.gz" for number in range(1, 6)]
    for number, name in enumerate(names, 1):
        phantom = abdomen((80, 64, 56), seed=number)
        for part, image in (("imagesTr", phantom.scan), ("labelsTr", phantom.labels)):
            (root / part).mkdir(parents=True, exist_ok=True)
            image.save(root / part / name)
    pairs = [{"fixed": f"./imagesTr/{a}", "moving": f"./imagesTr/{b}"} for a in names for b in names if a != b]
    labels = {str(value): name for value, name in ORGANS.items()}
    description = {"name": "Phantoms", "labels": labels, "registration_val": pairs}
    (root / "Phantoms_dataset.json").write_text(json.dumps(description))
    command = [sys.executable, "-m", "learngn", "cohort", str(root), "-o", str(work / "cohort"), "--quiet"]
    subprocess.run(command, check=True)
    return work / "cohort" / "report.html"
