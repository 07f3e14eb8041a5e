"""Holds every manifest against Kubernetes' schemas, strictly: a field that a version does not know is an error.

    python manifests.py RENDERED
"""

import pathlib
import sys

import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).parents[3]
VERSIONS = ["1.33", "1.34", "1.35", "1.36", "1.37"]
# Kinds of others: typed.py has those of which a package knows the types.
OTHERS = {"cert-manager.io/v1", "trust.cert-manager.io/v1alpha1", "monitoring.coreos.com/v1", "security.openshift.io/v1"}
# Projections of pod certificates came with 1.34.
LATER = {"pod-certificate.yaml": ["1.33"]}


def main(rendered):
    checked, wrong = 0, []
    for path in [*sorted(pathlib.Path(rendered).glob("*.yaml")), *sorted((ROOT / "kubernetes" / "samples").glob("*.yaml"))]:
        for one in yaml.safe_load_all(path.read_text()):
            if not one or one["apiVersion"] in OTHERS:
                continue
            for version in VERSIONS:
                try:
                    kubernetes_validate.validate(one, version, strict=True)
                    problem = None
                except kubernetes_validate.ValidationError as error:
                    problem = f"{'.'.join(map(str, error.path))}: {error.message}"
                known = version not in LATER.get(path.name, [])
                if known == (problem is None):
                    checked += 1
                else:
                    wrong.append(f"{path.name}, Kubernetes {version}: {one['kind']} {one['metadata']['name']}: {problem or 'is taken'}")
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{checked} manifests fit their schema")


main(*sys.argv[1:])
