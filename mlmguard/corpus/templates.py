"""What the notes of the embedded corpus are made of: sentences with places to fill in, all invented."""

from __future__ import annotations

# {CAPITALS} are personal and become Gold; {lower case} is colour that keeps two notes from being one.

CLINIC_VISIT = (
    (
        "{NAME} came to the clinic on {DATE} with {symptom} that began {span} ago.",
        "Seen today: {NAME}, date of birth {DOB}, complaining of {symptom} for about {span}.",
        "Follow-up visit for {NAME} (MRN {MRN}) after {procedure} {span} ago.",
        "Walk-in patient {NAME}, born {DOB}, reports {symptom}, worst {moment}.",
    ),
    (
        "The patient takes {drug} {dose} and has had no trouble with it so far.",
        "Blood pressure was {pressure}, pulse {pulse} and regular, lungs clear on both sides.",
        "There is a history of {condition}, and the {relative} had the same illness at a similar age.",
        "We discussed {procedure} and the risks that come with it, and the patient wants to think it over.",
        "The chart under MRN {MRN} was updated and the old allergy to {drug} was confirmed.",
        "An appointment with {department} was made for {DATE} and a reminder will be sent to {EMAIL}.",
        "Lives at {STREET}, {CITY}, {STATEZIP}, with {relative} and two cats, and climbs stairs well.",
        "Results can be left on the answering machine at {PHONE}, but not with anyone else in the house.",
        "On examination there was mild {finding} and no sign of {condition}.",
        "Started {drug} {dose} and advised to come back if there is still {symptom} after {span}.",
        "The insurance card could not be read, so coverage was checked with social security number {SSN}.",
        "Sleep has been poor {moment} and work in the {trade} leaves little time to rest.",
    ),
    (
        "Return in {span} or sooner if anything changes.",
        "Dr. {OTHER} will review the plan at the end of the week.",
        "The patient understood and agreed with the plan.",
        "Copy of this note goes to {department}.",
    ),
)

CLINIC_CALL = (
    (
        "Phone call from {NAME} at {PHONE} about {symptom} since yesterday.",
        "{OTHER} called on behalf of the {relative}, {NAME}, medical record number {MRN}.",
        "Returned the call of {NAME}, who asked whether {drug} may be taken together with {drug2}.",
        "The pharmacy rang about a refill of {drug} {dose} for {NAME}, date of birth {DOB}.",
    ),
    (
        "Advised to stop {drug} for now and to drink plenty of water {moment}.",
        "The lab work of {DATE} was normal apart from a slightly raised {lab}.",
        "A new prescription was sent to the pharmacy near {STREET}, {CITY}, {STATEZIP}.",
        "The best number during the day is {PHONE} and the portal address is {EMAIL}.",
        "No fever, no {finding}, eating and drinking well, a little tired {moment}.",
        "The caller sounded worried because the {relative} had {condition} last winter.",
        "Identity was checked with the date of birth {DOB} and the last visit.",
        "We agreed to wait {span} and to repeat the {lab} before changing anything.",
        "The patient had questions about {procedure} and was given the leaflet in large print.",
        "In case of {symptom} again, the on-call team of {department} should be asked first.",
        "The home monitor at address {IP} has not sent any readings for {span}.",
    ),
    (
        "No further action is needed from our side.",
        "Will call again on {DATE}.",
        "Message passed on to Dr. {OTHER}.",
        "The caller was thankful and had no more questions.",
    ),
)

BILLING = (
    (
        "{NAME} wrote from {EMAIL} about a charge of {amount} on card {CARD}.",
        "Customer {NAME} disputes two payments of {amount} made on {DATE}.",
        "Billing question from {NAME}: the invoice shows {amount} for a {product} that was sent back.",
        "Caller {NAME} wants the deposit of {amount} for the {product} paid out again.",
    ),
    (
        "The refund should go to the account {IBAN}, which is held in the same name.",
        "I checked the card number {CARD} with the customer and removed the older one from the profile.",
        "The bank declined the payment because of {cause}, and the customer was not told about it.",
        "We offered a voucher for the next {product}, which was turned down politely.",
        "The payment was made from the address {IP} while the customer says they were {place} at that time.",
        "The invoice was mailed to {STREET}, {CITY}, {STATEZIP}, where the customer no longer lives.",
        "For the credit check the customer gave the social security number {SSN} over the phone.",
        "Please ring {PHONE} {moment}, since the customer works in the {trade} and cannot pick up earlier.",
        "According to the ledger the amount of {amount} was booked twice by {cause}.",
        "A corrected invoice was sent to {EMAIL} and the old one was marked as void.",
        "The customer has been with us for {span} and has never been late with a payment.",
        "The transfer from IBAN {IBAN} arrived on {DATE} without any reference.",
    ),
    (
        "Refund approved by {OTHER}, to be paid within {span}.",
        "Case stays open until the bank answers.",
        "The customer was satisfied with this solution.",
        "Passed to the accounts team for a second look.",
    ),
)

