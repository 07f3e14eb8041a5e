"""The metrics over mutual TLS, with a certificate of a volume of the daemon's own pod, and the probes apart."""

import http.client
import ssl
import tempfile
import urllib.request
from pathlib import Path

from cluster import METRICS
from tls import shown_by

SECRET = "evercertd-http"


def run(cluster, chart, _changed):
    checks = cluster.checks
    first = cluster.secret(chart.namespace, SECRET, "evercertd.example.org")
    cluster.deploy(chart)
    cluster.probed()
    address = cluster.daemon.pod.address
    page = f"https://{address}:{METRICS}/metrics"
    scraper = authenticated(cluster)
    checks.until("with TLS the metrics are for who shows a certificate", lambda: b"evercert_" in fetch(page, scraper))
    checks.equal("and for nobody else", fetch(page, without_certificate()), b"")
    checks.equal("nor in plaintext", fetch(page.replace("https", "http")), b"")
    probes = cluster.daemon.template["livenessProbe"]["httpGet"]
    checks.equal("nor beside the probes", cluster.daemon.get("/metrics", probes), 404)
    checks.equal("the certificate is that of the Secret", shown_by(address, METRICS), first)
    renewed = cluster.secret(chart.namespace, SECRET, "evercertd.example.org")
    checks.until("and the new one when that is renewed, without a restart", lambda: shown_by(address, METRICS) == renewed)


def without_certificate():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def authenticated(cluster):
    files = cluster.authority.issue("prometheus.example.org")
    context = ssl.create_default_context(cadata=files["ca.crt"].decode())
    context.check_hostname = False
    with tempfile.TemporaryDirectory() as directory:
        for name, content in files.items():
            Path(directory, name).write_bytes(content)
        context.load_cert_chain(Path(directory, "tls.crt"), Path(directory, "tls.key"))
    return context


def fetch(url, context=None):
    """The page, or nothing where it is refused."""
    try:
        with urllib.request.urlopen(url, timeout=5, context=context) as response:
            return response.read()
    except (OSError, http.client.HTTPException):
        return b""
