"""How the processes that are timed are started."""

from __future__ import annotations

import os
from pathlib import Path


def with_bytecode(folder: Path) -> dict[str, str]:
    """The environment, with compiled Python kept in `folder`, as an installed program has it: shells of containers often forbid it.

    The first start writes it and must not be counted.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(folder)}