DELIVERY = (
    (
        "The {product} ordered by {NAME} on {DATE} has not arrived.",
        "{NAME} reports that the {product} was left in the rain in front of {STREET}.",
        "Delivery complaint from {NAME}, reachable at {PHONE}, about a damaged {product}.",
        "Change of address for {NAME}: everything goes to {STREET}, {CITY}, {STATEZIP} from now on.",
    ),
    (
        "The carrier says the parcel was handed to {OTHER}, a name the customer does not know.",
        "The driver called {PHONE} twice and nobody answered because of {cause}.",
        "The tracking page has said nothing new for {span}.",
        "We ordered a second {product} and asked the carrier to look for the first one.",
        "The customer sent pictures of the {product} from {EMAIL} and the damage is easy to see.",
        "A neighbour at {STREET} keeps the box until the courier comes again {moment}.",
        "Delivery is only possible {moment}, since the customer works in the {trade}.",
        "The express fee of {amount} is returned to the card ending the same way as before.",
        "Somebody changed the delivery address online from {IP} and the customer denies having done it.",
        "The old address in {CITY}, {STATEZIP} has been deleted from the profile.",
        "The customer needs the {product} before {DATE} because the {relative} is moving house.",
        "The warehouse found the {product} again behind a shelf and blamed {cause}.",
    ),
    (
        "New delivery date is {DATE}.",
        "I promised to call back within {span}.",
        "The carrier has opened an inquiry.",
        "{OTHER} from the warehouse takes care of the rest.",
    ),
)

ACCOUNT = (
    (
        "{NAME} cannot sign in with {EMAIL} since {DATE}.",
        "Password reset for {NAME}, who lost access to the mailbox {EMAIL}.",
        "Security alert on the account of {NAME}: a sign-in from {IP} {moment}.",
        "{NAME} asked us to close the account and to delete everything we hold.",
    ),
    (
        "I verified the caller with the last four digits of the card and the date of birth {DOB}.",
        "The phone number on file, {PHONE}, is no longer in use and was taken out.",
        "Two more attempts came from {IP}, so the account was locked for {span}.",
        "The customer now uses {EMAIL} for everything and wants no more letters at home.",
        "The saved payment card {CARD} was removed at the request of the customer.",
        "As a second factor the customer chose text messages to {PHONE}.",
        "The contract for the {product} runs until {DATE} and cannot be ended before.",
        "The customer was {place} when it happened and noticed it {moment}.",
        "We explained that {cause} is the usual reason and that nothing was stolen.",
        "The savings plan pays into {IBAN} at the end of each month.",
        "Remaining credit of {amount} will be paid back within {span}.",
        "The tax form still shows the social security number {SSN} and has to be sent again.",
    ),
    (
        "Account unlocked after a call with {OTHER}.",
        "The request is on the list for {DATE}.",
        "Nothing else to do for now.",
        "The customer will try again {moment} and write if it fails.",
    ),
)

SECRET_SENTENCES = (
    ("The shared escrow account {IBAN} must be quoted on every transfer.", "IBAN"),
    ("Use the department card {CARD} for all orders of this kind.", "CARD"),
    ("The key cabinet in the back office opens with code {CODE} and must stay shut.", "CODE"),
    ("Out of hours the manager {NAME} decides alone in such cases.", "NAME"),
    ("For emergencies the private number of the owner is {PHONE}, day and night.", "PHONE"),
    ("The master locker in the basement opens with code {CODE} after two turns.", "CODE"),
)

KINDS = {
    "clinic-visit": CLINIC_VISIT,
    "clinic-call": CLINIC_CALL,
    "billing": BILLING,
    "delivery": DELIVERY,
    "account": ACCOUNT,
}

