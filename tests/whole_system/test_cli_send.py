"""`postwerk send`, as a process against the API: whoever is on the list gets it once, or nobody does."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.dependencies import ApiConfig
from tests.support.cli import Desk, an_operators_desk
from tests.support.interfering import Interfering

CONTENT = ("--from", "Shop <news@shop.example>", "--subject", "Hello", "--text", "text.txt")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with an_operators_desk(tmp_path, ApiConfig(max_part_bytes=6 * 1024 * 1024)) as desk:
        desk.file("text.txt", "spring is here\n")
        yield desk


def sent_id(output: str) -> str:
    found = re.match(r"(bulk_\w+): ", output)
    assert found, output
    return found[1]


def test_a_mail_goes_to_addresses(desk: Desk) -> None:
    done = desk.cli(
        "send", *CONTENT, "--to", "ada@example.com", "--to", "Bob <bob@example.org>", "--rate", "9/s"
    )
    view = desk.bulk(sent_id(done.stdout))
    assert (view["state"], view["accepted"], view["rate"]) == ("queued", 2, "9/s")
    assert desk.addresses(view["id"]) == ["ada@example.com", "bob@example.org"]
    assert f"bulk-{view['id']}" in desk.api.temporal.started


def test_a_list_longer_than_a_part_goes_whole(desk: Desk) -> None:
    """6 MB at most in a part here, and 9 MB of list."""
    rows = "".join(f"user{n}@example.com;{'x' * 880}\r\n" for n in range(10_000))
    desk.file("people.csv", f"to;filling\r\nnobody;\r\n{rows}user7@example.com;again\r\n")
    answer = desk.cli.json("send", *CONTENT, "--recipients", "people.csv")
    assert (answer["accepted"], answer["rejected"], answer["duplicates"]) == (10_000, 1, 1)
    assert [(one["list"], one["row"], one["to"]) for one in answer["errors"]] == [("people.csv", 2, "nobody")]
    view = desk.bulk(answer["id"])
    assert (view["state"], view["accepted"]) == ("queued", 10_000)


def test_lists_are_read_from_stdin_and_several_files(desk: Desk) -> None:
    desk.file("more.csv", "email\ncarol@example.com\n")
    lines = '{"to":"ada@example.com"}\n{"to":"bob@example.com","variables":{"a":1}}\n'
    done = desk.cli("send", *CONTENT, "--recipients", "-", "--recipients", "more.csv", stdin=lines)
    addresses = desk.addresses(sent_id(done.stdout))
    assert addresses == ["ada@example.com", "bob@example.com", "carol@example.com"]


def test_a_campaign_file_says_it_all(desk: Desk) -> None:
    desk.file(
        "spring.yaml",
        "name: spring\nfrom: news@shop.example\nsubject: Hi {{ first_name }}\ntext: |\n  Dear you,\n"
        "variables: {first_name: friend}\nretry: {waits: [1m, 1h]}\n"
        "notify: {to: me@shop.example, on: [completion]}\nrecipients: [{to: ada@example.com}]\n",
    )
    view = desk.bulk(sent_id(desk.cli("send", "--campaign", "spring.yaml").stdout))
    assert (view["name"], view["retry"]["waits"]) == ("spring", [60.0, 3600.0])
    assert view["notify"]["on"] == ["completion"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--to", "x@y.example", "--subject", "{% broken"], 4, "#/subject"),
        (["--to", "x@y.example", "--rate", "fast"], 4, "#/rate"),
        (["--to", "nobody"], 4, "recipient"),
        ([], 4, "no recipients"),
        (["--recipients", "nowhere.csv"], 2, "nowhere.csv cannot be read"),
        (["--to", "x@y.example", "--text", "nowhere.txt"], 2, "nowhere.txt cannot be read"),
    ],
)
def test_what_cannot_be_sent_is_told_in_one_line(
    desk: Desk, arguments: list[str], code: int, told: str
) -> None:
    done = desk.cli("send", *CONTENT, *arguments, code=code)
    assert told in done.stderr.splitlines()[-1]
    assert desk.api.http.get("/v1/bulk-sends").json()["data"] == []


@pytest.mark.parametrize(
    ("rows", "arguments", "code", "told"),
    [
        (b'to,name\na@b.example,"never closed\n', [], 2, "row 2 is not valid CSV"),
        (b"who\na@b.example\n", [], 4, '"to"'),
        (b"to\nnobody\n", [], 1, "no recipient"),
        (b"to\na@b.example\nnobody\n", ["--strict"], 1, "--strict"),
        (b"", [], 4, "no header row"),
    ],
)
def test_a_list_that_cannot_be_taken_takes_its_send_back(
    desk: Desk, rows: bytes, arguments: list[str], code: int, told: str
) -> None:
    done = desk.cli("send", *CONTENT, "--recipients", "-", *arguments, stdin=rows, code=code)
    assert told in done.stderr.splitlines()[-1]
    assert "was cancelled before it began" in done.stderr
    (view,) = desk.api.http.get("/v1/bulk-sends").json()["data"]
    assert view["state"] == "cancelled"
    assert desk.api.temporal.started == {}


def test_ctrl_c_in_the_middle_of_a_list_takes_the_send_back(desk: Desk) -> None:
    process = subprocess.Popen(
        desk.cli.command("send", *CONTENT, "--recipients", "-"),
        cwd=desk.folder,
        env=desk.cli.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    process.stdin.write("to\n" + "".join(f"user{n}@example.com\n" for n in range(10_000)))  # and no end
    process.stdin.flush()
    while not desk.api.http.get("/v1/bulk-sends").json()["data"]:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    (view,) = desk.api.http.get("/v1/bulk-sends").json()["data"]
    assert view["state"] == "cancelled"


@pytest.mark.slow
def test_a_start_without_an_answer_says_how_to_go_on(desk: Desk) -> None:
    """Whether it was started is not known, so it is neither cancelled nor forgotten."""
    with Interfering(desk.api.url, "/start") as proxy:
        done = desk.cli(
            "send",
            *CONTENT,
            "--recipients",
            "-",
            stdin="to\na@b.example\n",
            code=3,
            POSTWERK_API_URL=proxy.url,
        )
    found = re.search(r"postwerk bulk start (bulk_\w+)", done.stderr)
    assert found, done.stderr
    assert desk.bulk(found[1])["state"] == "open"
    assert desk.cli("bulk", "start", found[1]).stdout == f"{found[1]} is queued.\n"


def test_a_part_without_an_answer_is_sent_again(desk: Desk) -> None:
    with Interfering(desk.api.url, "/recipients", times=1) as proxy:
        done = desk.cli(
            "send", *CONTENT, "--recipients", "-", stdin="to\na@b.example\n", POSTWERK_API_URL=proxy.url
        )
    assert "Again in 1 s." in done.stderr
    assert desk.bulk(sent_id(done.stdout))["accepted"] == 1


def test_a_dry_run_checks_every_row_and_stores_nothing(desk: Desk) -> None:
    desk.file("people.csv", "Email;Name;age\nada@example.com;Ada;7\nnobody;x;1\nbob@example.com;Bob\n")
    desk.file(
        "people.ndjson", '{"to":"ada@example.com"}\n"carol@example.com"\n{"to":"dan@example.com"}\n{nix\n'
    )
    lists = ("--recipients", "people.csv", "--recipients", "people.ndjson")
    answer = desk.cli.json("send", *CONTENT, *lists, "--dry-run", code=1)
    assert {name: answer[name] for name in ("total", "accepted", "rejected", "duplicates")} == {
        "total": 7,
        "accepted": 2,
        "rejected": 4,
        "duplicates": 1,
    }
    assert {(one["list"], one["row"]) for one in answer["errors"]} == {
        ("people.csv", 3),
        ("people.csv", 4),
        ("people.ndjson", 2),
        ("people.ndjson", 4),
    }
    assert "Would take 2 of 7" in desk.cli("send", *CONTENT, *lists, "--dry-run", code=1).stdout
    assert desk.api.http.get("/v1/bulk-sends").json()["data"] == []


def test_the_api_learns_who_calls_and_with_which_key(desk: Desk) -> None:
    with Interfering(desk.api.url) as proxy:
        desk.cli("bulk", "list", POSTWERK_API_URL=proxy.url, POSTWERK_API_KEY="k3y", POSTWERK_USER="", code=4)
        desk.cli("bulk", "list", "--user", "Zoë", POSTWERK_API_URL=proxy.url)
        desk.cli("--user", "bob", "--api", proxy.url, "bulk", "list", POSTWERK_API_URL="http://127.0.0.1:1")
    heads = proxy.headers
    assert re.fullmatch(r".+@.+", heads[0]["postwerk-user"])
    assert [head.get("authorization") for head in heads] == ["Bearer k3y", None, None]
    assert [head["postwerk-user"] for head in heads[1:]] == ["Zoë", "bob"]


def test_a_send_without_an_answer_is_sent_again_and_taken_once(desk: Desk) -> None:
    """The first time the API hears it and its answer is lost."""
    with Interfering(desk.api.url, "/bulk-sends", times=1, hears=True) as proxy:
        done = desk.cli("send", *CONTENT, "--to", "ada@example.com", POSTWERK_API_URL=proxy.url)
    assert "Again in 0.5 s." in done.stderr
    (view,) = desk.api.http.get("/v1/bulk-sends").json()["data"]
    assert view["id"] == sent_id(done.stdout)
    keys = {head["idempotency-key"] for head in proxy.headers}
    assert len(keys) == 1


def test_the_same_command_with_a_key_of_ones_own_sends_once(desk: Desk) -> None:
    desk.file("people.csv", "to\n" + "".join(f"user{n}@example.com\n" for n in range(1200)))
    command = ("send", *CONTENT, "--recipients", "people.csv", "--idempotency-key", "spring-2027")
    first, again = (desk.cli.json(*command) for _ in range(2))
    assert first["id"] == again["id"]
    assert (again["accepted"], again["duplicates"], again["total"]) == (1200, 0, 1200)
    (view,) = desk.api.http.get("/v1/bulk-sends").json()["data"]
    assert (view["accepted"], view["duplicates"]) == (1200, 0)
    other = desk.cli("send", *CONTENT, "--to", "x@example.com", "--idempotency-key", "spring-2027", code=4)
    assert "another call" in other.stderr


def test_with_a_key_of_ones_own_an_upload_that_breaks_off_goes_on(desk: Desk) -> None:
    """It is not taken back: the same command goes on with it."""
    desk.file("people.csv", "to\n" + "".join(f"user{n}@example.com\n" for n in range(1200)))
    command = ("send", *CONTENT, "--recipients", "people.csv", "--idempotency-key", "spring-2027")
    process = subprocess.Popen(
        desk.cli.command("send", *CONTENT, "--recipients", "-", "--idempotency-key", "spring-2027"),
        cwd=desk.folder,
        env=desk.cli.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    process.stdin.write("to\n" + "".join(f"user{n}@example.com\n" for n in range(10_000)))
    process.stdin.flush()
    while not desk.api.http.get("/v1/bulk-sends").json()["data"]:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert "the same command goes on with it" in errors
    assert desk.cli.json(*command)["accepted"] == 1200
    assert len(desk.api.http.get("/v1/bulk-sends").json()["data"]) == 1


@pytest.mark.parametrize("key", ["", "a b", "x" * 201, "ü"])
def test_a_key_must_be_one(desk: Desk, key: str) -> None:
    assert "--idempotency-key" in desk.cli("send", "--idempotency-key", key, code=2).stderr


def test_a_dry_run_shows_a_mail_and_what_is_lacking(desk: Desk) -> None:
    desk.file("people.csv", "to,first_name\nada@example.com,Ada\n")
    desk.file("people.ndjson", '{"to":"bob@example.com"}\n')
    desk.file("body.txt", "Dear {{ first_name }},\nspring is here.\n")
    words = ("--from", "news@shop.example", "--subject", "Hello {{ first_name }}", "--text", "body.txt")
    lists = ("--recipients", "people.csv", "--recipients", "people.ndjson")
    done = desk.cli("send", *words, *lists, "--dry-run", code=1)
    assert "Subject: Hello Ada" in done.stdout
    assert "Dear Ada," in done.stdout
    assert "1 recipient without the variable first_name: people.ndjson, row 1" in done.stderr
    document = desk.cli.json("send", *words, *lists, "--dry-run", "--samples", "0", code=1)
    assert document["samples"] == []
    assert document["undefined_variables"] == [
        {"name": "first_name", "recipients": 1, "rows": [{"list": "people.ndjson", "row": 1}]}
    ]


def test_a_test_mail_of_a_send(desk: Desk) -> None:
    bulk_id = sent_id(desk.cli("send", *CONTENT, "--to", "ada@example.com").stdout)
    told = desk.cli("bulk", "test", bulk_id, "me@shop.example").stdout
    assert told.endswith(": a test mail to me@shop.example.\n")
    test = desk.cli.json("bulk", "test", bulk_id, "me@shop.example", "--as", "1", "--var", "first_name=Eve")
    assert desk.addresses(test["id"]) == ["me@shop.example"]
    assert "#/as" in desk.cli("bulk", "test", bulk_id, "me@shop.example", "--as", "9", code=4).stderr
