"""Scrapers, probes, alerts and dashboards find what they ask for, and nobody else gets in."""

import json
import os
import pathlib
import re

import promql_parser

from rendered import Rendered, container, daemon, of_each_set, of_kind, render


class Ports(Rendered):
    @of_each_set
    def test_probes_ask_a_port_without_tls(self, name, manifests):
        tls = self.values[name].get("http", {}).get("tls", {}).get("enabled", False)
        port = "probes" if tls else "metrics"
        one = container(manifests)
        self.assertEqual([each["name"] for each in one["ports"]], ["metrics", "probes"] if tls else ["metrics"])
        for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
            self.assertEqual(one[probe]["httpGet"], {"path": path, "port": port})

    def test_a_network_policy_lets_nothing_out_and_only_scrapes_and_probes_in(self):
        policies = {name: of_kind(manifests, "NetworkPolicy") for name, manifests in self.all.items()}
        self.assertEqual(policies["default"], [])
        for name in ("tls", "mtls", "everything"):
            (one,) = policies[name]
            self.assertEqual(one["spec"]["egress"], [])
            self.assertEqual(one["spec"]["policyTypes"], ["Ingress", "Egress"])
            ports = [port["port"] for rule in one["spec"]["ingress"] for port in rule["ports"]]
            self.assertEqual(ports, ["metrics", "probes"])
            self.assertEqual("from" in one["spec"]["ingress"][0], name == "mtls")
            self.assertNotIn("from", one["spec"]["ingress"][1])

    def test_prometheus_scrapes_as_the_port_speaks(self):
        plain = of_kind(render("--set", "prometheusPodMonitor.enabled=true"), "PodMonitor")[0]
        (endpoint,) = plain["spec"]["podMetricsEndpoints"]
        self.assertEqual((endpoint["port"], endpoint["scheme"]), ("metrics", "http"))
        self.assertNotIn("tlsConfig", endpoint)
        for name, shows in (("tls", False), ("mtls", True), ("everything", True)):
            (endpoint,) = of_kind(self.all[name], "PodMonitor")[0]["spec"]["podMetricsEndpoints"]
            self.assertEqual((endpoint["port"], endpoint["scheme"]), ("metrics", "https"))
            self.assertEqual(endpoint["tlsConfig"]["serverName"], "evercertd-metrics.example.org")
            self.assertEqual("keySecret" in endpoint["tlsConfig"], shows)

    @of_each_set
    def test_whatever_selects_the_pods_selects_those_of_the_daemon_alone(self, _, manifests):
        labels = daemon(manifests)["metadata"]["labels"]
        others = [
            one["spec"]["template"]["metadata"]["labels"]
            for one in of_kind(manifests, "DaemonSet")
            if one["metadata"]["name"].endswith("-csi")
        ]
        for kind, field in (("NetworkPolicy", "podSelector"), ("PodMonitor", "selector"), ("DaemonSet", "selector")):
            for one in of_kind(manifests, kind):
                if one["metadata"]["name"].endswith("-csi"):
                    continue
                wanted = one["spec"][field]["matchLabels"].items()
                self.assertLessEqual(wanted, labels.items())
                for other in others:
                    self.assertFalse(wanted <= other.items())


class Monitoring(Rendered):
    """Everything that operators are shown and told of has to be there: METRICS is a page of the daemon's."""

    def expressions(self):
        (rules,) = of_kind(self.all["everything"], "PrometheusRule")
        for group in rules["spec"]["groups"]:
            for rule in group["rules"]:
                yield rule["alert"], rule["expr"]
        (found,) = [one for one in of_kind(self.all["everything"], "ConfigMap") if "evercert.json" in one["data"]]
        for panel in json.loads(found["data"]["evercert.json"])["panels"]:
            for target in panel.get("targets", []):
                yield panel["title"], target["expr"].replace("$__rate_interval", "5m")

    def test_every_expression_is_promql_over_metrics_that_the_daemon_has(self):
        page = pathlib.Path(os.environ["METRICS"]).read_text()
        families = {kind: set(re.findall(rf"^# TYPE (\S+) {kind}$", page, re.M)) for kind in ("counter", "gauge", "histogram")}
        known = families["counter"] | families["gauge"] | {f"{name}_bucket" for name in families["histogram"]}
        count = 0
        for title, expression in self.expressions():
            with self.subTest(title):
                promql_parser.parse(expression)
                names = set(re.findall(r"\b(?:evercert|x509)_[a-z0-9_]+", expression))
                self.assertTrue(names or expression == 'up{job="evercert/evercertd"} == 0', expression)
                self.assertLessEqual(names, known)
                for name in names & families["counter"]:
                    self.assertRegex(expression, rf"rate\({name}", "a counter is only of use as a rate")
            count += 1
        self.assertGreaterEqual(count, 40)

    def test_the_alert_on_daemons_that_do_not_answer_knows_them_by_the_job_of_the_pod_monitor_or_the_one_that_was_named(self):
        for arguments, job in (
            ((), "evercert/evercertd"), (("fullnameOverride=node-certs",), "evercert/node-certs"), (("prometheusRules.job=certs",), "certs"),
        ):
            (rules,) = of_kind(render("--set", ",".join(("prometheusRules.enabled=true", *arguments))), "PrometheusRule")
            (down,) = [rule for rule in rules["spec"]["groups"][0]["rules"] if rule["alert"] == "EvercertDown"]
            self.assertEqual(down["expr"], f'up{{job="{job}"}} == 0')

    def test_alerts_wait_and_are_as_severe_as_was_asked(self):
        (rules,) = of_kind(self.all["everything"], "PrometheusRule")
        for rule in rules["spec"]["groups"][0]["rules"]:
            pages = rule["alert"] in ("EvercertServedCertificateEnds", "EvercertEndpointCertificateEnds", "EvercertRejectedAndEnding")
            self.assertEqual((rule["for"], rule["labels"]), ("5m", {"severity": "page" if pages else "critical"}))
            self.assertEqual(set(rule["annotations"]), {"summary", "description", "runbook"})
