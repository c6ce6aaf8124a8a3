"""What commands print cannot steer a terminal and is one object a line."""

from __future__ import annotations

import json

import pytest

from vesalius.cli import output


def test_a_json_row_is_one_line_whatever_it_holds() -> None:
    row = {"a": "x\r\ny\u2028z\x9b2J", "b": ["é", 1, None]}
    line = output.json_line(row)
    assert len(line.splitlines()) == 1 and "\x9b" not in line and "é" in line
    assert json.loads(line) == row


def test_a_cell_is_harmless() -> None:
    assert "\x1b" not in output.plain("\x1b[2J") and "\n" not in output.plain("a\nb")
    assert output.plain(True) == "yes" and output.plain(None) == "" and output.plain(["a", "b"]) == "a, b"
    assert output.plain([{"x": 1}]) == "[1 item]"


def test_markup_in_a_value_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert output.listing([{"name": "[bold red]x[/]"}], ["name"], json=False) == 1
    assert "[bold red]x[/]" in capsys.readouterr().out


def test_nothing_is_cut_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    output.listing([{"a": "x" * 300, "b": "y" * 300}], ["a", "b"], json=False)
    assert "x" * 300 in capsys.readouterr().out


def test_an_empty_listing_says_so_beside_the_results(capsys: pytest.CaptureFixture[str]) -> None:
    assert output.listing([], ["a"], json=False, empty="Nothing.") == 0
    captured = capsys.readouterr()
    assert captured.out == "" and "Nothing." in captured.err


def test_progress_is_silent_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress("work", 10) as advance, output.moving_progress("more") as move:
        advance(5)
        move(1, 2)
    assert capsys.readouterr() == ("", "")
