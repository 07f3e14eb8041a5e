#!/usr/bin/env python3
"""Writes what monitors evercertd: the dashboard, and the alerts for a Prometheus without its operator.

    monitoring/generate.py            write both
    monitoring/generate.py --check    fail where what is written is not what would be

The dashboard is described here, and is the chart's file, to which monitoring/dashboard.json is a link. The alerts are the chart's files/alerts.yaml.
"""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
ALERTS = ROOT / "kubernetes/chart/files/alerts.yaml"
DASHBOARD = ROOT / "kubernetes/chart/files/dashboard.json"
RULES = ROOT / "monitoring/rules.yaml"

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Grafana's grid is so many columns wide.
COLUMNS = 24
# The labels of a scrape that say nothing of a certificate.
HIDDEN = ("Time", "__name__", "container", "job", "prometheus")
# By which an identity goes in a legend.
NAME = "{{workload_namespace}} {{workload_pod}} {{identity}} {{instance}}"


def panel(kind, title, description, expressions, unit, height, width, **more):
    """One panel; `expressions` are pairs of PromQL and legend."""
    targets = []
    for letter, (expression, legend) in zip("ABCDEF", expressions):
        target = {"refId": letter, "datasource": SOURCE, "expr": expression, "legendFormat": legend}
        if kind == "table":
            target["format"] = "table"
        if kind in ("table", "stat"):
            target["instant"] = True
        targets.append(target)
    one = {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "gridPos": {"w": width, "h": height},
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": unit, **more.pop("defaults", {})}, "overrides": []},
        "options": more.pop("options", {}),
    }
    return {**one, **more}


def stat(title, description, expression, bad=False):
    steps = [{"color": "green" if bad else "blue", "value": None}] + ([{"color": "red", "value": 1}] if bad else [])
    return panel(
        "stat", title, description, [(expression, "")], "short", 4, 4,
        defaults={"thresholds": {"mode": "absolute", "steps": steps}},
        options={"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "none"},
    )


def table(title, description, expression, unit="short", width=12):
    organize = {"id": "organize", "options": {"excludeByName": {name: True for name in HIDDEN}}}
    return panel("table", title, description, [(expression, "")], unit, 9, width, transformations=[organize])


def graph(title, description, *expressions, unit="ops", width=12, **more):
    return panel("timeseries", title, description, expressions, unit, 8, width, **more)


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "gridPos": {"w": COLUMNS, "h": 1}, "panels": []}


def share(end, begin):
    return f"({end} - time()) / ({end} - {begin})"


LEAF = share("evercert_identity_not_after_timestamp_seconds", "evercert_identity_not_before_timestamp_seconds")
FEDERATED = share(
    "evercert_identity_federated_bundle_not_after_timestamp_seconds", "evercert_identity_federated_bundle_not_before_timestamp_seconds",
)
TRUST = share("evercert_identity_bundle_not_after_timestamp_seconds", "evercert_identity_bundle_not_before_timestamp_seconds")

