"""The rendered DaemonSet, run by runc on a node with 50 pods. Started by daemonset.sh, in namespaces of its own."""

import argparse
import sys
import time
import traceback
from pathlib import Path

import observer
import publisher
import secured
from checks import Failed
from cluster import Cluster
from manifests import Chart, Sample
from runtime import Image

CASES = {"observer": observer.run, "publisher": publisher.run, "secured": secured.run}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--directory", type=Path, required=True, help="an empty one to work in")
    parser.add_argument("--chart", type=Path, required=True, help="the rendered chart")
    parser.add_argument("--changed", type=Path, required=True, help="the chart, rendered with another configuration")
    parser.add_argument("--sample", type=Path, required=True, help="the sample with the Deployment of a greeter")
    parser.add_argument("--image", type=Path, required=True, help="the OCI layout of the daemon's image")
    parser.add_argument("--programs", type=Path, required=True, help="where the greeters are")
    parser.add_argument("--seccomp", type=Path, required=True, help="the program that prints containerd's profile")
    parser.add_argument("--made", type=Path, required=True, help="where control groups are written down that have to go")
    parser.add_argument("--passed", type=Path, required=True, help="where the number of checks is written")
    args = parser.parse_args()

    daemon = Image.of_layout(args.image, args.directory / "evercertd")
    # The daemon's program is there too, for those who ask in pods that are not the daemon's.
    programs = [args.programs / name for name in ("greeter-server", "greeter-client")] + [daemon.program()]
    images = {**Image.of_programs(programs, args.directory / "programs"), "evercertd": daemon}
    cluster = Cluster(args.directory, args.seccomp, args.made, images, Sample(args.sample))
    started = time.monotonic()
    try:
        CASES[args.case](cluster, Chart(args.chart), Chart(args.changed))
    except Exception as error:
        print(f"FAILED: {error}")
        if not isinstance(error, Failed):
            traceback.print_exc(file=sys.stdout)
        if cluster.daemon:
            print(f"the daemon said:\n{cluster.daemon.output()[-8000:]}")
        return 1
    args.passed.write_text(str(cluster.checks.passed))
    print(f"the case {args.case} took {time.monotonic() - started:.0f} s")
    return 0


sys.exit(main())
