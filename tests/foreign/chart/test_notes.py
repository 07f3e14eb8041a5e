"""The notes after an installation tell what to do next."""

import os
import subprocess
import unittest

from rendered import CHART, HERE, REGISTRY


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
