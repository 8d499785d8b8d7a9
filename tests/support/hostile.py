"""Texts that want to be more than text: what they are put into must stay what it was."""

from __future__ import annotations

INJECTIONS = [
    # line ends of every kind, with a header behind them
    "x\r\nBcc: victim@example.org",
    "x\nBcc: victim@example.org",
    "x\rBcc: victim@example.org",
    "x\r\n Bcc: victim@example.org",
    "x\r\n\tBcc: victim@example.org",
    "x\n\nforged body",
    "x\r\n\r\nforged body",
    "\r\nBcc: victim@example.org\r\n",
    "x\r\n",
    "x\n",
    "x\x0bBcc: victim@example.org",
    "x\x0cBcc: victim@example.org",
    "x\x1cBcc: victim@example.org",
    "x\x1dBcc: victim@example.org",
    "x\x1eBcc: victim@example.org",
    "x\x85Bcc: victim@example.org",
    "x\u2028Bcc: victim@example.org",
    "x\u2029Bcc: victim@example.org",
    # other control characters, and halves of characters
    "x\x00y",
    "x\x08\x08\x08y",
    "x\x1b[2Jy",
    "x\x7fy",
    "x\x9by",
    "x\ud800y",
    # encoded words that decode to what is above, or to another address
    "=?utf-8?q?a=0D=0ABcc:_victim@example.org?=",
    "=?utf-8?q?a=0ABcc:_victim@example.org=0A?=",
    "=?utf-8?b?YQ0KQmNjOiB2aWN0aW1AZXhhbXBsZS5vcmc=?=",
    "=?utf-8?q?evil=40example.org=2C?=",
    "=?utf-7?q?+AA0ACg-Bcc:?=",
    "=?x?q?y",
    # what ends a phrase, an address or a list of them
    '"',
    '"x" <victim@example.org>, "y',
    "\\",
    'x\\" <victim@example.org>',
    "x <victim@example.org>",
    "x, victim@example.org",
    "group: victim@example.org;",
    "(never closed",
    # escapes of other languages, which are text here
    "x%0d%0aBcc: victim@example.org",
    "x\\r\\nBcc: victim@example.org",
    "x&#13;&#10;Bcc: victim@example.org",
    "{{ x }}{% raw %}{# y",
    # length
    "x" * 997,
    "word " * 199,
    "ü" * 998,
    " " * 500,
    "x" + " " * 400 + "y",
]

NAUGHTY = [
    # numbers and words that programs take for something else
    *("0", "-0", "00", "1e400", "0x1F", "NaN", "Infinity", "1,000.00", "1.000,00", "٠١٢٣", "½", "Ⅷ"),
    *("null", "None", "undefined", "true", "False", "nil", "NULL", "__proto__", "constructor", "toString"),
    # nothing, and nearly nothing
    *(" ", "   ", "\t", "\u00a0", "\u200b", "\ufeff", "\u3000", ".", "..", "...", "-", "--", "---"),
    # letters of all kinds
    *(
        "Ærøskøbing",
        "Łódź",
        "Ğüşiöç",
        "ß ẞ ſ",
        "ﬁ ﬀ ﬄ",
        "Ω ≈ ç √ ∫",
        "日本語テキスト",
        "한국어 텍스트",
        "ไทยภาษา",
    ),
    *(
        "עברית",
        "العربية",
        "\u202etxet desrever\u202c",
        "\u2066x\u2069",
        "e\u0301\u0327",
        "Z\u0351\u036b\u0343",
    ),
    *("🎉", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "𝒳𝓎𝓏", "\U0010ffff", "\ue000", "\ufffe"),
    # other languages' syntax
    *(
        "<script>x()</script>",
        "<b onclick='x'>",
        "'\"><img src=x>",
        "</title>",
        "<!-- -->",
        "]]>",
        "&amp;&lt;",
    ),
    *(
        "'; DROP TABLE message; --",
        "1 OR 1=1",
        '" OR ""="',
        "$(reboot)",
        "`reboot`",
        "${x}",
        "#{x}",
        "%s%n%d",
    ),
    *(
        "{{ 7 * 7 }}",
        "{% include 'x' %}",
        "{# x",
        "}}",
        "%}",
        "../../etc/passwd",
        "C:\\NUL",
        "file:///etc/passwd",
    ),
    # lines of mail
    *(
        "From here",
        ">From here",
        ".",
        ".\r\n",
        "=3D",
        "=\r\n",
        "--=_",
        "Content-Type: text/html",
        "a\r\nb\nc\rd",
    ),
    *("=?utf-8?q?=41?=", "=CMD()", "+1", "-1", "@SUM(A1)", "word" * 60, "x" * 5_000),
]

_ANOTHER_MAIL = "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nSubject: x\r\n\r\ny\r\n.\r\n"
SMUGGLED = [
    f"before{end}{_ANOTHER_MAIL}"
    for end in (
        *("\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n", "\r\n.\r", "\r.\r\n", "\r\n.\r\n", "\r\r\n.\r\r\n"),
        *("\n.\r", "\r.\n", "\r\n\x00.\r\n", "\r\n.\x00\r\n", "\n\n.\n\n", "\u2028.\u2028", "\x85.\x85"),
        *("\r\n..\r\n", "\r\n.\r\r\n", "\x0b.\x0b"),
    )
]
"""Ends of data as one server or another has taken them, each with a transaction behind it."""
