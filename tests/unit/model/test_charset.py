"""Character repertoires: read as pydicom reads them, written as PS3.5 annexes H to K print them, never failing."""

from __future__ import annotations

from collections.abc import Iterator

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from tests.support.data import need_shared_data

from vesalius.model import charset

JAPANESE = ("", "ISO 2022 IR 87")
KOREAN = ("", "ISO 2022 IR 149")

# Repertoire, bytes, text: the examples of PS3.5 annexes H, I, J and K.
EXAMPLES = [
    (JAPANESE, b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
     "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    (("ISO 2022 IR 13", "ISO 2022 IR 87"),
     b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
     "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    (KOREAN, b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
     "Hong^Gildong=洪^吉洞=홍^길동"),
    (("ISO_IR 192",), "Wang^XiaoDong=王^小东=".encode(), "Wang^XiaoDong=王^小东="),
    (("GB18030",), b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东="),
    (("", "ISO 2022 IR 58"), b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=", "Zhang^XiaoDong=张^小东="),
]  # fmt: skip

ALL_TERMS = [
    "ISO_IR 100", "ISO_IR 101", "ISO_IR 109", "ISO_IR 110", "ISO_IR 144", "ISO_IR 127", "ISO_IR 126", "ISO_IR 138",
    "ISO_IR 148", "ISO_IR 203", "ISO_IR 13", "ISO_IR 166", "ISO_IR 192", "GB18030", "GBK",
]  # fmt: skip
SAMPLES = {
    "ISO_IR 100": "Jérôme Äneas",
    "ISO_IR 101": "Łukasz Dvořák",
    "ISO_IR 109": "Ġużeppi",
    "ISO_IR 110": "Jānis Ķēniņš",
    "ISO_IR 144": "Люкceмбypг",
    "ISO_IR 127": "قباني",
    "ISO_IR 126": "Διονυσιος",
    "ISO_IR 138": "שרון",
    "ISO_IR 148": "Çağrı",
    "ISO_IR 203": "Žižek Œuvre €",
    "ISO_IR 13": "ﾔﾏﾀﾞ",
    "ISO_IR 166": "นามสกุล",
    "ISO_IR 192": "王 Ø 😀",
    "GB18030": "王小东 €",
    "GBK": "王小东",
}
TERMS = ["", "ISO_IR 100", "ISO 2022 IR 87", "ISO 2022 IR 149", "ISO 2022 IR 58", "ISO 2022 IR 13", "ISO 2022 IR 159",
         "GB18030", "GBK", "ISO_IR 192", "ISO_IR 999", "\\", "ISO 2022 IR 6"]  # fmt: skip


@pytest.mark.parametrize(("terms", "raw", "text"), EXAMPLES)
def test_the_examples_of_the_standard_are_read(terms: tuple[str, ...], raw: bytes, text: str) -> None:
    assert charset.decode(raw, terms, "PN") == text


@pytest.mark.parametrize(("terms", "raw", "text"), EXAMPLES)
def test_the_examples_of_the_standard_are_written(terms: tuple[str, ...], raw: bytes, text: str) -> None:
    assert charset.encode(text, terms, "PN") == raw


@pytest.mark.parametrize("term", ALL_TERMS)
def test_every_single_repertoire_goes_there_and_back(term: str) -> None:
    text = SAMPLES[term]
    raw = charset.encode(text, (term,), "LO")
    assert charset.decode(raw, (term,), "LO") == text


@pytest.mark.parametrize("term", [t for t in ALL_TERMS if t.startswith("ISO_IR") and t != "ISO_IR 192"])
def test_the_code_extension_form_of_a_repertoire_reads_the_same(term: str) -> None:
    extended = ("", term.replace("ISO_IR", "ISO 2022 IR"))
    raw = charset.encode(SAMPLES[term], extended, "LO")
    assert raw.startswith(b"\x1b") or b"\x1b" in raw
    assert charset.decode(raw, extended, "LO") == SAMPLES[term]


def test_several_repertoires_in_one_value() -> None:
    terms = ("ISO 2022 IR 100", "ISO 2022 IR 144", "ISO 2022 IR 126", "ISO 2022 IR 87")
    text = "Jérôme Люк Διο 山田 é\\Люк^=x\r\nΔ"
    assert charset.decode(charset.encode(text, terms, "LO"), terms, "LO") == text


def test_the_state_returns_at_delimiters() -> None:
    # After "^" the Korean set must be designated again (PS3.5 6.1.2.5.3), so the bytes there are undefined.
    raw = b"\x1b$)C\xfb\xf3^\xd1\xce"
    assert charset.decode(raw, KOREAN, "PN").startswith("洪^")
    assert charset.decode(raw, KOREAN, "PN") != "洪^吉"


def test_a_delimiter_byte_inside_a_double_byte_character_is_no_delimiter() -> None:
    # JIS 0x213D holds "=", 0x215C a backslash, 0x215E a caret.
    text = "ー＋−"  # 0x213C 0x215C 0x215D
    raw = charset.encode(text, JAPANESE, "PN")
    assert b"\x5c" in raw
    assert charset.decode(raw, JAPANESE, "PN") == text
    assert charset.decode(charset.encode("俓", ("GBK",)), ("GBK",)) == "俓"


def test_jis_supplementary_characters() -> None:
    terms = ("", "ISO 2022 IR 87", "ISO 2022 IR 159")
    text = "Sato=丂山丄"
    raw = charset.encode(text, terms, "PN")
    assert b"\x1b$(D" in raw and b"\x1b$B" in raw
    assert charset.decode(raw, terms, "PN") == text


def test_vrs_that_are_not_text_stay_as_they_are() -> None:
    assert charset.decode(b"\xe9", ("ISO_IR 192",), "CS") == "é"
    with pytest.raises(UnicodeEncodeError):
        charset.encode("é", ("ISO_IR 100",), "CS")


@pytest.mark.parametrize(
    ("terms", "raw", "text"),
    [
        (("ISO_IR 192",), b"M\xc3\xbcl\xff", "Mül�"),
        ((), b"M\xc3\xbcl", "Mül"),  # undeclared UTF-8
        ((), b"M\xfcl", "Mül"),  # undeclared Latin-1
        (("ISO_IR 999",), b"M\xfcl", "Mül"),
        (("nonsense",), b"M\xc3\xbcl", "Mül"),
        (("ISO_IR100",), b"M\xfcl", "Mül"),  # a misspelling that occurs
        (("ISO 2022 IR 87",), b"A\x1b", "A�"),
        (JAPANESE, b"A\x1b$B;", "A�"),
        (JAPANESE, b"A\x1b$X;3", "A�$X;3"),
        (("ISO_IR 6",), b"Doe", "Doe"),
        (("",), b"Doe", "Doe"),
        (("ISO_IR 192", "ISO 2022 IR 87"), "é".encode(), "é"),
    ],
)
def test_what_is_wrong_is_read_as_far_as_it_goes(terms: tuple[str, ...], raw: bytes, text: str) -> None:
    assert charset.decode(raw, terms, "LO") == text


@given(
    raw=st.binary(max_size=64),
    terms=st.lists(st.sampled_from(TERMS), max_size=4),
    vr=st.sampled_from(["PN", "LO", "LT"]),
)
def test_decoding_never_fails(raw: bytes, terms: list[str], vr: str) -> None:
    assert isinstance(charset.decode(raw, tuple(terms), vr), str)


@given(text=st.text(alphabet="aÄé山田たﾔ홍洪Люﾞ^=\\ ", max_size=24), vr=st.sampled_from(["PN", "LO"]))
def test_what_is_written_is_read_again(text: str, vr: str) -> None:
    terms = ("ISO 2022 IR 13", "ISO 2022 IR 87", "ISO 2022 IR 149", "ISO 2022 IR 144", "ISO 2022 IR 100")
    assert charset.decode(charset.encode(text, terms, vr), terms, vr) == text


def test_encoding_says_when_a_text_does_not_fit() -> None:
    for terms in ((), ("ISO_IR 100",), ("ISO_IR 13",), KOREAN, ("ISO_IR 999",)):
        with pytest.raises(UnicodeEncodeError):
            charset.encode("Ğ😀", terms, "PN")
        assert not charset.fits("Ğ😀", terms)


def test_the_reply_is_in_what_was_asked_in_or_utf8() -> None:
    assert charset.choose_reply(["Doe^John"], ("ISO_IR 100",)) == ()
    assert charset.choose_reply(["Müller"], ("ISO_IR 100",)) == ("ISO_IR 100",)
    assert charset.choose_reply(["Łukasz"], ("ISO_IR 100",)) == ("ISO_IR 192",)
    assert charset.choose_reply(["Müller"], ()) == ("ISO_IR 192",)
    assert charset.choose_reply(["山田"], JAPANESE) == JAPANESE
    assert charset.choose_reply(["Müller"], ("ISO_IR 999",)) == ("ISO_IR 192",)


def _texts(ds: Dataset, terms: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str, bytes, str]]:
    """(terms in force, VR, bytes, pydicom's text) of every text element, sequences included."""
    if "SpecificCharacterSet" in ds:
        value = ds.SpecificCharacterSet or ""
        terms = (value,) if isinstance(value, str) else tuple(value)
    for tag in list(ds.keys()):
        raw = ds.get_item(tag)
        if isinstance(raw, RawDataElement) and raw.VR in charset.TEXT_VRS:
            value = ds[tag].value
            text = (
                value
                if isinstance(value, str)
                else "\\".join(map(str, value))
                if isinstance(value, MultiValue)
                else str(value)
            )
            yield terms, raw.VR, raw.value or b"", text
        elif ds[tag].VR == "SQ":
            for nested in ds[tag].value:
                yield from _texts(nested, terms)


def test_real_files_are_read_as_pydicom_reads_them() -> None:
    seen = 0
    for path in sorted((need_shared_data() / "charsets").glob("*.dcm")):
        for terms, vr, raw, text in _texts(pydicom.dcmread(path), ()):
            ours = charset.decode(raw, terms, vr)
            assert ours.rstrip(" \0=") == text.rstrip(" \0="), (path.name, terms, raw)
            if not ours.isascii():
                seen += 1
                assert charset.decode(charset.encode(ours, terms, vr), terms, vr) == ours
    assert seen > 10
