"""The script that a confined room starts: `python -P -s -S -B worker.py DESCRIPTOR`.

Nothing but the standard library can be imported there, so the modules beside this file are made a package of their own,
without whatever else is around them.
"""

from __future__ import annotations

import os.path
import sys
from types import ModuleType


def main() -> None:
    """Serve the socket whose number was given."""
    package = ModuleType("sandbox")
    package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    sys.modules["sandbox"] = package
    control = int(sys.argv.pop())
    __import__("sandbox.zygote")
    sys.modules["sandbox.zygote"].serve(control)


if __name__ == "__main__":
    main()
