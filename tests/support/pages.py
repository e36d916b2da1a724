"""A page as its reader sees it: tables by their headings, and every element, without a browser."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

#: Elements that hold nothing.
VOID = {"meta", "link", "img", "br", "input", "hr", "path", "use", "rect"}


@dataclass
class Page(HTMLParser):
    """What is on a page.

    Args:
        elements: the name of each element, with its attributes.
        tables: of each its rows of cells, the head first; by the text of the last heading before it.
        texts: what is read, without scripts and styles.
    """

    html: str
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    tables: dict[str, list[list[list[str]]]] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)

    def __post_init__(self):
        super().__init__(convert_charrefs=True)
        self._open: list[str] = []
        self._heading, self._cell = "", False
        self.feed(self.html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag in ("h1", "h2", "h3"):
            self._heading = ""
        elif tag == "table":
            self.tables.setdefault(self._heading, []).append([])
        elif tag == "tr" and "svg" not in self._open:
            self._table.append([])
        elif tag in ("td", "th"):
            self._table[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if {"script", "style"} & {*self._open}:
            return
        self.texts.append(data)
        if self._open and self._open[-1] in ("h1", "h2", "h3"):
            self._heading += data
        if {"td", "th"} & {*self._open}:
            self._table[-1][-1] += data

    @property
    def _table(self) -> list[list[str]]:
        return self.tables[self._heading][-1]

    @property
    def text(self) -> str:
        """All that is read."""
        return " ".join(" ".join(self.texts).split())

    def rows(self, heading: str) -> list[dict[str, str]]:
        """The rows of the one table below a heading, by column."""
        ((head, *rows),) = self.tables[heading]
        return [dict(zip(head, row, strict=True)) for row in rows]
