"""What the labels of other people's models mean here, whatever they are called.

The sets are those of CoNLL-2003, OntoNotes 5, WNUT-2017, ai4privacy (pii-masking 200k to 400k), OpenMed on
Nemotron-PII, OpenAI's privacy-filter, i2b2 2014 with the de-identifiers made of it, and Rampart. A label that
is in none of them means nothing, and whoever uses the model is told so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

NOBODY = "O"
"""The label of a word that is no finding."""

_OF_TYPES: Mapping[str, str] = {
    "PERSON": (
        "PERSON PER PRIVATEPERSON NAME FULLNAME FIRSTNAME GIVENNAME MIDDLENAME LASTNAME SURNAME FAMILYNAME "
        "PREFIX TITLE SUFFIX PATIENT DOCTOR STAFF HCW USERNAME LOGIN ACCOUNTNAME DISPLAYNAME"
    ),
    "LOCATION": (
        "LOCATION LOC GPE FAC PLACE CITY TOWN COUNTY STATE COUNTRY REGION LOCATIONOTHER COORDINATE GEOCOORD "
        "NEARBYGPSCOORDINATE GPSCOORDINATE"
    ),
    "ORGANIZATION": (
        "ORGANIZATION ORGANISATION ORG CORPORATION GROUP COMPANY COMPANYNAME HOSPITAL HOSP PATORG "
        "VENDOR EMPLOYER"
    ),
    "NRP": (
        "NRP NORP NATIONALITY RELIGION RELIGIOUSBELIEF POLITICALVIEW RACEETHNICITY RACE ETHNICITY SEXUALITY "
        "SEXUALORIENTATION"
    ),
    "STREET_ADDRESS": (
        "STREETADDRESS STREET STREETNAME STREETNUM ADDRESS PRIVATEADDRESS BUILDINGNUMBER BUILDINGNUM "
        "BUILDING SECONDARYADDRESS SECADDRESS"
    ),
    "POSTAL_CODE": "POSTALCODE POSTCODE ZIP ZIPCODE",
    "DATE_TIME": "DATETIME DATE TIME PRIVATEDATE",
    "DATE_OF_BIRTH": "DATEOFBIRTH DOB BOD BIRTHDATE BIRTHDAY",
    "AGE": "AGE",
    "EMAIL_ADDRESS": "EMAILADDRESS EMAIL PRIVATEEMAIL",
    "PHONE_NUMBER": (
        "PHONENUMBER PHONE PRIVATEPHONE TELEPHONENUM TELEPHONENUMBER TEL TELEPHONE FAX FAXNUMBER MOBILE"
    ),
    "URL": "URL PRIVATEURL WEBSITE",
    "IP_ADDRESS": "IPADDRESS IP IPV4 IPV6",
    "MAC_ADDRESS": "MACADDRESS MAC",
    "US_SSN": "USSSN SSN SOCIALNUMBER SOCIALNUM SOCIALSECURITYNUMBER",
    "CREDIT_CARD": "CREDITCARD CREDITCARDNUMBER CREDITDEBITCARD CREDITCARDCVV CVV CARDNUMBER MASKEDNUMBER",
    "IBAN_CODE": "IBANCODE IBAN",
    "US_BANK_NUMBER": (
        "USBANKNUMBER BANKACCOUNT ACCOUNTNUMBER ACCOUNTNUM ROUTINGNUMBER BANKROUTINGNUMBER BIC SWIFTBIC SWIFT"
    ),
    "CRYPTO": "CRYPTO BITCOINADDRESS ETHEREUMADDRESS LITECOINADDRESS CRYPTOADDRESS",
    "MEDICAL_RECORD_NUMBER": "MEDICALRECORDNUMBER MEDICALRECORD MRN",
    "HEALTH_PLAN_NUMBER": "HEALTHPLANNUMBER HEALTHPLAN HEALTHPLANBENEFICIARYNUMBER HEALTHINSURANCENUMBER",
    "PROFESSIONAL_NUMBER": "PROFESSIONALNUMBER CERTIFICATELICENSENUMBER LICENSE MEDICALLICENSE",
    "PASSPORT": "PASSPORT PASSPORTNUMBER PASSPORTNUM",
    "US_DRIVER_LICENSE": (
        "USDRIVERLICENSE DRIVERLICENSE DRIVERLICENSENUM DRIVERSLICENSE DRIVERLICENSENUMBER "
        "DRIVERSLICENSENUMBER"
    ),
    "VEHICLE_ID": "VEHICLEID VEHICLE VEHICLEIDENTIFIER VEHICLEVIN VEHICLEVRM LICENSEPLATE VIN",
    "DEVICE_ID": "DEVICEID DEVICE DEVICEIDENTIFIER PHONEIMEI IMEI",
    "API_KEY": "APIKEY PASSWORD PASS PIN SECRET HTTPCOOKIE TOKEN CREDENTIAL",
    "REFERENCE_NUMBER": (
        "REFERENCENUMBER ID IDNUM IDCARD IDCARDNUM NATIONALID GOVERNMENTID TAXID TAXNUM TAXNUMBER UNIQUEID "
        "CUSTOMERID EMPLOYEEID BIOID BIOMETRICIDENTIFIER OTHERPHI"
    ),
}  # fmt: skip
"""Type -> the labels that mean it, in capitals and without signs."""
_TYPES = {label: type_ for type_, labels in _OF_TYPES.items() for label in labels.split()}

_PLACE_IN_A_NAME = re.compile(r"^[BIELSUM][-_](?=.)")  # of BIO, BIOES and BILOU
_NUMBER = re.compile(r"\d+$")  # "GIVENNAME2": the second one of a person


def type_of(label: str) -> str | None:
    """Give the entity type that ``label`` of some model means; None for one that is nobody's or unknown.

    >>> type_of("B-GIVEN_NAME"), type_of("I-first_name"), type_of("private_phone"), type_of("MISC")
    ('PERSON', 'PERSON', 'PHONE_NUMBER', None)
    """
    name = _signless(_PLACE_IN_A_NAME.sub("", label))
    return _TYPES.get(name) or _TYPES.get(_NUMBER.sub("", name)) or _TYPES.get(_signless(label))


def meaningless(labels: Iterable[str]) -> tuple[str, ...]:
    """List those of ``labels`` that mean no entity type, without the place in a name, in order.

    >>> meaningless(["O", "B-PER", "B-MISC", "I-MISC", "ORDINAL"])
    ('MISC', 'ORDINAL')
    """
    names = {_PLACE_IN_A_NAME.sub("", one) for one in labels if type_of(one) is None}
    return tuple(sorted(names - {NOBODY, ""}))


def _signless(label: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", label.upper())
