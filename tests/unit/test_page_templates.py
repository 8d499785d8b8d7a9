"""Rules for the page's templates: whatever came from outside stays text, and nothing stands inline."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from api.page.rendering import _ENVIRONMENT, TEMPLATES
from api.page.static_files import FOLDER

ROOM = TEMPLATES.parent
UNESCAPED_ON_PURPOSE: dict[str, str] = {}
"""Template: why. Everything else is escaped."""
_NAMES = sorted(str(path.relative_to(TEMPLATES)) for path in TEMPLATES.rglob("*.html"))
_UNESCAPED = re.compile(r"\|\s*(safe|tojson|xmlattr)\b|autoescape|Markup\(|\|\s*forceescape")
_INLINE = re.compile(r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?![^>]*\ssrc=)", re.IGNORECASE)


def test_there_are_templates() -> None:
    assert {"layout.html", "login.html", "overview.html", "problem.html"} <= set(_NAMES)


@pytest.mark.parametrize("name", _NAMES)
def test_everything_in_a_template_is_escaped(name: str) -> None:
    source = (TEMPLATES / name).read_text()
    assert _UNESCAPED.findall(source) == [] or name in UNESCAPED_ON_PURPOSE
    assert _ENVIRONMENT.autoescape is True
    _ENVIRONMENT.get_template(name)  # it can be read


@pytest.mark.parametrize("name", _NAMES)
def test_neither_script_nor_style_stands_in_a_template(name: str) -> None:
    """The content security policy would not run them, and nobody would notice but the user."""
    assert _INLINE.findall((TEMPLATES / name).read_text()) == []


@pytest.mark.parametrize("name", _NAMES)
def test_every_form_that_does_something_carries_its_token(name: str) -> None:
    for form in re.findall(r"<form[^>]*method=\"post\".*?</form>", (TEMPLATES / name).read_text(), re.DOTALL):
        assert "token(" in form or "token=" in form, form


def test_no_python_of_the_page_makes_html_by_itself() -> None:
    found = [path.name for path in ROOM.glob("*.py") if re.search(r"Markup|\"<[a-z]", path.read_text())]
    assert found == []


def test_nothing_is_loaded_from_elsewhere() -> None:
    sources = [path for path in [*TEMPLATES.rglob("*.html"), *FOLDER.iterdir()] if path.suffix != ".svg"]
    loads = re.compile(r"(?:src|import|url)\s*[=(]\s*[\"']?(?:https?:)?//", re.IGNORECASE)
    assert [path.name for path in sources if loads.search(path.read_text())] == []


def test_the_script_evaluates_no_text() -> None:
    script = (Path(FOLDER) / "page.js").read_text()
    assert not re.search(r"\beval\(|new Function|document\.write|outerHTML", script)


# Colours


def _colours(css: str) -> list[dict[str, str]]:
    """The variables of the light and of the dark scheme."""
    blocks = re.findall(r":root\s*\{(.*?)\}", css, re.DOTALL)
    assert len(blocks) == 2
    return [dict(re.findall(r"--([a-z-]+):\s*(#[0-9a-f]{6})", block)) for block in blocks]


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_every_text_can_be_read_by_day_and_by_night() -> None:
    """WCAG 2, AA: 4.5 to 1."""
    words = ["text", "muted", "accent", "good", "warn", "bad"]
    pairs = [(word, ground) for word in words for ground in ("bg", "card", "soft")]
    pairs += [(kind, f"{kind}-bg") for kind in ("good", "warn", "bad", "info", "idle")]
    pairs += [("text", f"{kind}-bg") for kind in ("good", "warn", "bad")] + [("on-accent", "accent")]
    for scheme in _colours((FOLDER / "style.css").read_text()):
        weak = {pair: round(_contrast(scheme[pair[0]], scheme[pair[1]]), 2) for pair in pairs}
        assert {pair: ratio for pair, ratio in weak.items() if ratio < 4.5} == {}
