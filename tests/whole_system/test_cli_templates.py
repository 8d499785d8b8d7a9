"""`postwerk templates`, and `postwerk send` with a template and files, as processes against the API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Desk, an_operators_desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with an_operators_desk(tmp_path) as desk:
        yield desk


def test_templates_are_put_listed_shown_and_rendered(desk: Desk, tmp_path: Path) -> None:
    page = tmp_path / "welcome.html"
    page.write_text("<p>Dear {{ who }}</p>")
    assert "welcome is at version 1." in desk.cli("templates", "put", str(page), "--subject", "Hi").stdout
    (tmp_path / "t.yaml").write_text("subject: Hello {{ who }}\ntext: Dear {{ who }}\nfrom: a@shop.example\n")
    desk.cli("templates", "put", str(tmp_path / "t.yaml"), "--name", "welcome")
    (one,) = desk.cli.json_lines("templates", "list")
    assert (one["id"], one["version"], one["document"]["subject"]) == ("welcome", 2, "Hello {{ who }}")
    assert "<p>Dear {{ who }}</p>" in desk.cli("templates", "show", "welcome", "--version", "1").stdout
    shown = desk.cli("templates", "render", "welcome", "--var", "who=Ann")
    assert shown.stdout == "Subject: Hello Ann\n\nDear Ann\n"
    less = desk.cli("templates", "render", "welcome", code=1)
    assert "the variable who has no value" in less.stderr
    assert desk.cli("templates", "show", "nobody", code=4).stderr.count("\n") == 1


def test_a_send_takes_a_template_and_files(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "welcome.json").write_text(
        json.dumps({"subject": "Hi", "text": "x", "from": "a@shop.example"})
    )
    (tmp_path / "a.txt").write_text("hello")
    desk.cli("templates", "put", str(tmp_path / "welcome.json"))
    arguments = ("--template", "welcome@1", "--attach", str(tmp_path / "a.txt"), "--to", "ada@example.com")
    taken = desk.cli.json("send", *arguments)
    assert taken["accepted"] == 1
    assert desk.cli.json("bulk", "show", taken["id"])["template"] == {"id": "welcome", "version": 1}
    assert (
        desk.cli("send", "--attach", str(tmp_path / "gone.txt"), *arguments, code=2).stderr.count("\n") == 1
    )
