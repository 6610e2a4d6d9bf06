"""Report of a cohort: the results of ``learngn cohort`` on one page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from learngn.errors import LearnGNError
from learngn.evaluation import Summary
from learngn.evaluation.score_csv import csv_rows, csv_text
from learngn.io import Pair, write_text
from learngn.report import banner, html, score_tables
from learngn.report.numbers import number, setting
from learngn.report.pair import VIEW_FILES
from learngn.report.thumbnails import thumbnail
from learngn.results import page_of

_FILES = (*VIEW_FILES, "cohort.css", "gallery.js", "table.js")
_NAME = "report.html"
_MOST_OUTLIERS = 20  # that are named

Record = Mapping[str, Any]


def write_cohort_report(
    directory: str | Path,
    pairs: Sequence[Pair],
    records: Sequence[Record],
    summary: Summary,
    *,
    title: str = "",
    pictures: int = 12,
    progress: Callable[[], None] | None = None,
) -> Path:
    """Write ``report.html`` into the folder of a cohort.

    Parameters
    ----------
    directory : path
        Folder with the displacements, ``disp_FFFF_MMMM.nii.gz``.
    pairs : sequence of Pair
    records : sequence of Record
        Records of these pairs, in the same order, from :func:`learngn.cohort.run_cohort`.
    summary : Summary
        Summary of the scores in these records, see :func:`learngn.evaluation.summarise`.
    title : str
        Name of the data set.
    pictures : int
        Number of pairs to show, the worst ones.
    progress : callable, optional
        Called after every picture.

    Returns
    -------
    Path
        The page, a single file that needs no network.

    Raises
    ------
    OutputError
        If the page cannot be written.
    """
    directory = Path(directory)
    seconds = [float(record["seconds"]["total"]) if "seconds" in record else float("nan") for record in records]
    missing = len(summary.failed)
    notes = [f"{missing} of {len(summary.pairs)} pairs could not be registered."] if missing else []
    pages, names = [page_of(directory, pair) for pair in pairs], [_short(pair) for pair in pairs]
    sections = [_outliers(names, summary, pages)] if summary.outliers else []
    sections += [score_tables.distributions(summary, seconds)] if summary.means else []
    gallery = _gallery(directory, pairs, records, summary, pages, pictures, notes, progress)
    sections += [gallery] if gallery else []
    sections += [score_tables.labels(summary, names, pages)] if summary.labels else []
    sections.append(_table(score_tables.table(summary, records, seconds, pages), csv_text(csv_rows(summary))))
    sections.append(_settings(directory, records))
    count = f"{len(pairs)} pair{'' if len(pairs) == 1 else 's'}"
    header = html.heading(f"Registration of {count}", escape(title or directory.name), notes)
    header += banner.of_cohort(summary, names) + score_tables.tiles(summary, seconds)
    path = directory / _NAME
    name = f"{title or directory.name}, {count}"
    write_text(html.page(name, _means(summary), header, sections, _FILES), path)
    return path


def _means(summary: Summary) -> str:
    means = ", ".join(
        f"{metric.title} {summary.means[metric.key].mean:.3f}" for metric in score_tables.shown_metrics(summary)
    )
    return f"Means: {means}" if means else "No scores"


def _short(pair: Pair) -> str:
    """Return the name of a pair: its own, or the numbers of its scans, with their modalities if these differ."""
    if pair.name is not None:
        return pair.name
    numbers = pair.id.split("_")
    half = len(numbers) // 2
    return f"{'_'.join(numbers[half:])} onto {'_'.join(numbers[:half])}"


def _gallery(
    directory: Path,
    pairs: Sequence[Pair],
    records: Sequence[Record],
    summary: Summary,
    pages: Sequence[str | None],
    count: int,
    notes: list[str],
    progress: Callable[[], None] | None,
) -> str:
    """Make the section of the worst pairs, with a view of each."""
    cards, content = [], []
    for index in [i for i in score_tables.order_of(summary) if summary.pairs[i].error is None][:count]:
        features = str(records[index].get("settings", {}).get("features", ""))
        try:
            shown = thumbnail(pairs[index], directory, features, summary.names)
        except LearnGNError as error:
            notes.append(f"Pair {records[index]['pair']} is not shown: {error}")
            shown = None
        if progress is not None:
            progress()
        if shown is None:
            continue
        description, parts = shown
        cards.append(_card(index, records[index], summary, pages[index]))
        content.append(html.data(f"pair-{index}", description))
        content.append(html.binary({name: part.data for name, part in parts.items()}, f"pair-{index}"))
    if not cards:
        return ""
    lead = "The worst first. Drag over a picture to swipe from the fixed scan to the registered one."
    lead += " A name opens the pair's own page." if any(pages) else ""
    inside = f'{html.asset("gallery.html")}<div class="cards" id="cards">{"".join(cards)}</div>{"".join(content)}'
    return html.section("Worst pairs", lead, inside)


def _card(index: int, record: Record, summary: Summary, page: str | None) -> str:
    pair = summary.pairs[index]
    numbers = "".join(
        f"<span>{escape(metric.title)} <b>{number(getattr(pair, metric.key))}</b></span>"
        for metric in score_tables.shown_metrics(summary)[:2]
    )
    if pair.verdict is not None:
        numbers = banner.badge(pair.verdict) + numbers
    title = f'<h3 title="{escape(pair.title, quote=True)}">{html.link(str(record["pair"]), page)}</h3>'
    return f'<article class="card" data-pair="{index}"><div class="place"></div>{title}<p>{numbers}</p></article>'


def _outliers(names: Sequence[str], summary: Summary, pages: Sequence[str | None]) -> str:
    """Make the section of the pairs whose scores differ from those of the others."""
    found = summary.outliers
    items = "".join(
        f"<li><strong>{html.link(names[one.index], pages[one.index])}</strong>: "
        f"{escape('; '.join(one.reasons)).replace('-', '−')}</li>"
        for one in found[:_MOST_OUTLIERS]
    )
    more = len(found) - _MOST_OUTLIERS
    rest = f"<p>{more} more: see the table of all pairs.</p>" if more > 0 else ""
    lead = "Pairs far from the median of all pairs: robust z-score of the gain or of folding beyond 3.5, or failed."
    return html.section("Outliers", lead, f'<ul class="outliers">{items}</ul>{rest}')


def _table(table: str, csv: str) -> str:
    search = (
        '<div class="search"><input type="search" id="filter" aria-label="Filter pairs" autocomplete="off" '
        'spellcheck="false" placeholder="a name, or dice&lt;0.6 folds&gt;0.1"><output id="count"></output>'
        f"{html.download('Download CSV', 'scores.csv', 'text/csv', csv)}</div>"
    )
    lead = "Click on a heading to sort. The filter takes names, verdicts and conditions on columns."
    scroll = f'<div class="scroll tall" tabindex="0" role="region" aria-label="All pairs">{table}</div>'
    return html.section("All pairs", lead, search, scroll)


def _settings(directory: Path, records: Sequence[Record]) -> str:
    """Make the section of the settings, which names those that all pairs share."""
    known = [record["settings"] for record in records if "settings" in record]
    items = []
    for key in known[0] if known else ():
        values = {setting(settings.get(key)) for settings in known}
        items.append((key.replace("_", " "), values.pop() if len(values) == 1 else "not the same for all"))
    versions = sorted({str(record["version"]) for record in records if "version" in record})
    items += [("version", f"learngn {', '.join(versions)}")] if versions else []
    return html.section("Settings", f"Displacements and results.jsonl: {directory}", html.facts(items))
