"""Writes a TypeScript program of all objects whose kinds are not Kubernetes' own, as literals of their types: what the compiler refuses
has fields that the kind has not, and what the program refuses has values that it does not take.

    python typed.py RENDERED PROGRAM
"""

import json
import pathlib
import sys

import yaml

ROOT = pathlib.Path(__file__).parents[3]
MODELS = {
    "cert-manager.io/v1": "@kubernetes-models/cert-manager/cert-manager.io/v1",
    "trust.cert-manager.io/v1alpha1": "@kubernetes-models/cert-manager/trust.cert-manager.io/v1alpha1",
    "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
}
# No package has it.
UNTYPED = {"security.openshift.io/v1"}


def main(rendered, program):
    files = [*sorted(pathlib.Path(rendered).glob("*.yaml")), *sorted((ROOT / "kubernetes" / "samples").glob("*.yaml"))]
    documents = [(path, one) for path in files for one in yaml.safe_load_all(path.read_text()) if one]
    lines, used, dashboards = [], set(), 0
    for path, one in documents:
        group, kind = one["apiVersion"], one["kind"]
        if group in MODELS:
            used.add((group, kind))
            rest = {key: held for key, held in one.items() if key not in ("apiVersion", "kind")}
            lines.append(f"check({json.dumps(path.name)}, new {kind}({json.dumps(rest)}));")
        elif "." in group.partition("/")[0] and not group.partition("/")[0].endswith(".k8s.io") and group not in UNTYPED:
            sys.exit(f"{path.name}: nothing checks a {kind} of {group}")
        if kind == "ConfigMap" and "evercert.json" in one["data"]:
            dashboards += 1
            lines.append(f"const dashboard{dashboards}: Written<Dashboard> = {json.dumps(json.loads(one['data']['evercert.json']))};")
            lines.append(f"count += dashboard{dashboards}.panels?.length ? 1 : 0;")
    imports = [f"import {{ {kind} }} from {json.dumps(MODELS[group])};" for group, kind in sorted(used)]
    imports += [
        'import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";',
        'import type { Dataquery } from "@grafana/grafana-foundation-sdk/prometheus";',
    ]
    check = [
        # A literal has enumerations by their values, and queries that are Prometheus'.
        "type Written<T> = T extends string ? `${T}` : T extends (infer U)[] ? Written<U>[] : T extends object",
        '    ? { [K in keyof T as K extends `_${string}` ? never : K]: K extends "targets" ? Written<Dataquery>[] : Written<T[K]> } : T;',
        "let count = 0;",
        "function check(file: string, one: { kind: string; validate(): void }) {",
        "    try { one.validate(); count += 1; } catch (error) { throw new Error(`${file}: ${one.kind}: ${error}`); }",
        "}",
    ]
    pathlib.Path(program).write_text("\n".join([*imports, *check, *lines, "console.log(count);", ""]))


main(*sys.argv[1:])
