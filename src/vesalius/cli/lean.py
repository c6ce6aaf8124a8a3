"""Import this before anything that logs: structlog without rich.

structlog imports rich, with pygments behind it, to colour tracebacks that this program never prints so: six megabytes
in each process of the service and a tenth of a second of every command. Commands that print with rich import it
themselves, later, when it is there again.
"""

from __future__ import annotations

import sys

if "rich" not in sys.modules and "structlog" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]  # an import of it fails, as if it were not installed
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]
