"""The tables of what the page keeps of a send that is not started yet: lists as they were uploaded."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Text
from sqlmodel import Field, SQLModel

from postwerk.archive.columns import Json, Moment


class DraftListRow(SQLModel, table=True):
    """A list that was uploaded for an open bulk send. Erased when the send is not open any more."""

    __tablename__: ClassVar[str] = "draft_list"
    __table_args__ = (Index("draft_list_by_send", "bulk_id", "id"),)

    id: str = Field(primary_key=True)
    """In order of time."""
    bulk_id: str
    name: str
    """The file's, for people."""
    created_at: datetime = Field(default=None, sa_column=Column(Moment, nullable=False))
    octets: int = Field(default=0, sa_type=BigInteger)
    pieces: int = 0
    state: str
    """arriving, here, taken or broken."""
    columns: Any = Field(default=None, sa_column=Column("columns", Json))
    """What its columns mean, once that was said."""
    accepted: int = 0
    rejected: int = 0
    duplicates: int = 0
    refused: Any = Field(default=None, sa_column=Column("refused", Json))
    """The first rows that were refused."""
    detail: str = Field(default="", sa_column=Column(Text, nullable=False))
    """Why it is broken."""


class DraftPieceRow(SQLModel, table=True):
    """A piece of such a list, as it came."""

    __tablename__: ClassVar[str] = "draft_piece"

    list_id: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
