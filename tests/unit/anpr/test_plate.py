"""Plates: cleaning, correcting, judging, tokens."""

import hashlib
import hmac
import string
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr.countries import ALPHA2, country
from anpr.plate import clean, judge, normalise, token
from anpr.series import SERIES, SHAPE, correct

ALLOWED = set(string.ascii_uppercase + string.digits)
COUNTRIES = st.sampled_from([None, "", "BE", "NL", "LU", "DE", "FR", "GB"])
CONFUSED = st.text(st.sampled_from("0O1I8B5S2Z9A"), max_size=9)


@given(st.text(max_size=40), COUNTRIES)
def test_normalised_is_only_letters_and_digits_and_stays_so(text, land):
    once = normalise(text, land)
    assert set(once) <= ALLOWED
    assert normalise(once, land) == once
    assert clean(clean(text)) == clean(text)


@given(CONFUSED, COUNTRIES)
def test_correction_never_changes_length_nor_what_fits_already(plate, land):
    once = correct(plate, land)
    assert len(once) == len(plate)
    assert correct(once, land) == once
    if plate.translate(SHAPE) in SERIES.get(land or "", ()):
        assert once == plate


@given(st.text(max_size=40), COUNTRIES)
def test_what_is_read_has_a_plate_and_nothing_else_has(text, land):
    status, plate = judge(text, land)
    assert status in {"read", "unread", "no_plate"}
    assert bool(plate) == (status == "read")
    assert set(plate) <= ALLOWED


@pytest.mark.parametrize(
    "written",
    ["1-ABC-000", "1abc000", " 1.ABC.000 ", "1 ABC 000", "１ＡＢＣ０００", "1-ΑΒС-000", "1·АВС·000", "1ÀBÇ000"],
)
def test_one_plate_however_it_is_written(written):
    assert normalise(written) == "1ABC000"


@pytest.mark.parametrize(
    ("land", "read", "plate"),
    [
        ("BE", "IABC000", "1ABC000"),
        ("BE", "1A8COOO", "1ABC000"),
        ("BE", "A8C000", "ABC000"),
        ("BE", "000ABC", "000ABC"),
        ("BE", "O00ABC", "000ABC"),
        ("BE", "8BB000", "BBB000"),
        ("BE", "BBB888", "BBB888"),
        ("BE", "BOOBOO", "BOOBOO"),  # BOO800 or 800BOO: three changes each
        ("BE", "QABC000", "QABC000"),
        ("BE", "TXAA000", "TXAA000"),
        ("BE", "MYCAR", "MYCAR"),
        ("NL", "AB12O3", "AB1203"),
        ("NL", "12ABCD", "12ABCD"),
        ("NL", "1BB234", "1BB234"),
        ("LU", "AAI234", "AA1234"),
        ("LU", "0A1234", "OA1234"),
        ("DE", "BAB1234", "BAB1234"),
        ("DE", "B0AB123", "BOAB123"),  # not BOA8123: two changes
        ("FR", "AAI23AA", "AA123AA"),
        ("FR", "123AB59", "123AB59"),
        ("GB", "IABC000", "IABC000"),
        (None, "IABC000", "IABC000"),
    ],
)
def test_letters_and_digits_by_position(land, read, plate):
    assert normalise(read, land) == plate


def test_no_two_plates_of_the_current_belgian_series_become_one():
    plates = ["".join(p) for p in product("12", "BIS", "OZA", "IB", "05", "18", "2")]
    assert {normalise(plate, "BE") for plate in plates} == set(plates)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (None, "unread"),
        ("", "unread"),
        ("-", "unread"),
        ("--", "unread"),
        ("unknown", "unread"),
        ("Unknown", "unread"),
        ("1AB?000", "unread"),
        ("1AB*00", "unread"),
        ("A", "unread"),
        ("1" * 13, "unread"),
        ("車", "unread"),
        ("noPlate", "no_plate"),
        ("No Plate", "no_plate"),
        ("unlicensed", "no_plate"),
        ("XY", "read"),
        ("1-ABC-000", "read"),
        ("CD-000-A", "read"),
    ],
)
def test_read_status(text, status):
    assert judge(text)[0] == status


def test_the_token_is_a_cut_hmac_over_the_plate_alone():
    expected = hmac.new(b"k" * 32, b"1ABC000", hashlib.sha256).digest()[:8]
    assert token("1ABC000", b"k" * 32) == expected
    assert token("1ABC000", b"j" * 32) != expected


@pytest.mark.parametrize(
    ("code", "found"),
    [("BEL", "BE"), ("be", "BE"), ("nld", "NL"), ("", None), (None, None), ("XYZ", None), ("B", None)],
)
def test_country_codes(code, found):
    assert country(code) == found


def test_every_country_with_series_is_known():
    assert set(SERIES) <= ALPHA2
