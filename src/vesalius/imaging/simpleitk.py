"""SimpleITK, imported when it is first needed: an installation without the `imaging` extra still is an archive."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

from vesalius.model.errors import NoVolume


@cache
def simpleitk() -> Any:
    """The module. Raises `NoVolume` where it is not installed."""
    try:
        import SimpleITK
    except ImportError as error:
        raise NoVolume(
            "SimpleITK is not installed: volumes cannot be resampled or registered",
            hint="pip install 'vesalius[imaging]'",
        ) from error
    module = cast("Any", SimpleITK)
    module.ProcessObject.SetGlobalWarningDisplay(False)
    return module
