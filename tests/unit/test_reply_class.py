"""The table of replies, tested as a table."""

from __future__ import annotations

import pytest

from postwerk.contracts.smtp import SESSION_STAGES, Exchange, Reply, Stage, Trouble
from postwerk.rules.reply_class import Effect, classify

TRANSACTION = [Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT]


def said(stage: Stage, code: int) -> Exchange:
    return Exchange(stage=stage, reply=Reply(code, None, "text"), dot_written=stage is Stage.DOT)


@pytest.mark.parametrize("code", [250, 200, 251, 252, 299])
def test_any_2yz_to_the_dot_is_delivered(code: int) -> None:
    assert classify(said(Stage.DOT, code)).effect is Effect.DELIVER


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.DOT])
@pytest.mark.parametrize("code", [200, 250, 251, 354])
def test_nothing_less_than_a_reply_to_the_dot_is_delivered(stage: Stage, code: int) -> None:
    assert classify(said(stage, code)).effect in (Effect.RETRY, Effect.WAIT)


@pytest.mark.parametrize("code", [354, 399, 300])
def test_a_3yz_to_the_dot_is_out_of_step_and_tried_again(code: int) -> None:
    assert classify(said(Stage.DOT, code)).effect is Effect.RETRY


@pytest.mark.parametrize("trouble", [Trouble.TIMEOUT, Trouble.LOST, Trouble.PROTOCOL, Trouble.TLS])
def test_no_readable_reply_after_the_dot_is_ambiguous(trouble: Trouble) -> None:
    exchange = Exchange(stage=Stage.DOT, trouble=trouble, dot_written=True)
    assert classify(exchange).effect is Effect.AMBIGUOUS


@pytest.mark.parametrize("stage", TRANSACTION)
@pytest.mark.parametrize("trouble", [Trouble.TIMEOUT, Trouble.LOST, Trouble.PROTOCOL])
def test_a_connection_lost_before_the_dot_is_surely_not_delivered(stage: Stage, trouble: Trouble) -> None:
    exchange = Exchange(stage=stage, trouble=trouble, dot_written=False)
    assert classify(exchange).effect is Effect.RETRY


@pytest.mark.parametrize("stage", sorted(SESSION_STAGES))
@pytest.mark.parametrize("code", [421, 450, 454, 500, 530, 535, 550, 554])
def test_what_fails_before_mail_never_touches_a_recipient(stage: Stage, code: int) -> None:
    assert classify(said(stage, code)).effect is Effect.WAIT


@pytest.mark.parametrize("stage", sorted(SESSION_STAGES))
@pytest.mark.parametrize("trouble", list(Trouble))
def test_no_session_never_touches_a_recipient(stage: Stage, trouble: Trouble) -> None:
    assert classify(Exchange(stage=stage, trouble=trouble)).effect is Effect.WAIT


@pytest.mark.parametrize("stage", TRANSACTION)
@pytest.mark.parametrize("code", [400, 421, 450, 451, 452, 454, 455, 499])
def test_a_4yz_is_tried_again(stage: Stage, code: int) -> None:
    assert classify(said(stage, code)).effect is Effect.RETRY


@pytest.mark.parametrize("stage", TRANSACTION)
@pytest.mark.parametrize("code", [500, 501, 504, 530, 550, 551, 552, 553, 554, 556, 599])
def test_a_5yz_bounces_except_too_many_recipients(stage: Stage, code: int) -> None:
    # RFC 5321 4.5.3.1.10: a 552 to RCPT is "too many recipients", a temporary condition.
    expected = Effect.RETRY if (stage, code) == (Stage.RCPT, 552) else Effect.BOUNCE
    assert classify(said(stage, code)).effect is expected


def test_what_we_refuse_ourselves_fails() -> None:
    assert classify(Exchange(stage=Stage.MAIL, trouble=Trouble.LOCAL)).effect is Effect.FAIL


def test_every_decision_has_a_stable_reason() -> None:
    exchanges = [said(stage, code) for stage in Stage for code in (250, 354, 421, 450, 535, 550, 552)]
    exchanges += [Exchange(stage=stage, trouble=trouble) for stage in Stage for trouble in Trouble]
    for exchange in exchanges:
        reason = classify(exchange).reason
        assert reason
        assert reason.replace("_", "").isalpha()
