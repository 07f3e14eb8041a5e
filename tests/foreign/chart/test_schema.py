"""The schema of the values knows those of the chart and no others."""

import json
import unittest

import yaml

from rendered import CHART


def schema_objects(node, path=""):
    if isinstance(node, dict):
        if node.get("type") == "object" and "properties" in node:
            yield path, node
        for key, held in node.items():
            yield from schema_objects(held, f"{path}/{key}")
    if isinstance(node, list):
        for number, held in enumerate(node):
            yield from schema_objects(held, f"{path}/{number}")


class Schema(unittest.TestCase):
    def test_every_object_with_named_values_takes_no_others(self):
        schema = json.loads((CHART / "values.schema.json").read_text())
        for path, node in schema_objects(schema):
            # The kinds of volumes are Kubernetes' to know.
            if path != "/definitions/volume":
                self.assertIs(node.get("additionalProperties"), False, path)

    def test_it_knows_the_values_of_the_chart_and_no_others(self):
        schema = json.loads((CHART / "values.schema.json").read_text())
        values = yaml.safe_load((CHART / "values.yaml").read_text())
        self.assertEqual(set(schema["properties"]), set(values) | {"global"})

    def test_no_value_that_the_chart_reads_can_be_taken_away(self):
        schema = json.loads((CHART / "values.schema.json").read_text())

        def compare(node, values, path):
            node = schema["definitions"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
            # It is the operator's to say what of them is set.
            if path[-1:] not in (("resources",), ("config",)) and "properties" in node:
                named = set(values) & set(node["properties"])
                self.assertEqual(set(node.get("required", [])), named, path)
                for key in named:
                    if isinstance(values[key], dict):
                        compare(node["properties"][key], values[key], (*path, key))

        compare(schema, yaml.safe_load((CHART / "values.yaml").read_text()), ())
