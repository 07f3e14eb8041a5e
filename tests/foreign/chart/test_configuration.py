"""The daemon's configuration is what the values and `config` say."""

import hashlib
import re

from rendered import HERE, Rendered, config_map, container, daemon, of_each_set, render


class Configuration(Rendered):
    def hash(self, *arguments):
        return daemon(render(*arguments))["metadata"]["annotations"]["checksum/config"]

    @of_each_set
    def test_the_hash_is_that_of_the_configuration(self, _, manifests):
        said = daemon(manifests)["metadata"]["annotations"]["checksum/config"]
        text = config_map(manifests)["data"]["evercertd.toml"]
        lines = [line.rstrip() for line in text.strip().splitlines()]
        self.assertRegex(said, "^[0-9a-f]{64}$")
        # Blank lines are indented in the manifest.
        self.assertEqual(said, hashlib.sha256("\n".join(lines).encode()).hexdigest())

    def test_it_changes_with_the_configuration_and_with_nothing_else(self):
        before = self.hash()
        for changed in ("mode=publisher", "config.log.level=debug", "kubeletRootDir=/var/lib/other", "http.port=9999", "podLogsDir="):
            self.assertNotEqual(self.hash("--set", changed), before, changed)
        for kept in ("image.tag=other", "commonLabels.a=b", "resources.limits.memory=1Gi", "prometheusRules.enabled=true", "stateDir=/var/lib/other"):
            self.assertEqual(self.hash("--set", kept), before, kept)

    @of_each_set
    def test_one_caller_may_have_a_quarter_of_what_there_is_in_every_mode(self, name, manifests):
        if "limits" not in self.values[name].get("config", {}):
            limits = "connections = 256\n  connections_per_caller = 64\n  streams = 256\n  streams_per_caller = 64\n"
            self.assertIn(limits, config_map(manifests)["data"]["evercertd.toml"])

    def test_numbers_stay_whole_whichever_way_they_came(self):
        text = {
            way: config_map(render(way, value))["data"]["evercertd.toml"]
            for way, value in (
                ("--set", "config.limits.connections=1000000"),
                ("--set-json", 'config={"limits":{"connections":1000000}}'),
                ("--set-json", 'config={"limits":{"connections":1e6}}'),
            )
        }
        for way, found in text.items():
            self.assertRegex(found, r"(?m)^ *connections = 1000000$", way)

    def test_a_port_is_a_number(self):
        manifests = render("--set-json", 'http={"port":9000}')
        self.assertEqual(container(manifests)["ports"][0]["containerPort"], 9000)

    def test_what_is_given_is_added_to_the_identity_and_the_rule_of_the_chart(self):
        given = self.values["publisher"]["config"]["identity"]
        arguments = ("-f", HERE / "values" / "publisher.yaml", "--set", "http.tls.enabled=true,http.tls.secretName=x")
        text = config_map(render(*arguments))["data"]["evercertd.toml"]
        self.assertEqual(re.findall(r'name = "([^"]+)"', text), ["evercertd-http", *(one["name"] for one in given)])
