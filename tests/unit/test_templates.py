"""Templates: what they can say, what they are refused for, and what a hostile one costs."""

from __future__ import annotations

import subprocess
import sys
import time
from html.parser import HTMLParser

import pytest

from postwerk.contracts.content import Content, Mailbox, Recipient
from postwerk.errors import ContentError, InvalidRequest
from postwerk.mime import templates
from postwerk.mime.templates import Templates, check_templates


def a_content(**fields):
    return Content(**{"sender": Mailbox(email="shop@example.com"), "subject": "s", "text": "t", **fields})


def a_recipient(**variables):
    return Recipient(1, "ann@example.com", "Ann", variables)


def text_of(source, /, **variables):
    return Templates(a_content(text=source)).render(a_recipient(**variables)).text


def html_of(source, /, **variables):
    return Templates(a_content(html=source)).render(a_recipient(**variables)).html


@pytest.mark.parametrize(
    "name", ["name", "self", "template_name", "to", "source", "args", "größe", "cls", "t"]
)
def test_a_variable_may_have_any_name(name):
    assert text_of("{{ " + name + " }}", **{name: "value"}) == "value"


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("{{ to }} {{ name }}", "ann@example.com Ann"),
        ("{{ shop }}", "ours"),  # the content's variables
        ("{{ both }}", "own"),  # the recipient's win
        ("{{ nothing }}", ""),
        ("{{ '%.2f'|format(price) }}", "9.50"),
        ("{{ price|times(3) }}", "28.5"),
        ("{{ price + 1 }} {{ 7 % 4 }} {{ 7 // 2 }} {{ -price }}", "10.5 3 3 -9.5"),
        ("{{ items|join(', ') }}", "a, b"),
        ("{{ items|map('upper')|join('-') }}", "A-B"),
        (
            "{% for i in items %}{{ loop.index }}{{ i }}{% if not loop.last %},{% endif %}{% endfor %}",
            "1a,2b",
        ),
        ("{% set x = 'a' ~ shop %}{{ x|upper }}", "AOURS"),
        ("{{ missing|default('friend') }}", "friend"),
        ("{% if missing is defined %}a{% else %}b{% endif %}", "b"),
        ("{# a comment with {{ #}x\n", "x\n"),
        ("{{ '}}' }}", "}}"),
        ("{% for i in range(3) %}{{ i }}{% endfor %}", "012"),
        ("{{ d.k }}{{ d['k'] }}{% for k, v in d|items %}{{ k }}{{ v }}{% endfor %}", "vvkv"),
        ("{{ shop|replace('our', 'their') }}", "theirs"),
        ("100 % { } {", "100 % { } {"),
    ],
)
def test_a_template_can_say(source, shown):
    content = a_content(text=source, variables={"shop": "ours", "both": "global"})
    variables = {"both": "own", "nothing": None, "price": 9.5, "items": ["a", "b"], "d": {"k": "v"}}
    assert Templates(content).render(a_recipient(**variables)).text == shown


def test_html_is_escaped_and_text_is_not():
    rendered = Templates(a_content(subject="{{ x }}", text="{{ x }}", html="{{ x }}")).render(
        a_recipient(x="<a>&/'")
    )
    assert (rendered.subject, rendered.text, rendered.html) == ("<a>&/'", "<a>&/'", "&lt;a&gt;&amp;/&#x27;")


@pytest.mark.parametrize(
    ("source", "code", "names"),
    [
        ("{{ missing }}", "undefined_variable", "missing"),
        ("{{ d.missing }}", "undefined_variable", "d.missing"),
        ("{{ missing|upper }}", "undefined_variable", "missing"),
        ("{{ missing|join }}", "undefined_variable", "missing"),
        ("{% if missing %}a{% endif %}", "undefined_variable", "missing"),
        ("{{ 1/0 }}", "render_failed", "line 1"),
        ("{{ '%d'|format('x') }}", "render_failed", ""),
        ("{{ 'x'|times(2) }}", "render_failed", "numbers"),
        ("{{ long }}{{ long }}{{ long }}" * 4, "too_large", "2097152"),
    ],
)
def test_what_fails_for_one_recipient_says_so(source, code, names):
    with pytest.raises(ContentError) as error:
        text_of(source, d={}, long="x" * 250_000)
    assert error.value.code == code
    assert names in error.value.message


