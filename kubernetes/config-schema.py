#!/usr/bin/env python3
"""Writes what the value `config` may hold into the chart's values.schema.json: the settings of the daemon, by the configuration that it prints.

    evercertd config | kubernetes/config-schema.py            write it
    evercertd config | kubernetes/config-schema.py --check    fail where what is written is not what would be

Every key is in there once, with a value or as an example (`#key = …`), and its kind is that of this value.
"""

import json
import pathlib
import re
import sys

SCHEMA = pathlib.Path(__file__).parent / "chart" / "values.schema.json"
SECTION = re.compile(r"^#?(\[\[?)(\w+)\]\]?$")
KEY = re.compile(r"^#?(\w+) = (.+)$")
STRINGS = {"type": "array", "items": {"type": "string"}}
# Entries of [watch] may say whose they are.
SPECIAL = {
    ("watch", "directories"): {
        "type": "array",
        "items": {
            "oneOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"path": {"type": "string"}, "allow": STRINGS},
                    "required": ["path"],
                },
            ]
        },
    },
}
KINDS = {
    '"': {"type": "string"},
    "[": STRINGS,
    "{": {"type": "object", "additionalProperties": {"type": "string"}},
    "t": {"type": "boolean"},
    "f": {"type": "boolean"},
}


def closed(properties):
    return {"type": "object", "additionalProperties": False, "properties": properties}


def schema(text):
    """The schema of the settings of this configuration, and of no others."""
    settings = {}
    keys, section = settings, None
    for line in text.splitlines():
        if found := SECTION.match(line):
            bracket, section = found.groups()
            keys = {}
            one = closed(keys)
            settings[section] = one if bracket == "[" else {"type": "array", "items": one}
        elif found := KEY.match(line):
            key, value = found.groups()
            # No limit has a fraction or is 0.
            kind = KINDS.get(value[0]) or {"type": "integer", "minimum": 1, "maximum": 2**32 - 1}
            keys[key] = SPECIAL.get((section, key), kind)
    return closed(settings)


def main():
    wanted = schema(sys.stdin.read())
    held = json.loads(SCHEMA.read_text())
    count = sum(len(one.get("properties") or one.get("items", {}).get("properties", {})) or 1 for one in wanted["properties"].values())
    if sys.argv[1:] != ["--check"]:
        held["properties"]["config"] = wanted
        SCHEMA.write_text(json.dumps(held, indent=2) + "\n")
    elif held["properties"]["config"] != wanted:
        sys.exit("values.schema.json does not have the daemon's settings: run `evercertd config | kubernetes/config-schema.py`")
    print(f"{count} settings")


main()
