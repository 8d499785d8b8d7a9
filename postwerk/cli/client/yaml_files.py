"""YAML as people mean it: `on` and `no` are words, times stay texts, and a name stands once."""

from __future__ import annotations

import re
from typing import Any

import yaml

from postwerk.cli.client.errors import Misused


class _Loader(yaml.SafeLoader):
    """YAML 1.2's plain words (its core schema); PyYAML knows 1.1, where the key `on` is true."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  (PyYAML's own way to say it)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                words = f"{key.value!r} stands twice"
                raise yaml.constructor.ConstructorError(None, None, words, key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(0|[1-9][0-9]*)\.[0-9]+([eE][-+]?[0-9]+)?", "-+0123456789"),
):
    _firsts = ["" if letter == "\0" else letter for letter in _first]
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _firsts)


def read_yaml(text: str, name: str) -> Any:
    """The document of the file `name`. Raises Misused, naming the line."""
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise Misused(f"{name}{line}: {error.problem}.") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise Misused(f"{name} is no YAML: {' '.join(str(error).split())}.") from error
