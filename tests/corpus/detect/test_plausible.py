"""What a finding must be to stay, and what must not be taken for a number of a thing, a version or a part."""

import pytest

from mlmguard.corpus.detect.finder import finder


def found(text: str) -> set[tuple[str, str]]:
    return {(span.rule, text[span.start : span.end]) for span in finder().find_all(text)}


@pytest.mark.parametrize(
    ("text", "rule", "values"),
    [
        ("Termine: 12.03.2019,13.03.2019,14.03.2019", "DATE_TIME", "12.03.2019|13.03.2019|14.03.2019"),
        ("4711,12.03.1985,M,Berlin", "DATE_TIME", "12.03.1985"),
        ("17,2022-06-15 08:30:12.123,login", "DATE_TIME", "2022-06-15 08:30:12.123"),
        ("admitted 01.02.2019.2 days later", "DATE_TIME", "01.02.2019"),
        ("seen 12/03/2567 in Bangkok", "DATE_TIME", "12/03/2567"),
        ("Pat. No. 943 476 5919 seen", "PHONE_NUMBER", "943 476 5919"),
        ("Patient: Pat Nr 0171 2345678", "PHONE_NUMBER", "0171 2345678"),
        ("Ean 020 7946 0958 replied", "PHONE_NUMBER", "020 7946 0958"),
        ("wants to play her part: 0171 2345678", "PHONE_NUMBER", "0171 2345678"),
        ("top model 0171 2345678", "PHONE_NUMBER", "0171 2345678"),
        ("Oma-0171 2345678", "PHONE_NUMBER", "0171 2345678"),
        ("ICU-020 7946 0958", "PHONE_NUMBER", "020 7946 0958"),
        ("Frau Weber.030 12345678", "PHONE_NUMBER", "030 12345678"),
        ("Tel.398-440-4490", "PHONE_NUMBER", "398-440-4490"),
        ("Ph.2175550135", "PHONE_NUMBER", "2175550135"),
        ("part no. 12 of 3 May 2019", "DATE_TIME", "3 May 2019"),
        ("He is due for release 12.03.24.", "DATE_TIME", "12.03.24"),
        ("Seen by the driver 01.02.24.", "DATE_TIME", "01.02.24"),
        ("password: userA1b2C3d4E5=", "API_KEY", "userA1b2C3d4E5="),
        ("password: Token4Me:", "API_KEY", "Token4Me:"),
    ],
)
def test_values_stay(text: str, rule: str, values: str) -> None:
    assert {(rule, value) for value in values.split("|")} <= found(text)


@pytest.mark.parametrize(
    "text",
    [
        "version 1.2.3.4 and 4.1.12.03",
        "version 8.10.37.2052 is out",
        "CAS 2533-03-5, 4 g",
        "release 8.10.37. It is out",
        "in 2680-05-04",
        "part no. 800-555-1234",
        "ISBN 978-3-16-148410-0",
        "X7-555-123-4567",
        "in 9999-12-31",
        "password: password: user:",
    ],
)
def test_what_is_of_nobody_is_left(text: str) -> None:
    assert not found(text)
