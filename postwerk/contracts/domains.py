"""What was found out about a sender's domain, as a list of verdicts."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    """Mail goes out; some of it may be sorted out at the other end."""
    FAIL = "fail"
    """Large mailbox providers refuse such mail, or sort it out."""


class Verdict(BaseModel):
    """One thing that was looked at."""

    model_config = ConfigDict(frozen=True)

    check: str
    """spf, dkim, dmarc, mx, sender, bounce_domain, host_name or public_url."""
    level: Level
    detail: str
    """What was found, for people."""
    advice: str = ""
    """The way out, where there is one."""


class DomainReport(BaseModel):
    """Everything that was looked at for one domain."""

    model_config = ConfigDict(frozen=True)

    domain: str
    verdicts: tuple[Verdict, ...]

    @property
    def level(self) -> Level:
        """The worst one."""
        found = {verdict.level for verdict in self.verdicts}
        return next((level for level in (Level.FAIL, Level.WARN) if level in found), Level.OK)
