"""What docs/operations.md says of Postfix and Exim: their command and ours do the same to the same mail.

Twelve mails, ten for a domain of each queue's own and two for another, wait for servers that answer 451.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from email.message import EmailMessage
from typing import Any, Protocol

import pytest

from bench.programs import Missing, need_programs, workplace
from tests.support.exim import EximQueue, NoExim, unpack_exim
from tests.support.operators_page import PAGE, Row, sections
from tests.support.postfix import PostfixQueue
from tests.support.prompt import Prompt
from tests.support.sandbox import SandboxProcess, eventually
from tests.support.system import System

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ELSEWHERE = "elsewhere.example"
BUSY = "451 4.2.2 Mailbox is full, come back later"
TABLES = {"From Postfix": "postfix", "From Exim": "exim"}
ROWS = [
    pytest.param(name, theirs, row, id=theirs)
    for section in sections(PAGE.read_text("utf-8"))
    if (name := TABLES.get(section.title))
    for row in section.rows
    for theirs in row.theirs
]
EVERYBODY = frozenset(range(1, 13))
HERE = frozenset(range(1, 11))
"""Who is not elsewhere."""
FIRST = frozenset({1})
NOBODY: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Effect:
    """Mails by their numbers, some time after an order."""

    listed: frozenset[int] = EVERYBODY
    held: frozenset[int] = NOBODY
    tried: frozenset[int] = NOBODY
    """Once more since the order, as the server they go to saw it."""
    told: frozenset[int] = NOBODY
    """The sender got a notice of them."""


@dataclass(frozen=True, slots=True)
class Order:
    """What an order does to mails of which some were held before."""

    effect: Effect
    held_before: frozenset[int] = NOBODY
    then: str = ""
    """What they do at their next queue run: here nobody waits for one."""


ORDERS = {
    "postqueue -f": Order(Effect(tried=EVERYBODY)),
    "postqueue -i ID": Order(Effect(tried=FIRST)),
    "postqueue -s SITE": Order(Effect(tried=HERE)),
    "postsuper -d ID": Order(Effect(listed=EVERYBODY - FIRST)),
    "postsuper -d ALL": Order(Effect(listed=NOBODY)),
    "postsuper -h ID": Order(Effect(held=FIRST)),
    "postsuper -h ALL": Order(Effect(held=EVERYBODY)),
    "postsuper -H ID": Order(Effect(held=EVERYBODY - FIRST, tried=FIRST), EVERYBODY, "postqueue -i ID"),
    "postsuper -H ALL": Order(Effect(tried=EVERYBODY), EVERYBODY, "postqueue -f"),
    "postsuper -r ID": Order(Effect(tried=FIRST)),
    "postsuper -e ID": Order(Effect(listed=EVERYBODY - FIRST, told=FIRST), then="postqueue -i ID"),
    "postsuper -f ID": Order(
        Effect(listed=EVERYBODY - FIRST, held=EVERYBODY - FIRST, told=FIRST), EVERYBODY, "postqueue -i ID"
    ),
    "exim -M ID": Order(Effect(tried=FIRST)),
    "exim -qf": Order(Effect(tried=EVERYBODY - FIRST, held=FIRST), FIRST),
    "exim -qff": Order(Effect(tried=EVERYBODY), FIRST),
    "exim -Rf DOMAIN": Order(Effect(tried=HERE)),
    "exim -Mf ID": Order(Effect(held=FIRST)),
    "exim -Mt ID": Order(Effect(tried=FIRST), FIRST, "exim -M ID"),
    "exim -Mg ID": Order(Effect(listed=EVERYBODY - FIRST, told=FIRST)),
    "exim -Mrm ID": Order(Effect(listed=EVERYBODY - FIRST)),
}


class Queue(Protocol):
    """A queue of theirs or ours."""

    name: str

    def run(self, command: str) -> str: ...
    def fill(self, sender: str, mails: dict[str, str]) -> None: ...
    def empty(self) -> None: ...
    def listed(self) -> dict[str, str]: ...
    def held(self) -> set[str]: ...


class PostwerkQueue:
    """Ours, by its command line; what is seen of it is asked over HTTP."""

    name = "postwerk"

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt

    def run(self, command: str) -> str:
        return self._prompt.type(command)

    def fill(self, sender: str, mails: dict[str, str]) -> None:
        notify = {"to": sender, "on": ["failure"], "mode": "each"}
        self._prompt.send(list(mails), notify=notify, **{"from": sender})

    def empty(self) -> None:
        self._prompt.empty()

    def listed(self) -> dict[str, str]:
        return {one["to"]: one["id"] for one in self._messages()}

    def held(self) -> set[str]:
        paused = self._prompt.system.view(self._prompt.bulk_id)["state"] == "paused"
        return {one["to"] for one in self._messages() if paused or one["state"] == "held"}

    def _messages(self) -> list[dict[str, Any]]:
        found = self._prompt.get(f"/v1/queue/messages?bulk={self._prompt.bulk_id}")
        return list(found["data"])


class World:
    """A queue full of mail that was tried once, and the eyes of the server it goes to."""

    def __init__(self, queue: Queue, sandbox: SandboxProcess) -> None:
        self.queue = queue
        self.domain = f"{queue.name}.example"
        self.sender = ""
        self.ready_for_looks = False
        self._sandbox = sandbox
        self._fillings = 0
        for domain in (self.domain, ELSEWHERE):
            sandbox.set_domain(domain, stage="rcpt", answer=BUSY)

    def fill(self, held: frozenset[int]) -> None:
        """Each filling has a sender of its own."""
        self.queue.empty()
        self._fillings += 1
        self.sender = f"news{self._fillings}@{self.queue.name}-shop.example"
        since = time.time()
        self.queue.fill(self.sender, {self.address(n): self._mail(n) for n in sorted(EVERYBODY)})
        eventually(lambda: self._tried(since) == EVERYBODY and self._waits(), 60)
        if held:
            self._hold(held)
        self.since = time.time()

    def address(self, number: int) -> str:
        return f"{self.queue.name}{number}@{self.domain if number in HERE else ELSEWHERE}"

    def effect(self) -> Effect:
        listed = self._numbers(self.queue.listed())
        return Effect(
            listed, self._numbers(self.queue.held()) & listed, self._tried(self.since), self._told()
        )

    def seen(self, text: str) -> frozenset[int]:
        """Whose addresses stand in a text."""
        return frozenset(int(n) for n in re.findall(rf"\b{self.queue.name}(\d+)@", text))

    def _mail(self, number: int) -> str:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = self.sender, self.address(number), "Spring"
        mail.set_content("It is here.")
        return str(mail)

    def _waits(self) -> bool:
        """Tried, and back in the queue."""
        listed = self.queue.run(LISTS[self.queue.name])
        return self._numbers(self.queue.listed()) == EVERYBODY and "active" not in listed

    def _hold(self, held: frozenset[int]) -> None:
        listed = self.queue.listed()
        ids = [listed[self.address(n)] for n in sorted(held)]
        self.queue.run(HOLDS[self.queue.name].format(ids=" ".join(ids), lines="\\n".join(ids)))
        eventually(lambda: self._numbers(self.queue.held()) == held)

    def _numbers(self, addresses: Any) -> frozenset[int]:
        return self.seen(" ".join(addresses))

    def _tried(self, since: float) -> frozenset[int]:
        attempts = [
            one for domain in (self.domain, ELSEWHERE) for one in self._sandbox.attempts(domain, since)
        ]
        return self.seen(" ".join(one["recipient"] for one in attempts))

    def _told(self) -> frozenset[int]:
        notices = [self._sandbox.raw(one["id"]) for one in self._sandbox.messages(to=self.sender)]
        return self.seen(" ".join(notice.decode() for notice in notices))


LISTS = {"postfix": "postqueue -j", "exim": "exim -bp", "postwerk": "postwerk queue count --state sending"}
HOLDS = {
    "postfix": "printf '{lines}\\n' | postsuper -h -",
    "exim": "exim -Mf {ids}",
    "postwerk": "postwerk queue hold {ids} --reason before",
}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(tmp_path_factory.mktemp("beside")) as started:
        yield started


@pytest.fixture(scope="module")
def ours(system: System, tmp_path_factory: pytest.TempPathFactory) -> World:
    prompt = Prompt(system, tmp_path_factory.mktemp("prompt"))
    return World(PostwerkQueue(prompt), system.sandbox)


@pytest.fixture(scope="module")
def postfix(system: System) -> Iterator[World]:
    try:
        need_programs("postfix", "postqueue", "postsuper", "postcat", "qshape")
    except Missing as missing:
        pytest.skip(str(missing))
    with workplace() as folder, PostfixQueue(folder, system.sandbox.smtp_port, "postfix.example") as queue:
        yield World(queue, system.sandbox)


@pytest.fixture(scope="module")
def exim(system: System) -> Iterator[World]:
    with workplace() as folder:
        try:
            need_programs("apt-get", "dpkg", "perl")
            unpack_exim(folder / "root")
        except (Missing, NoExim) as missing:
            pytest.skip(str(missing))
        yield World(EximQueue(folder / "root", folder / "queue", system.sandbox.smtp_port), system.sandbox)


def test_each_command_of_the_tables_is_known_here() -> None:
    told = {param.values[1] for param in ROWS}
    # exiwhat signals every Exim of the machine, by name.
    assert told == set(ORDERS) | set(LOOKS) | {"exiwhat"}


@pytest.mark.parametrize(("name", "theirs", "row"), [one for one in ROWS if one.values[1] in ORDERS])
def test_an_order_does_the_same(
    request: pytest.FixtureRequest, ours: World, name: str, theirs: str, row: Row
) -> None:
    world, order = request.getfixturevalue(name), ORDERS[theirs]
    for one in (world, ours):
        one.fill(order.held_before)
        one.ready_for_looks = False
    for command in filter(None, (theirs, order.then)):
        world.queue.run(_theirs(world, command))
    ours.queue.run(_ours(ours, row.ours))

    eventually(lambda: _done(world, order) and _done(ours, order), 60)
    assert (_effect(world, order), _effect(ours, order)) == (order.effect, order.effect)


def _done(world: World, order: Order) -> bool:
    print(world.queue.name, seen := _effect(world, order))
    return seen == order.effect


def _effect(world: World, order: Order) -> Effect:
    """Whether who is given up is tried once more before is everyone's own affair."""
    seen = world.effect()
    return replace(seen, tried=NOBODY) if order.effect.told else seen


