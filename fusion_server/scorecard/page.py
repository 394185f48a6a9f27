"""The scorecard as a page: one HTML file without scripts, for a screen by day or night, a screen reader, or paper."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from fusion_server.scorecard.charts import outcome_chart, share_chart, week_chart
from fusion_server.scorecard.document import Scorecard
from fusion_server.scorecard.words import Table, scorecard_tables, share_text, small_numbers
from shotline.records import ALERT_NOTICE

__all__ = ["PAGE_POLICY", "scorecard_html"]

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fff; --rule: #767676; --soft: #f1f1f1;
  --confirmed: #0072b2; --undetermined: #8a8a8a; --dismissed: #d55e00; --undecided: #e6c229; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececec; --paper: #15181b; --rule: #9a9a9a; --soft: #23282d;
  --confirmed: #56b4e9; --undetermined: #a0a0a0; --dismissed: #f08a4b; --undecided: #f0e442; } }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .25rem 0; }
th, td { border-bottom: 1px solid var(--rule); padding: .3rem .7rem .3rem 0; text-align: left; vertical-align: top; }
thead th { border-bottom-width: 2px; }
.note, .banner { background: var(--soft); border-left: .3rem solid var(--dismissed); padding: .5rem .8rem; }
.how { max-width: 46rem; }
svg { width: 100%; max-width: 52rem; height: auto; }
svg text { fill: var(--ink); font: 11px system-ui, sans-serif; }
.grid { stroke: var(--rule); stroke-width: .5; } .interval { stroke: var(--confirmed); stroke-width: 2; }
.halo { stroke: var(--paper); stroke-width: 6; } .whisker { stroke: var(--ink); stroke-width: 2; }
.share, .confirmed { fill: var(--confirmed); } .undetermined { fill: var(--undetermined); }
.dismissed { fill: var(--dismissed); } .undecided { fill: var(--undecided); }
rect { stroke: var(--paper); stroke-width: 1; }
.key { display: inline-block; margin-right: 1.2rem; } .key svg { width: .9rem; height: .9rem; }
@media print { :root { color-scheme: light; --ink: #000; --paper: #fff; --rule: #767676; --soft: #fff;
  --confirmed: #0072b2; --undetermined: #8a8a8a; --dismissed: #d55e00; --undecided: #e6c229; }
  body { max-width: none; font-size: 9pt; padding: 0; } .wide { overflow: visible; }
  section { break-inside: avoid-page; }
  svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
_STYLE_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
PAGE_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; base-uri 'none'; form-action 'none'"
"""What the page may load: its own style and nothing else, whether it is served or opened as a file."""

_KEYS = ("confirmed", "undetermined", "dismissed", "undecided")


def scorecard_html(card: Scorecard, *, title: str = "Scorecard", test: bool = False) -> str:
    """Return the page.

    Parameters
    ----------
    card : Scorecard
    title : str
        Its heading.
    test : bool
        Whether to say that this is a test.
    """
    tables = scorecard_tables(card)
    sections = "".join(_section(index, table, card) for index, table in enumerate(tables, start=1))
    contents = "".join(
        f'<li><a href="#s{index}">{escape(table.title)}</a></li>' for index, table in enumerate(tables, 1)
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{PAGE_POLICY}">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
{_banner(card, test=test)}<h1>{escape(title)}</h1>
<p>From {card.since_utc} to {card.until_utc}, made {card.made_utc}.</p>
{_summary(card)}
</header>
<nav aria-label="Contents"><ol>{contents}</ol></nav>
<main>
{sections}</main>
<footer><p>Intervals are 95 %: of many such intervals about 95 in 100 hold the true value, if what was counted is a fair
sample. {escape(ALERT_NOTICE)}</p></footer>
</body>
</html>
"""


def _banner(card: Scorecard, *, test: bool) -> str:
    words = [f"REPLAY of {card.scene}: recorded sound, no live incidents."] if card.scene else []
    words += ["TEST: nothing here is of a service in use."] if test else []
    return f'<p class="banner" role="note">{escape(" ".join(words))}</p>\n' if words else ""


def _summary(card: Scorecard) -> str:
    confirmed = card.outcomes.rows[0]
    assert confirmed.of_decided is not None
    told = (
        f"{card.outcomes.incidents} incidents were told, {card.outcomes.decided} of them decided, "
        f"{confirmed.count} confirmed: {share_text(confirmed.of_decided)} of those decided, "
        f"{share_text(confirmed.of_all)} of all."
    )
    missed = f"{card.misses.missed} misses are on record; how many nobody reported is not known."
    few = small_numbers(card)
    note = f'<p class="note">{escape(few)}</p>' if few else ""
    return "".join(f"<p>{escape(line)}</p>\n" for line in (told, missed)) + note


def _section(number: int, table: Table, card: Scorecard) -> str:
    charts = ""
    if table.title == "Week by week" and card.weeks:
        charts = f"<p>{_legend()}</p>{week_chart(card.weeks)}{share_chart(card.weeks)}"
    elif number == 1 and card.outcomes.incidents:
        charts = outcome_chart(card.outcomes)
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}</tr>\n'
        for row in table.rows
    )
    if not table.rows:
        body = f'<tr><td colspan="{len(table.columns)}">none</td></tr>\n'
    return f"""<section id="s{number}" aria-labelledby="h{number}">
<h2 id="h{number}">{escape(table.title)}</h2>
{charts}
<div class="wide" tabindex="0" role="region" aria-labelledby="h{number}"><table>
<caption>{escape(table.title)}, {card.since_utc[:10]} to {card.until_utc[:10]}</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{body}</tbody>
</table></div>
<p class="how"><strong>How it is made.</strong> {escape(table.how)}</p>
<p class="how"><strong>What it cannot say.</strong> {escape(table.limits)}</p>
</section>
"""


def _legend() -> str:
    return "".join(
        f'<span class="key"><svg viewBox="0 0 10 10" aria-hidden="true"><rect class="{name}" width="10" height="10"/>'
        f"</svg> {name}</span>"
        for name in _KEYS
    )
