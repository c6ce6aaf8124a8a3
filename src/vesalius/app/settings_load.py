"""Where settings come from, in order of weight: command line, environment, configuration file, defaults.

An unknown key is refused wherever it stands, with the nearest known one as a hint, because a setting that is
silently ignored is worse than none. The environment has one name for each setting: `VESALIUS_` and the path
in capitals (`VESALIUS_SERVER_DIMSE_PORT`). The configuration file is the one named on the command line or by
`VESALIUS_CONFIG`, else `vesalius.toml` in the data directory where there is one. Paths in the file are
relative to the file, all others to the working directory.
"""

from __future__ import annotations

import difflib
import functools
import os
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from vesalius.app.settings import Settings
from vesalius.app.settings_base import Section
from vesalius.model.errors import SettingsError

PREFIX = "VESALIUS_"
FILE_NAME = "vesalius.toml"
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(?:i?b)?\s*$", re.IGNORECASE)
_PATHS = ("data", "server.tls_certificate", "server.tls_key", "server.tls_ca")


@dataclass(frozen=True, slots=True)
class SettingInfo:
    """One setting as the documentation and the loader need it."""

    path: str  # "server.dimse_port"; "store.copies[].name" inside an array of tables
    type: Any
    default: Any  # msgspec.NODEFAULT where it is required
    text: str
    why: str
    unit: str

    @property
    def environment(self) -> str:
        """The name of its environment variable; empty inside arrays of tables."""
        return "" if "[]" in self.path else PREFIX + self.path.replace(".", "_").upper()


def _sections(annotation: Any) -> tuple[type[Section] | None, bool]:
    """The Section class that an annotation is or is an array of; whether it is an array."""
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation, False
    if typing.get_origin(annotation) is tuple:
        inner = typing.get_args(annotation)[0]
        if isinstance(inner, type) and issubclass(inner, Section):
            return inner, True
    return None, False


def _settings_of(section: type[Section], prefix: str) -> Iterator[SettingInfo]:
    hints = typing.get_type_hints(section, include_extras=True)
    tables = []
    for field in msgspec.structs.fields(section):
        annotation = hints[field.name]
        table, is_array = _sections(annotation)
        if table is not None:
            tables.append((table, f"{prefix}{field.name}{'[]' if is_array else ''}."))
            if not is_array:
                continue
        base, meta = typing.get_args(annotation)[:2]
        extra = meta.extra or {}
        yield SettingInfo(prefix + field.name, base, field.default, meta.description or "", extra["why"], extra["unit"])
    for table, name in tables:
        yield from _settings_of(table, name)


@functools.cache
def settings_of() -> tuple[SettingInfo, ...]:
    """Every setting in the order of the classes, those of sub-tables after their table's own."""
    return tuple(_settings_of(Settings, ""))


def read_size(text: str) -> int:
    """Bytes of a size as people write it: "64 MiB", "1.5g", "4096". Raises ValueError."""
    match = _SIZE.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a size; write bytes or a number with KiB, MiB, GiB or TiB")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def _check_keys(data: object, section: type[Section], where: str, source: str) -> None:
    if not isinstance(data, dict):
        raise SettingsError(f"{source}: {where.rstrip('.')} must be a table")
    fields = {field.name for field in msgspec.structs.fields(section)}
    hints = typing.get_type_hints(section, include_extras=True)
    for key, value in data.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1, 0.5)
            everywhere = [i.path for i in settings_of() if i.path.rsplit(".", 1)[-1] == key]
            hint = f"Did you mean {(where + near[0]) if near else everywhere[0]!r}?" if near or everywhere else (
                f"Known here: {', '.join(sorted(fields))}."
            )  # fmt: skip
            raise SettingsError(f"{source}: unknown setting {where + key!r}", hint=hint)
        table, is_array = _sections(hints[key])
        if table is None:
            continue
        if not is_array:
            _check_keys(value, table, f"{where}{key}.", source)
        elif not isinstance(value, list):
            raise SettingsError(f"{source}: {where + key} must be an array of tables ([[{where + key}]])")
        else:
            for item in value:
                _check_keys(item, table, f"{where}{key}[].", source)


