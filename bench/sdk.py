"""The official Pictograph SDK, unmodified, in an environment of its own below `.cache/`."""

import os
import shutil
import sys
from pathlib import Path

from bench.mirror import Ended, run_command
from bench.server import DATASET, Server

VERSION = "1.69.146"
_HOME = Path(__file__).resolve().parents[1] / ".cache" / "sdk" / VERSION
_DOWNLOAD = """
import os
from pathlib import Path
from pictograph import Client
client = Client(api_key=os.environ["STANDIN_KEY"], base_url=os.environ["STANDIN_URL"])
done = client.datasets.download(os.environ["STANDIN_DATASET"], Path(os.environ["STANDIN_FOLDER"]))
assert done.success, done
print(done.images_downloaded, done.annotations_downloaded)
"""


def download(server: Server, folder: Path) -> Ended:
    """Fetch the whole dataset with the SDK's own download, its settings as they come."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "STANDIN_URL": server.url,
        "STANDIN_KEY": server.key,
        "STANDIN_DATASET": DATASET,
        "STANDIN_FOLDER": str(folder / "dataset"),
    }
    return run_command([_python(), "-c", _DOWNLOAD], env=env)


def _python() -> Path:
    python, complete = _HOME / "bin" / "python", _HOME / "complete"
    if not complete.exists():
        shutil.rmtree(_HOME, ignore_errors=True)
        run_command([sys.executable, "-m", "venv", _HOME])
        run_command(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"pictograph=={VERSION}"]
        )
        complete.touch()
    return python
