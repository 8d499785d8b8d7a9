"""What `postwerk send --dry-run` found out, added up over all its questions, and told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from postwerk.cli.client.counting import number_of
from postwerk.cli.client.terminal import safe, say

_MOST_ERRORS = 1000
_MOST_SHOWN = 20
_PLACES = 5
_SHOWN_HEADERS = ("From", "To", "Reply-To", "Subject")


@dataclass(slots=True)
class Found:
    """Counters, refused rows, lacking variables by name, warnings and samples."""

    numbers: dict[str, int] = field(
        default_factory=lambda: {"total": 0, "accepted": 0, "rejected": 0, "duplicates": 0}
    )
    errors: list[dict[str, Any]] = field(default_factory=list)
    undefined: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self,
        answer: dict[str, Any],
        places: list[dict[str, Any]],
        errors: list[dict[str, Any]],
        wrong: int,
    ) -> None:
        """An answer about rows at these `places`; so many more were too `wrong` to be asked about."""
        for name in self.numbers:
            self.numbers[name] += answer[name] + (wrong if name in ("total", "rejected") else 0)
        self.errors = (self.errors + errors)[:_MOST_ERRORS]
        for one in answer["undefined_variables"]:
            self._lacks(one, places)
        told = {(one["code"], one["pointer"]) for one in self.warnings}
        self.warnings += [one for one in answer["warnings"] if (one["code"], one["pointer"]) not in told]
        self.samples += [{**places[one["index"]], **one} for one in answer["samples"]]

    def _lacks(self, one: dict[str, Any], places: list[dict[str, Any]]) -> None:
        known = self.undefined.setdefault(one["name"], {"name": one["name"], "recipients": 0, "rows": []})
        known["recipients"] += one["recipients"]
        known["rows"] = (known["rows"] + [places[index] for index in one["indexes"]])[:_PLACES]

    def document(self) -> dict[str, Any]:
        return {
            "object": "bulk_send_check",
            **self.numbers,
            "errors": self.errors,
            "errors_truncated": self.numbers["rejected"] > _MOST_ERRORS,
            "undefined_variables": list(self.undefined.values()),
            "warnings": self.warnings,
            "samples": self.samples,
        }


def tell(found: Found) -> None:
    """What is wrong on stderr; the samples and the sum on stdout."""
    for one in found.errors[:_MOST_SHOWN]:
        say(f"{_place(one)}: {safe(one['to'])}: {safe(one['detail'])}")
    for one in found.undefined.values():
        rows = "; ".join(_place(row) for row in one["rows"])
        say(f"{number_of(one['recipients'], 'recipient')} without the variable {safe(one['name'])}: {rows}")
    for one in found.warnings:
        if one["code"] not in ("undefined_variables", "refused_recipients"):
            say(f"Warning: {safe(one['pointer'])}: {safe(one['detail'])}")
    for one in found.samples:
        _show(one)
    numbers = found.numbers
    print(
        f"Would take {numbers['accepted']:,} of {numbers['total']:,} recipients"
        f" ({numbers['rejected']:,} refused, {numbers['duplicates']:,} duplicates). Nothing was stored."
    )


def _show(sample: dict[str, Any]) -> None:
    """A mail as text; one that cannot be made with the reason."""
    if sample["error"]:
        say(f"{_place(sample)}: {safe(sample['to'])}: no mail: {safe(sample['error']['detail'])}")
        return
    print(f"--- {_place(sample)}")
    for header in sample["headers"]:
        if header["name"] in _SHOWN_HEADERS:
            print(f"{header['name']}: {safe(header['value'])}")
    body = sample["text"] if sample["text"] is not None else sample["html"] or ""
    print("", *(safe(line) for line in body.splitlines()), "---", sep="\n")


def _place(one: dict[str, Any]) -> str:
    return f"{safe(one['list'])}, row {one['row']}"
