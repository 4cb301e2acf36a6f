"""What holds for every test: in CI nothing is skipped unseen; what takes long begins first."""

import os
from collections.abc import Generator

import pytest
from dealing import dealt

import tidegate_protos  # noqa: F401 - before any gRPC, as in the agent: it says how to fork


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where a machine lacks what a test needs, the test says so; in CI that is a failure."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {call.excinfo.value if call.excinfo else 'no reason'}"
    return report


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each worker does so by itself, to the same end. One alone keeps the order of the folders."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        items[:] = dealt(items, workers)
