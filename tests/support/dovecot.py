"""Debian's Dovecot with mailboxes of its own: laid over /usr in a namespace of its own, not installed."""

from __future__ import annotations

import imaplib
import smtplib
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

PACKAGES = ("dovecot-core", "dovecot-imapd", "dovecot-lmtpd")
_CONFIGURATION = """\
protocols = imap lmtp
listen = 127.0.0.1
base_dir = {folder}/base
state_dir = {folder}/state
log_path = {folder}/log
ssl = no
disable_plaintext_auth = no
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = daemon
first_valid_uid = 1
mail_location = maildir:{folder}/mail/%n
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}/mail
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""
_PATIENCE = 20.0


class NoDovecot(Exception):
    """It cannot be had here; says why."""


class Dovecot:
    """`with Dovecot(folder) as dovecot:` below /tmp, where its own users may look. Raises NoDovecot."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._root = folder / "root"
        self.imap_port, self.lmtp_port = _free_port(), _free_port()

    def __enter__(self) -> Self:
        self._unpack()
        for name in ("base", "state", "mail"):
            (self._folder / name).mkdir()
        for path in (self._folder, self._folder / "mail"):
            path.chmod(0o777)
        configuration = self._folder / "dovecot.conf"
        ports = {"imap": self.imap_port, "lmtp": self.lmtp_port}
        configuration.write_text(_CONFIGURATION.format(folder=self._folder, **ports))
        over_usr = f"mount -t overlay overlay -o lowerdir={self._root}/usr:/usr /usr"
        run = f"{over_usr} && exec /usr/sbin/dovecot -F -c {configuration}"
        self._process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", run], stderr=subprocess.PIPE, text=True
        )
        self._await_doors()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.communicate(timeout=_PATIENCE)

    def deliver(self, recipient: str, raw: bytes) -> None:
        with smtplib.LMTP("127.0.0.1", self.lmtp_port) as door:
            assert door.sendmail("news@shop.example", [recipient], raw) == {}

    def mailbox(self, recipient: str) -> imaplib.IMAP4:
        reader = imaplib.IMAP4("127.0.0.1", self.imap_port)
        reader.login(recipient, "any")
        reader.select()
        return reader

    def _unpack(self) -> None:
        packages = self._folder / "packages"
        packages.mkdir()
        try:
            _run(["apt-get", "download", *PACKAGES], packages)
            for package in packages.glob("*.deb"):
                _run(["dpkg", "-x", str(package), str(self._root)], packages)
        except (OSError, subprocess.SubprocessError) as error:
            raise NoDovecot(f"no Dovecot: apt-get cannot fetch {' '.join(PACKAGES)} ({error})") from error

    def _await_doors(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        for port in (self.imap_port, self.lmtp_port):
            while not _is_open(port):
                if self._process.poll() is not None:
                    _, said = self._process.communicate()
                    raise NoDovecot(f"no Dovecot: it needs a mount namespace of its own ({said.strip()})")
                assert time.monotonic() < deadline, "Dovecot does not open its doors"
                time.sleep(0.05)


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=100)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _is_open(port: int) -> bool:
    with socket.socket() as knocking:
        return knocking.connect_ex(("127.0.0.1", port)) == 0
