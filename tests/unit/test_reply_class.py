"""The table of replies, tested as a table: what follows for recipient, lane, send and suppression list."""

from __future__ import annotations

import re
import timeit
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwerk.contracts.smtp import SESSION_STAGES, Exchange, Reply, Stage, Trouble
from postwerk.errors import ConfigurationError
from postwerk.rules.reply_class import BulkEffect, Decision, Effect, LaneEffect, classify
from postwerk.rules.reply_table import load_replies, read_replies

BANNER, STARTTLS, AUTH = Stage.BANNER, Stage.STARTTLS, Stage.AUTH
MAIL, RCPT, DATA, DOT = Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT
TRANSACTION = [MAIL, RCPT, DATA, DOT]
_CODES = re.compile(r"(\d{3})[ -](?:(\d\.\d{1,3}\.\d{1,3}) ?)?(.*)", re.DOTALL)


_KNOWN_LINE = re.compile(r"([a-z].*?)  +([a-z]+) +(\d{3} .*?)(?:   # .*)?")


def known_replies() -> list[tuple[str, ...]]:
    """Meaning, stage and reply of each line of known_replies.txt."""
    lines = (Path(__file__).parent / "known_replies.txt").read_text("utf-8").splitlines()
    known = [_KNOWN_LINE.fullmatch(line) for line in lines if line and not line.startswith("#")]
    assert None not in known
    return [parts.groups() for parts in known if parts]


def said(stage: Stage, line: str | int) -> Exchange:
    """The end of a transaction by a reply as it stands on the wire: "550 5.1.1 User unknown"."""
    parts = _CODES.fullmatch(line if isinstance(line, str) else f"{line} text")
    assert parts is not None
    code, enhanced, text = parts.groups()
    shown = f"{enhanced} {text}" if enhanced else text
    return Exchange(stage=stage, reply=Reply(int(code), enhanced, shown), dot_written=stage is DOT)


def decided(words: str) -> Decision:
    """Read from words such as "wait rate_limited slow 2h": effect, reason, and what else there is."""
    effect, reason, *rest = words.split()
    lanes = [word for word in rest if word in list(LaneEffect)]
    hours = [int(word[:-1]) for word in rest if re.fullmatch(r"\d+h", word)]
    return Decision(
        Effect(effect),
        reason,
        LaneEffect(lanes[0]) if lanes else LaneEffect.NONE,
        next((one for one in (BulkEffect.CONFIG, BulkEffect.TOO_BIG) if one in rest), BulkEffect.NONE),
        suppress="suppress" in rest,
        cool_for=timedelta(hours=hours[0]) if hours else None,
    )


# With a reply: known_replies.txt


@pytest.mark.parametrize(("meaning", "stage", "line"), known_replies())
def test_what_servers_say(meaning: str, stage: str, line: str) -> None:
    assert classify(said(Stage(stage), line.replace(" / ", "\n"))) == decided(meaning)


# Without a reply


@pytest.mark.parametrize(
    ("stage", "trouble", "meaning"),
    [
        (Stage.CONNECT, Trouble.REFUSED, "wait no_connection host"),
        (Stage.CONNECT, Trouble.TIMEOUT, "wait no_connection host"),
        (Stage.CONNECT, Trouble.LOCAL, "wait no_socket host"),
        (STARTTLS, Trouble.CERTIFICATE, "wait tls_certificate host config"),
        (STARTTLS, Trouble.TLS, "wait tls_failed host config"),
        (STARTTLS, Trouble.LOST, "wait no_connection host"),
        (AUTH, Trouble.LOCAL, "wait our_config host config"),
        (AUTH, Trouble.LOST, "wait no_connection host"),
        (MAIL, Trouble.LOCAL, "fail unsendable"),
        (MAIL, Trouble.TOO_BIG, "fail message_too_big too_big"),
        (MAIL, Trouble.SMTPUTF8_NOT_OFFERED, "fail smtputf8_not_offered"),
        (MAIL, Trouble.LOST, "retry connection_lost"),
        (DATA, Trouble.TIMEOUT, "retry connection_lost"),
        (DATA, Trouble.PROTOCOL, "retry unexpected_reply"),
    ],
)
def test_what_silence_means(stage: Stage, trouble: Trouble, meaning: str) -> None:
    assert classify(Exchange(stage=stage, trouble=trouble)) == decided(meaning)


@pytest.mark.parametrize("trouble", list(Trouble))
def test_no_readable_reply_after_the_dot_is_ambiguous(trouble: Trouble) -> None:
    exchange = Exchange(stage=DOT, trouble=trouble, dot_written=True)
    assert classify(exchange) == decided("ambiguous no_reply_after_dot")


@pytest.mark.parametrize("stage", TRANSACTION)
@pytest.mark.parametrize("trouble", [Trouble.TIMEOUT, Trouble.LOST, Trouble.PROTOCOL])
def test_a_connection_lost_before_the_dot_is_surely_not_delivered(stage: Stage, trouble: Trouble) -> None:
    assert classify(Exchange(stage=stage, trouble=trouble)).effect is Effect.RETRY


