"""The studies made by code are real enough and the same each time."""

from __future__ import annotations

from pathlib import Path

from pydicom import dcmread

from vesalius.app.demo import real_studies, write_studies


def test_studies_made_by_code_can_be_read_and_are_the_same_each_time(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    assert write_studies(first) == write_studies(second) == len(list(first.iterdir()))
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()
    ds = dcmread(first / "CT-1-010.dcm")
    assert ds.pixel_array.shape == (128, 128) and ds.pixel_array.max() > 1000
    assert "nobody" in ds.Manufacturer


def test_shared_data_are_found_where_they_are_named(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "data" / "ct-series").mkdir(parents=True)
    monkeypatch.setenv("VESALIUS_SHARED", str(tmp_path))
    assert real_studies() == [tmp_path / "data" / "ct-series"]
    monkeypatch.setenv("VESALIUS_SHARED", str(tmp_path / "absent"))
    assert real_studies() == []