def test_half_a_character_is_refused():
    with pytest.raises(ContentError, match="lone surrogate"):
        text_of("{{ x }}", x=["\ud800"])


@pytest.mark.parametrize("value", [{1}, b"x", object(), [object()], {"a": {"b": lambda: 1}}])
def test_only_json_values_reach_a_template(value):
    with pytest.raises(ContentError):
        text_of("{{ x }}", x=value)


def test_a_subject_ends_at_998_characters():
    with pytest.raises(ContentError) as error:
        Templates(a_content(subject="{{ x }}")).render(a_recipient(x="a" * 999))
    assert error.value.code == "too_large"


NOT_TAKEN = [
    "{{ x",
    "{% if x %}",
    "{% endfor %}",
    "{{ x| }}",
    "{{ x !r }}",
    "{# open",
    "{% include 'a' %}",
    "{%- import 'a' as b -%}",
    "{% extends 'a' %}",
    "{% block a %}{% endblock %}",
    "{% from 'a' import b %}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% call f() %}{% endcall %}",
    "{% autoescape false %}{% endautoescape %}",
    "{% raw %}{{ x }}{% endraw %}",
    "{% set x %}aa{% endset %}",
    "{% for a in x recursive %}{{ loop(a) }}{% endfor %}",
    "{% do debug() %}",
    "{{ x|attr('a') }}",
    "{{ 'a'*10**9 }}",
    "{{ [1] * 10**9 }}",
    "{{ 2**100000 }}",
    "{{ 'a'|center(10**9) }}",
    "{{ 'a'|indent(1000000000) }}",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "{{ " + "[" * 5000 + "1" + "]" * 5000 + " }}",
    "{{ " + "(" * 180 + "1" + ")" * 5 + " }}",
    "{{ x" + "+x" * 100_000 + " }}",
    "{{ " + "not " * 100_000 + "x }}",
    "{{ " + "-" * 100_000 + "1 }}",
    "{{ x" + "|upper" * 100_000 + " }}",
    "{{ x" + ".y" * 100_000 + " }}",
    "{% if x %}" * 5000,
    "{% if x %}" + "{% elif x %}" * 50_000 + "{% endif %}",
    "{{ x }}" * 100_000,
    "{% set a = 'aaaaaaaaaa' %}" + "{% set a = a ~ a %}" * 40 + "{{ a }}",
    "{% for i in range(9) %}" + "x" * 70_000 + "{% endfor %}",
]


@pytest.mark.parametrize("source", NOT_TAKEN, ids=lambda source: source[:40])
@pytest.mark.parametrize("field", ["text", "html"])
def test_what_is_not_offered_is_refused_at_intake_in_no_time(source, field):
    began = time.perf_counter()
    with pytest.raises(InvalidRequest) as refusal:
        check_templates(a_content(**{field: "first\n" + source}))
    assert (refusal.value.pointer, refusal.value.code) == (f"#/{field}", "template_syntax")
    assert "line " in refusal.value.message
    assert time.perf_counter() - began < 0.5


def test_the_line_of_a_mistake_is_told():
    with pytest.raises(InvalidRequest, match=r"^line 3:"):
        check_templates(a_content(html="a\n{# x #}\n{{ x| }}"))


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"subject": "x" * 10_000_000}, "#/subject"),
        ({"subject": "{{" * 5_000_000}, "#/subject"),
        ({"text": "x" * 1_100_000}, "#/text"),
        ({"html": "{{ x }}" * 200_000}, "#/html"),
        ({"headers": {"X-A/b": "x" * 10_000}}, "#/headers/X-A~1b"),
    ],
)
def test_a_source_too_large_is_refused_before_it_is_read(fields, pointer, monkeypatch):
    def read(source):
        assert len(source) < 1000, "the large source was read"

    monkeypatch.setattr(templates, "examine", read)
    with pytest.raises(InvalidRequest) as refusal:
        check_templates(a_content(**fields))
    assert (refusal.value.pointer, refusal.value.code) == (pointer, "too_large")


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


