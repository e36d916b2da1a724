"""A page as its reader sees it: tables by their headings, and every element, without a browser."""

from collections import defaultdict
from html.parser import HTMLParser

HEADINGS, CELLS, CODE = ("h1", "h2", "h3"), ("td", "th"), ("script", "style")


class Page(HTMLParser):
    """What is on a page: each element with its attributes, the rows of tables by the heading above, and the text."""

    def __init__(self, html: str):
        super().__init__()
        self.html, self.elements, self._texts = html, [], []
        self.tables: dict[str, list[list[str]]] = defaultdict(list)
        self._heading = self._within = ""
        self.feed(html)
        self.text = " ".join(" ".join(self._texts).split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in HEADINGS:
            self._heading = ""
        elif tag == "tr":
            self.tables[self._heading].append([])
        elif tag in CELLS:
            self.tables[self._heading][-1].append("")
        if tag in HEADINGS + CELLS + CODE:
            self._within = tag

    def handle_endtag(self, tag):
        if tag in HEADINGS + CELLS + CODE:
            self._within = ""

    def handle_data(self, data):
        if self._within not in CODE:
            self._texts.append(data)
        if self._within in HEADINGS:
            self._heading += data
        elif self._within in CELLS:
            self.tables[self._heading][-1][-1] += data

    def rows(self, heading: str) -> list[dict[str, str]]:
        """The rows of the table below a heading, by column."""
        head, *rows = self.tables[heading]
        return [dict(zip(head, row, strict=True)) for row in rows]