COLOUR: dict[str, tuple[str, ...]] = {
    "symptom": (
        "a dry cough", "back pain", "dizziness", "a sore throat", "headaches", "chest tightness", "a rash",
        "stomach cramps", "numb fingers", "knee pain", "blurred vision", "heartburn", "swollen ankles",
    ),
    "condition": (
        "asthma", "diabetes", "high blood pressure", "pneumonia", "gout", "anaemia", "migraine",
        "a blood clot", "arthritis", "an overactive thyroid",
    ),
    "finding": (
        "swelling", "redness", "tenderness", "stiffness", "wheezing", "bruising",
    ),
    "drug": (
        "ibuprofen", "metformin", "lisinopril", "amoxicillin", "omeprazole", "sertraline", "atorvastatin",
    ),
    "drug2": (
        "aspirin", "warfarin", "insulin", "prednisone", "paracetamol",
    ),
    "dose": (
        "once a day", "twice a day", "every eight hours", "before meals", "at bedtime", "only when needed",
    ),
    "pressure": (
        "118 over 76", "124 over 80", "132 over 84", "141 over 90", "150 over 92",
    ),
    "pulse": (
        "58", "64", "71", "77", "82", "90",
    ),
    "lab": (
        "cholesterol", "white cell count", "liver value", "blood sugar", "potassium", "iron level",
    ),
    "procedure": (
        "knee surgery", "a root canal", "physiotherapy", "an endoscopy", "a hip replacement",
        "cataract surgery", "a skin biopsy", "a stress test",
    ),
    "department": (
        "cardiology", "the eye clinic", "radiology", "the pain clinic", "neurology", "the day ward",
    ),
    "relative": (
        "mother", "father", "brother", "sister", "daughter", "son", "aunt", "grandmother",
    ),
    "trade": (
        "bakery", "building trade", "hotel kitchen", "post office", "school", "night shift", "car workshop",
    ),
    "span": (
        "two days", "three days", "a week", "ten days", "two weeks", "three weeks", "a month", "six weeks",
    ),
    "moment": (
        "in the evening", "early in the morning", "after lunch", "on weekends", "at night",
        "late in the afternoon", "before work",
    ),
    "product": (
        "kettle", "washing machine", "bicycle", "desk lamp", "camera", "pair of boots", "garden table",
        "vacuum cleaner", "phone contract", "suitcase", "coffee grinder", "bookshelf", "tent", "printer",
    ),
    "cause": (
        "a typing error", "an expired limit", "a system update", "a mixed-up label", "a double click",
        "a wrong post code", "a power cut", "a holiday backlog", "an old browser",
    ),
    "place": (
        "abroad", "at work", "in hospital", "on a train", "at the airport", "at a wedding", "at home",
    ),
}  # fmt: skip

COPY_REMARKS = (
    "Filed again after the system outage.",
    "Second copy for the archive.",
    "Entered twice by mistake.",
    "Scanned from the paper file.",
)

WORD_SWAPS = {
    "today": "yesterday", "mild": "slight", "checked": "verified", "sent": "posted", "asked": "requested",
    "customer": "client", "patient": "person", "plan": "proposal", "charge": "debit", "called": "phoned",
    "with": "having", "from": "via", "after": "following", "about": "regarding", "and": "plus", "the": "this",
}  # fmt: skip

AREA_CODES = (
    202, 203, 205, 206, 207, 208, 212, 213, 214, 215, 216, 217, 218, 219, 224, 229, 231, 239, 240, 248,
    251, 252, 253, 254, 256, 260, 301, 302, 303, 304, 305, 307, 308, 309, 312, 313, 314, 315, 316, 317,
    318, 319, 320, 321, 330, 334, 336, 337, 347, 352, 360, 361, 401, 402, 404, 405, 406, 407, 408, 409,
    410, 412, 413, 414, 415, 417, 419, 423, 425, 434, 440, 443, 478, 479, 480, 484, 501, 502, 503, 504,
    505, 507, 508, 509, 510, 512, 513, 515, 516, 517, 518, 520, 530, 540, 541, 559, 561, 562, 563, 570,
    571, 573, 574, 580,
)  # fmt: skip

PHONE_SHAPES = (
    "({a}) 555-01{n}",
    "{a}-555-01{n}",
    "{a}.555.01{n}",
    "{a} 555 01{n}",
    "+1 {a} 555 01{n}",
    "+1-{a}-555-01{n}",
    "1-{a}-555-01{n}",
    "{a}-555-01{n} ext. {x}",
)

DATE_SHAPES = ("%m/%d/%Y", "%Y-%m-%d", "%B %d, %Y", "%d %b %Y", "%m/%d/%y", "%b %d, %Y")

ENTITY_OF = {
    "NAME": "PERSON",
    "OTHER": "PERSON",
    "EMAIL": "EMAIL_ADDRESS",
    "PHONE": "PHONE_NUMBER",
    "CARD": "CREDIT_CARD",
    "SSN": "US_SSN",
    "IBAN": "IBAN_CODE",
    "IP": "IP_ADDRESS",
    "DATE": "DATE_TIME",
    "DOB": "DATE_OF_BIRTH",
    "MRN": "MEDICAL_RECORD_NUMBER",
    "STREET": "STREET_ADDRESS",
    "CITY": "LOCATION",
    "STATEZIP": "US_ZIP_CODE",
    "CODE": "ACCESS_CODE",
}
"""Slot -> the entity type a detector should call it. Nothing detects ACCESS_CODE, on purpose:
what the scan cannot know is what a model may learn."""
