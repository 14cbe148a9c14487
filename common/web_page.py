"""A self-contained HTML page: no script, no other host, light or dark as the reader's system is, fit for paper. Pure.

What goes into it is ``Markup``; texts become it by ``Markup(...).format(text)``, which escapes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from common.svg import STYLE, Chart, draw

_STYLE = (
    """
:root{color-scheme:light dark;--line:#d8dbe0;--soft:#5b6470;--card:#f6f7f9;--good:#15803d;--warn:#a16207;--bad:#b91c1c}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2rem auto;padding:0 1rem}
h1{margin:0;font-size:1.6rem;overflow-wrap:anywhere}h2{margin:2rem 0 .6rem;font-size:1.15rem}
p{margin:.4rem 0}.soft{color:var(--soft)}.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}
.headline{font-size:1.15rem;font-weight:600;margin:.5rem 0 1.2rem}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:.7rem;margin:0 0 1rem}
.cards div{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.5rem .7rem}
.cards dt{color:var(--soft);font-size:.82rem}.cards dd{margin:0;font-size:1.1rem;font-weight:600;overflow-wrap:anywhere}
.cards small{display:block;color:var(--soft);font-weight:400;font-size:.8rem}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,460px),1fr));gap:1rem}
.charts figure{margin:0;border:1px solid var(--line);border-radius:8px;padding:.5rem;overflow-x:auto}
.charts svg{min-width:420px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.92rem}
th,td{padding:.25rem .8rem .25rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
th,td{white-space:nowrap}td.n,th.n{text-align:right}td.text{white-space:pre-wrap;overflow-wrap:anywhere;min-width:16rem}
summary{cursor:pointer}pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.85rem}
footer{margin-top:2rem;border-top:1px solid var(--line);padding-top:.6rem;color:var(--soft);font-size:.85rem}
@media screen and (prefers-color-scheme:dark){:root{--line:#3b414a;--soft:#a3acb8;--card:#1d2127;--good:#4ade80;
--warn:#facc15;--bad:#fb7185}body{background:#14171b;color:#e6e8eb}}
@media print{body{max-width:none;margin:0;font-size:11px}.charts figure,.cards div,tr{break-inside:avoid}
h2{break-after:avoid}details:not([open])>*{display:none}}
"""
    + STYLE
)
_PAGE = Markup(
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width,initial-scale=1">'
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    "<title>{title}</title><style>{style}</style></head>\n<body>\n{body}\n</body></html>\n"
)


def page(title: str, body: Markup) -> str:
    """The whole page."""
    return str(_PAGE.format(title=title, style=Markup(_STYLE), body=body))


def cards(figures: Iterable[tuple[str, str, str]]) -> Markup:
    """Figures at a glance: name, value, and a word beside it."""
    one = Markup("<div><dt>{}</dt><dd>{}{}</dd></div>")
    shown = [
        one.format(name, value, Markup("<small>{}</small>").format(beside) if beside else "")
        for name, value, beside in figures
    ]
    return Markup('<dl class="cards">{}</dl>').format(joined(shown))


def charts(drawn: Iterable[Chart]) -> Markup:
    """The charts, side by side where there is room. What may be scrolled can be reached by keys."""
    figures = [Markup('<figure tabindex="0">{}</figure>').format(Markup(draw(chart))) for chart in drawn]
    return Markup('<div class="charts">{}</div>').format(joined(figures)) if figures else Markup("")


def table(
    headings: Sequence[str], rows: Iterable[Sequence[object]], numeric: Sequence[int] = (), text: int = -1
) -> Markup:
    """A table; ``numeric`` columns are set to the right, the column ``text`` keeps its line breaks."""

    def kind(place: int) -> str:
        return "n" if place in numeric else "text" if place == text else ""

    head = joined(
        Markup('<th class="{}">{}</th>').format("n" if at in numeric else "", name) for at, name in enumerate(headings)
    )
    body = joined(
        Markup("<tr>{}</tr>").format(
            joined(Markup('<td class="{}">{}</td>').format(kind(at), cell) for at, cell in enumerate(row))
        )
        for row in rows
    )
    return Markup(
        '<div class="scroll" tabindex="0"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>'
    ).format(head, body)


def section(title: str, *parts: Markup) -> Markup:
    """A part of the page under a heading."""
    return Markup("<section><h2>{}</h2>{}</section>").format(title, joined(parts))


def joined(parts: Iterable[object]) -> Markup:
    """One after the other; what is no Markup is escaped."""
    return Markup("").join(escape(part) for part in parts)
