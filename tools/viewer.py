"""Install what Vesalius takes from npm into `web-assets/`: the viewer as served here, htmx, and what the tests need.

`@ohif/app` is a finished site that expects to live at `/`, with scripts in its page and text that is evaluated. This
makes of it, by mechanical rewrites that are counted and fail when the package differs from what they were written for:

* addresses that follow the place of the file that asks (`__webpack_require__.p`, `url(/...)`), so that the site works
  below any path, under a folder named after its own digest: every file of it may be cached for good;
* one class compiler without evaluated text (ndarray), so that the page needs no `unsafe-eval`;
* files in the codings that browsers take (gzip, zstd), made once, best compression;
* `index.json`: entry points, media types, and which files are workers. What it does not name is not served.

Left out are source maps, service worker, the ONNX runtime (70 MB, for models that come from elsewhere), examples.

    python tools/viewer.py            install or update; says what is missing and gives 0 where npm or the registry is
    python tools/viewer.py --require  the same, but what is missing gives 1 (for images and wheels)
    python tools/viewer.py --dev      with axe-core and dicomweb-client, for the tests
    python tools/viewer.py --modules node_modules   from what `npm ci` has already fetched
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
ASSETS = REPOSITORY / "web-assets"
PATCHES = Path(__file__).resolve().parent / "viewer_patches"
RECIPE = ("package.json", "package-lock.json", "tools/viewer.py", "tools/viewer_patches/ndarray.js")

MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".txt": "text/plain; charset=utf-8",
}
COMPRESSIBLE = {".js", ".css", ".wasm", ".svg", ".txt"}
# Not of the site itself: shims of old browsers, the service worker, sign-in by the viewer, the example configuration.
LEFT_OUT = {"app-config.js", "sw.js", "init-service-worker.js", "google.js", "oidc-client.min.js", "es6-shim.min.js",
            "polyfill.min.js"}  # fmt: skip
LEFT_OUT_FOLDERS = ("ort/", "customizations/", "assets/apple-touch-startup", "assets/android", "assets/firefox")
DEV_FILES = ("axe-core/axe.min.js", "dicomweb-client/build/dicomweb-client.js")
NPM = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1",
       "--fetch-retry-mintimeout=500", "--fetch-retry-maxtimeout=1000", "--fetch-timeout=60000")  # fmt: skip


class CannotInstall(Exception):
    """Why there is no viewer, in words for whoever ran this."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One textual change: where, what, and how often at least it must be found in the whole site."""

    name: str
    pattern: re.Pattern[str]
    replacement: str | Callable[[re.Match[str]], str]
    files: re.Pattern[str]
    least: int


def _ndarray(_match: re.Match[str]) -> str:
    return (PATCHES / "ndarray.js").read_text(encoding="utf-8")


_HERE = "(self.PUBLIC_URL || self.location.href.replace(/[?#].*$/, '').replace(/[^/]*$/, ''))"
REWRITES = (
    Rewrite("public path", re.compile(r'__webpack_require__\.p = "/";'), f"__webpack_require__.p = {_HERE};",
            re.compile(r"\.bundle\.\w+\.js$"), 8),
    Rewrite("microscopy", re.compile(r"'/dicom-microscopy-viewer/dicomMicroscopyViewer\.min\.js'"),
            "window.PUBLIC_URL + 'dicom-microscopy-viewer/dicomMicroscopyViewer.min.js'",
            re.compile(r"app\.bundle\.\w+\.js$"), 1),
    Rewrite("ndarray", re.compile(r"function compileConstructor\(dtype, dimension\) \{.*?\n[\t ]*\}\n"
                                  r"(?=\s*(?:function arrayDType|//\s*---|;?\s*/\*\*?|;))", re.DOTALL),
            _ndarray, re.compile(r"\.js$"), 4),
    # An attribute without a value has no `Value` in DICOM JSON (PS3.18 F.2.5): the list of studies failed on it.
    Rewrite("modalities", re.compile(r"i < ModalitiesInStudy\.Value\.length"),
            "i < (ModalitiesInStudy.Value || []).length", re.compile(r"app\.bundle\.\w+\.js$"), 1),
    # A patient without an identifier was said to be several patients.
    Rewrite("patients", re.compile(r"if \(instance\.PatientID !== PatientID\)"),
            "if ((instance.PatientID || null) !== PatientID)", re.compile(r"\.bundle\.\w+\.js$"), 1),
    Rewrite("fonts", re.compile(r"url\(/(?=[0-9a-f]+\.woff2\))"), "url(", re.compile(r"\.css$"), 1),
    Rewrite("source maps", re.compile(r"^//# sourceMappingURL=\S+\s*$", re.MULTILINE), "", re.compile(r"\.(?:js|css)$"),
            1),
)  # fmt: skip
_ENTRY = re.compile(r'<script defer(?:="defer")? src="/(app\.bundle\.\w+\.js)">')
_STYLE = re.compile(r'<link href="/(app\.bundle\.css)" rel="stylesheet">')
# A bundle that can start a worker has a way to load further scripts into one; the second is the slide viewer's.
_WORKER = re.compile(r"importScripts\(__webpack_require__\.p|^dicom-microscopy-viewer/dataLoader")


def recipe_digest() -> str:
    """What the folder's contents follow from."""
    digest = hashlib.sha256()
    for name in RECIPE:
        digest.update((REPOSITORY / name).read_bytes())
    return digest.hexdigest()


def is_current(folder: Path, *, dev: bool) -> bool:
    """Whether `folder` holds what this would install."""
    stamp = folder / "stamp"
    fresh = stamp.is_file() and stamp.read_text(encoding="ascii").strip() == recipe_digest()
    return fresh and (folder / "viewer" / "index.json").is_file() and (not dev or (folder / "dev").is_dir())


