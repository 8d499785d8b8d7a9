"""Operating the queue in random order, against everything real: what must never be seen is never seen.

The steps come from hypothesis; nothing is shrunk, since the system's own timing is part of every story. What
was done is printed as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from tests.support.databases import fresh_database
from tests.support.draining import drain
from tests.support.playground import DOMAINS, Playground
from tests.support.queue_filters import WAYS, a_filter
from tests.support.queue_model import Send
from tests.support.system import System

SETTINGS = {"POSTWERK_COOL_DOWN": "1s", "POSTWERK_COOL_DOWN_MAXIMUM": "2s"}
MOST_LIVE = 10
"""Sends under way at once: more would only queue up behind each other."""
ANY = st.integers(0, 255)
HASTY = ("pause", "resume", "cancel", "retry_failed", "hold some", "release some")


class Operating(RuleBasedStateMachine):
    """One rule is one thing that an operator, a caller or a misfortune does."""

    def __init__(self, world: Playground) -> None:
        super().__init__()
        self.world = world
        self.accidents = {"worker": 1, "api": 1}
        self.looks = 0
        world.begin()

    @initialize(seed=ANY)
    def begin(self, seed: int) -> None:
        self._step(lambda: self.world.start_send(seed, 40, recipients_per_child=10))

    @rule(seed=ANY, size=st.integers(1, 12))
    def start_small(self, seed: int, size: int) -> None:
        self._start(lambda: self.world.start_send(seed, size, recipients_per_child=5))

    @rule(seed=ANY, size=st.sampled_from([60, 150, 300, 700]))
    def start_large(self, seed: int, size: int) -> None:
        rate = f"{size // 3}/s"
        self._start(lambda: self.world.start_send(seed, size, recipients_per_child=100, rate=rate))

    @rule(hundredths=st.integers(1, 40))
    def wait(self, hundredths: int) -> None:
        self._step(lambda: self.world.let_pass(hundredths / 100))

    @rule(way=st.sampled_from(WAYS), pick=ANY)
    def hold(self, way: str, pick: int) -> None:
        self._order("hold", way, pick)

    @rule(way=st.sampled_from(WAYS), pick=ANY)
    def release(self, way: str, pick: int) -> None:
        self._order("release", way, pick)

    @rule(way=st.sampled_from(WAYS), pick=ANY)
    def retry(self, way: str, pick: int) -> None:
        self._order("retry", way, pick)

    @rule(verb=st.sampled_from(["cancel", "expire"]), way=st.sampled_from(WAYS), pick=ANY)
    def end(self, verb: str, way: str, pick: int) -> None:
        self._order(verb, way, pick)

    @rule(verb=st.sampled_from(["hold", "release", "retry", "cancel", "expire"]), pick=ANY)
    def one_message(self, verb: str, pick: int) -> None:
        self._step(lambda: self.world.order_one(verb, pick))

    @rule(pick=ANY)
    def pause(self, pick: int) -> None:
        self._on_send(self.world.pause, pick)

    @rule(pick=ANY)
    def resume(self, pick: int) -> None:
        self._on_send(self.world.resume, pick)

    @rule(pick=ANY, first=st.sampled_from(HASTY), then=st.sampled_from(HASTY))
    def in_haste(self, pick: int, first: str, then: str) -> None:
        """Two orders on one send, the second before anybody has taken note of the first."""
        self._on_send(lambda send: self.world.in_haste(send, [first, then]), pick, ended_too=True)

    @rule(seed=ANY, then=st.sampled_from(HASTY))
    def start_and(self, seed: int, then: str) -> None:
        """Something is wanted of a send whose workflow has hardly begun."""
        self._start(lambda: self.world.in_haste(self.world.start_send(seed, 6), [then]))

    @rule(pick=ANY)
    def cancel(self, pick: int) -> None:
        self._on_send(self.world.cancel, pick)

    @rule(pick=ANY, states=st.sampled_from([None, ["bounced"], ["cancelled", "expired", "unknown"]]))
    def retry_failed(self, pick: int, states: list[str] | None) -> None:
        body = {"states": states} if states else {}
        self._on_send(lambda send: self.world.retry_failed(send, body), pick, ended_too=True)

    @rule(domain=st.sampled_from(DOMAINS), begin=st.booleans())
    def suspend(self, domain: str, begin: bool) -> None:
        do = self.world.suspend if begin else self.world.end_suspensions
        self._step(lambda: do(domain))

    @rule(path=st.sampled_from(["summary?by=domain", "summary?by=bulk", "count", "messages?limit=100"]))
    def read(self, path: str) -> None:
        self._step(lambda: self.world.operators.call("GET", f"/v1/queue/{path}"))

    @rule(chance=st.integers(0, 3), pick=ANY)
    def misfortune(self, chance: int, pick: int) -> None:
        """Now and then a process dies; else time passes."""
        part = {0: "worker", 1: "api"}.get(chance, "")
        if not self.accidents.get(part) or (part == "worker" and not self.world.kills_left):
            return self._step(lambda: self.world.let_pass(0.01))
        self.accidents[part] -= 1
        if part == "worker":
            return self._step(self.world.restart_worker)
        return self._step(lambda: self.world.kill_api_in_an_order(pick))

    def teardown(self) -> None:
        self._step(lambda: drain(self.world))

    def _start(self, do: Callable[[], object]) -> None:
        """Not a precondition: hypothesis wants those to be the same whatever the system does."""
        crowded = len(self.world.live()) >= MOST_LIVE
        self._step((lambda: self.world.let_pass(0.01)) if crowded else do)

    def _order(self, verb: str, way: str, pick: int) -> None:
        self._step(lambda: self.world.order(verb, *a_filter(self.world.model, way, pick)))

    def _on_send(self, do: Callable[[Send], object], pick: int, *, ended_too: bool = False) -> None:
        sends = self.world.latest() if ended_too else self.world.live()
        if not sends:
            return self._step(lambda: self.world.start_send(pick, 3))
        return self._step(lambda: do(sends[pick % len(sends)]))

    def _step(self, do: Callable[[], object]) -> None:
        self.world.step(do, self._look)

    def _look(self) -> None:
        """One send at each step in turn, all of them now and then."""
        self.looks += 1
        live = self.world.live()
        self.world.look_at(live if self.looks % 25 == 0 or not live else [live[self.looks % len(live)]])


@contextmanager
def a_playground(folder: Path, **options: Any) -> Iterator[Playground]:
    with (
        System(folder, settings=SETTINGS, sandbox_options=("--greylist-seconds", "2"), **options) as system,
        Playground(system) as world,
    ):
        yield world


def operate(
    world: Playground, *, steps: int, in_one: int, kills: int = 1000, derandomize: bool = False
) -> None:
    """So many steps, some hundred in each example; the rest of hypothesis' examples is left undone.

    `kills`: of a worker, in all examples together; each costs half a minute until it is noticed.
    """
    world.wanted, world.kills_left = steps, kills
    run_state_machine_as_test(
        lambda: Operating(world),
        settings=settings(
            max_examples=2 * steps // in_one,
            stateful_step_count=in_one,
            derandomize=derandomize,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(f"{world.done} steps in {world.examples} examples")
    assert not world.broken, world.broken
    assert world.done >= steps


@pytest.mark.timeout(300)
def test_a_hundred_steps_of_operators_break_no_promise(tmp_path: Path) -> None:
    with a_playground(tmp_path) as world:
        operate(world, steps=100, in_one=60, kills=1, derandomize=True)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_ten_thousand_steps_of_operators_break_no_promise(tmp_path: Path) -> None:
    with a_playground(tmp_path) as world:
        operate(world, steps=10_000, in_one=500)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_thousand_steps_break_no_promise_on_postgresql(tmp_path: Path, postgresql_server: str) -> None:
    with asyncio.Runner() as runner:
        database = fresh_database(postgresql_server)
        url = runner.run(database.__aenter__())
        with a_playground(tmp_path, database_url=url) as world:
            operate(world, steps=1000, in_one=400)
        runner.run(database.__aexit__(None, None, None))
