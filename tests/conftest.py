"""Options of the test run."""

import random

import pytest
from _pytest.terminal import TerminalReporter
from hypothesis import settings

#: What a test records under this name is printed at the end of the run, passed or not.
SHOWN = "shown"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="replay one seed")
    parser.addoption("--fresh", action="store_true", help="draw new seeds, and print them")


def pytest_configure(config: pytest.Config) -> None:
    settings.register_profile("same", derandomize=True)
    settings.load_profile("default" if config.getoption("--fresh") else "same")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """What a test draws its cases from: the one asked for, a new one with --fresh, otherwise always the same.

    A failure of the ordinary run is then the fault of what was changed, and comes again when the run is repeated.
    """
    asked: int | None = request.config.getoption("--seed")
    if asked is None:
        asked = random.SystemRandom().randrange(10**6, 2**32) if request.config.getoption("--fresh") else 1
    print(f"seed {asked}")
    return asked


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, text in getattr(report, "user_properties", ()):
                if name == SHOWN and getattr(report, "when", "") == "call":
                    terminalreporter.section(report.nodeid)
                    terminalreporter.write_line(str(text))
