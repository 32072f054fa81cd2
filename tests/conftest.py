"""Marks that depend on the machine: `kernel` needs root, `needs("feature")` a feature that `nft.features` probes.

What is skipped for that, or for any other reason, is compared with a list (`tests.lab.skips`) when the run ends.
"""

import pytest
import structlog
from hypothesis import HealthCheck, settings

from nft import features
from nft.errors import NftError
from tests.kube import tools
from tests.lab import compiled, skips

# How fast a machine makes examples is not what is tested: a busy one fails no test for it.
settings.register_profile("tidegate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tidegate")


@pytest.fixture(autouse=True)
def _logs_of_its_own():
    """A test that sets up logging writes to its own captured output; the next one's is another."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def pytest_configure(config):
    stale = compiled.stale(config.rootpath)
    if stale:
        raise pytest.UsageError(f"compiled modules are older than their sources ({', '.join(stale)}): deploy/native.sh")
    config.pluginmanager.register(Watch(), "expected-skips")


class Watch:
    """Skips by mark, and fails a run that skipped what it should not."""

    def __init__(self):
        self.skips = skips.Skips()
        self.machine = skips.machine([])
        self.lacks_kube = False
        self.faults = []

    @pytest.hookimpl(trylast=True)  # after -m has chosen: a run without kernel tests does not touch the kernel
    def pytest_collection_modifyitems(self, items):
        for item in items:
            if item.get_closest_marker("kube") and tools.directory() is None:
                self.lacks_kube = True
                item.add_marker(pytest.mark.skip(reason="etcd and kube-apiserver are not built: just kube"))
        marked = [item for item in items if item.get_closest_marker("kernel") or item.get_closest_marker("needs")]
        if not marked:
            return
        try:
            found = features.probe()
        except NftError:
            found = None
        self.machine = skips.machine(None if found is None else found.absent)
        for item in marked:
            lacking = [mark.args[0] for mark in item.iter_markers("needs") if found and not found.has(mark.args[0])]
            if found is None:
                item.add_marker(pytest.mark.skip(reason="needs root"))
            elif lacking:
                item.add_marker(pytest.mark.skip(reason=f"this kernel lacks {', '.join(lacking)}"))

    def pytest_collectreport(self, report):
        if report.skipped:
            self.skips.skipped[report.nodeid] = reason(report)

    def pytest_runtest_logreport(self, report):
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skips.skipped[report.nodeid] = reason(report)
        elif report.when == "call":
            self.skips.ran.add(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session):
        expected = skips.read(self.machine) + (skips.read("without-kube") if self.lacks_kube else ())
        self.faults = self.skips.faults(expected)
        if self.faults and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        if self.faults:
            terminalreporter.section(f"skips against tests/expected_skips/{self.machine}.txt", red=True)
            for fault in self.faults:
                terminalreporter.line(fault)


def reason(report):
    return str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
