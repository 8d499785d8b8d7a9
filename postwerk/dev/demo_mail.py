"""The bulk send of the demo: invented people, a personal mail for each, and a few difficult addresses.

Every domain is reserved by RFC 2606: nobody real can ever get this mail.
"""

from __future__ import annotations

import random
from typing import Any

_FIRST_NAMES = """
Ada Amir Anna Ben Carla Chen Dana Elif Emil Fatou Finn Greta Hana Ida Ivan Jana Jonas Kaya Lena Liam
Lucia Mara Mateo Mila Nadia Noah Olga Omar Paula Pavel Ravi Rosa Sara Sven Tara Theo Uma Yuki Zoe
"""
_LAST_NAMES = """
Adler Bauer Berg Costa Diaz Eriksen Fischer Garcia Haddad Ito Jansen Keller Lang Lopez Meyer Moreau
Nagy Novak Okafor Olsen Park Patel Petrov Rossi Sato Schmidt Silva Tanaka Weber Yilmaz
"""
_DOMAINS = ["gmail.example"] * 5 + ["outlook.example"] * 2 + ["yahoo.example"] * 2 + ["example.org"]
_CITIES = ["Berlin", "Graz", "Lyon", "Porto", "Oslo", "Brno"]

_DIFFICULT = {"defer2": 0.03, "greylist": 0.03, "bounce": 0.025, "slow": 0.005}
"""Share of the recipients whose address tells the sandbox to be difficult; `full` would never end in time."""
GREYLIST_SECONDS = 3

_TEXT = """\
Hello {{ name }},

the summer party of {{ club }} takes place on {{ day }} in {{ city }}.
Your place is number {{ place }}. Please bring
{% if place % 2 %}a salad{% else %}something to drink{% endif %}.

See you there!
"""
_HTML = """\
<h1>Hello {{ name }},</h1>
<p>the summer party of <b>{{ club }}</b> takes place on {{ day }} in {{ city }}.</p>
<p>Your place is number <b>{{ place }}</b>; please bring
{% if place % 2 %}a salad{% else %}something to drink{% endif %}.</p>
<p>See you there!</p>
"""


def demo_request(count: int, seed: int | None = None) -> dict[str, Any]:
    """The body of `POST /v1/bulk-sends`; retries take seconds, so that one sees them."""
    return {
        "name": "Summer party",
        "from": "Clara of the Rowing Club <clara@rowing.example>",
        "subject": "{{ name }}, your place at the summer party",
        "text": _TEXT,
        "html": _HTML,
        "variables": {"club": "the Rowing Club", "day": "Saturday, 12 July"},
        "recipients": demo_recipients(count, seed),
        "retry": {"initial": 2, "factor": 1.5, "maximum": 5, "jitter": 0.2},
        "deadline": "5m",
    }


def demo_recipients(count: int, seed: int | None = None) -> list[dict[str, Any]]:
    """`count` different people, others each time: the sandbox remembers whom it has deferred before."""
    chance = random.Random(seed)
    prefixes = [name for name, share in _DIFFICULT.items() for _ in range(round(share * count))]
    prefixes += [""] * (count - len(prefixes))
    chance.shuffle(prefixes)
    return [_recipient(number, prefix, chance) for number, prefix in enumerate(prefixes, start=1)]


def _recipient(number: int, prefix: str, chance: random.Random) -> dict[str, Any]:
    first, last = chance.choice(_FIRST_NAMES.split()), chance.choice(_LAST_NAMES.split())
    mailbox = f"{first}.{last}.{number}@{chance.choice(_DOMAINS)}".lower()
    return {
        "to": f"{prefix}+{mailbox}" if prefix else mailbox,
        "name": f"{first} {last}",
        "variables": {"place": number, "city": chance.choice(_CITIES)},
    }
