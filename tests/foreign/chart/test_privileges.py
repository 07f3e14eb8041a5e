"""The pods of the chart may do what their mode needs and no more."""

from rendered import Rendered, container, daemon, of_each_set, of_kind


class Privileges(Rendered):
    @of_each_set
    def test_the_daemon_has_the_capabilities_of_its_mode_and_no_others(self, name, manifests):
        wanted = {"observer": ["DAC_READ_SEARCH"], "publisher": ["DAC_READ_SEARCH", "SYS_PTRACE"]}[self.mode(name)]
        given = self.values[name].get("securityContext", {}).get("capabilities", {}).get("add", [])
        self.assertEqual(container(manifests)["securityContext"]["capabilities"], {"drop": ["ALL"], "add": wanted + given})

    @of_each_set
    def test_it_is_not_privileged_gains_nothing_and_cannot_write_to_its_root(self, _, manifests):
        for one in [container(manifests), *daemon(manifests)["spec"].get("initContainers", [])]:
            context = one["securityContext"]
            self.assertNotIn("privileged", context)
            self.assertIs(context["allowPrivilegeEscalation"], False)
            self.assertIs(context["readOnlyRootFilesystem"], True)
            self.assertEqual(context["seccompProfile"], {"type": "RuntimeDefault"})
            self.assertEqual(context["runAsUser"], 0)
            self.assertEqual(context["capabilities"]["drop"], ["ALL"])

    @of_each_set
    def test_a_publisher_sees_the_processes_of_the_node_an_observer_where_it_was_asked_for_and_nobody_its_network(self, name, manifests):
        spec = daemon(manifests)["spec"]
        self.assertEqual(spec.get("hostPID", False), self.sees(name))
        for field in ("hostNetwork", "hostIPC", "hostUsers", "shareProcessNamespace"):
            self.assertNotIn(field, spec)

    @of_each_set
    def test_nobody_has_a_token_or_a_role(self, _, manifests):
        for manifest in manifests:
            self.assertFalse(manifest["apiVersion"].startswith("rbac."), manifest["kind"])
        for account in of_kind(manifests, "ServiceAccount"):
            self.assertIs(account["automountServiceAccountToken"], False)
        for one in of_kind(manifests, "DaemonSet"):
            spec = one["spec"]["template"]["spec"]
            self.assertIs(spec["automountServiceAccountToken"], False)
            self.assertIs(spec["enableServiceLinks"], False)
            self.assertFalse([volume for volume in spec["volumes"] if "projected" in volume])

    @of_each_set
    def test_only_the_csi_driver_is_privileged_and_in_pods_of_its_own(self, _, manifests):
        privileged = [
            (one["metadata"]["name"], each["name"])
            for one in of_kind(manifests, "DaemonSet")
            for each in one["spec"]["template"]["spec"]["containers"]
            if each["securityContext"].get("privileged")
        ]
        drivers = of_kind(manifests, "CSIDriver")
        self.assertEqual([name for _, name in privileged], ["spiffe-csi-driver"] * len(drivers))
        if drivers:
            self.assertEqual(len(of_kind(manifests, "DaemonSet")), 2)
            accounts = {one["spec"]["template"]["spec"]["serviceAccountName"] for one in of_kind(manifests, "DaemonSet")}
            self.assertEqual(len(accounts), 2)

    @of_each_set
    def test_memory_has_a_limit_and_the_processor_none(self, _, manifests):
        for one in of_kind(manifests, "DaemonSet"):
            for each in one["spec"]["template"]["spec"]["containers"]:
                self.assertEqual(list(each["resources"]["limits"]), ["memory"])
                self.assertIn("memory", each["resources"]["requests"])
        self.assertEqual(container(self.all["default"])["resources"]["limits"]["memory"], "64Mi")

    @of_each_set
    def test_openshift_is_asked_for_what_the_mode_needs_and_no_more(self, name, manifests):
        found = [one for one in of_kind(manifests, "SecurityContextConstraints") if not one["allowPrivilegedContainer"]]
        self.assertEqual(len(found), int(self.values[name].get("openshift", {}).get("enabled", False)))
        for one in found:
            context = container(manifests)["securityContext"]
            self.assertEqual(one["allowedCapabilities"], context["capabilities"]["add"])
            self.assertEqual(one["allowHostPID"], self.sees(name))
            self.assertFalse(one["allowHostNetwork"] or one["allowHostIPC"] or one["allowHostPorts"] or one["allowPrivilegeEscalation"])
            account = daemon(manifests)["spec"]["serviceAccountName"]
            self.assertEqual(one["users"], [f"system:serviceaccount:evercert:{account}"])
            kinds = {kind for volume in daemon(manifests)["spec"]["volumes"] for kind in volume if kind != "name"}
            self.assertLessEqual(kinds, set(one["volumes"]))
            self.assertEqual(one["seLinuxContext"]["seLinuxOptions"], daemon(manifests)["spec"]["securityContext"]["seLinuxOptions"])
