"""What operators do to a running system, and what the model may expect of it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from typing import Any

from tests.support.archive_reader import Row
from tests.support.queue_filters import Meant, pick_message
from tests.support.queue_model import ENDED, FINAL, NEVER, NO_LATER, STOPPED, Mail, Send
from tests.support.watch import Watch

DOMAINS = ("one.example", "two.example", "gmail.com")
_KINDS = ("ok",) * 8 + ("defer1", "defer2", "defer4", "greylist", "bounce", "reject-after-dot", "slow1")


class Playground(Watch):
    """Its answers are checked as they come; `step` looks at what became of them."""

    def start_send(self, seed: int, size: int, **options: Any) -> Send:
        chance = random.Random(seed)
        tag = f"{self.examples}-{len(self.model.sends)}"
        to = [f"{chance.choice(_KINDS)}+{tag}-{n}@{chance.choice(DOMAINS)}" for n in range(size)]
        answer = self.operators.post("/v1/bulk-sends", a_send(to) | options)
        assert answer.status_code == 202, answer.text
        return self.model.add(answer.json()["id"], to)

    def order(self, verb: str, wanted: dict[str, Any], meant: Meant, path: str = "") -> None:
        """`wanted` as the filter says it, `meant` as the model does: at least those."""
        sends_only = wanted.keys() <= {"bulk", "all"} and verb in ("hold", "release", "cancel")
        mails = [(s, m) for s in self.model.sends.values() for m in s.mails.values() if meant(s, m)]
        self._expect(verb, mails, sends_only)
        under_way = self.reader.unfinished_operations()
        body = {"filter": wanted, "reason": "a whim"} if not path else {"reason": "a whim"}
        answer = self.operators.post(path or f"/v1/queue/{verb}", body)
        returned = time.time()
        assert answer.status_code in (200, 202, 404, 409), answer.text
        if answer.status_code in (404, 409) or under_way:
            return
        exact = not wanted.keys() & {"state", "code", "older_than"}
        if sends_only and verb != "release":
            self.note_stopped({send.id for send, _ in mails}, returned)
        elif exact and answer.json()["state"] == "done":
            self._check_done(verb, mails, returned)
        elif exact and verb in ("hold", "cancel", "expire"):
            self._keep_still(mails, returned)

    def _expect(self, verb: str, mails: list[tuple[Send, Mail]], sends_only: bool) -> None:
        """What may follow, before it is asked for."""
        if verb == "release":
            self.read_ledger()
        for send, mail in mails:
            mail.asked.add(verb)
            if verb == "release":
                mail.must_stay_held, mail.still_from = False, _lifted(mail)
            if sends_only:
                send.asked.add({"hold": "pause", "cancel": "cancel", "release": "release"}[verb])
                if verb == "release" and send.state not in ("cancelling", "cancelled"):
                    send.still_from = NEVER

    def _keep_still(self, mails: list[tuple[Send, Mail]], since: float) -> None:
        for _, mail in mails:
            mail.still_from = min(mail.still_from, since + NO_LATER)

    def _check_done(self, verb: str, mails: list[tuple[Send, Mail]], returned: float) -> None:
        """Nothing else is under way: each message it means is as the operation promises."""
        seen = self.look_at({send.id: send for send, _ in mails if not send.settled}.values())
        rows = {(id_, row.seq): row for id_, one in seen.items() for row in one.rows}
        for send, mail in mails:
            row = rows.get((send.id, mail.seq))
            if row is not None and row.state not in FINAL:
                assert _obeyed(verb, row), f"{verb} is done, and {send.id}.{mail.seq} is {row}"
                if verb in ("hold", "cancel", "expire"):
                    mail.still_from = min(mail.still_from, returned + NO_LATER)

    def note_stopped(self, ids: Iterable[str], returned: float) -> None:
        for id_, seen in self.look_at([self.model.sends[id_] for id_ in sorted(ids)]).items():
            if seen.state in STOPPED:
                send = self.model.sends[id_]
                send.still_from = min(send.still_from, returned + NO_LATER)

    def in_haste(self, send: Send, words: list[str]) -> None:
        """One after the other, without a look in between."""
        for word in words:
            if word in ("hold some", "release some"):
                meant: Meant = lambda s, m: s.id == send.id and m.domain == DOMAINS[0]  # noqa: E731
                self.order(word.partition(" ")[0], {"bulk": send.id, "domain": DOMAINS[0]}, meant)
            elif word == "retry_failed":
                self.retry_failed(send, {"states": ["bounced", "cancelled", "expired", "unknown"]})
            else:
                {"pause": self.pause, "resume": self.resume, "cancel": self.cancel}[word](send)

    def pause(self, send: Send) -> None:
        send.asked.add("pause")
        answer = self.operators.post(f"/v1/bulk-sends/{send.id}/pause")
        returned = time.time()
        assert answer.status_code in (202, 409), answer.text
        self.note_stopped([send.id], returned)

    def resume(self, send: Send) -> None:
        self.read_ledger()
        if send.state not in ("cancelling", "cancelled"):
            send.still_from = NEVER
        answer = self.operators.post(f"/v1/bulk-sends/{send.id}/resume", {})
        assert answer.status_code in (202, 409), answer.text

    def cancel(self, send: Send) -> None:
        send.asked.add("cancel")
        answer = self.operators.post(f"/v1/bulk-sends/{send.id}/cancel")
        returned = time.time()
        assert answer.status_code in (202, 409), answer.text
        self.note_stopped([send.id], returned)

    def retry_failed(self, send: Send, body: dict[str, Any]) -> None:
        """Whoever ended may be tried again; who is held is not meant."""
        self.look_at([send])
        send.asked.add("retry_failed")
        for mail in send.mails.values():
            if mail.state != "held" or self.model.orders_under_way:
                mail.still_from = NEVER
        if send.state in ENDED:
            send.still_from = NEVER
            send.state = "queued"
        answer = self.operators.post(f"/v1/bulk-sends/{send.id}/retry-failed", body)
        assert answer.status_code in (202, 409), answer.text

    def suspend(self, domain: str) -> None:
        answer = self.operators.post(
            "/v1/suspensions", {"domain": domain, "for": "10m", "reason": "a bad day"}
        )
        assert answer.status_code == 201, answer.text
        self.suspensions[answer.json()["id"]] = domain
        self.model.suspended.setdefault(domain, time.time() + NO_LATER)

    def end_suspensions(self, domain: str) -> None:
        self.read_ledger()
        self.model.suspended.pop(domain, None)
        for id_ in [id_ for id_, of in self.suspensions.items() if of == domain]:
            assert self.operators.call("DELETE", f"/v1/suspensions/{id_}").status_code == 200
            del self.suspensions[id_]

    def order_one(self, verb: str, pick: int) -> None:
        """Over the message's own address."""
        send, mail = pick_message(self.model, pick)
        one = f"{send.id}.{mail.seq}"
        meant: Meant = lambda s, m: (s.id, m.seq) == (send.id, mail.seq)  # noqa: E731
        self.order(verb, {"ids": [one]}, meant, f"/v1/messages/{one}/{verb}")

    def kill_api_in_an_order(self, pick: int) -> None:
        """Of an order that may or may not have come through."""
        send, _ = pick_message(self.model, pick)
        verb = ("hold", "release", "expire", "retry")[pick % 4]
        mails = [(send, mail) for mail in send.mails.values()]
        self._expect(verb, mails, sends_only=False)
        wanted = {"bulk": send.id, "domain": DOMAINS[0]}
        self.operators.cut_off(f"/v1/queue/{verb}", {"filter": wanted, "reason": "a whim"}, pick % 16 / 1000)

    def let_pass(self, seconds: float) -> None:
        self.operators.note(f"{seconds} s pass")
        time.sleep(seconds)

    def restart_worker(self) -> None:
        self.operators.note("kill -9 of the worker, and a new one")
        self.model.kills += 1
        self.system.kill("worker")
        self.system.start("worker")


def _lifted(mail: Mail) -> float:
    return mail.still_from if mail.state in FINAL else NEVER


def _obeyed(verb: str, row: Row) -> bool:
    """Of an open message, once the operation is done."""
    if row.state == "sending":
        return (row.next_state != "held") if verb == "release" else verb == "retry" or bool(row.next_state)
    return {"hold": row.state == "held", "release": row.state != "held", "retry": True}.get(verb, False)


def a_send(to: list[str]) -> dict[str, Any]:
    return {
        "from": "Shop <news@shop.example>",
        "subject": "Hello",
        "text": "Spring is here.",
        "recipients": [{"to": one} for one in to],
        "retry": {"initial": 1, "maximum": 1, "jitter": 0},
    }
