"""Mailbox providers: which domains limit together."""

from __future__ import annotations

import pytest

from postwerk.rules.providers import lane_of, load_providers


@pytest.mark.parametrize(
    ("domain", "lane"),
    [
        ("gmail.com", "gmail.com"),
        ("googlemail.com", "gmail.com"),
        ("hotmail.co.uk", "outlook.com"),
        ("live.com", "outlook.com"),
        ("msn.com", "outlook.com"),
        ("outlook.de", "outlook.com"),
        ("yahoo.com.br", "yahoo.com"),
        ("yahoo.fr", "yahoo.com"),
        ("aol.com", "yahoo.com"),
        ("ymail.com", "yahoo.com"),
        ("me.com", "icloud.com"),
        ("gmx.at", "gmx.net"),
        ("web.de", "gmx.net"),
        ("wanadoo.fr", "orange.fr"),
        ("t-online.de", "t-online.de"),
        ("GMAIL.com", "gmail.com"),
        ("example.org", "example.org"),  # its own lane
        ("mail.yahoo.com", "mail.yahoo.com"),  # not a mailbox domain of theirs, as far as we know
        ("live.example.com", "live.example.com"),
        ("gmx.dating", "gmx.dating"),
        ("notgmail.com", "notgmail.com"),
    ],
)
def test_a_domain_has_the_lane_of_its_provider(domain, lane):
    assert lane_of(domain) == lane


def test_each_main_domain_is_in_its_own_lane():
    lanes, patterns = load_providers()
    assert all(lane_of(lane) == lane for lane in {*lanes.values(), *patterns.values()} - {"1und1.de"})
