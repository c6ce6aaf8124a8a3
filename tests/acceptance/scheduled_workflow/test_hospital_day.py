"""A whole day, played against the real product: every kind of case, every fault, every partner away for a while."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.mllp import destination
from tests.support.server import vesalius

pytestmark = pytest.mark.timeout(600)


def play(folder: Path, *words: str, timeout: float = 600) -> tuple[int, dict[str, Any]]:
    done = vesalius(
        "simulate", "hospital", "--own", "--folder", folder, "--json", *words, timeout=timeout, check=False
    )  # fmt: skip
    assert done.stdout.strip(), done.stderr[-4000:]
    assert "Traceback" not in done.stderr + (folder / "serve.log").read_text(errors="replace")
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_a_small_day_ends_as_it_should(tmp_path: Path) -> None:
    code, report = play(tmp_path / "small", "--procedures", "12", "--seed", "3", "--date", "20261124")
    assert report["wrong"] == [] and report["remarks"] == []
    assert code == 0 and report["good"]
    assert report["cases"] == 12 == report["done"] + report["never_to_be_done"]
    assert report["never_to_be_done"] >= 2  # cancelled, did not come
    assert report["messages"] == report["messages_accepted"] > 30
    assert report["reconciled"] >= 4  # an emergency named later, a merge before, during and after the images
    assert report["stored"] == report["images_fetched"] > 0
    assert report["lists"]["no order"] >= 1
    assert report["partner_away"] >= 1
    again = vesalius(
        "simulate", "hospital", "--own", "--folder", tmp_path / "small", "--seed", "3", check=False
    )  # fmt: skip
    assert again.returncode == 2 and "was played" in again.stderr, "a day is played once"


def test_who_is_not_there_is_found_out_before_the_day_begins(tmp_path: Path) -> None:
    done = vesalius("simulate", "hospital", "--hl7", "127.0.0.1:1", "--folder", tmp_path / "none", check=False)
    assert done.returncode == 3 and "nobody listens for HL7" in done.stderr and "--own" in done.stderr
    with destination() as his:
        words = ("--hl7", f"127.0.0.1:{his.port}", "--archive", "PACS@127.0.0.1:1", "--folder", tmp_path / "none")
        done = vesalius("simulate", "hospital", *words, check=False)
    assert done.returncode == 3 and "PACS at 127.0.0.1:1" in done.stderr and "Traceback" not in done.stderr
    assert his.received == []


@pytest.mark.slow
def test_a_good_day_of_one_modality_commits_everything(tmp_path: Path) -> None:
    words = ("--procedures", "4", "--modalities", "MR", "--no-faults", "--no-merges", "--slices", "3")
    code, report = play(tmp_path / "good", *words)
    assert code == 0, report["wrong"]
    assert report["images"] == report["stored"] == report["committed"] == report["deleted_at_scanners"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_day_of_500_with_faults_loses_nothing(tmp_path: Path) -> None:
    code, report = play(tmp_path / "large", "--procedures", "500", "--seed", "11", timeout=3600)
    assert report["wrong"] == [], report["wrong"][:10]
    assert code == 0
    assert report["cases"] == 500 and report["power_cuts"] > 3 and report["partner_away"] > 20
    assert report["images_fetched"] == report["stored"] == report["images"] - report["lost_at_scanners"]
    assert report["performed_steps"] == report["completed"] + report["discontinued"]
