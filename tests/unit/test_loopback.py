"""Which calls come from this machine itself: when in doubt, none."""

from __future__ import annotations

from typing import Any

import pytest

from api.loopback import comes_from_this_machine
from postwerk.cli.api import is_own_address
from postwerk.errors import ConfigurationError

OWN = ("127.0.0.1", 50_000)
SERVER = ("127.0.0.1", 8000)


def _scope(server: Any = SERVER, client: Any = OWN, **headers: str) -> dict[str, Any]:
    named = {"host": "127.0.0.1:8000"} | headers
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]
    return {"type": "http", "server": server, "client": client, "headers": pairs}


@pytest.mark.parametrize(
    "scope",
    [
        _scope(),
        _scope(host="localhost:8000"),
        _scope(host="LOCALHOST"),
        _scope(("::1", 8000), ("::1", 50_000), host="[::1]:8000"),
        _scope(("::ffff:127.0.0.1", 8000), ("::ffff:127.0.0.1", 50_000)),
        _scope(("127.0.0.2", 8000), ("127.0.0.1", 50_000)),
        _scope(origin="http://127.0.0.1:8000"),
        _scope(("/run/postwerk.sock", None), None, host="localhost"),
    ],
)
def test_a_call_of_this_machine(scope: dict[str, Any]) -> None:
    assert comes_from_this_machine(scope)


@pytest.mark.parametrize(
    "scope",
    [
        _scope(client=("192.0.2.1", 5)),
        _scope(server=("192.0.2.9", 8000)),
        _scope(server=("10.0.0.1", 8000), client=("10.0.0.1", 5)),
        _scope(client=None),
        _scope(server=None),
        _scope(server=("api", None)),
        # A proxy on this machine hands on what comes from elsewhere, whatever its header says.
        _scope(x_forwarded_for="127.0.0.1"),
        _scope(x_forwarded_for=""),
        _scope(forwarded="for=127.0.0.1"),
        _scope(x_real_ip="127.0.0.1"),
        _scope(x_forwarded_proto="https"),
        _scope(via="1.1 front"),
        _scope(client=("192.0.2.1", 5), x_forwarded_for="127.0.0.1"),
        # A browser that a foreign page leads here.
        _scope(host="rebound.example:8000"),
        _scope(host="127.0.0.1.rebound.example"),
        _scope(host="localhost.rebound.example:8000"),
        _scope(origin="https://evil.example"),
        _scope(origin="null"),
    ],
)
def test_a_call_from_elsewhere(scope: dict[str, Any]) -> None:
    assert not comes_from_this_machine(scope)


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
    ],
)
def test_which_addresses_only_this_machine_reaches(host: str, own: bool) -> None:
    assert is_own_address(host) is own


def test_an_address_that_is_none_is_named() -> None:
    with pytest.raises(ConfigurationError, match="--host"):
        is_own_address("no.such.host.invalid")
