"""The SMTP dialogue of one connection: which command may come when, and what it is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from postwerk.sandbox import replies
from postwerk.sandbox.behaviour import (
    Answer,
    Behaviour,
    Kind,
    behaviour_of,
    delay_seconds,
    late_bounce_seconds,
    refusal_after_dot,
)
from postwerk.sandbox.commands import Envelope, read_mail, read_rcpt
from postwerk.sandbox.entries import ACCEPTED, NO_REPLY, Abandoned, Conversation, Refused, taken
from postwerk.sandbox.framing import TOO_LARGE
from postwerk.sandbox.login import ASKS_FOR_MORE, MECHANISMS, TAKEN, Login
from postwerk.sandbox.rate import Bucket
from postwerk.sandbox.wire import Wire, written_address

if TYPE_CHECKING:
    from postwerk.sandbox.sandbox import Sandbox

_MOST_RECIPIENTS = 1000
_UNWRITTEN = (0, -1)


class Session(Wire):
    """One client's dialogue with the sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox.config.max_message_bytes)
        self._sandbox = sandbox
        self._rules = sandbox.domains.standing
        self._greeted = False
        self._client = ""
        self._said = ""
        self._user = ""
        self._conversation = _UNWRITTEN
        self._login: Login | None = None
        self._may_send = sandbox.config.credentials is None
        self._envelope: Envelope | None = None
        rate = sandbox.config.rate_per_connection
        self._bucket = Bucket(rate) if rate else None

    def welcome(self) -> Answer:
        self._client = written_address(self._transport.get_extra_info("peername"))
        answer = self._banner()
        self._sandbox.connections.note(time.time(), answer.code)
        return answer

    def _banner(self) -> Answer:
        if not self._sandbox.admit(self):
            return self._refuse(replies.TOO_MANY_CONNECTIONS, "banner")
        if self._rules and (trouble := self._trouble("banner")):
            return self._refuse(trouble, "banner")
        return replies.BANNER

    def connection_lost(self, _exc: Exception | None) -> None:
        self._abandon()
        self._sandbox.forget(self)

    def handle(self, verb: bytes, argument: bytes) -> Answer | None:
        if self._login is not None:
            return self._hear(self._login, verb + b" " + argument if argument else verb)
        command = _COMMANDS.get(verb.upper())
        return command(self, argument) if command else replies.UNKNOWN

    # Commands, in the order a client says them.

    def _helo(self, argument: bytes) -> Answer:
        return self._greet("HELO", argument, Answer(250, replies.NAME))

    def _ehlo(self, argument: bytes) -> Answer:
        return self._greet("EHLO", argument, self._sandbox.ehlo)

    def _greet(self, verb: str, argument: bytes, answer: Answer) -> Answer:
        if not argument.strip():
            return replies.WHO_ARE_YOU
        # RFC 5321 4.1.4: EHLO in mid-session also clears the transaction.
        self._abandon()
        if self._rules and (trouble := self._trouble("ehlo")):
            return self._refuse(trouble, "ehlo")
        self._greeted = True
        self._said, self._conversation = f"{verb} {argument.decode('utf-8', 'replace').strip()}", _UNWRITTEN
        return answer

    def _auth(self, argument: bytes) -> Answer | None:
        credentials = self._sandbox.config.credentials
        if credentials is None:
            return replies.NOT_OFFERED
        if not self._greeted or self._may_send or self._envelope is not None:
            return replies.BAD_SEQUENCE
        mechanism, _, first = argument.partition(b" ")
        if mechanism.upper() not in MECHANISMS:
            return replies.UNKNOWN_MECHANISM
        self._login = Login(credentials, mechanism.upper())
        return self._hear(self._login, first) if first else self._login.ask()

    def _hear(self, login: Login, line: bytes) -> Answer:
        answer = login.hear(line)
        if answer.code == ASKS_FOR_MORE:
            return answer
        self._login = None
        answer = self._trouble("auth") or answer
        self._may_send = answer is TAKEN
        if self._may_send:
            self._user, self._conversation = login.user, _UNWRITTEN
        return answer if self._may_send else self._refuse(answer, "auth")

    def _mail(self, argument: bytes) -> Answer:
        if not self._greeted or self._envelope is not None:
            return replies.BAD_SEQUENCE
        if not self._may_send:
            return self._refuse(replies.LOGIN_FIRST, "mail")
        if self._bucket is not None and not self._bucket.take(time.monotonic()):
            return self._refuse(replies.CONNECTION_TOO_FAST, "mail")
        envelope = read_mail(argument)
        if isinstance(envelope, Answer):
            return self._refuse(envelope, "mail")
        if envelope.declared_bytes > self._sandbox.config.max_message_bytes:
            return self._refuse(TOO_LARGE, "mail")
        if self._rules and (trouble := self._trouble("mail")):
            return self._refuse(trouble, "mail")
        self._envelope = envelope
        return replies.MAIL_OK

    def _rcpt(self, argument: bytes) -> Answer:
        envelope = self._envelope
        if envelope is None:
            return replies.BAD_SEQUENCE
        recipient = read_rcpt(argument, envelope.smtputf8)
        if isinstance(recipient, Answer):
            return self._refuse(recipient, "rcpt")
        if len(envelope.recipients) >= _MOST_RECIPIENTS:
            return self._refuse(replies.TOO_MANY_RECIPIENTS, "rcpt", recipient)
        if self._rules and (trouble := self._trouble("rcpt", recipient)):
            return self._refuse(trouble, "rcpt", recipient)
        if not self._sandbox.domain_has_room(recipient):
            return self._refuse(replies.DOMAIN_TOO_FAST, "rcpt", recipient)
        return self._judge(envelope, recipient)

    def _judge(self, envelope: Envelope, recipient: str) -> Answer:
        attempt, refusal = self._sandbox.judge(recipient)
        if refusal is not None:
            return self._refuse(refusal, "rcpt", recipient, attempt)
        envelope.recipients.append((recipient, attempt))
        return replies.RCPT_OK

    def _data(self, argument: bytes) -> Answer | None:
        if self._envelope is None:
            return replies.BAD_SEQUENCE
        if argument:
            return replies.NO_ARGUMENT
        if not self._envelope.recipients:
            return replies.NO_RECIPIENTS
        if self._wish(Kind.DROP_AT_DATA):
            return self._refuse_all(replies.DROPPED_AT_DATA, "data")
        if trouble := self._trouble_of_domains("data"):
            return self._refuse_all(trouble, "data")
        self.expect_message()
        return replies.GO_AHEAD

    def take(self, message: bytes, fault: Answer | None) -> Answer | None:
        trouble = fault or self._trouble_of_domains("dot") or self._refusal_asked_for()
        if trouble is not None and trouble.code:
            return self._refuse_all(trouble, "dot")
        self._record(message, trouble or self._silence_asked_for())
        return None

    def _record(self, message: bytes, silence: Answer | None) -> None:
        """Have it written; only then comes the reply, if one is to come at all."""
        envelope, self._envelope = self._current(), None
        ledger = self._sandbox.ledger
        number = ledger.next_id(len(envelope.recipients))
        verdict = NO_REPLY if silence else ACCEPTED
        at, conversation = time.time(), self._written_conversation()
        entry = taken(number, at, envelope.mail_from, envelope.recipients, message, verdict, conversation)
        delay = self._sandbox.ack_delay + max(
            delay_seconds(behaviour_of(to)) for to, _ in envelope.recipients
        )
        self.wait()
        ledger.write(entry, lambda written: self._recorded(written, number, silence, delay))
        self._plan_late_bounces(envelope, message)

    def _plan_late_bounces(self, envelope: Envelope, message: bytes) -> None:
        for recipient, _ in envelope.recipients:
            seconds = late_bounce_seconds(behaviour_of(recipient))
            if seconds is not None:
                self._sandbox.late_bounces.plan(seconds, envelope.mail_from, recipient, message)

    def _recorded(self, written: bool, number: int, silence: Answer | None, delay: float) -> None:
        answer = Answer(250, f"2.0.0 Ok, taken as {number}") if written else replies.NOT_STORED
        if silence is not None:
            if silence.closes:
                self.resume(silence)
        elif delay > 0:
            asyncio.get_running_loop().call_later(delay, self.resume, answer)
        else:
            self.resume(answer)

    def _rset(self, argument: bytes) -> Answer:
        if argument:
            return replies.NO_ARGUMENT
        self._abandon()
        return Answer(250, "2.0.0 Ok")

    def _noop(self, _argument: bytes) -> Answer:
        return Answer(250, "2.0.0 Ok")

    def _vrfy(self, argument: bytes) -> Answer:
        return Answer(252, "2.5.2 Send some mail, then you will see") if argument else replies.WHO_ARE_YOU

    def _quit(self, _argument: bytes) -> Answer:
        trouble = self._trouble("quit")
        return self._refuse(trouble, "quit") if trouble else replies.BYE

    def _not_offered(self, _argument: bytes) -> Answer:
        return replies.NOT_OFFERED

    # What a rule has a domain say instead of the usual.

    def _trouble(self, stage: str, recipient: str = "") -> Answer | None:
        """The rule's answer (code 0: silence); None without one, or when it only makes the usual late."""
        rule = self._sandbox.domains.at(stage, recipient)
        if rule is None:
            return None
        self.be_late(rule.delay)
        if rule.hang:
            self.wait()
        return rule.answer

    def _trouble_of_domains(self, stage: str) -> Answer | None:
        """The answer of the first domain among the recipients that has one."""
        if not self._rules:
            return None
        of_each_domain = {to.rpartition("@")[2].lower(): to for to, _ in self._current().recipients}
        answers = (self._trouble(stage, recipient) for recipient in of_each_domain.values())
        return next((answer for answer in answers if answer is not None), None)

    # What the recipients of this transaction ask for, and how a no is written down.

    def _current(self) -> Envelope:
        assert self._envelope is not None
        return self._envelope

    def _wish(self, kind: Kind) -> Behaviour | None:
        """The first recipient's behaviour of this kind that applies to its attempt."""
        for recipient, attempt in self._current().recipients:
            wish = behaviour_of(recipient)
            if wish.kind is kind and wish.applies_to(attempt):
                return wish
        return None

    def _refusal_asked_for(self) -> Answer | None:
        wish = self._wish(Kind.REJECT_AFTER_DOT)
        return refusal_after_dot(wish) if wish else None

    def _silence_asked_for(self) -> Answer | None:
        wish = self._wish(Kind.HANG_AFTER_DOT) or self._wish(Kind.DROP_AFTER_DOT)
        return replies.NO_REPLY_ASKED[wish.kind] if wish else None

    def _abandon(self) -> None:
        """Write down the transaction that ends here without a verdict, if there is one."""
        envelope, self._envelope = self._envelope, None
        if envelope is None or (envelope.refused and not envelope.recipients):
            return
        stage = "data" if self._in_message else "rcpt" if envelope.recipients else "mail"
        for recipient, attempt in envelope.recipients or [("", 0)]:
            entry = Abandoned(
                time.time(), recipient, attempt, stage, envelope.mail_from, self._written_conversation()
            )
            self._sandbox.ledger.write(entry)

    def _refuse_all(self, answer: Answer, stage: str) -> Answer:
        for recipient, attempt in self._current().recipients:
            self._refuse(answer, stage, recipient, attempt)
        self._envelope = None
        return answer

    def _refuse(self, answer: Answer, stage: str, recipient: str = "", attempt: int = 0) -> Answer:
        mail_from = ""
        if self._envelope is not None:
            self._envelope.refused, mail_from = True, self._envelope.mail_from
        conversation = self._written_conversation()
        self._sandbox.ledger.write(
            Refused(time.time(), recipient, attempt, stage, answer.code, answer.text, mail_from, conversation)
        )
        return answer

    def _written_conversation(self) -> int:
        """The number under which the ledger knows this connection; written with its first entry."""
        ledger = self._sandbox.ledger
        if self._conversation[1] != ledger.clears:
            self._conversation = (ledger.next_conversation(), ledger.clears)
            ledger.write(
                Conversation(self._conversation[0], time.time(), self._client, self._said, self._user)
            )
        return self._conversation[0]


_COMMANDS: Mapping[bytes, Callable[[Session, bytes], Answer | None]] = {
    b"HELO": Session._helo,
    b"EHLO": Session._ehlo,
    b"MAIL": Session._mail,
    b"RCPT": Session._rcpt,
    b"DATA": Session._data,
    b"RSET": Session._rset,
    b"NOOP": Session._noop,
    b"VRFY": Session._vrfy,
    b"QUIT": Session._quit,
    b"STARTTLS": Session._not_offered,
    b"AUTH": Session._auth,
    b"EXPN": Session._not_offered,
    b"HELP": Session._not_offered,
    b"BDAT": Session._not_offered,
}