BOMBS = {
    "nested loops": ("<LOOPS>x<ENDS>", {}),
    "range": ("{{ range(999999999) }}", {}),
    "text in a loop": ("{% for i in range(1000) %}" + "x" * 65_000 + "{% endfor %}", {}),
    "variable in a loop": ("{% for i in range(1000) %}{{ x }}{% endfor %}", {"x": "x" * 250_000}),
    "list in a loop": ("{% for i in range(1000) %}{{ x }}{% endfor %}", {"x": [1] * 9_000}),
    "joining": (
        "<LOOPS>{% if x~x~x~x~x~x~x~x == 1 %}{% endif %}<ENDS>",
        {"x": "x" * 250_000},
    ),
    "joining named": (
        "{% for i in range(999) %}{% for j in range(99) %}{% set a = x~x~x~x %}{% set b = a~a~a~a %}"
        "{% set c = b~b~b %}<ENDS>",
        {"x": "x" * 250_000},
    ),
    "comparing": (
        "<LOOPS>{% if x == y %}{% endif %}<ENDS>",
        {"x": "x" * 100_000 + "a", "y": "x" * 100_000 + "b"},
    ),
    "searching": (
        "<LOOPS>{% if 7 in x %}{% endif %}<ENDS>",
        {"x": [1] * 9_000},
    ),
    "sorting": (
        "<LOOPS>{% set y = x|sort|reverse|unique|list %}<ENDS>",
        {"x": ["a", "b"] * 4_500},
    ),
    "upper": (
        "<LOOPS>{% set y = x|upper|lower|title %}<ENDS>",
        {"x": "x" * 250_000},
    ),
    "format": ("{{ '%1000000000d'|format(1) }}", {}),
    "format by star": ("{{ '%*d'|format(1000000000, 1) }}", {}),
    "format of a list": ("{{ x|format(1) }}", {"x": ["%999999999d"]}),
    "join": ("{{ x|join(x) }}", {"x": "x" * 200_000}),
    "replace": ("{{ x|replace('x', x) }}", {"x": "x" * 200_000}),
    "replace nothing": ("{{ x|replace('', x) }}", {"x": "x" * 200_000}),
    "urlencode": ("{{ x" + "|urlencode" * 80 + " }}", {"x": "%" * 250_000}),
    "python filters in a loop": (
        "{% for i in range(9) %}{% set y=x|urlencode|replace('a', 'b') %}{% set z=x|tojson %}{% endfor %}",
        {"x": "%" * 80_000},
    ),
    "tojson": ("{{ x" + "|tojson|string" * 20 + " }}", {"x": '"' * 250_000}),
    "truncate": ("{{ x|truncate(999999999, end=x) }}", {"x": "x" * 200_000}),
    "batch": ("{{ x|map('batch', 100000000)|list }}", {"x": [[1]]}),
    "round": ("{{ 1.5|round(999999999) }}", {}),
    "many long texts": ("{% set a = x~x %}" + "{{ (a~a~a~a)|length }}" * 9_000, {"x": "x" * 250_000}),
    "many texts": ("{% set a = x~x %}" + "{{ (a~a~a~a)|length }}" * 9_000, {"x": "x" * 60_000}),
    "texts in lists": (
        "{% for i in x[:999] %}{% set y = x|sort|join|upper %}{% set z = x|map('upper')|list %}{% endfor %}",
        {"x": ["x" * 25] * 9_000},
    ),
    "deep data": ("{{ x }}", {"x": nested(100_000)}),
    "wide data": ("{{ x }}", {"x": [[[1] * 1000] * 1000]}),
    "long chains of elif": ("{% if x %}" + "{% elif x %}" * 400 + "{% endif %}", {"x": 0}),
    "many joined": ("{{ x" + "~x" * 60 + " }}", {"x": "x" * 250_000}),
    "map format": ("{{ ['%999999999d']|map('format', 1)|list }}", {}),
    "big integers": ("{{ x|times(x)|times(x)|times(x) }}", {"x": 10**18}),
}

