#!/usr/bin/env bash
# The Helm chart, without a cluster: it is linted, and rendered for each value set in chart/values. The manifests are held against
# Kubernetes' schemas and the types of cert-manager, the Prometheus operator and Grafana; its configuration is checked by the daemon; alerts
# and dashboards are PromQL over metrics that the daemon has; and chart/test_*.py read what each mode may do. The samples have to say
# what `evercertd status` and `evercertd check` really show of them. EVERCERTD=PROGRAM spares the build.
set -euo pipefail
cd "$(dirname "$0")/../.."

. tests/foreign/needs.bash
. tests/foreign/checks.bash
. tests/foreign/helm.bash
needs openssl=openssl promtool=prometheus
needs_npm

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
needs_evercertd
venv_into "$work/venv" kubernetes-validate==1.37.0 PyYAML==6.0.4 promql-parser==0.11.0
# The models ask for a newer Node.js than they need.
npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix "$work" @kubernetes-models/cert-manager@6.0.0 \
    @kubernetes-models/prometheus-operator@6.0.0 @grafana/grafana-foundation-sdk@0.0.21 typescript@7
helm_into "$work"
HELM=$work/helm
RENDERED=$work/rendered
METRICS=$work/metrics
export EVERCERTD HELM RENDERED METRICS HELM_CACHE_HOME=$work HELM_CONFIG_HOME=$work HELM_DATA_HOME=$work
python=$work/venv/bin/python
chart=kubernetes/chart
mkdir "$RENDERED"

quietly() { "$@" >/dev/null; }

render() { # render NAME: a value set, and the daemon's configuration in it
    "$HELM" lint --strict --quiet "$chart" -f "tests/foreign/chart/values/$1.yaml" &&
        "$HELM" template evercertd "$chart" --namespace evercert --kube-version 1.37.0 -f "tests/foreign/chart/values/$1.yaml" >"$RENDERED/$1.yaml" &&
        "$python" -c '
import sys, yaml
(text,) = [one["data"]["evercertd.toml"] for one in yaml.safe_load_all(open(sys.argv[1])) if one and "evercertd.toml" in one.get("data", {})]
open(sys.argv[2], "w").write(text)' "$RENDERED/$1.yaml" "$work/$1.toml"
}
types() {
    "$python" tests/foreign/chart/typed.py "$RENDERED" "$work/objects.mts" &&
        (cd "$work" && node_modules/.bin/tsc --module nodenext --moduleResolution nodenext --target es2022 --skipLibCheck --strict objects.mts && node objects.mjs)
}
rules() {
    "$python" -c '
import sys, yaml
(spec,) = [one["spec"] for one in yaml.safe_load_all(open(sys.argv[1])) if one and one["kind"] == "PrometheusRule"]
yaml.safe_dump(spec, open(sys.argv[2], "w"))' "$RENDERED/everything.yaml" "$work/rules.yaml" &&
        promtool check rules "$work/rules.yaml" &&
        cp tests/foreign/chart/alerts.yaml "$work/alerts.yaml" &&
        promtool test rules "$work/alerts.yaml"
}
settings() {
    "$EVERCERTD" config >"$work/settings.toml" && "$python" kubernetes/config-schema.py --check <"$work/settings.toml"
}

check 'the table of values in its README is that of values.yaml' "$python" kubernetes/values-table.py --check
check 'the schema of `config` has the settings of the daemon and no others' settings
for set in tests/foreign/chart/values/*.yaml; do
    name=$(basename "$set" .yaml)
    check "$name: helm lints and renders it" render "$name"
    check "$name: the daemon takes its configuration" quietly "$EVERCERTD" config --check "$work/$name.toml"
done
check 'all of it, and the samples, fit the schemas of Kubernetes 1.33 to 1.37' "$python" tests/foreign/chart/manifests.py "$RENDERED"
check 'what is not of Kubernetes itself fits the types of its own' types
check 'alerts fire in Prometheus for what they are for, and say what to do' rules
check 'the samples say what evercertd status and evercertd check show' "$python" tests/foreign/chart/samples.py
if "$python" -B -m unittest discover -s tests/foreign/chart >"$work/tests" 2>&1; then
    passed=$((passed + $(sed -n 's/^Ran \([0-9]*\) tests.*/\1/p' "$work/tests")))
    echo "ok: $(grep '^Ran' "$work/tests") of the rendered manifests"
else
    failed=$((failed + 1))
    cat "$work/tests"
fi

summary
