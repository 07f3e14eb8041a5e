"""Values that are unknown, make no sense or contradict each other are refused."""

import unittest

from rendered import render


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
