"""The vendor-neutral pseudo-code of QIBA for SUV by body weight, carried out word by word.

Source: RSNA QIBA, "SUV vendor neutral pseudo-code" (robust version, 2018), as published on the QIBA wiki. Written from
that text alone, for one image, with its own reading of dates: it shares nothing with the product.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from math import exp, log
from typing import Any

import numpy as np
from pydicom.dataset import Dataset


def _moment(date: str, time: str) -> datetime:
    whole, _, fraction = (date + time).partition(".")
    return datetime.strptime(whole, "%Y%m%d%H%M%S") + timedelta(seconds=float("0." + (fraction or "0")))


def scale_factor(ds: Dataset) -> float:
    """SUVbwScaleFactor. A case that the pseudo-code does not cover is an AssertionError."""
    assert "ATTN" in ds.CorrectedImage
    assert "DECY" in ds.CorrectedImage
    assert ds.DecayCorrection == "START"
    if ds.Units == "GML":
        return 1.0  # assumes that GML indicates SUVbw instead of SUVlbm
    to_bq = 1.0
    if ds.Units == "CNTS":
        if (0x7053, 0x1000) in ds:
            return float(ds[0x7053, 0x1000].value)
        to_bq = float(ds[0x7053, 0x1009].value)
    else:
        assert ds.Units == "BQML"
    info = ds.RadiopharmaceuticalInformationSequence[0]
    half_life = float(info.RadionuclideHalfLife)  # seconds
    acquisition = _moment(ds.AcquisitionDate, ds.AcquisitionTime)
    series = _moment(ds.SeriesDate, ds.SeriesTime)
    if series <= acquisition:
        scan = series
    elif (0x0009, 0x100D) in ds:
        scan = _moment(str(ds[0x0009, 0x100D].value), "")
    else:
        # back compute from center (average count rate) of time window for bed position
        assert ds.FrameReferenceTime > 0
        assert ds.ActualFrameDuration > 0
        frame_duration = float(ds.ActualFrameDuration) / 1000
        decay_constant = log(2) / half_life
        decay_during_frame = decay_constant * frame_duration
        mean = 1 / decay_constant * log(decay_during_frame / (1 - exp(-decay_during_frame)))
        scan = acquisition - timedelta(seconds=float(ds.FrameReferenceTime) / 1000) + timedelta(seconds=mean)
    if "RadiopharmaceuticalStartDateTime" in info:
        start = _moment(info.RadiopharmaceuticalStartDateTime, "")
    else:
        # start Date is not explicit; assume same as Series Date, but consider spanning midnight
        start = _moment(scan.strftime("%Y%m%d"), info.RadiopharmaceuticalStartTime)
        if start > scan:
            start -= timedelta(days=1)
    decay_time = (scan - start).total_seconds()
    injected_dose = float(info.RadionuclideTotalDose)  # Bq
    decayed_dose = injected_dose * pow(2, -decay_time / half_life)
    return to_bq * float(ds.PatientWeight) * 1000 / decayed_dose


def suv_bw(ds: Dataset, stored: Any) -> Any:
    """SUVbw of stored pixel values."""
    return (np.asarray(stored, np.float64) * float(ds.RescaleSlope) + float(ds.RescaleIntercept)) * scale_factor(ds)
