"""Debian's Postfix with a queue of its own, beside the machine's."""

from __future__ import annotations

import json
import os
import smtplib
import subprocess
from pathlib import Path
from typing import Any

from bench.postfix import Postfix

_NEXT_RUN = "queue_run_delay = 1h\nminimal_backoff_time = 2h\nmaximal_backoff_time = 2h\n"
_PICKUP = ("pickup unix n - n 60 ", "pickup unix n - n 1 ")
"""What `postsuper -r` gives back waits for its next look."""


class PostfixQueue(Postfix):
    """`with PostfixQueue(folder, sink_port, sites) as postfix:`; `postqueue -s` is for these sites."""

    name = "postfix"

    def __init__(self, folder: Path, sink_port: int, *sites: str) -> None:
        super().__init__(folder, sink_port, restriction="permit_mynetworks")
        self._sites = sites

    def _configure(self) -> None:
        super()._configure()
        with (self._folder / "main.cf").open("a") as main:
            main.write(f"{_NEXT_RUN}fast_flush_domains = {' '.join(self._sites)}\n")
        services = self._folder / "master.cf"
        services.write_text(services.read_text().replace(*_PICKUP))

    def run(self, command: str) -> str:
        environment = {**os.environ, "MAIL_CONFIG": str(self._folder)}
        environment["PATH"] += ":/usr/sbin:/sbin"
        done = subprocess.run(
            ["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def fill(self, sender: str, mails: dict[str, str]) -> None:
        """Hand them in; it tries each at once. Addresses with mails."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=30) as door:
            for address, mail in mails.items():
                door.sendmail(sender, address, mail)

    def empty(self) -> None:
        self.run("postsuper -d ALL")

    def listed(self) -> dict[str, str]:
        """Addresses with queue ids."""
        return {one["recipients"][0]["address"]: one["queue_id"] for one in self._listed()}

    def held(self) -> set[str]:
        return {one["recipients"][0]["address"] for one in self._listed() if one["queue_name"] == "hold"}

    def _listed(self) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.run("postqueue -j").splitlines()]
        return [one for one in found if one["recipients"]]  # one that is just being taken has none yet