LOOPS = "{% for i in range(999) %}{% for j in range(999) %}"
ENDS = "{% endfor %}{% endfor %}"
BOMBS = {
    name: (bomb.replace("<LOOPS>", LOOPS).replace("<ENDS>", ENDS), data)
    for name, (bomb, data) in BOMBS.items()
}


RUN_A_BOMB = """
import time
from tests.unit.test_templates import BOMBS, a_recipient, html_of, text_of
from postwerk.errors import ContentError
slowest = 0.0
for name, (source, variables) in BOMBS.items():
    for render in (text_of, html_of):
        began = time.perf_counter()
        try:
            outcome = f"{len(render(source, **variables))} characters"
        except ContentError as error:
            outcome = error.code
        took = time.perf_counter() - began
        # Not ru_maxrss: that begins at the size of the process that started this one.
        status = open("/proc/self/status").read()
        peak = int(status.partition("VmHWM:")[2].split()[0]) // 1024
        print(f"{took:.3f}s {peak} MB {name}: {outcome}")
        assert took < 2, name
"""


def test_no_bomb_costs_two_seconds_or_200_megabytes():
    """In a process of its own, which may take 200 MB more than an idle one: a bomb must not end a worker."""
    run = subprocess.run(
        [sys.executable, "-c", RUN_A_BOMB], capture_output=True, text=True, timeout=100, check=False
    )
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
    assert max(int(line.split()[1]) for line in run.stdout.splitlines()) < 250


XSS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</p></td></table><b>",
    "<!--",
    "]]>",
    "&lt;script&gt;",
    "<a href='javascript:alert(1)'>",
    "{{ 7 }}",
    "{% include 'x' %}",
    "<style>*{}",
    '" onmouseover="x',
    "' onmouseover='x",
    "</title><script>",
    "<scr\0ipt>",
    "<img/src='x'>",
]


class Structure(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, [name for name, _ in attrs]))

    def handle_endtag(self, tag):
        self.tags.append(tag)

    def handle_comment(self, data):
        self.tags.append("comment")


@pytest.mark.parametrize("value", XSS)
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: {v: v}])
def test_a_variable_cannot_change_the_structure_of_the_html(value, wrap):
    source = """<p title="{{ x }}">{{ x }}<a href='https://x.test/{{ x }}'>{{ 'a' ~ x }}{{ [x]|join }}</a>
    {{ x|string|upper }}{{ '%s'|format(x) }}{{ x|tojson }}</p>"""
    assert Structure(html_of(source, x=wrap(value))).tags == Structure(html_of(source, x="harmless")).tags


def test_the_mark_of_a_safe_value_is_not_inherited_by_its_neighbours():
    assert html_of("{{ a|safe }}{{ [a, b]|join }}", a="<b>", b="<i>") == "<b>&lt;b&gt;&lt;i&gt;"
    assert html_of("{% set x = a|safe %}{{ x ~ b }}", a="<b>", b="<i>") != "<b><i>"
    assert html_of("{{ b|replace('x', a|safe) }}", a="<b>", b="<i>x") == "&lt;i&gt;&lt;b&gt;"
    assert html_of("{{ (b|safe)|replace('x', a) }}", a="<b>", b="x") == "&lt;b&gt;"
    assert html_of("{{ ('%s'|safe)|format(a) }}", a="<b>") == "&lt;b&gt;"
