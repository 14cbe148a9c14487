"""The images' health check: exit 0 when the container's own service says it is ready, 1 (and why) otherwise."""

from __future__ import annotations

import json
import os
import ssl
import sys
import urllib.error
import urllib.request

PORTS = {"manager": 1500, "controller": 5000, "monitor": 5001, "visualizer": 5002}
KUBECONFIG = "ASPERATHOS_LOCALCLUSTER_KUBECONFIG"
SECONDS = 4.0


def probe(service: str) -> None:
    """Raise OSError or ValueError unless the service answers that it is ready."""
    # What is asked is whether it answers, not who it is; nothing secret is sent.
    context = ssl._create_unverified_context()
    if service == "localcluster":
        with open(os.environ[KUBECONFIG], encoding="utf-8") as file:
            url = json.load(file)["clusters"][0]["cluster"]["server"] + "/readyz"
    else:
        scheme = "https" if os.environ.get("ASPERATHOS_TLS_CERTIFICATE") else "http"
        url = f"{scheme}://127.0.0.1:{PORTS[service]}/readyz"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with opener.open(url, timeout=SECONDS):
        pass


def main() -> int:
    """The exit code."""
    try:
        probe(os.environ.get("SERVICE", ""))
    except urllib.error.HTTPError as error:
        sys.stdout.write(f"{error.code}: {error.read(2000).decode(errors='replace')}\n")
    except (OSError, ValueError, LookupError) as error:
        sys.stdout.write(f"{type(error).__name__}: {error}\n")
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
