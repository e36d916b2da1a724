"""A hook of MkDocs: its check of links learns the anchors of tabs, which are made after it has looked for anchors."""

import re
from typing import Any

_TAB = re.compile(r'<input[^>]* id="([^"]+)" name="__tabbed_')


def on_page_content(html: str, page: Any, **_: Any) -> None:
    """Called with what a page was rendered to."""
    page.present_anchor_ids |= set(_TAB.findall(html))
