"""Measurements saved as a structured report: valid, and read back to the same figures."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from tests.support.data import need_shared_data
from tests.support.dciodvfy import said_of
from tests.unit.imaging.test_registration import headers
from tests.unit.imaging.test_resampling import grid, volume

from vesalius.imaging.measure import angle_degrees, distance_mm
from vesalius.imaging.new_instance import Made, part10
from vesalius.imaging.reports_sr import (
    Measurement,
    angle_of,
    length_of,
    measurements_of,
    region_of_interest,
    report,
)
from vesalius.imaging.rois import Contour, Sphere, statistics
from vesalius.imaging.space import NoVolume

LINE = [(1.5, 2.25, 3.0), (11.125, 7.5, -4.0)]
CORNER = [(0.0, 0.0, 0.0), (10.0, 0.0, 0.0), (10.0, 7.5, 2.0)]


def measured() -> list[Measurement]:
    ct = volume(grid((12, 20, 20), (1, 1, 2)), unit="[hnsf'U]")
    pet = volume(grid((12, 20, 20), (1, 1, 2)), unit="g/ml{SUVbw}")
    ball, square = Sphere((9.5, 9.0, 11.0), 5.25), Contour(((2.5, 2.5, 6), (8.5, 2.5, 6), (8.5, 7.5, 6), (2.5, 7.5, 6)))
    segment = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.9.9", 2)
    return [
        length_of("Länge", LINE, distance_mm(LINE)),
        angle_of("angle", CORNER, angle_degrees(CORNER)),
        region_of_interest("liver", ball, statistics(ct, ball)),
        region_of_interest("lesion", square, statistics(pet, square)),
        region_of_interest("tumour", None, statistics(pet, ball), segment),
    ]


@pytest.fixture(scope="module")
def written() -> tuple[list[Measurement], bytes]:
    told = measured()
    made = Made("Doe^Jane", datetime(2026, 1, 31, 10, 15), "0.1", "Measurements")
    (segmentation,) = headers("1.2.1", "1.2.7", 1)
    segmentation.SOPClassUID, segmentation.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.9.9"
    segmentation.SeriesInstanceUID = "1.2.9"
    return told, part10(report(headers("1.2.1", "1.2.7", 3), told, made, [segmentation]))


def test_what_is_read_back_is_what_was_measured(written: tuple[list[Measurement], bytes]) -> None:
    told, data = written
    found = measurements_of(pydicom.dcmread(io.BytesIO(data)))
    assert [each.label for each in found] == [each.label for each in told]
    assert [each.tracking for each in found] == [each.tracking for each in told]
    assert [each.shape for each in found] == [each.shape for each in told]
    assert [each.figures for each in found] == [each.figures for each in told]
    assert found[4].segmentation == told[4].segmentation
    for one, other in zip(found, told, strict=True):
        if other.shape != "SEGMENT":
            assert np.allclose(one.points, other.points, atol=1e-4)


def test_highdicom_finds_the_same_measurements(written: tuple[list[Measurement], bytes]) -> None:
    told, data = written
    read = highdicom.sr.srread(io.BytesIO(data))
    planar = read.content.get_planar_roi_measurement_groups()
    volumetric = read.content.get_volumetric_roi_measurement_groups()
    assert (len(planar), len(volumetric)) == (3, 2)
    (length,) = planar[0].get_measurements()
    assert length.value == told[0].figures[0].value
    assert length.unit.value == "mm"


def test_the_report_is_valid(written: tuple[list[Measurement], bytes], tmp_path: Path) -> None:
    path = tmp_path / "report.dcm"
    path.write_bytes(written[1])
    said = said_of(path)
    assert "Error" not in said, said


def test_a_region_without_a_voxel_is_not_reported() -> None:
    ball = Sphere((500, 0, 0), 1)
    with pytest.raises(NoVolume, match="no voxel"):
        region_of_interest("x", ball, statistics(volume(grid((3, 3, 3))), ball))


def test_reports_of_others_are_read() -> None:
    path = need_shared_data() / "sr-ko-pr-seg-rt/sr-tid1500-seg-rwvm/sr.dcm"
    found = measurements_of(pydicom.dcmread(path))
    assert found
    assert any(figure.unit.endswith("g/ml") or "SUV" in figure.unit for each in found for figure in each.figures)
    assert found[0].segmentation is not None
