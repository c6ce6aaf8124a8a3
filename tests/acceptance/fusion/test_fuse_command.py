"""`vesalius volume fuse` over plain files: a picture where two series share space, a refusal in words where not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from tests.support import phantom
from tests.support.generate import uid
from tests.support.phantom import LESION, Scan
from tests.support.server import vesalius

CT, PET, OTHER = (uid("phantom series", 1, name) for name in ("ct", "pt", "other"))


def test_a_pet_is_laid_over_its_ct_and_a_stranger_is_refused(tmp_path: Path) -> None:
    folder, picture = tmp_path / "files", tmp_path / "fused.png"
    folder.mkdir()
    scan = Scan(slices=24, step=2.0)
    other = phantom.mr(replace(scan, slices=6), series="other", frame="elsewhere")
    phantom.write(folder, [*phantom.ct(scan), *phantom.pet(), *other])
    position = str(LESION[0][2])
    made = vesalius("volume", "fuse", CT, PET, "--from", folder, "--to", picture, f"--position={position}",
                    "--unit", "suvbw", "--opacity", "1", "--colormap", "grey", data=tmp_path / "data")  # fmt: skip
    assert made.returncode == 0, made.stderr
    seen = np.asarray(Image.open(picture)).mean(axis=2)
    # The lesion, at its place, is the brightest of the picture: pixels are 2.5 mm, the corner that of the CT.
    row, column = np.argwhere(seen == seen.max()).mean(axis=0)
    corner = scan.affine[:3, 3]
    assert abs(corner[0] + column * 2.5 - LESION[0][0]) < 5
    assert abs(corner[1] + row * 2.5 - LESION[0][1]) < 5
    refused = vesalius("volume", "fuse", CT, OTHER, "--from", folder, "--to", tmp_path / "no.png",
                       data=tmp_path / "data", check=False)  # fmt: skip
    assert refused.returncode == 1
    assert "Frame of Reference" in refused.stderr
    assert not (tmp_path / "no.png").exists()