# Promises that hold for every code


@pytest.mark.parametrize("code", [250, 200, 251, 252, 299])
def test_any_2yz_to_the_dot_is_delivered(code: int) -> None:
    assert classify(said(DOT, code)) == decided("deliver delivered")


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not DOT])
@pytest.mark.parametrize("code", [200, 250, 251, 354])
def test_nothing_less_than_a_reply_to_the_dot_is_delivered(stage: Stage, code: int) -> None:
    assert classify(said(stage, code)).effect in (Effect.RETRY, Effect.WAIT)


@pytest.mark.parametrize("code", [354, 399, 300])
def test_a_3yz_to_the_dot_is_out_of_step_and_tried_again(code: int) -> None:
    assert classify(said(DOT, code)) == decided("retry unexpected_reply")


@pytest.mark.parametrize("stage", sorted(SESSION_STAGES))
def test_what_fails_before_mail_never_touches_a_recipient(stage: Stage) -> None:
    exchanges = [said(stage, f"{code} 5.1.1 user unknown") for code in range(200, 600)]
    exchanges += [Exchange(stage=stage, trouble=trouble) for trouble in Trouble]
    decisions = [classify(exchange) for exchange in exchanges]
    assert {(d.effect, d.lane, d.suppress) for d in decisions} == {(Effect.WAIT, LaneEffect.HOST, False)}


@pytest.mark.parametrize("stage", TRANSACTION)
@pytest.mark.parametrize("code", range(400, 500))
def test_a_4yz_never_bounces_anyone(stage: Stage, code: int) -> None:
    assert classify(said(stage, code)).effect in (Effect.RETRY, Effect.WAIT)


@pytest.mark.parametrize("code", [code for code in range(500, 600) if code != 552])
def test_a_5yz_to_mail_pauses_the_send_and_bounces_nobody(code: int) -> None:
    decision = classify(said(MAIL, code))
    assert (decision.effect, decision.bulk, decision.suppress) == (Effect.WAIT, BulkEffect.CONFIG, False)


def test_only_who_bounces_is_suppressed_and_who_bounces_for_us_is_not() -> None:
    for row in load_replies().rows:
        if row.decision.suppress:
            assert row.decision.effect is Effect.BOUNCE
            assert row.decision.reason in {"user_unknown", "user_disabled", "bad_domain"}
            assert row.stages <= {RCPT, DATA, DOT}


def test_what_is_about_our_settings_costs_nobody_an_attempt() -> None:
    decisions = [row.decision for row in load_replies().rows]
    assert {d.effect for d in decisions if d.bulk is BulkEffect.CONFIG} == {Effect.WAIT}
    assert {d.effect for d in decisions if d.lane is LaneEffect.SUSPECT} == {Effect.WAIT}


@pytest.mark.parametrize("code", [-1, 0, 199, 600, 999])
def test_what_is_no_code_of_smtp_is_no_reply(code: int) -> None:
    reply = Reply(code, None, "text")
    assert classify(Exchange(stage=RCPT, reply=reply)).effect is Effect.RETRY
    assert classify(Exchange(stage=DOT, reply=reply, dot_written=True)).effect is Effect.AMBIGUOUS


@given(st.sampled_from(Stage), st.integers(200, 599), st.text(max_size=1024))
def test_whatever_the_text_the_digit_keeps_its_meaning(stage: Stage, code: int, text: str) -> None:
    decision = classify(Exchange(stage=stage, reply=Reply(code, None, text), dot_written=stage is DOT))
    assert (decision.effect is Effect.DELIVER) == (stage is DOT and code < 300)
    assert decision.effect is not Effect.BOUNCE or code >= 500
    assert decision.effect is not Effect.AMBIGUOUS


# Hints


def test_a_temporary_reply_may_say_when_to_come_back() -> None:
    assert classify(said(RCPT, "450 4.2.0 Greylisted for 300 seconds")).hint == timedelta(minutes=5)
    assert classify(said(BANNER, "421 try again in 2 minutes")).hint == timedelta(minutes=2)
    assert classify(said(RCPT, "450 <wait-5-minutes@example.com> busy")).hint is None


def test_a_permanent_reply_or_a_delivery_has_no_hint() -> None:
    assert classify(said(RCPT, "550 5.2.2 full, try again in 5 minutes")).hint is None
    assert classify(said(DOT, "250 queued, retry in 5 minutes")).hint is None


# Pace: it is asked for every message


def microseconds(exchange: Exchange) -> float:
    return min(timeit.repeat(lambda: classify(exchange), number=500, repeat=5)) / 500 * 1e6


def test_a_delivery_is_decided_without_a_look_at_the_text() -> None:
    assert microseconds(said(DOT, "250 2.0.0 Ok: queued as 4XYZ " + "a" * 900)) < 5


