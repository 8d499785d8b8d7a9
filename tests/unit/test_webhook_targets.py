"""Where a webhook may go: odd spellings and other people's networks, as a table."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postwerk.errors import InvalidRequest
from postwerk.rules.webhook_targets import may_be_called, read_target

REFUSED = {
    # No TLS, no URL, more than a URL
    "http://shop.example/hook": "https_required",
    "ftp://shop.example/hook": "https_required",
    "file:///etc/passwd": "invalid_url",
    "gopher://shop.example/": "https_required",
    "javascript:alert(1)": "invalid_url",
    "//shop.example/hook": "invalid_url",
    "https:shop.example": "invalid_url",
    "https://": "invalid_url",
    "https:///hook": "invalid_url",
    "": "invalid_url",
    "https://user:password@shop.example/": "invalid_url",
    "https://user@shop.example/": "invalid_url",
    "https://@shop.example/": "invalid_url",
    "https://shop.example@127.0.0.1/": "invalid_url",
    "https://shop.example/#part": "invalid_url",
    "https://shop.example/#": "invalid_url",
    "https://shop.example/a b": "invalid_url",
    " https://shop.example/": "invalid_url",
    "https://shop.example/\r\nHost: evil": "invalid_url",
    "https://shop.example/\x00": "invalid_url",
    "https://shop.example\\@127.0.0.1/": "invalid_url",
    "https://shop.example/ä": "invalid_url",
    "https://" + "a" * 2000 + ".example/": "too_long",
    # Names that are none
    "https://shop..example/": "invalid_url",
    "https://.example/": "invalid_url",
    "https://-shop.example/": "invalid_url",
    "https://shop%2eexample/": "invalid_url",
    "https://" + "a" * 64 + ".example/": "invalid_url",
    "https://" + "a." * 130 + "example/": "invalid_url",
    "https://xn--zz--.example/\u200b": "invalid_url",
    # Ports
    "https://shop.example:22/": "port_not_allowed",
    "https://shop.example:25/": "port_not_allowed",
    "https://shop.example:0/": "port_not_allowed",
    "https://shop.example:5432/": "port_not_allowed",
    "https://shop.example:6379/": "port_not_allowed",
    "https://shop.example:7233/": "port_not_allowed",
    "https://shop.example:99999/": "port_not_allowed",
    "https://shop.example:abc/": "port_not_allowed",
    # Addresses that are not public
    "https://127.0.0.1/": "address_not_public",
    "https://127.255.255.254/": "address_not_public",
    "https://0.0.0.0/": "address_not_public",
    "https://10.1.2.3/": "address_not_public",
    "https://172.16.0.1/": "address_not_public",
    "https://172.31.255.255/": "address_not_public",
    "https://192.168.1.1/": "address_not_public",
    "https://169.254.169.254/latest/meta-data/": "address_not_public",
    "https://100.64.0.1/": "address_not_public",
    "https://100.100.100.200/": "address_not_public",
    "https://168.63.129.16/": "address_not_public",
    "https://192.0.0.192/": "address_not_public",
    "https://198.18.0.1/": "address_not_public",
    "https://203.0.113.5/": "address_not_public",
    "https://224.0.0.1/": "address_not_public",
    "https://240.0.0.1/": "address_not_public",
    "https://255.255.255.255/": "address_not_public",
    "https://[::1]/": "address_not_public",
    "https://[::]/": "address_not_public",
    "https://[0:0:0:0:0:0:0:1]/": "address_not_public",
    "https://[fe80::1]/": "address_not_public",
    "https://[fec0::1]/": "address_not_public",
    "https://[fd00:ec2::254]/": "address_not_public",
    "https://[fc00::1]/": "address_not_public",
    "https://[ff02::1]/": "address_not_public",
    "https://[2001:db8::1]/": "address_not_public",
    # IPv4 inside IPv6
    "https://[::ffff:127.0.0.1]/": "address_not_public",
    "https://[::ffff:7f00:1]/": "address_not_public",
    "https://[::ffff:8.8.8.8]/": "address_not_public",
    "https://[::127.0.0.1]/": "address_not_public",
    "https://[2002:7f00:1::]/": "address_not_public",
    "https://[2002:808:808::1]/": "address_not_public",
    "https://[64:ff9b::127.0.0.1]/": "address_not_public",
    "https://[64:ff9b::10.0.0.1]/": "address_not_public",
    "https://[64:ff9b:1::1]/": "address_not_public",
    "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/": "address_not_public",  # Teredo
    "https://[::ffff:0:127.0.0.1]/": "address_not_public",  # SIIT
    "https://[fe80::1%25eth0]/": "invalid_url",
    "https://[::1/": "invalid_url",
    "https://[127.0.0.1]/": "invalid_url",
    "https://[v1.a]/": "invalid_url",
    # Odd spellings of 127.0.0.1
    "https://2130706433/": "invalid_url",
    "https://0x7f000001/": "invalid_url",
    "https://0x7f.0.0.1/": "invalid_url",
    "https://0177.0.0.1/": "invalid_url",
    "https://017700000001/": "invalid_url",
    "https://127.1/": "invalid_url",
    "https://127.0.1/": "invalid_url",
    "https://127.0.0.1./": "address_not_public",
    "https://127.0.0.0x1/": "invalid_url",
    "https://127.0.0.01/": "invalid_url",
    "https://127.0.0.1.1/": "invalid_url",
    "https://127.0.0.256/": "invalid_url",
    "https://0x/": "invalid_url",
    "https://0/": "invalid_url",
    "https://１２７.０.０.１/": "address_not_public",
    "https://①②⑦.⓪.⓪.①/": "address_not_public",
    "https://127。0。0。1/": "address_not_public",
    "https://%31%32%37.0.0.1/": "invalid_url",
}
DIGITS = "xn--e4bcp.xn--d4b.xn--d4b.xn--e4b"
TAKEN = {
    "https://shop.example/hook": ("https://shop.example/hook", "shop.example", 443),
    "https://Shop.Example": ("https://shop.example/", "shop.example", 443),
    "HTTPS://shop.example:443/a?b=%20": ("https://shop.example/a?b=%20", "shop.example", 443),
    "https://shop.example./": ("https://shop.example/", "shop.example", 443),
    "https://shop.example:8443/": ("https://shop.example:8443/", "shop.example", 8443),
    "https://bücher.example/": ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443),
    "https://a_b.example/": ("https://a_b.example/", "a_b.example", 443),
    "https://1.example/": ("https://1.example/", "1.example", 443),
    "https://localhost/": ("https://localhost/", "localhost", 443),  # refused when it is resolved
    # Digits that no resolver takes for numbers: a name like any other.
    "https://१२७.०.०.१/": (
        "https://xn--e4bcp.xn--d4b.xn--d4b.xn--e4b/",
        "xn--e4bcp.xn--d4b.xn--d4b.xn--e4b",
        443,
    ),
    "https://8.8.8.8/": ("https://8.8.8.8/", "8.8.8.8", 443),
    "https://[2606:4700::1111]/": ("https://[2606:4700::1111]/", "2606:4700::1111", 443),
    "https://[2606:4700:0:0::1111]:8443/": ("https://[2606:4700::1111]:8443/", "2606:4700::1111", 8443),
    "https://[64:ff9b::8.8.8.8]/": ("https://[64:ff9b::808:808]/", "64:ff9b::808:808", 443),
}


@pytest.mark.parametrize("url", REFUSED)
def test_refused(url: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_target(url, private=False)
    assert (refused.value.code, refused.value.pointer) == (REFUSED[url], "#/url")


@pytest.mark.parametrize("url", TAKEN)
def test_taken_and_written_plainly(url: str) -> None:
    target = read_target(url, private=False)
    assert (target.url, target.host, target.port) == TAKEN[url]
    assert read_target(target.url, private=False) == target


@pytest.mark.parametrize(
    ("url", "is_taken"),
    [
        ("http://127.0.0.1:9000/hook", True),
        ("http://localhost:9000/hook", True),
        ("https://10.0.0.7/", True),
        ("http://[::1]:8080/", True),
        ("http://[fd12::1]/", True),
        ("http://169.254.169.254/", False),
        ("http://[fe80::1]/", False),
        ("http://0.0.0.0/", False),
        ("http://[fd00:ec2::254]/", False),
        ("http://100.100.100.200/", False),
        ("http://224.0.0.1/", False),
        ("http://[::ffff:127.0.0.1]/", False),
        ("http://[64:ff9b::127.0.0.1]/", False),
        ("ftp://127.0.0.1/", False),
        ("http://127.0.0.1:5432/", False),
    ],
)
def test_where_own_networks_may_be_called_metadata_may_not(url: str, is_taken: bool) -> None:
    if is_taken:
        assert read_target(url, private=True).url.startswith(url.rstrip("/"))
    else:
        with pytest.raises(InvalidRequest):
            read_target(url, private=True)


@given(st.ip_addresses())
def test_what_may_be_called_the_standard_library_takes_for_global(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    in_nat64 = address in ipaddress.ip_network("64:ff9b::/96") if address.version == 6 else False
    if may_be_called(address, private=False) and not in_nat64:
        assert address.is_global
        assert not any((address.is_multicast, address.is_reserved, address.is_loopback))


@given(st.text(max_size=80))
def test_no_text_breaks_it(text: str) -> None:
    for url in (text, f"https://{text}", f"https://shop.example{text}"):
        try:
            target = read_target(url, private=False)
        except InvalidRequest:
            continue
        assert target.scheme == "https"
        assert target.url.isascii()
