"""The whole question: predict, build, ask."""

import time
from collections.abc import Sequence
from pathlib import Path

from policy.resources.metadata import Resource
from tidegate.truth.cases import Port, TruthError, cases, cast
from tidegate.truth.prediction import predict
from tidegate.truth.prober import allow_files, observe
from tidegate.truth.stage import stage
from tidegate.truth.table import Truth


def find_truth(resources: Sequence[Resource], told: Path, ports: Sequence[Port], families: Sequence[int]) -> Truth:
    """Both tables.

    Args:
        resources: What the prediction reads.
        told: Where the agent reads the same; something else is a deliberate fault, to see that it is found.
        ports: Where all pods listen and are asked.
        families: 4, 6 or both.

    Raises:
        TruthError: the documents describe nothing that can be built on one node.
        LabError: the network cannot be built, or the agent does not get ready.
    """
    company = cast(resources)
    asked = cases(company.members, ports, families)
    if not asked:
        raise TruthError("cannot ask anything: no two pods have addresses of the family")
    predicted = predict(resources, asked)
    try:
        allow_files(2 * len(company.members) * len(ports))
    except (OSError, ValueError) as error:
        raise TruthError(f"cannot open that many sockets: {error}") from error
    with stage(company, ports, told) as pods:
        started = time.perf_counter()
        observed = observe(pods, asked, predicted)
        return Truth(asked, predicted, observed, time.perf_counter() - started)
