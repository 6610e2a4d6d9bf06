"""Banner of a report: the verdict in words, before all numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from learngn.evaluation import Summary
from learngn.quality.verdict import STATUSES

# A sign and a word beside the colour, for those who see no colours, and for print.
_SIGNS = {"ok": "✓", "check": "?", "failed": "✕"}
_MEANINGS = {
    "ok": "Nothing suggests that the result is wrong.",
    "check": "Look at the result before you use it.",
    "failed": "The result is wrong, or the scans do not belong together.",
}
_MOST = 20  # pairs that are named


def of_pair(metrics: Mapping[str, Any]) -> str:
    """Make the banner of a pair; empty if it was not judged.

    Parameters
    ----------
    metrics : dict
        Content of ``metrics.json``.
    """
    status = metrics.get("verdict")
    if status not in _SIGNS:
        return ""
    items = [escape(_as_sentence(str(reason))) for reason in metrics.get("reasons", ())]
    return _banner(status, badge(status), _MEANINGS[status], items)


def of_cohort(summary: Summary, names: Sequence[str]) -> str:
    """Make the banner of a cohort: pairs of each verdict, and those to look at in words; empty if none was judged.

    Parameters
    ----------
    summary : Summary
    names : sequence of str
        Short names of its pairs, such as ``"0003 onto 0007"``.
    """
    counts = summary.verdicts
    if not counts:
        return ""
    worst = next(status for status in STATUSES if counts[status])
    title = " ".join(f"<span>{counts[status]} {badge(status)}</span>" for status in STATUSES)
    name_of = {id(pair): name for pair, name in zip(summary.pairs, names, strict=True)}
    doubtful = summary.doubtful
    items = [
        f"<strong>{escape(name_of[id(pair)])}</strong>: {escape(pair.verdict_in_words)}" for pair in doubtful[:_MOST]
    ]
    if len(doubtful) > _MOST:
        items.append(f"{len(doubtful) - _MOST} more: see the table of all pairs.")
    count = sum(counts.values())
    lead = f"{count} pair{'' if count == 1 else 's'} judged without labels, by the fit of both scans."
    return _banner(worst, title, lead, items)


def badge(status: str) -> str:
    """Make a badge of a verdict: a sign and a word in its colour."""
    return f'<span class="badge {status}"><i aria-hidden="true">{_SIGNS[status]}</i>{status}</span>'


def _banner(status: str, title: str, lead: str, items: Sequence[str]) -> str:
    """Make a banner in the colour of a verdict; title and items are HTML."""
    reasons = f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>" if items else ""
    return (
        f'<div class="verdict {status}" role="note" aria-label="Verdict">'
        f"<p><b>Verdict</b> {title}</p><p>{escape(lead)}</p>{reasons}</div>"
    )


def _as_sentence(text: str) -> str:
    """Return a reason with a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."
