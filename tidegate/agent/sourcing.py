"""Where documents come from in a run: files, or an API server."""

import secrets

from reconcile.clock import Clock
from tidegate.config.settings import Settings
from tidegate.store.files import FileSource
from tidegate.store.kube.connection import Connection
from tidegate.store.kube.kinds import collections
from tidegate.store.kube.source import KubeSource
from tidegate.store.source import Source


def source_of(settings: Settings, version: str, clock: Clock) -> Source:
    """The one that is configured; that it is one only is seen to before (`contradictions`)."""
    if settings.resources is not None:
        return FileSource(settings.resources)
    return KubeSource(
        Connection(settings.kubeconfig, clock, f"tidegate/{version}"),
        collections(settings.kubernetes_calico_group.value),
        clock,
        secrets.SystemRandom().random,
        settings.kubernetes_resync_seconds,
    )
