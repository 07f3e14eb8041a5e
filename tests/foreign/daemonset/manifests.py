"""Manifests, and the pods that a cluster would make of them."""

import copy
import secrets

import yaml

from kubelet import Pod, kind_of


def documents(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


class Chart:
    """What helm rendered."""

    def __init__(self, path):
        rendered = documents(path)
        (self.daemon_set,) = [document for document in rendered if document["kind"] == "DaemonSet"]
        self.config_maps = {
            document["metadata"]["name"]: {name: text.encode() for name, text in document["data"].items()}
            for document in rendered
            if document["kind"] == "ConfigMap"
        }
        self.namespace = self.daemon_set["metadata"]["namespace"]
        self.template = self.daemon_set["spec"]["template"]

    def without(self, capability):
        """The same, without one capability."""
        less = copy.deepcopy(self)
        (container,) = less.template["spec"]["containers"]
        container["securityContext"]["capabilities"]["add"].remove(capability)
        return less

    def pod(self):
        """A new pod of the DaemonSet."""
        return pod_of(self.template, self.namespace, f"{self.daemon_set['metadata']['name']}-{secrets.token_hex(3)[:5]}")


class Sample:
    """The Deployment of a sample: a greeter."""

    def __init__(self, path):
        (deployment,) = [document for document in documents(path) if document["kind"] == "Deployment"]
        self.namespace = deployment["metadata"]["namespace"]
        self.template = deployment["spec"]["template"]

    def pod(self, name, user, arguments=None, env=(), more_volumes=(), **of_pod):
        """A pod like those of the sample, with a Secret of its own, called as it is, and under a user of its own."""
        template = copy.deepcopy(self.template)
        spec = template["spec"] | of_pod
        (container,) = spec["containers"]
        if arguments is not None:
            container["args"] = list(arguments)
        container["env"] += env
        context = spec["securityContext"]
        context |= {"runAsUser": user, "runAsGroup": user, "runAsNonRoot": user != 0}
        if "fsGroup" in context:
            context["fsGroup"] = user
        for volume in spec["volumes"]:
            for source in sources(volume):
                source["secretName" if "secretName" in source else "name"] = name
        for volume, place in more_volumes:
            spec["volumes"].append(volume)
            container["volumeMounts"].append({"name": volume["name"], "mountPath": place})
        return pod_of(template | {"spec": spec}, self.namespace, name)


def sources(volume):
    """What takes a Secret in a volume."""
    kind = kind_of(volume)
    if kind == "secret":
        return [volume[kind]]
    if kind == "projected":
        return [part["secret"] for part in volume[kind]["sources"] if "secret" in part]
    return []


def pod_of(template, namespace, name):
    return Pod({"metadata": {**template["metadata"], "name": name, "namespace": namespace}, "spec": template["spec"]})