def _theirs(world: World, command: str) -> str:
    words = {"ID": world.queue.listed()[world.address(1)], "SITE": world.domain, "DOMAIN": world.domain}
    words |= {"SENDER": world.sender, "RECIPIENT": world.address(1), "SECONDS": "3600"}
    return re.sub(r"\b[A-Z]{2,}\b", lambda word: words.get(word[0], word[0]), command)


def _ours(world: World, command: str) -> str:
    return command.replace("full+1@gmx.de", world.address(1)).replace("gmx.de", world.domain)


# Commands that look


def _addresses(world: World, printed: str) -> object:
    return world.seen(printed)


def _count(_world: World, printed: str) -> object:
    return int(printed.split()[0])


def _by_domain(world: World, printed: str) -> object:
    """Domains with the number of their mails; Exim has the name at the end, the others at the beginning."""
    rows = re.findall(r"^\s*([a-zA-Z.-]{2,}) +(\d+)\b", printed, re.MULTILINE)
    rows += [(name, n) for n, name in re.findall(r"^\s*(\d+) .* ([a-zA-Z.-]+)$", printed, re.MULTILINE)]
    return {name.replace(world.domain, "here"): int(n) for name, n in rows}


def _total(world: World, printed: str) -> object:
    return int(re.findall(r"^\s*TOTAL +(\d+)", printed, re.MULTILINE)[0]), len(printed.splitlines())


