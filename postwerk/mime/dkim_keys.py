"""DKIM keys: one file for each domain and selector, `<folder>/<domain>/<selector>.pem`, parsed once.

A file that is changed, added or taken away counts within seconds, without a restart.
"""

from __future__ import annotations

import hashlib
import re
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from postwerk.errors import ConfigurationError
from postwerk.observe import log

SHORTEST_RSA = 2048
"""Bits of a key that signs; verifiers need not take shorter ones for long (RFC 8301 3.2)."""
LONGEST_RSA = 4096
LOOK_SECONDS = 10.0
"""So long a domain's folder is not looked at again."""
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
SELECTOR = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
"""One DNS label, or several (RFC 6376 3.1)."""
_OTHERS_READ = 0o077
_PADDING, _SHA256 = PKCS1v15(), hashes.SHA256()


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A private key; verifiers find its public half at `<selector>._domainkey.<domain>`."""

    domain: str
    selector: str
    private: RSAPrivateKey | Ed25519PrivateKey = field(repr=False)

    @property
    def algorithm(self) -> str:
        """As in `a=`."""
        return "rsa-sha256" if isinstance(self.private, RSAPrivateKey) else "ed25519-sha256"

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.private, RSAPrivateKey):
            return self.private.sign(data, _PADDING, _SHA256)
        return self.private.sign(hashlib.sha256(data).digest())  # RFC 8463 3

    @property
    def record_name(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def record(self) -> str:
        """The TXT record that publishes its public half (RFC 6376 3.6.1, RFC 8463 4)."""
        public = self.private.public_key()
        if isinstance(self.private, RSAPrivateKey):
            kind, encoding = "rsa", serialization.Encoding.DER
            shape = serialization.PublicFormat.SubjectPublicKeyInfo
        else:
            kind, encoding = "ed25519", serialization.Encoding.Raw
            shape = serialization.PublicFormat.Raw
        return f"v=DKIM1; k={kind}; p={b64encode(public.public_bytes(encoding, shape)).decode()}"


class _Stamp(NamedTuple):
    """What changes when a file is written again."""

    modified: int
    size: int
    inode: int


class DkimKeys:
    """The keys of a folder; without one there are none. Looks at the disk when asked, seldom and shortly."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._looked: dict[str, tuple[float, tuple[DkimKey, ...]]] = {}
        self._parsed: dict[Path, tuple[_Stamp, DkimKey]] = {}

    def load(self) -> list[DkimKey]:
        """Every key. Raises ConfigurationError naming the file that cannot be used."""
        if self._folder is None:
            return []
        try:
            domains = sorted(one for one in self._folder.iterdir() if one.is_dir() and one.name[0] != ".")
            return [self._key(path) for domain in domains for path in _files(domain)]
        except OSError as error:
            raise ConfigurationError(f"POSTWERK_DKIM_KEYS: {error}") from error

    def of(self, sender_domain: str) -> tuple[DkimKey, ...]:
        """The keys that sign for a From domain: its own, or those of the nearest parent that has any."""
        if self._folder is None:
            return ()
        looked_at, keys = self._looked.get(sender_domain, (float("-inf"), ()))
        now = time.monotonic()
        if now - looked_at > LOOK_SECONDS:
            keys = next(filter(None, map(self._of_folder, candidates(sender_domain))), ())
            self._looked[sender_domain] = now, keys
        return keys

    def _of_folder(self, domain: str) -> tuple[DkimKey, ...]:
        assert self._folder is not None
        found = []
        for path in _files(self._folder / domain):
            try:
                found.append(self._key(path))
            except ConfigurationError as error:
                log.dkim_key_unusable(error.message)
                if path in self._parsed:  # the one that worked so far is better than none
                    found.append(self._parsed[path][1])
        return tuple(found)

    def _key(self, path: Path) -> DkimKey:
        try:
            about = path.stat()
            stamp = _Stamp(about.st_mtime_ns, about.st_size, about.st_ino)
            known = self._parsed.get(path)
            if known is not None and known[0] == stamp:
                return known[1]
            key = parse_key(path.parent.name, path.stem, path.read_bytes())
        except (OSError, ConfigurationError) as error:
            raise ConfigurationError(f"the DKIM key {path} cannot be used: {error}") from error
        if about.st_mode & _OTHERS_READ:
            log.dkim_key_open_to_others(str(path), oct(about.st_mode & 0o777))
        self._parsed[path] = stamp, key
        return key


def candidates(sender_domain: str) -> Iterator[str]:
    """The domain and its parents, down to two labels: whose signature is in line with the From header."""
    labels = sender_domain.lower().split(".")
    for start in range(max(len(labels) - 1, 1)):
        yield ".".join(labels[start:])


def parse_key(domain: str, selector: str, pem: bytes) -> DkimKey:
    """A key out of PEM (PKCS#8 or PKCS#1). Raises ConfigurationError saying what is wrong with it."""
    if not SELECTOR.fullmatch(selector):
        raise ConfigurationError(f"{selector!r} is no selector: letters, digits, hyphens, dots")
    try:
        private = serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        raise ConfigurationError("it is locked with a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError("it is no private key in PEM form") from None
    if isinstance(private, RSAPrivateKey):
        if not SHORTEST_RSA <= private.key_size <= LONGEST_RSA:
            raise ConfigurationError(
                f"an RSA key that signs has {SHORTEST_RSA} to {LONGEST_RSA} bits, this one {private.key_size}"
            )
        return DkimKey(domain.lower(), selector, private)
    if isinstance(private, Ed25519PrivateKey):
        return DkimKey(domain.lower(), selector, private)
    raise ConfigurationError("it is neither an RSA nor an Ed25519 key")


def new_key(domain: str, selector: str, algorithm: str) -> tuple[DkimKey, bytes]:
    """A new key, `rsa` (2048 bits) or `ed25519`, and its PEM."""
    private = (
        generate_private_key(65537, SHORTEST_RSA) if algorithm == "rsa" else Ed25519PrivateKey.generate()
    )
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return parse_key(domain, selector, pem), pem


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".pem" and path.name[0] != ".")
    except (FileNotFoundError, NotADirectoryError):
        return []