def _put(tree: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for name in parents:
        tree = tree.setdefault(name, {})
    tree[last] = value


def _get(tree: Mapping[str, Any], path: str) -> Any:
    node: Any = tree
    for name in path.split("."):
        if not isinstance(node, Mapping) or name not in node:
            return None
        node = node[name]
    return node


def _merge(under: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged


def _read_sizes(tree: dict[str, Any], source: str) -> None:
    for info in settings_of():
        value = _get(tree, info.path) if info.unit == "bytes" else None
        if isinstance(value, str):
            try:
                _put(tree, info.path, read_size(value))
            except ValueError as error:
                raise SettingsError(f"{source}: {info.path}: {error}") from None


def from_file(path: Path) -> dict[str, Any]:
    """The tree of a TOML file, its keys checked, its paths made absolute."""
    try:
        tree: dict[str, Any] = msgspec.toml.decode(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"cannot read the configuration file {path}: {error.strerror}") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None
    _check_keys(tree, Settings, "", str(path))
    for name in _PATHS:
        if isinstance(value := _get(tree, name), str) and value:
            _put(tree, name, str(path.parent / value))
    for copy in _get(tree, "store.copies") or ():
        if isinstance(copy.get("path"), str):
            copy["path"] = str(path.parent / copy["path"])
    _read_sizes(tree, str(path))
    return tree


def _tables() -> set[str]:
    """The first words of settings that stand in a table."""
    return {info.path.partition(".")[0] for info in settings_of() if "." in info.path and "[]" not in info.path}


def from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """The tree of `VESALIUS_*` variables. One that begins like a setting but is none is refused."""
    known = {info.environment: info for info in settings_of() if info.environment}
    sections = tuple(f"{PREFIX}{name.upper()}_" for name in _tables())
    tree: dict[str, Any] = {}
    for name, value in sorted(environment.items()):
        if name in known:
            if typing.get_origin(known[name].type) is tuple:
                raise SettingsError(f"environment: {name} is an array of tables; write it in the configuration file")
            _put(tree, known[name].path, value)
        elif name.startswith(sections):
            near = difflib.get_close_matches(name, known, 1, 0.5)
            raise SettingsError(f"environment: unknown setting {name}", hint=f"Did you mean {near[0]}?" if near else "")
    _read_sizes(tree, "environment")
    return tree


def from_pairs(pairs: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of command line values by path; a value of None was not given."""
    tree: dict[str, Any] = {}
    for path, value in pairs.items():
        if value is not None:
            _put(tree, path, value)
    _check_keys(tree, Settings, "", "command line")
    _read_sizes(tree, "command line")
    return tree


def load(
    arguments: Mapping[str, Any] | None = None,
    *,
    config: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """All settings together. Raises `SettingsError` that names the setting and its source.

    `arguments` are command line values by path ("server.dimse_port"); None values are as not given.
    """
    environment = os.environ if environment is None else environment
    given = _merge(from_environment(environment), from_pairs(arguments or {}))
    if config is None and environment.get("VESALIUS_CONFIG"):
        config = Path(environment["VESALIUS_CONFIG"])
    if config is None:
        beside = Path(str(given.get("data", Settings().data))) / FILE_NAME
        config = beside if beside.is_file() else None
    tree: dict[str, Any] = {}
    if config is not None:
        tree = from_file(config)
    try:
        # Text from the environment and `--set` is read as the field's type; in the file types are strict.
        file_settings = msgspec.convert(tree, Settings)
        settings = msgspec.convert(_merge(tree, given), Settings, strict=False) if given else file_settings
    except msgspec.ValidationError as error:
        raise SettingsError(f"{config or 'settings'}: {_readable(str(error))}") from None
    return settings


def _readable(message: str) -> str:
    """Msgspec's `... - at `$.server.port`` as `server.port: ...`."""
    text, found, path = message.partition(" - at `$.")
    return f"{path.rstrip('`')}: {text}" if found else text
