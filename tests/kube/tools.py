"""Where `just kube` has put etcd, kube-apiserver and kubectl."""

import subprocess
from functools import cache
from pathlib import Path

NAMES = ("etcd", "kube-apiserver", "kubectl")
_BUILD = Path(__file__).parent.parent / "tools" / "build.sh"


@cache
def directory() -> Path | None:
    """The directory with all of them; None where they were not built."""
    done = subprocess.run([_BUILD, "--where"], check=False, capture_output=True, text=True)
    found = Path(done.stdout.strip() or "/nowhere")
    return found if all((found / name).exists() for name in NAMES) else None
