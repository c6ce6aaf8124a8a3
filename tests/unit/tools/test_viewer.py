"""How the viewer is made of its package: rewrites that are counted, files in their codings, and what is left out."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import zstandard
from tools import viewer

HEAD = '<script defer src="/app.bundle.0a1.js"></script><link href="/app.bundle.css" rel="stylesheet">'
NDARRAY = (
    "function compileConstructor(dtype, dimension) {\n  return new Function('x')\n}\n\nfunction arrayDType(data) {}\n"
)
PUBLIC = '__webpack_require__.p = "/";\n'


def package(folder: Path, *, ndarray: str = NDARRAY) -> Path:
    """As much of @ohif/app as the rewrites look for."""
    site = folder / "dist"
    (site / "dicom-microscopy-viewer").mkdir(parents=True)
    (site / "ort").mkdir()
    app = PUBLIC + ndarray + "import('/dicom-microscopy-viewer/dicomMicroscopyViewer.min.js');\n"
    app += "for (let i = 0; i < ModalitiesInStudy.Value.length; i++) {}\n//# sourceMappingURL=app.js.map\n"
    (site / "index.html").write_text(HEAD)
    (site / "app.bundle.0a1.js").write_text(app)
    (site / "app.bundle.css").write_text("@font-face{src:url(/ab12.woff2)}")
    for number in range(1, 8):
        text = PUBLIC + (ndarray if number < 3 else "") + "importScripts(__webpack_require__.p + 'x');"
        (site / f"{number}.bundle.{number}f.js").write_text(text)
    (site / "1.bundle.1f.js").write_text(PUBLIC + ndarray + "if (instance.PatientID !== PatientID) {}")
    (site / "dicom-microscopy-viewer" / "dicomMicroscopyViewer.min.js").write_text(ndarray)
    for name in ("sw.js", "app-config.js", "ort/ort.js", "app.bundle.0a1.js.map", "_redirects"):
        (site / name).write_text("x")
    (site / "ab12.woff2").write_bytes(b"font")
    (folder / "LICENSE").write_text("MIT")
    (folder / "package.json").write_text(json.dumps({"version": "3.1"}))
    return folder


def test_a_site_for_any_path_without_evaluated_text(tmp_path: Path) -> None:
    index = viewer.build_viewer(package(tmp_path / "package"), tmp_path / "out")
    files = index["files"]
    assert isinstance(files, dict)
    assert set(files) == {
        "app.bundle.0a1.js", "app.bundle.css", "ab12.woff2", "dicom-microscopy-viewer/dicomMicroscopyViewer.min.js",
        *(f"{number}.bundle.{number}f.js" for number in range(1, 8)),
    }  # fmt: skip
    assert {name for name, entry in files.items() if entry["worker"]} == {f"{n}.bundle.{n}f.js" for n in range(2, 8)}
    text = zstandard.decompress((tmp_path / "out" / "app.bundle.0a1.js.zst").read_bytes()).decode()
    assert text == gzip.decompress((tmp_path / "out" / "app.bundle.0a1.js.gz").read_bytes()).decode()
    assert (
        "new Function" not in text and 'p = "/"' not in text and "'/dicom-" not in text and "sourceMapping" not in text
    )
    assert "url(ab12.woff2)" in gzip.decompress((tmp_path / "out" / "app.bundle.css.gz").read_bytes()).decode()
    assert (tmp_path / "out" / "ab12.woff2").read_bytes() == b"font"


def test_the_same_package_gives_the_same_build(tmp_path: Path) -> None:
    first = viewer.build_viewer(package(tmp_path / "one"), tmp_path / "a")
    assert viewer.build_viewer(package(tmp_path / "two"), tmp_path / "b")["build"] == first["build"]


def test_a_package_that_is_not_what_the_rewrites_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(viewer.CannotInstall, match="'ndarray' found 0"):
        viewer.build_viewer(package(tmp_path / "package", ndarray=""), tmp_path / "out")


def test_without_npm_it_says_what_to_do_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["viewer.py", "--target", str(tmp_path / "assets")])
    assert viewer.main() == 0
    assert "npm is not installed" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["viewer.py", "--require", "--target", str(tmp_path / "assets")])
    assert viewer.main() == 1


def test_the_lock_names_no_registry_and_nothing_but_what_is_used() -> None:
    lock = json.loads((viewer.REPOSITORY / "package-lock.json").read_text())
    wanted = json.loads((viewer.REPOSITORY / "package.json").read_text())
    packages = {name.removeprefix("node_modules/"): entry for name, entry in lock["packages"].items() if name}
    assert {name: entry["version"] for name, entry in packages.items()} == {
        **wanted["dependencies"],
        **wanted["devDependencies"],
    }
    for entry in packages.values():
        assert entry["integrity"].startswith("sha512-") and "resolved" not in entry and "dependencies" not in entry


SCRIPT = """
const CACHED_CONSTRUCTORS = { array: [] };
function order() { return []; }
%s
for (let d = -1; d <= 3; d++) CACHED_CONSTRUCTORS.array.push(compileConstructor('array', d));
const make = (data, shape, stride, offset) => CACHED_CONSTRUCTORS.array[shape.length + 1](data, shape, stride, offset);
const all = view => {
  const walk = (k, at) => k === view.dimension ? view.get(...at)
    : Array.from({ length: view.shape[k] }, (_, i) => walk(k + 1, [...at, i]));
  return walk(0, []);
};
const data = Array.from({ length: 60 }, (_, i) => i);
const a = make(data, [3, 4, 5], [20, 5, 1], 0), b = make(data.slice(0, 20), [4, 5], [5, 1], 0);
b.set(1, 2, 99);
console.log(JSON.stringify({
  all: all(a), size: a.size, transposed: all(a.transpose(2, 0, 1)), low: all(a.lo(1, undefined, 2)),
  high: all(b.hi(2, 3)),
  back: all(b.step(-1, 2)), row: all(b.pick(1)), column: all(b.pick(null, 2)), one: b.pick(1, 2).get(),
  index: a.index(1, 2, 3),
}));
"""


def test_the_class_that_takes_ndarrays_place_computes_as_numpy_does() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    script = SCRIPT % (viewer.PATCHES / "ndarray.js").read_text()
    done = subprocess.run([node, "-e", script], capture_output=True, text=True, check=True, timeout=30)
    found = json.loads(done.stdout)
    a = np.arange(60).reshape(3, 4, 5)
    b = np.arange(20).reshape(4, 5)
    b[1, 2] = 99
    assert found == {
        "all": a.tolist(), "size": 60, "transposed": a.transpose(2, 0, 1).tolist(), "low": a[1:, :, 2:].tolist(),
        "high": b[:2, :3].tolist(), "back": b[::-1, ::2].tolist(), "row": b[1].tolist(), "column": b[:, 2].tolist(),
        "one": 99, "index": 33,
    }  # fmt: skip
