"""Objects are named, labelled and replaced as the values say."""

import re

from rendered import ROOT, Rendered, container, daemon, of_kind, render


class Names(Rendered):
    def test_every_object_has_the_labels_that_are_asked_of_all(self):
        for manifest in self.all["renamed"]:
            self.assertEqual(manifest["metadata"]["labels"]["team"], "platform", manifest["kind"])
            self.assertEqual(manifest["metadata"]["labels"]["app.kubernetes.io/name"], "certs")
        self.assertEqual(daemon(self.all["renamed"])["metadata"]["labels"]["tier"], "node")

    def test_names_are_as_they_were_asked_for_and_labels_select_over_all_upgrades(self):
        for manifest in self.all["renamed"]:
            if manifest["kind"] != "CSIDriver":
                self.assertTrue(manifest["metadata"]["name"].startswith("node-certs"), manifest["metadata"]["name"])
        (selected,) = [one["spec"]["selector"]["matchLabels"] for one in of_kind(self.all["default"], "DaemonSet")]
        self.assertEqual(
            selected,
            {"app.kubernetes.io/name": "evercertd", "app.kubernetes.io/instance": "evercertd", "app.kubernetes.io/component": "daemon"},
        )

    def test_a_digest_decides_over_a_tag(self):
        self.assertTrue(container(self.all["renamed"])["image"].startswith("registry.example.org:5000/platform/evercertd@sha256:0123"))
        self.assertEqual(container(self.all["kind"])["image"], "evercertd:dev")
        version = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.M)[1]
        self.assertEqual(container(self.all["default"])["image"], f"registry.example.org/evercertd:{version}")

    def test_a_long_name_is_cut_where_kubernetes_would_refuse_it(self):
        manifests = render("--set", f"fullnameOverride={'a' * 80},spiffeCsi.enabled=true,grafana.createDashboard=true")
        names = [manifest["metadata"]["name"] for manifest in manifests]
        self.assertLessEqual(max(map(len, names)), 63)
        kinds = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
        self.assertEqual(len(kinds), len(set(kinds)))

    def test_a_node_is_never_without_room_for_the_update(self):
        (one,) = of_kind(self.all["default"], "DaemonSet")
        self.assertEqual(one["spec"]["updateStrategy"], {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "10%"}})
        (one,) = [one for one in of_kind(self.all["renamed"], "DaemonSet") if not one["metadata"]["name"].endswith("-csi")]
        self.assertEqual(one["spec"]["updateStrategy"], {"type": "OnDelete"})
