"""Put the viewer into the wheel where `tools/viewer.py` has made it; a wheel without it works and says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CARRIED = ("viewer", "htmx")  # what the service needs; what the tests need stays here


class ViewerHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds `web-assets` to the package as `vesalius/web-assets`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before the wheel is put together. An editable install finds the folder beside the source."""
        if version == "editable":
            return
        assets = Path(self.root) / "web-assets"
        for name in CARRIED:
            if (assets / name).is_dir():
                build_data["force_include"][str(assets / name)] = f"vesalius/web-assets/{name}"
