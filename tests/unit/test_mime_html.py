"""Text and styles of an HTML body: right for what campaigns hold, and bounded for what they should not."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from postwerk.contracts.content import Content, Mailbox, MailIdentity, Recipient
from postwerk.errors import ContentError
from postwerk.mime.composer import Composer
from postwerk.mime.html_text import text_of, tidy
from postwerk.mime.preview import preview
from postwerk.mime.styles import inlined, inlined_template
from postwerk.mime.templates import OneTemplate
from postwerk.mime.text_template import text_template

IDENTITY = MailIdentity("bulk_" + "0" * 32, datetime(2026, 1, 2, tzinfo=UTC))


def a_content(**fields: Any) -> Content:
    return Content(**{"sender": Mailbox(email="shop@example.com"), "subject": "s", **fields})


def ann(**variables: Any) -> Recipient:
    return Recipient(1, "ann@example.org", "Ann", variables)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>one</p><p>two</p>", "one\n\ntwo\n"),
        ("a<br>b<br><br>c", "a\nb\n\nc\n"),
        ("<div>a</div><div>b</div>", "a\nb\n"),
        ("<h1>Hi</h1>there", "Hi\n\nthere\n"),
        ('<a href="https://x.test/?a=1&amp;b">see</a> it', "see <https://x.test/?a=1&b> it\n"),
        ('<a href="https://x.test">https://x.test</a>', "https://x.test\n"),
        ('<a href="mailto:a@b.test">a@b.test</a>', "a@b.test\n"),
        ('<a href="#top">up</a>', "up\n"),
        ('<a href="https://x.test"><img alt="Logo" src="cid:l"></a>', "Logo <https://x.test>\n"),
        ("<ul><li>a<li>b</ul>", "* a\n* b\n"),
        ("<ol><li>a</li><li>b</li></ol>", "1. a\n2. b\n"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc\n"),
        ("<style>p{}</style><script>if (a<b) x()</script>x<!-- y -->", "x\n"),
        ('<div style="display:none">preview<div>x</div></div>shown', "shown\n"),
        ("a &lt; b &amp; c&nbsp;d &euro;", "a < b & c d €\n"),
        ("<pre>a\n  b</pre>", "a\n  b\n"),
        ("one\n  two", "one two\n"),
        ("<p>a<hr>b", "a\n\n---\n\nb\n"),
        ("a\u200c\u034f\u00adb", "ab\n"),
        ("", ""),
        ("1 < 2 > 1", "1 < 2 > 1\n"),
        ('<p title="a>b">x</p>', "x\n"),
    ],
)
def test_what_is_seen_becomes_text(html: str, text: str) -> None:
    assert text_of(html) == text


HOSTILE = [
    '<a "', "<!--", "<", "<div>", '<p style="display:none">', "<a href='", "<style>", "<pre>", "<a href=http://x>",
    "<a href=x>y", "</", "<a b=c ", "<li>", "<ul>", "&", "<ol><li>", "<a href = ",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_the_time_it_takes_grows_with_the_length_alone(piece: str) -> None:
    started = time.perf_counter()
    text_of(piece * (1_000_000 // len(piece)))
    assert time.perf_counter() - started < 8  # quadratic: minutes


@pytest.mark.parametrize(
    ("source", "variables"),
    [
        ("<p>Dear {{ name }},</p><p>{{ x }}</p>", {"x": "a < b"}),
        ("<ul>{% for i in items %}<li>{{ i }}</li>{% endfor %}</ul>end", {"items": ["a", "b", "c"]}),
        ("<p>a{% if x %} b{% else %} c{% endif %}.</p><p>d</p>", {"x": True}),
        ("<p>a{% if x %} b{% else %} c{% endif %}.</p><p>d</p>", {"x": False}),
        ('<a href="{{ url }}">go</a>', {"url": "https://x.test/?a=1&b=2"}),
        ("<table>{% for r in rows %}<tr><td>{{ r.a }}</td><td>{{ r.b }}</td></tr>{% endfor %}</table>",
         {"rows": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}),
        ("{% if x %}<p>a</p>{% endif %}<p>b</p>", {"x": False}),
    ],
)  # fmt: skip
def test_a_text_template_says_what_the_html_says(source: str, variables: dict[str, Any]) -> None:
    """Word by word; line breaks may differ by an empty line."""
    template = text_template(source)
    assert template is not None
    context = {"name": "Ann", **variables}
    made = tidy(OneTemplate(template, 10_000).render(context, 100))
    shown = text_of(OneTemplate(source, 10_000, html=True).render(context, 100))
    assert made.split() == shown.split()
    assert "\n\n\n" not in made


@pytest.mark.parametrize(
    "source",
    [
        "{{ x|safe }}",
        "{% if a %}<a href='x'>{% else %}<a href='y'>{% endif %}z</a>",
        "<!--{% for x in y %}-->{{ x }}<!--{% endfor %}-->",
        "<ol>{% for x in y %}<li>{{ x }}</li>{% endfor %}</ol>",
        "<p style='{{ x }}'>a</p>",
        "{% if a %}<div hidden>{% else %}<div>{% endif %}secret</div>",
        "a {{- x -}} b",
        "{# remark #}a",
    ],
)
def test_where_it_cannot_be_told_the_text_is_made_from_each_message(source: str) -> None:
    assert text_template(source) is None


def test_a_text_that_hangs_on_a_value_is_made_from_each_message() -> None:
    content = a_content(html="<p>{{ x|safe }}</p>", text_from_html=True)
    composer = Composer(content, IDENTITY)
    assert composer.render(ann(x="<b>a</b><br>b")).text == "a\nb\n"
    assert composer.render(ann(x="c")).text == "c\n"


def test_styles_are_inlined_once_where_values_cannot_change_them() -> None:
    source = "<style>p{color:red}</style><p>{{ x }} <a href='{{ url }}'>y</a></p>"
    once = inlined_template(source)
    assert once is not None
    assert '<p style="color: red;">{{ x }} <a href="{{ url }}">y</a></p>' in once
    context = {"x": "a & b", "url": "https://x.test/?a=1&b=2"}
    both = [OneTemplate(one, 10_000, html=True).render(context, 100) for one in (source, once)]
    assert inlined(both[0]).replace("red;", "red") == inlined(both[1]).replace("red;", "red")


@pytest.mark.parametrize(
    "source",
    [
        "<style>p{color:red}</style>{% for x in y %}<p>{{ x }}</p>{% endfor %}",
        "<style>.a{color:red}</style><p class='{{ x }}'>a</p>",
        "<style>p{color:{{ x }}}</style><p>a</p>",
        "<style>a[href]{color:red}</style><a href='{{ x }}'>a</a>",
        "<style>p:empty{color:red}</style><p>{{ x }}</p>",
        "<style>p{color:red}</style>{{ x|safe }}",
    ],
)
def test_else_they_are_inlined_in_each_message(source: str) -> None:
    assert inlined_template(source) is None
    content = a_content(html=source, inline_css=True)
    shown = Composer(content, IDENTITY).render(ann(x="a", y=["b"])).html
    assert shown is not None
    assert "<style>" in shown


def test_nothing_is_fetched_for_a_style(tmp_path: Any) -> None:
    (tmp_path / "x.css").write_text("p{color:blue}")
    shown = inlined(
        f"<link rel=stylesheet href='{tmp_path}/x.css'><link rel=stylesheet href='http://127.0.0.1:1/'><p>x"
    )
    assert "blue" not in shown


@pytest.mark.parametrize(
    "html", ["<div>" * 100_000, "<style>" + "p," * 5_000 + "p{}</style>" + "<p>" * 1_000]
)
def test_what_would_cost_a_machine_is_not_inlined(html: str) -> None:
    for inline in (inlined, inlined_template):
        with pytest.raises(ContentError) as refusal:
            inline(html)
        assert refusal.value.code == "html_too_complex"


def test_a_preview_names_what_is_missing_and_shows_the_rest() -> None:
    content = a_content(
        subject="Hi {{ who }}", text="{{ a }} {{ b.c }} {{ name }}", headers={"X-A": "{{ d }}"}
    )
    found = preview(content, ann(b={}))
    assert (found.subject, found.text, found.size) == ("Hi ", "  Ann", None)
    assert {"who", "a", "d"} <= found.undefined
    whole = preview(content, ann(who="Ann", a=1, b={"c": 2}, d="x"))
    assert (whole.undefined, whole.errors, whole.headers) == (set(), {}, {"X-A": "x"})
    assert whole.size == len(Composer(content, IDENTITY).compose(ann(who="Ann", a=1, b={"c": 2}, d="x")))
