"""`python -m labelmirror`, and where the `labelmirror` program begins."""

import sys


def main() -> None:
    """The whole program. Ctrl-C ends it without a traceback also before its commands can heed it, as while they load."""
    try:
        from labelmirror.cli.main import main as carry_out

        carry_out()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
