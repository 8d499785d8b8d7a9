"""What a server says is read strictly, and is clean before anyone stores it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from aiosmtplib import SMTPResponse
from hypothesis import given
from hypothesis import strategies as st

from postwerk.smtp.reply import NotSmtp, as_reply, clean_line, clean_text, take_reply


def read(data: bytes) -> SMTPResponse | None:
    return take_reply(bytearray(data))


@pytest.mark.parametrize(
    ("data", "code", "text"),
    [
        (b"250 ok\r\n", 250, "ok"),
        (b"250 ok\n", 250, "ok"),  # LF alone: seen in the wild, harmless (A24)
        (b"250\r\n", 250, ""),  # RFC 5321 4.2: the text may be missing
        (b"250 \r\n", 250, ""),
        (b"250-one\r\n250 two\r\n", 250, "one\ntwo"),
        (b"250-one\r\n250\r\n", 250, "one\n"),
        (b"599 x\r\n", 599, "x"),
        (b"200 x\r\n", 200, "x"),
    ],
)
def test_a_proper_reply_is_read(data: bytes, code: int, text: str) -> None:
    assert read(data) == SMTPResponse(code, text)


@pytest.mark.parametrize(
    "line",
    [
        *("2_5 ok", "+25 ok", " 25 ok", "-1 ok", "999 ok", "600 ok", "199 ok", "000 ok", "25 ok"),
        *("250x", "2500 ok", "250\tok", "hello", "", "\x00250 ok", "\ufeff250 ok", "２５０ ok"),
    ],
)
def test_what_int_would_take_for_a_code_is_no_reply(line: str) -> None:
    with pytest.raises(NotSmtp):
        read(f"{line}\r\n".encode())


@pytest.mark.parametrize(
    "data", [b"550-no\r\n250 ok\r\n", b"250-ok\r\n550 no\r\n", b"250-a\r\n250-b\r\n251 c\r\n"]
)
def test_lines_that_contradict_each_other_are_no_reply(data: bytes) -> None:
    with pytest.raises(NotSmtp):
        read(data)


@pytest.mark.parametrize("data", [b"250 " + b"x" * 9000 + b"\r\n", b"x" * 9000, b"250-x\r\n" * 5000])
def test_a_reply_without_end_is_no_reply(data: bytes) -> None:
    with pytest.raises(NotSmtp):
        read(data)


@pytest.mark.parametrize("data", [b"", b"2", b"250 ok", b"250 ok\r", b"250-ok\r\n", b"250-ok\r\n250"])
def test_half_a_reply_waits_for_the_rest(data: bytes) -> None:
    unread = bytearray(data)

    assert take_reply(unread) is None
    assert unread == data


def test_only_the_first_reply_is_taken() -> None:
    unread = bytearray(b"250 one\r\n550 two\r\n")

    assert take_reply(unread) == SMTPResponse(250, "one")
    assert unread == b"550 two\r\n"


@pytest.mark.parametrize(
    ("code", "text", "enhanced"),
    [
        (550, "5.1.1 no such user", "5.1.1"),
        (550, "5.1.1\tno such user", "5.1.1"),
        (421, "4.7.28 unusual rate", "4.7.28"),
        (451, "4.7.650 rate limited", "4.7.650"),
        (250, "2.0.0", "2.0.0"),
        (550, "first line\n5.7.1 last line", "5.7.1"),
        (550, "5.7.1 first\nin between\n5.1.1 last", "5.7.1"),
        (550, "no code", None),
        (550, "see 5.1.1 there", None),
        (550, "4.1.1 of another class", None),
        (550, "5.1.1.1 an address", None),
        (550, "5.1 too short", None),
        (550, "5.1234.1 too long", None),
    ],
)
def test_the_enhanced_code_is_found_where_it_belongs(code: int, text: str, enhanced: str | None) -> None:
    assert as_reply(SMTPResponse(code, text)).enhanced == enhanced


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("ok", "ok"),
        ("caf\udce9", "caf\ufffd"),  # how aiosmtplib hands on Latin-1
        ("a\x00b\x1b[31mc\x7f", "ab[31mc"),
        ("a\x85b\x9bc", "a bc"),
        ("a\tb\u2028c", "a b c"),
        ("evil\u202egnp", "evilgnp"),
        ("ünïcode ✓", "ünïcode ✓"),
        ("one\r\ntwo", "one\ntwo"),
    ],
)
def test_a_text_becomes_clean(raw: str, clean: str) -> None:
    assert clean_text(raw) == clean


def test_latin_1_on_the_wire_becomes_a_replacement_character() -> None:
    reply = read(b"550 caf\xe9\r\n")

    assert reply is not None
    assert as_reply(reply).text == "caf\ufffd"


def test_a_line_for_people_has_no_line_break() -> None:
    assert clean_line("one\ntwo\r\nthree") == "one / two / three"


@given(st.text(st.characters(), max_size=3000))
def test_no_text_is_ever_long_or_dirty(text: str) -> None:
    clean = clean_text(text)

    assert len(clean.encode()) <= 1024
    assert len(clean.split("\n")) <= 10
    assert clean.replace("\n", "").isprintable()


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    with suppress(NotSmtp):
        reply = read(data)
        assert reply is None or 200 <= reply.code <= 599
