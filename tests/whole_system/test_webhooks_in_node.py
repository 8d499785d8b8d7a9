"""The receiver of docs/webhooks.md in Node.js: other people's implementations verify what is signed here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from postwerk.archive.webhooks import new_secret
from postwerk.dev.ports import Ports
from postwerk.webhooks.signing import signed_headers
from postwerk.webhooks.wire import Wire

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "webhooks.md").read_text()


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both packages."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("needs Node.js")
    folder = tmp_path_factory.mktemp("node")
    command = [npm, "install", "--no-audit", "--no-fund", "standardwebhooks", "svix"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
    if done.returncode:
        pytest.skip(f"npm cannot install the packages: {done.stderr[-200:]}")
    return folder


@contextmanager
def receiving(folder: Path, package: str, secret: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    (example,) = re.findall(r"```js\n(.*?)```", PAGE, re.S)
    (folder / "receiver.js").write_text(example)
    port = Ports(usual=False).take(0)
    environment = os.environ | {"PORT": str(port), "PACKAGE": package, "WEBHOOK_SECRET": secret}
    with subprocess.Popen(
        ["node", "receiver.js"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        try:
            yield f"http://127.0.0.1:{port}/", process
        finally:
            process.terminate()


@pytest.mark.slow
@pytest.mark.parametrize("package", ["standardwebhooks", "svix"])
async def test_a_receiver_in_node_takes_what_is_signed_by_its_secret(modules: Path, package: str) -> None:
    secret, former = new_secret(), new_secret()
    event = {"id": "evt_1", "type": "message.delivered", "data": {"to": "zoë@example.com"}}
    one = orjson.dumps(event)
    both = orjson.dumps({"type": "events", "data": {"events": [event, event | {"id": "evt_2"}]}})
    wire, now = Wire(private=True), datetime.now(UTC)
    with receiving(modules, package, former) as (url, process):
        statuses = [
            (await wire.post(url, body, signed_headers("id_1", body, secrets, now))).status
            for body, secrets in ((one, [former]), (both, [secret, former]), (one, [secret]))
        ]
        assert process.stdout is not None
        said = [process.stdout.readline().split() for _ in range(3)]
    await wire.close()
    assert statuses == [204, 204, 401]
    assert said == [["message.delivered", "evt_1"]] * 2 + [["message.delivered", "evt_2"]]
