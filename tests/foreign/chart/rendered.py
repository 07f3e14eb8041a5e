"""Reads the rendered manifests for the tests beside it, which take those of every value set, or render one more.

    python -m unittest discover -s tests/foreign/chart

HELM is the program, RENDERED a directory with NAME.yaml of values/NAME.yaml, and METRICS a page of the daemon's.
"""

import functools
import os
import pathlib
import subprocess
import unittest

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
