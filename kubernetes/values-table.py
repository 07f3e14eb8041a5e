#!/usr/bin/env python3
"""Writes the table of values into the chart's README.md, from the comments in values.yaml that begin with "# --".

    kubernetes/values-table.py           write it
    kubernetes/values-table.py --check   fail where what is written is not what would be

A value without such a comment is an error, as is a comment without a value.
"""

import pathlib
import re
import sys

CHART = pathlib.Path(__file__).parent / "chart"
BEGIN, END = "<!-- values: written by kubernetes/values-table.py -->\n", "<!-- end of values -->\n"
KEY = re.compile(r'( *)([A-Za-z]+):(?: (.+))?$')


def values(lines):
    """(dotted key, default, comment) of each value. What a commented key holds is its default, and no value of its own."""
    path, comment, entry = [], None, None
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text.startswith("# -- "):
            if comment is not None:
                sys.exit(f"values.yaml:{number}: the comment above this one belongs to no value")
            comment = text.removeprefix("# -- ")
            continue
        indent = len(line) - len(line.lstrip())
        if entry is not None and text and (indent > entry["indent"] or text.startswith("- ")):
            entry["held"].append(line[entry["indent"] + 2:] if indent > entry["indent"] else text)
            continue
        if entry is not None:
            yield entry["key"], default(entry), entry["comment"]
            entry = None
        if not text or text.startswith("#"):
            continue
        found = KEY.fullmatch(line)
        if found is None:
            sys.exit(f"values.yaml:{number}: this is no key, and belongs to none that has a comment")
        path = path[: indent // 2] + [found[2]]
        if comment is None:
            if found[3] is not None:
                sys.exit(f"values.yaml:{number}: {'.'.join(path)} has no comment that begins with \"# -- \"")
            continue
        entry = {"key": ".".join(path), "indent": indent, "comment": comment, "written": found[3], "held": []}
        comment = None
    if entry is not None:
        yield entry["key"], default(entry), entry["comment"]


def default(entry):
    if entry["written"] is not None:
        return entry["written"]
    held = entry["held"]
    if all(line.startswith("- ") for line in held):
        return "[" + ", ".join("{" + line.removeprefix("- ") + "}" for line in held) + "]"
    # One level of a map in a map, as `resources` has it.
    return "{" + ", ".join(line.strip() for line in held if not line.endswith(":")) + "}"


def table():
    rows = ["| value | default | what it is |\n", "|---|---|---|\n"]
    for key, written, comment in values((CHART / "values.yaml").read_text().splitlines()):
        rows.append(f"| `{key}` | `{written}` | {comment} |\n".replace("\\|", "|"))
    return "".join(rows)


def main():
    readme = CHART / "README.md"
    before = readme.read_text()
    head, rest = before.split(BEGIN)
    _, tail = rest.split(END)
    after = head + BEGIN + table() + END + tail
    if sys.argv[1:] == ["--check"]:
        if before != after:
            sys.exit("the table in kubernetes/chart/README.md is not that of values.yaml: run kubernetes/values-table.py")
        print(f"the table has {table().count(chr(10)) - 2} values, those of values.yaml")
    else:
        readme.write_text(after)


main()