def fetch(folder: Path, *, dev: bool) -> Path:
    """Let npm install the lock's packages below `folder`; gives `node_modules`."""
    if shutil.which("npm") is None:
        raise CannotInstall("npm is not installed (Debian: apt-get install npm)")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(REPOSITORY / name, folder / name)
    omit = () if dev else ("--omit=dev",)
    # A machine's own npm settings (registry, proxy, certificates) hold: that is how closed networks have a mirror.
    done = subprocess.run([*NPM, *omit], cwd=folder, capture_output=True, text=True, check=False, env=os.environ)  # noqa: S603
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "npm error" in line] or done.stderr.splitlines()
        raise CannotInstall("npm could not fetch the packages: " + "; ".join(lines[:3])[:300])
    return folder / "node_modules"


def wanted(name: str) -> bool:
    """Whether a file of the package is part of the site that is served."""
    path = Path(name)
    return path.suffix in MEDIA_TYPES and path.name not in LEFT_OUT and not name.startswith(LEFT_OUT_FOLDERS)


def rewrite(name: str, text: str, counts: dict[str, int]) -> str:
    """One file's text after every change that is meant for it."""
    for change in REWRITES:
        if change.files.search(name):
            replacement = change.replacement
            text, found = change.pattern.subn(
                replacement if callable(replacement) else lambda _match, to=replacement: to, text
            )
            counts[change.name] = counts.get(change.name, 0) + found
    return text


def write(path: Path, data: bytes) -> None:
    """A file in the codings that it is served in: compressed ones only in these, the others as they are."""
    import zstandard

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix not in COMPRESSIBLE:
        path.write_bytes(data)
        return
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(data, 9, mtime=0))
    path.with_name(path.name + ".zst").write_bytes(zstandard.ZstdCompressor(level=17).compress(data))


def build_viewer(package: Path, folder: Path) -> dict[str, object]:
    """Write the site of `@ohif/app` as it is served into `folder`; gives what `index.json` says."""
    site = package / "dist"
    page = (site / "index.html").read_text(encoding="utf-8")
    entry, style = _ENTRY.search(page), _STYLE.search(page)
    if entry is None or style is None:
        raise CannotInstall("@ohif/app differs from what tools/viewer.py knows: no entry point in index.html")
    counts: dict[str, int] = {}
    digest = hashlib.sha256()
    files: dict[str, dict[str, object]] = {}
    contents: list[tuple[Path, bytes]] = []
    for path in sorted(site.rglob("*")):
        name = path.relative_to(site).as_posix()
        if not path.is_file() or not wanted(name):
            continue
        data = path.read_bytes()
        worker = False
        if path.suffix in (".js", ".css"):
            text = rewrite(name, data.decode("utf-8"), counts)
            worker = path.suffix == ".js" and bool(_WORKER.search(text) or _WORKER.search(name))
            data = text.encode()
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
        files[name] = {"type": MEDIA_TYPES[path.suffix], "size": len(data), "coded": path.suffix in COMPRESSIBLE,
                       "worker": worker}  # fmt: skip
        contents.append((folder / name, data))
    for change in REWRITES:
        if counts.get(change.name, 0) < change.least:
            found = counts.get(change.name, 0)
            raise CannotInstall(f"@ohif/app differs: rewrite {change.name!r} found {found}, not {change.least} places")
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(write, *content) for content in contents]:
            done.result()
    shutil.copy(package / "LICENSE", folder / "LICENSE")
    version = json.loads((package / "package.json").read_text(encoding="utf-8"))["version"]
    return {"version": version, "build": digest.hexdigest()[:12], "entry": entry[1], "style": style[1], "files": files}


def install(target: Path, *, dev: bool, modules: Path | None = None) -> str:
    """Make `target` hold everything; what was there is replaced only by something complete. Gives a word on it."""
    started = time.monotonic()
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".new-") as text:
        temporary = Path(text)
        modules = modules or fetch(temporary, dev=dev)
        made = temporary / "made"
        index = build_viewer(modules / "@ohif" / "app", made / "viewer")
        (made / "viewer" / "index.json").write_text(json.dumps(index, indent=1, sort_keys=True), encoding="utf-8")
        (made / "htmx").mkdir()
        for name in ("dist/htmx.min.js", "LICENSE"):
            shutil.copy(modules / "htmx.org" / name, made / "htmx")
        if dev:
            (made / "dev").mkdir()
            for name in DEV_FILES:
                shutil.copy(modules / name, made / "dev")
        for part in ("viewer", "htmx", "dev"):
            shutil.rmtree(target / part, ignore_errors=True)
            if (made / part).is_dir():
                (made / part).rename(target / part)
    (target / "stamp").write_text(recipe_digest(), encoding="ascii")
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    return f"viewer {index['version']} ({size / 1e6:.0f} MB in {time.monotonic() - started:.0f} s)"


def main() -> int:
    """0 when the folder is as it should be, or may be missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--require", action="store_true", help="fail where the viewer cannot be installed")
    parser.add_argument("--dev", action="store_true", help="with what the tests need")
    parser.add_argument("--target", type=Path, default=ASSETS, help="folder to fill (web-assets)")
    parser.add_argument("--modules", type=Path, help="a node_modules folder, instead of asking npm")
    options = parser.parse_args()
    if is_current(options.target, dev=options.dev):
        return 0
    sys.stderr.write("Installing the viewer from npm ...\n")
    try:
        sys.stderr.write(f"Installed {install(options.target, dev=options.dev, modules=options.modules)}\n")
    except CannotInstall as error:
        sys.stderr.write(f"The viewer is not installed: {error}\n"
                         "Everything else works. Run `make assets` when npm can reach a registry.\n")  # fmt: skip
        return 1 if options.require else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
