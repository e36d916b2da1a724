"""Templates of pages, and the files that stand beside them. What a template is given is text, unless it is marked."""

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup, escape

from ..inert import for_terminal


def render(name: str, **content: Any) -> str:
    """A page of a template. All text has its control characters shown and is escaped, unless it is marked otherwise."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        finalize=_inert,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["coded"] = _coded
    return environment.get_template(name).render(content)


def library(name: str) -> Markup:
    """A library that a page holds."""
    return Markup(_text(f"libraries/{name}"))


def part(name: str) -> Markup:
    """A style or a script of our own."""
    return Markup(_text(name))


def hash_of(script: str) -> str:
    """By which the page's policy lets a script run, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _inert(value: Any) -> Any:
    return for_terminal(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _coded(line: str) -> Markup:
    """A sentence, with what stands between grave accents as code."""
    parts = (escape(for_terminal(part)) for part in line.split("`"))
    return Markup("").join(Markup("<code>{}</code>").format(part) if n % 2 else part for n, part in enumerate(parts))


@cache
def _text(name: str) -> str:
    return (files("trigru.bench.reporting.page") / name).read_text("utf-8")
