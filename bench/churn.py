"""Keeps a control process busy: rewrites policies as fast as they are read, until it is ended."""

import itertools
import sys
import time
from pathlib import Path

import yaml


def policy(number: int, edition: int) -> dict[str, object]:
    """A policy whose ports change with the edition."""
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": f"churn-{number}"},
        "spec": {
            "order": 5000 + number,
            "selector": "all()",
            "types": ["Ingress"],
            "ingress": [
                {"action": "Allow", "protocol": "TCP", "destination": {"ports": [1000 + edition % 1000 + port]}}
                for port in range(20)
            ],
        },
    }


def main() -> None:
    """Writes editions for ever."""
    directory = Path(sys.argv[1])
    for edition in itertools.count():
        path = directory / f"churn-{edition % 20}.yaml"
        scratch = path.with_suffix(".tmp")
        scratch.write_text(yaml.safe_dump(policy(edition % 20, edition)))
        scratch.rename(path)
        time.sleep(0.01)


if __name__ == "__main__":
    main()