def _parts(_world: World, printed: str) -> object:
    return {part for part in ("Subject: Spring", "It is here.", "451 4.2.2") if part in printed}


LOOKS: dict[str, Callable[[World, str], object]] = {
    "postqueue -p": _addresses,
    "mailq": _addresses,
    "postqueue -j": _addresses,
    "postcat -q ID": _parts,
    "postcat -hq ID": _parts,
    "postcat -bq ID": _parts,
    "qshape incoming active deferred hold": _by_domain,
    "qshape -s incoming active deferred hold": _total,
    "exim -bp": _addresses,
    "exim -bpu": _addresses,
    "exim -bpc": _count,
    "exiqgrep -f SENDER": _addresses,
    "exiqgrep -r RECIPIENT": _addresses,
    "exiqgrep -o SECONDS": _addresses,
    "exiqgrep -y SECONDS": _addresses,
    "exiqgrep -z": _addresses,
    "exiqgrep -x": _addresses,
    "exiqgrep -c -r DOMAIN": _count,
    "exiqsumm": _by_domain,
    "exim -Mvh ID": _parts,
    "exim -Mvb ID": _parts,
    "exim -Mvl ID": _parts,
}


@pytest.mark.parametrize(("name", "theirs", "row"), [one for one in ROWS if one.values[1] in LOOKS])
def test_a_look_shows_the_same(
    request: pytest.FixtureRequest, ours: World, name: str, theirs: str, row: Row
) -> None:
    world: World = request.getfixturevalue(name)
    for one in (world, ours):
        if not one.ready_for_looks:
            one.fill(frozenset({2}))
            one.ready_for_looks = True
    printed = [world.queue.run(_theirs(world, theirs)), ours.queue.run(_ours(ours, row.ours))]
    print("\n".join(printed))
    look = LOOKS[theirs]
    assert look(world, printed[0]) == look(ours, printed[1])
