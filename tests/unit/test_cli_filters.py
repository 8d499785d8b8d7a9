"""Options into the filter, the retry schedule and the request as the API reads them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from api.request_schemas import BulkSendRequest
from postwerk.cli.client.errors import Misused, Refused
from postwerk.cli.client.filters import add_filter, filter_of, meant
from postwerk.cli.client.schedules import retry_of
from postwerk.cli.commands.send import add_options
from postwerk.cli.commands.send_campaign import FIELDS, request_of


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_filter(parser)
    return parser.parse_args(arguments)


@pytest.mark.parametrize(
    ("arguments", "filter"),
    [
        (["b.1", "--id", "b.2", "--id", "b.1"], {"ids": ["b.1", "b.2"]}),
        (["--bulk", "x"], {"bulk": "x"}),
        (["--bulk", "x", "--bulk", "y"], {"bulk": ["x", "y"]}),
        (["--state", "held", "--state", "deferred"], {"state": ["held", "deferred"]}),
        (["--code", "451"], {"code": 451}),
        (["--code", "4xx"], {"code": "4xx"}),
        (["--reason-is", "greylisted"], {"reason": "greylisted"}),
        (["--q", "ada"], {"q": "ada"}),
        (["--older-than", "90", "--younger-than", "2d"], {"older_than": 90, "younger_than": "2d"}),
        (["--provider", "gmail.com", "--domain", "g.de"], {"provider": "gmail.com", "domain": "g.de"}),
        (["--recipient", ""], {"recipient": ""}),  # refused by the API: never "all"
        (["--all"], {"all": True}),
    ],
)
def test_options_become_the_filter(arguments: list[str], filter: dict[str, Any]) -> None:
    assert meant(parsed(*arguments)) == filter


@pytest.mark.parametrize("arguments", [[], ["--all", "--bulk", "x"], [f"b.{n}" for n in range(1001)]])
def test_what_is_not_clear_is_refused(arguments: list[str]) -> None:
    with pytest.raises(Misused):
        meant(parsed(*arguments))


def test_reading_may_mean_everything() -> None:
    assert filter_of(parsed()) == {}


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("postfix", "postfix"),
        ("1m,5m,1h", {"waits": ["1m", "5m", "1h"]}),
        ("30", {"waits": ["30"]}),
        ("initial=5m, factor=2,maximum=3h", {"initial": "5m", "factor": 2.0, "maximum": "3h"}),
        ("preset=bulk,jitter=0.1", {"preset": "bulk", "jitter": 0.1}),
    ],
)
def test_a_retry_schedule_is_written_short(text: str, field: Any) -> None:
    assert retry_of(text) == field


@pytest.mark.parametrize("text", ["factor=two", "first=5m", "initial="])
def test_a_wrong_retry_schedule_is_refused(text: str) -> None:
    with pytest.raises(Misused, match="--retry"):
        retry_of(text)


# The request


def request(*arguments: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return request_of(parser.parse_args(arguments))


def test_a_campaign_file_knows_every_field_of_the_api() -> None:
    known = {field.alias or name for name, field in BulkSendRequest.model_fields.items()}
    assert known - set(FIELDS) == set()


YAML = """
from: Shop <news@shop.example>
subject: Hi
text: |
  Dear {{ name }},
deadline: 2d
headers: {X-A: a, X-B: b}
notify: {to: me@shop.example, on: [failure]}
recipients: [{to: ada@example.com, variables: {answer: no, at: 2026-01-01, zip: 01234}}]
"""


def test_yaml_is_read_as_people_mean_it(tmp_path: Path) -> None:
    """In YAML 1.1 `on` and `no` are truth values, a date is no text, and 01234 is 668."""
    (tmp_path / "c.yaml").write_text(YAML)
    found = request("--campaign", str(tmp_path / "c.yaml"))
    assert found["notify"] == {"to": "me@shop.example", "on": ["failure"]}
    assert found["recipients"][0]["variables"] == {"answer": "no", "at": "2026-01-01", "zip": "01234"}
    assert found["text"] == "Dear {{ name }},\n"


def test_options_win_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(YAML)
    (tmp_path / "t.txt").write_text("ours")
    found = request(
        *("--campaign", str(tmp_path / "c.yaml"), "--text", str(tmp_path / "t.txt"), "--subject", "Ho"),
        *(
            "--header",
            "X-B: other",
            "--var",
            "a=b=c",
            "--notify-on",
            "delay,completion",
            "--to",
            "b@c.example",
        ),
        *("--rate", "10/s", "--retry", "postfix", "--auto-pause", "0.1,50", "--recipients-per-child", "7"),
    )
    assert (found["text"], found["subject"], found["deadline"]) == ("ours", "Ho", "2d")
    assert found["headers"] == {"X-A": "a", "X-B": "other"}
    assert found["variables"] == {"a": "b=c"}
    assert found["notify"] == {"to": "me@shop.example", "on": ["delay", "completion"]}
    assert found["recipients"] == [{"to": "b@c.example"}]
    assert (found["rate"], found["retry"], found["recipients_per_child"]) == ("10/s", "postfix", 7)
    assert found["auto_pause"] == {"bounce_rate": 0.1, "min_sent": 50}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("c.yaml", "subjet: x", "no field 'subjet'"),
        ("c.yaml", "subject: a\nsubject: b", "line 2: 'subject' stands twice"),
        ("c.yaml", "subject: [", "line 1: expected"),
        ("c.yaml", "- a", "one object"),
        ("c.toml", "subject = ", "c.toml: Invalid value"),
        ("c.toml", "deadline = 2026-01-01", "cannot be said in JSON"),
        ("c.json", "{", "c.json: Expecting"),
        ("c.txt", "subject: x", "ends in"),
    ],
)
def test_a_wrong_campaign_file_is_told_in_one_line(name: str, text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(Misused, match=told) as error:
        request("--campaign", str(tmp_path / name))
    assert "\n" not in error.value.message


def test_a_campaign_in_toml_is_the_same_request(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        'subject = "Hi"\n[headers]\nX-A = "a"\n[[recipients]]\nto = "a@b.example"\n'
    )
    assert request("--campaign", str(tmp_path / "c.toml")) == {
        "subject": "Hi",
        "headers": {"X-A": "a"},
        "recipients": [{"to": "a@b.example"}],
    }


def test_a_refusal_is_one_line_with_the_places() -> None:
    errors = [{"pointer": f"#/{n}", "code": "x", "detail": "is wrong"} for n in range(5)]
    many = Refused(422, {"detail": "Some fields cannot be taken.", "errors": errors})
    assert many.message.endswith("(#/0: is wrong; #/1: is wrong; #/2: is wrong; and 2 more)")
    one = Refused(422, {"detail": "Too fast.", "errors": [{"pointer": "#/rate", "detail": "Too fast."}]})
    assert one.message == "Too fast. (#/rate)"
