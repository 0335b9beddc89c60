"""Logs: structlog on standard error, one line per fact; JSON unless a person is looking at a terminal.

Whatever is logged passes a `Masker` last, tracebacks and the lines of libraries included.
"""

import logging
import re
from collections.abc import Mapping
from typing import Final, TextIO
from urllib.parse import quote

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

MASK: Final = "***"
_SECRET_FIELDS: Final = frozenset(
    {"key", "api_key", "x-api-key", "password", "token", "secret", "authorization", "cookie", "set-cookie"}
)
_USER_INFO: Final = re.compile(r"(?<=://)[^\s/?#@\"']+@")
# Signed links are keys: what follows the "?" opens the file to anybody.
_URL_QUERY: Final = re.compile(r"(https?://[^\s?\"'<>]*)\?[^\s\"'<>]*")
_QUERY: Final = re.compile(r"\?[\w.~%+-]+=[^\s\"'<>]*")


class Masker:
    """Takes keys, passwords and URL queries out of text. It must be told each secret as soon as it is known."""

    def __init__(self) -> None:
        self._secrets: list[str] = []

    def learn(self, secret: str) -> None:
        """Mask this value from now on, as it is and as it looks inside a URL."""
        self._secrets += {secret, quote(secret, safe="")} - {"", *self._secrets}
        self._secrets.sort(key=len, reverse=True)  # a secret inside a longer one must not leave the rest behind

    def clean(self, text: str) -> str:
        """The text with `***` in the place of whatever may not be seen."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        text = _USER_INFO.sub(f"{MASK}@", text)
        return _QUERY.sub(f"?{MASK}", _URL_QUERY.sub(rf"\1?{MASK}", text))

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Clean a whole log line, as a structlog processor."""
        return {self.clean(str(name)): self._cleaned(name, value) for name, value in event.items()}

    def _cleaned(self, name: object, value: object) -> object:
        if str(name).lower() in _SECRET_FIELDS:
            return MASK
        match value:
            case None | bool() | int() | float():
                return value
            case str():
                return self.clean(value)
            case Mapping():
                return {self.clean(str(key)): self._cleaned(key, item) for key, item in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._cleaned("", item) for item in value]
            case _:
                return self.clean(str(value))


def configure(stream: TextIO, level: int, masker: Masker) -> None:
    """Send this program's log lines and those of libraries to `stream`, from `level` (of `logging`) upwards."""
    pretty = stream.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if pretty else "iso", utc=not pretty),
        # Plain tracebacks: a richer one shows local variables, and with them secrets.
        structlog.processors.format_exc_info,
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if pretty
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, masker, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.captureWarnings(capture=True)
    # It has a line for each file that is written, ours included.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
