"""What the rendered manifests have to say: each test reads those of every value set, or renders one more.

    python rendered.py        with HELM, the program, and RENDERED, a directory with NAME.yaml of values/NAME.yaml
"""

import functools
import hashlib
import json
import os
import pathlib
import re
import subprocess
import unittest

import promql_parser
import yaml

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[2]
CHART = ROOT / "kubernetes" / "chart"
REGISTRY = ("--set", "image.registry=registry.example.org")
SETS = sorted(path.stem for path in (HERE / "values").glob("*.yaml"))
RENDERED = pathlib.Path(os.environ["RENDERED"])


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document]


def render(*arguments):
    """The manifests with these arguments, or what helm says against them."""
    done = subprocess.run(
        [os.environ["HELM"], "template", "evercertd", CHART, "--namespace", "evercert", "--kube-version", "1.37.0", *REGISTRY, *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )
    return documents(done.stdout) if done.returncode == 0 else done.stderr


def of_kind(manifests, kind):
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def daemon(manifests):
    """The pod template of the daemon."""
    (found,) = [
        one for one in of_kind(manifests, "DaemonSet")
        if one["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] == "daemon"
    ]
    return found["spec"]["template"]


def container(manifests):
    (found,) = daemon(manifests)["spec"]["containers"]
    return found


def config_map(manifests):
    (found,) = [one for one in of_kind(manifests, "ConfigMap") if "evercertd.toml" in one["data"]]
    return found


def mounts(manifests):
    return {mount["name"]: mount for mount in container(manifests)["volumeMounts"]}


def volumes(manifests):
    return {volume["name"]: volume for volume in daemon(manifests)["spec"]["volumes"]}


def of_each_set(test):
    """Runs a test with the name of each value set, and what it rendered."""

    @functools.wraps(test)
    def run(self):
        for name, manifests in self.all.items():
            with self.subTest(name):
                test(self, name, manifests)

    return run


class Rendered(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.all = {name: documents((RENDERED / f"{name}.yaml").read_text()) for name in SETS}
        cls.values = {name: yaml.safe_load((HERE / "values" / f"{name}.yaml").read_text()) or {} for name in SETS}

    def mode(self, name):
        return self.values[name].get("mode", "observer")

    def sees(self, name):
        """Whether it sees the processes of the node."""
        return self.mode(name) == "publisher" or self.values[name].get("hostPID", False)


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


class Volumes(Rendered):
    @of_each_set
    def test_the_pods_directory_is_seen_where_it_is_read_only_and_as_it_changes(self, name, manifests):
        path = self.values[name].get("kubeletRootDir", "/var/lib/kubelet") + "/pods"
        self.assertEqual(
            mounts(manifests)["pods"],
            {"name": "pods", "mountPath": path, "readOnly": True, "mountPropagation": "HostToContainer"},
        )
        self.assertEqual(volumes(manifests)["pods"]["hostPath"], {"path": path, "type": "Directory"})
        self.assertIn(f'directory = "{path}"', config_map(manifests)["data"]["evercertd.toml"])

    @of_each_set
    def test_what_need_not_be_written_cannot_be(self, _, manifests):
        found = {name for name, mount in mounts(manifests).items() if not mount.get("readOnly")}
        self.assertEqual(found, {"agent", "admin", "state"})

    @of_each_set
    def test_nothing_is_propagated_to_the_node(self, _, manifests):
        for mount in container(manifests)["volumeMounts"]:
            self.assertNotEqual(mount.get("mountPropagation"), "Bidirectional")

    @of_each_set
    def test_sockets_and_state_outlast_the_pod_in_directories_that_only_root_may_write(self, name, manifests):
        for volume, default in (("agent", "/run/evercert/agent"), ("admin", "/run/evercert-admin"), ("state", "/var/lib/evercert")):
            path = self.values[name].get(f"{volume}Dir", default)
            self.assertEqual(volumes(manifests)[volume]["hostPath"], {"path": path, "type": "DirectoryOrCreate"})
            self.assertEqual(mounts(manifests)[volume]["mountPath"], default)

    def test_without_logs_of_pods_there_is_no_mount_of_them(self):
        self.assertNotIn("pod-logs", volumes(self.all["k0s"]))
        self.assertIn('logs = ""', config_map(self.all["k0s"])["data"]["evercertd.toml"])

    @of_each_set
    def test_pods_get_the_directory_of_the_socket_from_the_csi_driver(self, name, manifests):
        for driver in of_kind(manifests, "CSIDriver"):
            (one,) = [one for one in of_kind(manifests, "DaemonSet") if one["metadata"]["name"].endswith("-csi")]
            spec = one["spec"]["template"]["spec"]
            args = [argument for each in spec["containers"] for argument in each["args"]]
            self.assertIn(f"-plugin-name={driver['metadata']['name']}", args)
            root = self.values[name].get("kubeletRootDir", "/var/lib/kubelet")
            plugin = f"{root}/plugins/{driver['metadata']['name']}"
            self.assertIn(f"--kubelet-registration-path={plugin}/csi.sock", args)
            paths = {volume["name"]: volume["hostPath"]["path"] for volume in spec["volumes"]}
            self.assertEqual(paths["csi"], plugin)
            self.assertEqual(paths["agent"], volumes(manifests)["agent"]["hostPath"]["path"])


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
    """What operators are shown and told of has to be there: METRICS is a page of the daemon's."""

    def expressions(self):
        (rules,) = of_kind(self.all["everything"], "PrometheusRule")
        for group in rules["spec"]["groups"]:
            for rule in group["rules"]:
                yield rule["alert"], rule["expr"]
        (found,) = [one for one in of_kind(self.all["everything"], "ConfigMap") if "evercert.json" in one["data"]]
        for panel in json.loads(found["data"]["evercert.json"])["panels"]:
            for target in panel["targets"]:
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
        self.assertGreaterEqual(count, 21)

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
            severity = "info" if "Unattested" in rule["alert"] else "critical"
            self.assertEqual((rule["for"], rule["labels"]), ("5m", {"severity": severity}))
            self.assertEqual(set(rule["annotations"]), {"summary", "description"})


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


class Refusals(unittest.TestCase):
    UNKNOWN = [
        "typo=1", "image.name=x", "serviceAccount.token=true", "securityContext.privileged=true", "securityContext.capabilities.drop[0]=NET_RAW",
        "podSecurityContext.hostPID=true", "resources.memory=1Gi", "updateStrategy.maxSurge=1", "updateStrategy.rollingUpdate.surge=1",
        "http.tls.cert=x", "http.host=x", "seLinux.user=x", "openshift.scc=true", "spiffeCsi.registrar.args[0]=x", "spiffeCsi.image.version=1",
        "networkPolicy.egress[0].to=x", "networkPolicy.from[0].selector=x", "prometheusPodMonitor.tls.insecure=true", "prometheusPodMonitor.tls.ca.file=x",
        "prometheusRules.severities.a=b", "prometheusRules.jobs=x", "grafana.folder=x", "livenessProbe.httpGet.path=/", "tolerations[0].effects=x", "affinity.podsAffinity.a=b",
        "extraVolumeMounts[0].path=/x", "imagePullSecrets[0].secret=x",
        "config.typo.a=1", "config.http.x=1", "config.limits.conections=1", "config.pods[0].allow[0]=readers", "config.identity[0].usage=x",
        "config.watch.directories[0].usages[0]=x",
    ]
    WRONG = [
        "mode=both", "image.pullPolicy=Sometimes", "image.repository=", "image.digest=sha256:0", "kubeletRootDir=var/lib/kubelet", "kubeletRootDir=/var/lib/kubelet/",
        "http.port=0", "http.port=65536", "http.address=localhost", "updateStrategy.type=Recreate", "prometheusRules.for=soon", 'prometheusRules.job=a"b', "config=x",
        "terminationGracePeriodSeconds=1", "spiffeCsi.driverName=CSI", "livenessProbe.periodSeconds=0", "agentDir=", "fullnameOverride=A_b",
        "config.limits.streams=0", "config.limits.streams=x", "config.log.level=1", "config.log=null", "config.identity=x",
        "http.address=127.0.0.1", "http.address=[::1]", "http.address=999.999.999.999", "securityContext.capabilities.add={ALL}",
        "securityContext.capabilities.add={SYS_ADMIN}", "securityContext.allowPrivilegeEscalation=true", "podLabels.a b=c", "commonLabels.a=c d!",
        "podAnnotations.a b=c", "nodeSelector.a=c d", "agentDir=/etc", "agentDir=/run", "stateDir=/var/lib/../x", "podLogsDir=/logs", "kubeletRootDir=/",
        "extraVolumeMounts[0].name=x,extraVolumeMounts[0].mountPath=/host/../run", "terminationGracePeriodSeconds=null", "resources=null", "image.tag=null",
        "http.tls.enabled=null", "updateStrategy.rollingUpdate.maxSurge=null", "livenessProbe.periodSeconds=null",
    ]
    CONTRADICTIONS = {
        "podLogsDir=,http.tls.enabled=true,http.tls.secretName=x": "http.tls needs podLogsDir",
        "podLogsDir=,config.pods[0].namespace=shop-*": "set podLogsDir, or leave out the namespace",
        "openshift.enabled=true,seLinux.enabled=true,securityContext.readOnlyRootFilesystem=false": "openshift.enabled=false",
        "openshift.enabled=true,seLinux.enabled=true,securityContext.seccompProfile.type=Unconfined": "another seccomp profile",
        "openshift.enabled=true,seLinux.enabled=true,podSecurityContext.seccompProfile.type=Unconfined": "another seccomp profile",
        "openshift.enabled=true,seLinux.enabled=true,securityContext.seLinuxOptions.type=x": "seLinux.type and seLinux.level",
        "openshift.enabled=true,seLinux.enabled=true,podSecurityContext.seLinuxOptions.type=x": "seLinux.type and seLinux.level",
        "openshift.enabled=true,seLinux.enabled=true,podSecurityContext.sysctls[0].name=x,podSecurityContext.sysctls[0].value=y": "leave that out",
        "podAnnotations.checksum/config=x": "leave it out",
        "podLabels.app\\.kubernetes\\.io/name=x": "nameOverride",
        "commonLabels.helm\\.sh/chart=x": "leave it out",
        "agentDir=/var/run": "evercert's alone",
        "stateDir=/var/lib": "evercert's alone",
        "podLogsDir=/run/evercert/agent": "different directories",
        "podLogsDir=/run/evercert/agent/logs": "have to be apart",
        "podLogsDir=/etc/evercert": "would be mounted where",
        "stateDir=/var/lib/other,kubeletRootDir=/var/lib/evercert": "would be mounted where",
        "extraVolumes[0].name=pods": "take another",
        "extraVolumeMounts[0].name=pods,extraVolumeMounts[0].mountPath=/p": "extraVolumes",
        "extraVolumeMounts[0].name=x,extraVolumeMounts[0].mountPath=/run/evercert/agent/": "mount it elsewhere",
        "extraVolumeMounts[0].name=x,extraVolumeMounts[0].mountPath=/run": "mount it elsewhere",
        "extraVolumeMounts[0].name=x,extraVolumeMounts[0].mountPath=/var/lib/kubelet/pods/x": "mount it elsewhere",
        "image.registry=": "where you pushed the image",
        "image.registry=,image.repository=platform/evercertd": "where you pushed the image",
        "config.sockets.agent=/run/evercert/agent/x.sock": "agentDir",
        "config.sockets.admin=/run/evercert/agent/admin.sock": "adminDir",
        "config.state.directory=/run/evercert/agent/state": "stateDir",
        "config.mode=observer": "`mode`",
        "config.http.listen=x": "http.address and http.port",
        "config.http.identity=x": "http.tls",
        "config.http.client_certificates=true": "http.tls.clientCertificates",
        "config.http.probes=x": "http.probesPort",
        "config.kubelet.directory=/x": "kubeletRootDir",
        "config.kubelet.logs=/x": "podLogsDir",
        "config.identity[0].name=evercertd-http": "take another",
        "http.tls.enabled=true": "http.tls.secretName",
        "http.tls.secretName=x": "without http.tls.enabled",
        "http.tls.clientCertificates=true": "without http.tls.enabled",
        "http.tls.enabled=true,http.tls.secretName=x,http.probesPort=9793": "are the same",
        "http.tls.enabled=true,http.tls.secretName=x,prometheusPodMonitor.enabled=true": "prometheusPodMonitor.tls.serverName",
        "http.tls.enabled=true,http.tls.secretName=x,http.tls.clientCertificates=true,prometheusPodMonitor.enabled=true,prometheusPodMonitor.tls.serverName=x":
            "prometheusPodMonitor.tls.clientSecretName",
        "prometheusPodMonitor.tls.serverName=x": "without http.tls.enabled",
        "securityContext.runAsUser=1000": "user 0",
        "podSecurityContext.runAsNonRoot=true": "user 0",
        "openshift.enabled=true": "seLinux.enabled",
        "openshift.enabled=true,seLinux.enabled=true,serviceAccount.create=false": "every pod",
        "updateStrategy.rollingUpdate.maxSurge=1": "two daemons",
        "updateStrategy.rollingUpdate.maxUnavailable=0": "more than 0",
        "stateDir=/run/evercert/agent": "different directories",
        "stateDir=/run/evercert/agent/state": "have to be apart",
        "agentDir=/var/lib/kubelet/pods/x": "have to be apart",
        "adminDir=/run/evercert/agent/admin": "have to be apart",
    }

    def test_a_value_that_is_unknown_is_refused_however_deep(self):
        for value in self.UNKNOWN:
            with self.subTest(value):
                self.assertIn("additional properties", self.refusal(value))

    def test_a_value_that_makes_no_sense_is_refused(self):
        for value in self.WRONG:
            with self.subTest(value):
                self.assertIn("values don't meet the specifications", self.refusal(value))

    def test_values_that_contradict_each_other_are_refused_with_what_to_set(self):
        for values, said in self.CONTRADICTIONS.items():
            with self.subTest(values):
                self.assertIn(said, self.refusal(values))

    def test_a_number_with_a_fraction_is_refused_and_none_is_cut(self):
        given = 'config={"limits":{"connections":1.9}}'
        self.assertIn("config/limits/connections", self.refusal(given, "--set-json").replace(".", "/"))
        self.assertIn("give a whole number", self.refusal(given, "--set-json", "--skip-schema-validation"))

    def test_what_cannot_be_written_as_toml_is_refused_and_does_not_become_the_configuration(self):
        given = 'config={"identity":[{"name":"a","path":"/x","allow":["b",null]}]}'
        self.assertIn("values don't meet the specifications", self.refusal(given, "--set-json"))
        self.assertIn("cannot be written as TOML", self.refusal(given, "--set-json", "--skip-schema-validation"))

    def test_an_image_is_taken_with_a_registry_a_digest_or_where_the_nodes_have_it(self):
        for values in (f"image.digest=sha256:{'0' * 64}", "image.pullPolicy=Never", "image.repository=registry.example.org:5000/evercertd"):
            self.assertIsInstance(render("--set", f"image.registry=,{values}"), list, values)

    def refusal(self, values, way="--set", *more):
        found = render(way, values, *more)
        self.assertIsInstance(found, str, "it was taken")
        return found


class Notes(unittest.TestCase):
    def notes(self, *arguments):
        done = subprocess.run(
            [os.environ["HELM"], "install", "evercertd", CHART, "--namespace", "evercert", "--dry-run=client", *REGISTRY, *map(str, arguments)],
            capture_output=True, text=True, check=True,
        )
        return done.stdout.partition("\nNOTES:\n")[2]

    def test_they_tell_what_to_do_next_in_this_mode_and_with_what_is_on(self):
        observer, publisher = self.notes(), self.notes("--set", "mode=publisher")
        self.assertIn("Identity::from_directory", observer)
        self.assertIn("unattested", observer)
        self.assertNotIn("unattested", publisher)
        self.assertNotIn("hostPath and hostPID", observer)
        self.assertIn("Identity::from_agent", publisher)
        self.assertIn("hostPath and hostPID", publisher)
        self.assertIn("hostPath: {path: /run/evercert/agent", observer)
        self.assertIn("networkPolicy.from to your Prometheus", observer)
        everything = self.notes("-f", HERE / "values" / "everything.yaml")
        for said in ("driver: csi.evercert", "over TLS", "port 9794", "PodMonitor", "SecurityContextConstraints", "evercertd-dashboard"):
            self.assertIn(said, everything)
            self.assertNotIn(said, observer.replace("prometheusPodMonitor", ""))
        self.assertNotIn("Nobody is alerted", everything)
        self.assertNotIn("Any pod may keep scrapers out", everything)


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
            # What of them is set is the operator's to say.
            if path[-1:] not in (("resources",), ("config",)) and "properties" in node:
                named = set(values) & set(node["properties"])
                self.assertEqual(set(node.get("required", [])), named, path)
                for key in named:
                    if isinstance(values[key], dict):
                        compare(node["properties"][key], values[key], (*path, key))

        compare(schema, yaml.safe_load((CHART / "values.yaml").read_text()), ())


if __name__ == "__main__":
    unittest.main()