@pytest.mark.parametrize(
    "piece",
    ["x ", "a", "exceeds size of account user mailbox ", "try again wait ", "spf ", "user ", "1 ", " "],
)
@pytest.mark.parametrize("line", ["450", "550", "554 5.7.1", "421 4.7.0"])
def test_no_text_takes_long(line: str, piece: str) -> None:
    """No expression may go back and forth: the longest reply that is kept has 1 KB."""
    text = (piece * 1024)[:1024]
    assert timeit.timeit(lambda: classify(said(DOT, f"{line} {text}")), number=3) / 3 < 0.05


# The file

GOOD = {"reason": '"test"', "stages": '["rcpt"]', "codes": '["550"]', "effect": '"bounce"'}


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"stage": '"rcpt"'}, "unknown key stage"),
        (
            {"effect": '"bonuce"'},
            "effect is one of deliver, retry, wait, bounce, fail, ambiguous, not 'bonuce'",
        ),
        ({"lane": '"fast"'}, "lane is one of none, suspect, slow, host, not 'fast'"),
        ({"bulk": '"stop"'}, "bulk is one of none, config, too_big, not 'stop'"),
        ({"stages": '["rctp"]'}, "unknown stage rctp"),
        ({"stages": '"rcpt"'}, "stages is a list"),
        ({"stages": "[]"}, "a row has stages"),
        ({"codes": '["5yz"]'}, "a code is like"),
        ({"codes": '["650"]'}, "a code is like"),
        ({"codes": "[550]"}, "codes is a list of texts"),
        ({"trouble": '["any"]'}, "either codes or trouble"),
        ({"codes": "[]", "trouble": '["sad"]'}, "unknown trouble sad"),
        ({"codes": "[]", "trouble": '["any"]', "text": "'x'"}, "without a reply"),
        ({"dot_written": "true"}, "dot_written goes with trouble"),
        ({"enhanced": '["5.1"]'}, "an enhanced code is like"),
        ({"text": "'(('"}, "is no regular expression"),
        ({"text": "'{nothing}'"}, "unknown text nothing"),
        ({"text": "5"}, "text is a regular expression"),
        ({"suppress": '"yes"'}, "suppress is true or false"),
        ({"suppress": "true", "effect": '"retry"'}, "only who bounces is suppressed"),
        ({"cool_for": '"soon"'}, "not a length of time"),
        ({"reason": '"Bad Address"'}, "a reason is"),
        ({"stages": '["banner"]'}, "the lane's effect is host"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused_and_named(row: dict[str, str], complaint: str) -> None:
    toml = "[[row]]\n" + "\n".join(f"{key} = {value}" for key, value in (GOOD | row).items())
    with pytest.raises(ConfigurationError, match=re.escape(complaint)) as refused:
        read_replies(toml)
    assert refused.value.message.startswith("replies.toml, row 1 (")


def test_a_row_that_can_never_decide_is_refused() -> None:
    row = "[[row]]\n" + "\n".join(f"{key} = {value}" for key, value in GOOD.items())
    with pytest.raises(ConfigurationError, match=r"row 2 \(test\): the rows above leave nothing"):
        read_replies(f"{row}\n{row}")


def test_a_table_with_a_hole_is_refused() -> None:
    row = "[[row]]\n" + "\n".join(f"{key} = {value}" for key, value in GOOD.items())
    with pytest.raises(ConfigurationError, match="no row for any other 200 at connect"):
        read_replies(row)


@pytest.mark.parametrize(("toml", "complaint"), [("row = ", "is no TOML"), ("[rows]", "unknown table rows")])
def test_a_file_of_another_kind_is_refused(toml: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        read_replies(toml)


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [
        ("5.1.1", ["5.1.1"], ["5.1.10", "4.1.1", None]),
        ("x.1.1", ["5.1.1", "4.1.1"], ["5.1.2"]),
        ("4.7.*", ["4.7.1", "4.7.650"], ["4.2.7", "5.7.1"]),
        ("4.7.500-699", ["4.7.500", "4.7.699"], ["4.7.50", "4.7.499", "4.7.700", "4.7.6999"]),
        ("none", [None], ["5.0.0"]),
    ],
)
def test_how_enhanced_codes_are_written(
    pattern: str, fits: list[str | None], fits_not: list[str | None]
) -> None:
    catch_all = (Path(__file__).parents[2] / "postwerk/rules/replies.toml").read_text()
    first = "\n".join(
        f"{k} = {v}" for k, v in (GOOD | {"codes": '["4..", "5.."]', "effect": '"retry"'}).items()
    )
    head, row, rest = catch_all.partition("[[row]]")
    table = read_replies(f'{head}[[row]]\n{first}\nenhanced = ["{pattern}"]\n{row}{rest}')
    test_row = table.rows[0]
    assert [test_row.fits(Reply(550, code, ""), "") for code in fits] == [True] * len(fits)
    assert [test_row.fits(Reply(550, code, ""), "") for code in fits_not] == [False] * len(fits_not)


def test_the_reasons_are_explained() -> None:
    """docs/replies.md names every reason, and none that does not exist."""
    told = (Path(__file__).parents[2] / "docs/replies.md").read_text()
    explained = re.findall(r"^\| `([a-z0-9_]+)` \|", told, re.M)
    assert sorted(explained) == sorted({row.decision.reason for row in load_replies().rows})
