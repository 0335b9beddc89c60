"""Serve the packaged application on 127.0.0.1 as its own command does: migrations, local administrator, three threads.

The argument is the run folder, by which the process is known. It gets `server.pid`, and `state.json` with where to log in.
"""

import json
import os
import sys
from pathlib import Path


def main(folder: Path) -> None:
    (folder / "server.pid").write_text(f"{os.getpid()}\n")

    from django.core.management import call_command  # type: ignore[import-not-found]
    from remo_app.cmd.config import create_config  # type: ignore[import-not-found]
    from remo_app.config.config import ViewerOptions  # type: ignore[import-not-found]
    from remo_app.config.standalone.wsgi import application  # type: ignore[import-not-found]
    from waitress import serve  # type: ignore[import-untyped]

    call_command("migrate", verbosity=0, interactive=False)
    port = int(os.environ["PORT"])
    config = create_config(os.environ["DATABASE_URL"])
    config.update(port=str(port), server="http://127.0.0.1", viewer=ViewerOptions.browser)
    config.save()
    login = {"url": f"http://127.0.0.1:{port}", "user": config.user_email, "password": config.user_password}
    (folder / "state.json").write_text(json.dumps(login) + "\n")
    serve(application, _quiet=True, host="127.0.0.1", port=port, threads=3)


# The processes that take in uploads import this file again.
if __name__ == "__main__":
    main(Path(sys.argv[1]))
