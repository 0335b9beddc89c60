"""Options of the test run."""

import pytest
from _pytest.terminal import TerminalReporter

#: What a test records under this name is printed at the end of the run, passed or not.
SHOWN = "shown"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="replay one seed of the simulation")


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, text in getattr(report, "user_properties", ()):
                if name == SHOWN and getattr(report, "when", "") == "call":
                    terminalreporter.section(report.nodeid)
                    terminalreporter.write_line(str(text))
