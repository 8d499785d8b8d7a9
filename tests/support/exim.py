"""Debian's Exim with a queue of its own, beside whatever mail server there is: nothing is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

PACKAGES = ("exim4-daemon-light", "exim4-base", "libidn12", "libnss-wrapper")
"""The last one lends it the user that its package would have made."""
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_CONFIGURATION = """\
primary_hostname = exim.example
exim_path = {root}/usr/sbin/exim4
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/exim.pid
keep_environment = LD_PRELOAD : LD_LIBRARY_PATH : NSS_WRAPPER_PASSWD : NSS_WRAPPER_GROUP
tls_advertise_hosts =
host_lookup =
begin routers
all:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = out
begin transports
out:
  driver = smtp
  port = {sink}
  hosts_avoid_tls = *
  allow_localhost
begin retry
* * F,5d,2h
"""
_COMMAND = """\
#!/bin/sh
export LD_LIBRARY_PATH={root}/{libraries} LD_PRELOAD={root}/{libraries}/libnss_wrapper.so
export NSS_WRAPPER_PASSWD={folder}/passwd NSS_WRAPPER_GROUP={folder}/group
exec {root}/usr/sbin/exim4 -C {folder}/exim.conf "$@"
"""
_LISTED = re.compile(r"^\s*\S+\s+\S+ (\S+) <.*?>(.*)\n\s+(?:D )?(\S+@\S+)$", re.MULTILINE)


class NoExim(Exception):
    """It cannot be had here; says why."""


def unpack_exim(root: Path) -> None:
    """Debian's packages, fetched and unpacked below `root`. Raises NoExim."""
    packages = root / "packages"
    packages.mkdir(parents=True)
    try:
        _run(["apt-get", "download", *PACKAGES], packages)
        for package in packages.glob("*.deb"):
            _run(["dpkg", "-x", str(package), str(root)], packages)
    except (OSError, subprocess.SubprocessError) as error:
        raise NoExim(f"no Exim: apt-get cannot fetch {' '.join(PACKAGES)} ({error})") from error
    if not (root / _LIBRARIES).is_dir():
        raise NoExim("no Exim: its packages are of another architecture than amd64")
    (root / "usr/sbin/exim4").chmod(0o755)  # without setuid, which would drop what LD_PRELOAD lends it


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=100)


class EximQueue:
    """What it does not pass on to `sink_port` at once stays in its queue; it has no daemon."""

    name = "exim"

    def __init__(self, root: Path, folder: Path, sink_port: int) -> None:
        self._folder = folder
        self.commands = folder / "bin"
        """A directory for PATH."""
        for part in ("bin", "spool", "log"):
            (folder / part).mkdir(parents=True)
        for part in ("spool", "log"):
            shutil.chown(folder / part, "mail", "mail")
        for name, entry in (("passwd", "Debian-exim:x:8:8::/:/bin/false"), ("group", "Debian-exim:x:8:")):
            (folder / name).write_text(Path("/etc", name).read_text() + entry + "\n")
        (folder / "exim.conf").write_text(_CONFIGURATION.format(root=root, folder=folder, sink=sink_port))
        self._script("exim", _COMMAND.format(root=root, folder=folder, libraries=_LIBRARIES))
        exiqgrep = f'#!/bin/sh\nexec {root}/usr/sbin/exiqgrep -E {self.commands}/exim "$@"\n'
        self._script("exiqgrep", exiqgrep)
        self._script("exiqsumm", f"#!/bin/sh\n{self.commands}/exim -bp | {root}/usr/sbin/exiqsumm\n")

    def _script(self, name: str, text: str) -> None:
        (self.commands / name).write_text(text)
        (self.commands / name).chmod(0o755)

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", f"PATH={self.commands}:$PATH; {command}"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def fill(self, sender: str, mails: dict[str, str]) -> None:
        """Queue them, and try each once. Addresses with mails."""
        for address, mail in mails.items():
            command = [self.commands / "exim", "-odq", "-f", sender, address]
            subprocess.run(command, input=mail, text=True, check=True, capture_output=True, timeout=30)
        self.run("exim -qf")

    def empty(self) -> None:
        if ids := " ".join(queue_id for queue_id, _, _ in self._listed()):
            self.run(f"exim -Mrm {ids}")

    def listed(self) -> dict[str, str]:
        """Addresses with queue ids."""
        return {address: queue_id for queue_id, _, address in self._listed()}

    def held(self) -> set[str]:
        return {address for _, rest, address in self._listed() if "frozen" in rest}

    def _listed(self) -> list[tuple[str, str, str]]:
        return _LISTED.findall(self.run("exim -bp"))
