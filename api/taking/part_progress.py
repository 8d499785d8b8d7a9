"""How far a streamed part has been stored: written with each chunk, so that a repeated one goes on there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import msgspec

from postwerk.archive.intake import Added
from postwerk.rules.recipients import NewRecipient


@dataclass(slots=True)
class PartProgress:
    """Chunks that were passed, and what became of their rows. A list falls into the same chunks each time."""

    chunks: int = 0
    accepted: int = 0
    duplicates: int = 0
    digest: str = ""
    """Of all rows so far: a chain of SHA-256, a link for each chunk."""

    @classmethod
    def read(cls, progress: str | None) -> PartProgress:
        return cls() if progress is None else msgspec.json.decode(progress, type=cls)

    def written(self) -> str:
        return msgspec.json.encode(self).decode()

    def pass_chunk(self, rows: Sequence[NewRecipient], rejected: int) -> None:
        """`rejected`: of all rows so far."""
        document = msgspec.json.encode((self.digest, rejected, rows))
        self.digest = sha256(document).hexdigest()
        self.chunks += 1

    def plus(self, added: Added) -> PartProgress:
        return replace(
            self, accepted=self.accepted + added.accepted, duplicates=self.duplicates + added.duplicates
        )

    def is_as(self, other: PartProgress) -> bool:
        """The same rows were passed."""
        return (self.chunks, self.digest) == (other.chunks, other.digest)
