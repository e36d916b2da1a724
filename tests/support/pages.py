"""A page as its reader sees it: tables by their headings, and every element, without a browser."""

from collections import defaultdict
from html.parser import HTMLParser


class Page(HTMLParser):
    """What is on a page.

    Args:
        html: its source.

    Attributes:
        elements: the name of each element, with its attributes.
        tables: of each its rows of cells, the head first; by the text of the last heading before it.
        text: all that is read, without scripts and styles.
    """

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.html = html
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[list[str]]]] = defaultdict(list)
        self._texts: list[str] = []
        self._heading = self._within = ""
        self.feed(html)
        self.close()
        self.text = " ".join(" ".join(self._texts).split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("h1", "h2", "h3"):
            self._heading, self._within = "", "heading"
        elif tag in ("script", "style"):
            self._within = "script"
        elif tag == "table":
            self.tables[self._heading].append([])
        elif tag == "tr":
            self.tables[self._heading][-1].append([])
        elif tag in ("td", "th"):
            self.tables[self._heading][-1][-1].append("")
            self._within = "cell"

    def handle_endtag(self, tag):
        if tag in ("h1", "h2", "h3", "script", "style", "td", "th"):
            self._within = ""

    def handle_data(self, data):
        if self._within != "script":
            self._texts.append(data)
        if self._within == "heading":
            self._heading += data
        elif self._within == "cell":
            self.tables[self._heading][-1][-1][-1] += data

    def rows(self, heading: str) -> list[dict[str, str]]:
        """The rows of the one table below a heading, by column."""
        ((head, *rows),) = self.tables[heading]
        return [dict(zip(head, row, strict=True)) for row in rows]