PANELS = [
    stat("Identities", "Identities that have a published generation.", "sum(evercert_identity_published)"),
    stat("Without a certificate", "Identities for which nothing is published.", "count(evercert_identity_published == 0) or vector(0)", bad=True),
    stat("Rejected", "Identities whose files were rejected; the last good set is served on.", "sum(evercert_identity_rejected)", bad=True),
    stat(
        "Behind", "Subscribers that have not put the newest generation to use, attested or not.",
        "sum(evercert_subscribers_behind) + sum(evercert_subscribers_unattested_behind)", bad=True,
    ),
    stat("Lost", "Subscribers that stopped answering and live on.", "sum(evercert_subscribers_lost)", bad=True),
    stat("Findings", "What the checks have to say, but for what is only worth knowing.", 'sum(evercert_identity_finding{severity!="info"}) or vector(0)', bad=True),
    graph(
        "Life that is left", "The share of each published leaf's life; the twenty that are nearest to their end. A third is left when renewal is due by default.",
        (f"bottomk(20, {LEAF})", NAME), unit="percentunit", width=24, defaults={"min": 0, "max": 1},
    ),
    table("First to expire", "Published leaves by the time that is left to them.", "sort(bottomk(20, evercert_identity_not_after_timestamp_seconds - time()))", "s"),
    table("Findings", "One row for each thing that a check has to say.", 'evercert_identity_finding{severity!="info"} > 0'),
    table("Who is behind", "Identities with subscribers that have not put the newest generation to use.", "evercert_subscribers_behind > 0 or evercert_subscribers_lost > 0 or evercert_subscribers_unattested_behind > 0"),
    table("Renewals that are overdue", "Leaves that should have been renewed by now, by how long ago.", "time() - evercert_identity_renewal_due_timestamp_seconds > 0", "s"),
    graph("Rotations", "Generations that were published in each hour.", ('sum(rate(evercert_identity_reloads_total{result="published"}[1h])) * 3600', "published"), unit="short"),
    table("Last rotations", "The twenty latest, by how long ago.", "sort(time() - topk(20, evercert_identity_last_rotation_timestamp_seconds))", "s"),
    graph(
        "Reads of files, by result", "published: a new generation; rejected: the last good one stays; held: it is not valid yet.",
        ('sum by (result) (rate(evercert_identity_reloads_total{result!="unchanged"}[$__rate_interval]))', "{{result}}"),
    ),
    graph(
        "From publication to use", "How long subscribers take to put a generation to use.",
        *[(f"histogram_quantile({q}, sum by (le) (rate(evercert_subscriber_ack_duration_seconds_bucket[$__rate_interval])))", name) for q, name in ((0.5, "median"), (0.99, "99 %"))],
        unit="s",
    ),
    table("Trust", "Bundles by the share of life that is left to the CA that ends first.", f"sort(bottomk(20, {TRUST}))", "percentunit"),
    table("Federated trust", "Bundles of other trust domains by the share of life that is left to the CA that ends last.", f"sort(bottomk(20, {FEDERATED}))", "percentunit"),
    table("CAs that left, and are still trusted", "Anchors that are retained for a while.", "evercert_identity_overlap_anchors > 0"),
    table("Endpoints", "What is presented where identities say that they are served: 1 where it is not what is published.", "evercert_endpoint_stale"),
    table("Endpoints whose certificate is not known", "They do not answer, or not by TLS.", "evercert_endpoint_reachable == 0"),
    graph(
        "Callers that were denied, or turned away", "By reason.",
        ('sum by (reason) (rate(evercert_attestations_total{result="denied"}[$__rate_interval]))', "denied: {{reason}}"),
        ("sum by (reason) (rate(evercert_connections_turned_away_total[$__rate_interval]))", "connection: {{reason}}"),
        ("sum by (reason) (rate(evercert_streams_turned_away_total[$__rate_interval]))", "stream: {{reason}}"),
    ),
    graph("Memory of the daemons", "What is resident.", ("process_resident_memory_bytes and on (job, instance) evercert_build_info", "{{instance}}"), unit="bytes"),
    row("Limits and CAs"),
    graph("Limits that were reached", "How often something was refused, or left out, by the limit that it reached.", ("sum by (limit) (rate(evercert_limit_reached_total[$__rate_interval]))", "{{limit}}")),
    table("Limits that were reached within a day", "By daemon.", "sum by (limit, instance) (rate(evercert_limit_reached_total[1d])) * 86400 > 0"),
    table(
        "CAs by the time that is left to them", "Whatever a bundle or a chain holds.",
        "sort(max by (sha256, subject) (evercert_ca_not_after_timestamp_seconds) - time())", "s",
    ),
    table("What uses each CA", "Identities that present a leaf under it, and that trust it. One that nothing uses is not there.", "sum by (sha256, subject, use) (evercert_ca_identities)"),
    table("Processes that depend on each CA", "The subscribers of these identities.", "sum by (sha256, subject, use) (evercert_ca_subscribers)"),
]


def placed(panels):
    """The panels from left to right and from top to bottom."""
    x = y = height = 0
    for number, one in enumerate(panels, 1):
        place = one["gridPos"]
        if x + place["w"] > COLUMNS:
            x, y, height = 0, y + height, 0
        one["gridPos"] = {"x": x, "y": y, **place}
        x, height = x + place["w"], max(height, place["h"])
        yield {"id": number, **one}


def dashboard():
    return {
        "uid": "evercert",
        "title": "evercert",
        "description": "Certificates on the nodes, and who serves them.",
        "tags": ["evercert", "certificates"],
        "editable": True,
        "schemaVersion": 39,
        "version": 1,
        "time": {"from": "now-24h", "to": "now"},
        "refresh": "1m",
        "timezone": "",
        "templating": {"list": [{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}]},
        "annotations": {"list": []},
        "panels": list(placed(PANELS)),
    }


def rules():
    """The alerts as a file of rules: each has lasted for two minutes, and is a ticket unless it says otherwise."""
    alerts = re.split(r"^(?=- alert: )", ALERTS.read_text(), flags=re.M)[1:]
    lines = [
        "# Made by monitoring/generate.py of kubernetes/chart/files/alerts.yaml. The daemons are the job `evercertd`.",
        "groups:",
        "  - name: evercertd",
        "    rules:",
    ]
    for alert in alerts:
        severity = re.search(r"^  severity: (\w+)\n", alert, re.M)
        said = f"  for: 2m\n  labels: {{severity: {severity[1] if severity else 'ticket'}}}\n"
        alert = alert.replace(severity[0], "") if severity else alert
        alert = alert.replace("  annotations:\n", said + "  annotations:\n").replace('job="JOB"', 'job="evercertd"')
        lines += [f"      {line}" for line in alert.splitlines()]
    return "\n".join(lines) + "\n"


def main():
    wanted = {DASHBOARD: json.dumps(dashboard(), indent=2) + "\n", RULES: rules()}
    if sys.argv[1:] == ["--check"]:
        for path, text in wanted.items():
            if path.read_text() != text:
                sys.exit(f"{path.relative_to(ROOT)} is not what monitoring/generate.py writes: run it")
    else:
        for path, text in wanted.items():
            path.write_text(text)
    print(f"{sum(one['type'] != 'row' for one in PANELS)} panels, {wanted[RULES].count('- alert: ')} alerts")


main()
