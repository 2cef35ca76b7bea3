"""The HTML page of an overview of a data set; nothing is loaded from outside."""

from html import escape
from pathlib import Path
from string import Template

from mmexact.visualization.browse import Overview
from mmexact.visualization.report import html_gallery, html_legend, html_table, render

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
  body { font: 16px/1.55 system-ui, "Segoe UI", Roboto, sans-serif; color: #1d2125;
         background: #f6f7f5; margin: 0; }
  main { max-width: 1000px; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
  h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 1rem; overflow-wrap: anywhere; }
  h2 { font-size: 1.25rem; margin: 2.4rem 0 .4rem; }
  p { margin: .3rem 0 1rem; max-width: 46rem; color: #444b52; }
  table { border-collapse: collapse; background: #fff; border: 1px solid #dfe2e0; }
  th, td { text-align: right; padding: .35rem .8rem; border-bottom: 1px solid #eceeec;
           font-variant-numeric: tabular-nums; font-size: .92rem; }
  th:first-child, td:first-child { text-align: left; }
  figure { margin: 1rem 0; background: #fff; border: 1px solid #dfe2e0; padding: .8rem; }
  figure img { max-width: 100%; }
  .legend { position: sticky; top: 0; background: #f6f7f5; padding: .6rem 0; font-size: .86rem; }
  .legend span { display: inline-block; margin-right: 1rem; white-space: nowrap; }
  .legend i { display: inline-block; width: .85em; height: .85em; margin-right: .35em;
              border: 1px solid #888; vertical-align: -.08em; }
  .grid { display: grid; grid-template-columns: repeat(var(--columns), 1fr); gap: .35rem .5rem; }
  .grid img { width: 100%; image-rendering: pixelated; display: block; }
  .head { font-size: .86rem; font-weight: 600; text-align: center; }
  .label { grid-column: 1 / -1; font-size: .84rem; color: #5b636b; margin-top: .5rem; }
</style>
</head>
<body>
<main>
<h1>$title</h1>
$sections
<section>
<div class="legend">$legend</div>
$gallery
</section>
</main>
</body>
</html>
""")


def write_page(
    path: Path, title: str, overview: Overview, windows: int, bands: tuple[int, ...], note: str
) -> None:
    """Write the page; the file appears whole or not at all.

    Args:
        path: The file.
        title: Headline.
        overview: What there is to show.
        windows: How many windows to show.
        bands: Indices of the red, green and blue bands.
        note: What is to say about the NDVI.
    """
    sections = [html_table(overview.facts()).replace('<thead>', '<thead hidden>')]
    figures = {
        'Class balance': (overview.plot_balance(), ''),
        'Dates': (overview.plot_dates(), 'Series with the number of their dates in brackets.'),
        'NDVI': (overview.plot_ndvi(), note),
    }
    for headline, (figure, caption) in figures.items():
        sections.append(f'<h2>{headline}</h2><p>{escape(caption)}</p>')
        if figure is not None:
            sections.append(f'<figure><img src="{render(figure)}" alt="{headline}"></figure>')
        if headline == 'Class balance':
            sections.append(html_table(overview.balance()))
    metainfo = overview.dataset.metainfo
    page = PAGE.substitute(
        title=escape(title),
        sections='\n'.join(sections),
        legend=html_legend(metainfo['classes'], metainfo['palette']),
        gallery=html_gallery(overview.gallery(windows, bands)),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'{path.name}.part')
    unfinished.write_text(page, encoding='utf-8')
    unfinished.replace(path)
