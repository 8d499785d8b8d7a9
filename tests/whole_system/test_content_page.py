"""The examples of docs/content.md are taken as they stand there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from postwerk.settings import Settings
from tests.support.api import open_door
from tests.support.databases import open_archive

PAGE = (Path(__file__).parents[2] / "docs" / "content.md").read_text("utf-8")
EXAMPLES = re.findall(r"```json\n(\w+) (/\S+)\n(.*?)```", PAGE, re.DOTALL)


async def test_the_examples_are_taken(tmp_path: Path) -> None:
    assert len(EXAMPLES) == 5
    async with (
        open_archive(f"sqlite+aiosqlite:///{tmp_path}/archive.db") as archive,
        open_door(archive) as door,
    ):
        for method, path, body in EXAMPLES:
            answer = await door.http.request(method, path, json=json.loads(body))
            assert answer.is_success, answer.text
            assert not answer.json().get("errors"), answer.text
            assert not answer.json().get("undefined_variables"), answer.text


@pytest.mark.parametrize("name", ["max_attachment_bytes", "max_message_bytes"])
def test_the_limits_are_those_of_the_settings(name: str) -> None:
    default = Settings.model_fields[name].default
    assert re.search(rf"POSTWERK_{name.upper()}` \| .*{default:,}\)", PAGE)
