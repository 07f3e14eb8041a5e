#!/usr/bin/env python3
"""Writes the table of values into the chart's README.md, from the comments in values.yaml that begin with "# --". Needs PyYAML.

    kubernetes/values-table.py           write it
    kubernetes/values-table.py --check   fail where what is written is not what would be

A value without such a comment is an error, as is a comment without a value.
"""

import json
import pathlib
import sys

import yaml

CHART = pathlib.Path(__file__).parent / "chart"
MARK = "# -- "
BEGIN, END = "<!-- values: written by kubernetes/values-table.py -->\n", "<!-- end of values -->\n"


def values(node, lines, path=()):
    """(dotted key, default, comment) of each value: what has a comment is one, whatever it holds."""
    for key, held in node.value:
        above = lines[key.start_mark.line - 1].strip()
        here = (*path, key.value)
        if above.startswith(MARK):
            yield ".".join(here), flow(held), above.removeprefix(MARK)
        elif isinstance(held, yaml.MappingNode) and held.value:
            yield from values(held, lines, here)
        else:
            sys.exit(f"values.yaml:{key.start_mark.line + 1}: {'.'.join(here)} has no comment that begins with \"{MARK}\"")


def flow(node):
    """A default on one line."""
    if isinstance(node, yaml.MappingNode):
        return "{" + ", ".join(f"{key.value}: {flow(held)}" for key, held in node.value) + "}"
    if isinstance(node, yaml.SequenceNode):
        return "[" + ", ".join(map(flow, node.value)) + "]"
    return json.dumps(node.value, ensure_ascii=False) if node.style else node.value


def table():
    text = (CHART / "values.yaml").read_text()
    lines = text.splitlines()
    rows = [f"| `{key}` | `{default}` | {comment} |\n" for key, default, comment in values(yaml.compose(text), lines)]
    if len(rows) != sum(line.strip().startswith(MARK) for line in lines):
        sys.exit(f"values.yaml: a comment that begins with \"{MARK}\" is not directly above a value")
    return "| value | default | what it is |\n|---|---|---|\n" + "".join(rows), len(rows)


def main():
    readme = CHART / "README.md"
    before = readme.read_text()
    head, rest = before.split(BEGIN)
    _, tail = rest.split(END)
    rows, count = table()
    after = head + BEGIN + rows + END + tail
    if sys.argv[1:] != ["--check"]:
        readme.write_text(after)
    elif before != after:
        sys.exit("the table in kubernetes/chart/README.md is not that of values.yaml: run kubernetes/values-table.py")
    print(f"{count} values")


main()
