# ruff: noqa: E501 (a list of labels is read across)
"""Languages beside English: their words before a value, their months and streets, whose identifiers go with them.

A table to be read: for each language and each kind of value the labels that forms, notes and programs put before
it, as expressions whose spaces stand for any joint of a name and whose accents may be missing (``labels``). What
stands between a label and its value is said there, once for all languages. ``says`` are labels as people write them:
the recogniser made of a row (``abroad``) must find a value behind each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Labels:
    """What stands before a value of one kind."""

    phrases: tuple[str, ...]
    says: tuple[str, ...]
    samples: tuple[str, ...] = ()
    """Values of the country's own shape, beside those that the kind brings."""


@dataclass(frozen=True)
class Language:
    """One language: its words, and the country whose identifiers are looked for with it."""

    code: str
    name: str
    country: str
    months: tuple[str, ...]
    postcode: str
    """The shape of a postal code of the country."""
    town_code: str
    """A postal code so distinct that a capitalised word behind it is a town."""
    years: str
    """What follows a number of years that somebody is old."""
    street: str
    """An expression for a street with its number that needs no label."""
    streets: tuple[str, ...]
    """Such streets, as people write them."""
    announces: tuple[str, ...]
    """Words behind which a telephone number follows in a sentence."""
    labels: Mapping[str, Labels]


# A name of a street or town; small words within it; a number, a second one, and what is said of the door.
_W = r"(?:(?:dell|dall|nell|d|l|s)')?[A-ZÀ-ÖØ-Þ][\w'´.-]{0,24}/?"
_SMALL = r"(?:(?:de|del|la|las|los|el|y|e|da|do|dos|das|di|della|dei|delle|du|des|le|les|van|der|den|dem|het|ten|ter|am|an|auf|en|aux?|im|zum|zur)[ ]){0,3}"
NAME = rf"{_W}(?:[ ]{_SMALL}{_W}){{0,5}}"
_NO = r"(?:(?:n\.?[º°o]?\.?|núm\.?|nr\.?)[ ]?)?"
NUMBER_OF_HOUSE = (
    rf"(?:,[ ]?|\.?[ ])(?:{_NO}\d{{1,4}}(?:[ ]?(?:bis|ter|[a-zA-Z])(?![^\W_])|[-/](?:\d{{1,4}}|[A-Za-z])(?![^\W_])){{0,2}}"
    r"|(?i:s/n|s\.n\.|km\.?[ ]?\d{1,4}(?:[.,]\d{1,3})?)|SN\b)(?![\d/:]|[.,]\d)"
)
_DOOR = r"(?i:izda?|dcha?|izq|dch|esq|dto|der|bajo|ático|[a-h])(?![^\W_])\.?"
FLOOR = (
    rf"(?:[,.]?[ ]{{0,2}}-?[ ]{{0,2}}(?:\d{{1,2}}(?:\.?[ºª°o]\.?(?:[ ]?-?[ ]?(?:{_DOOR}|\d{{1,2}}\.?[ºª°]))?|[ ]?-?[ ]?{_DOOR})"
    r"|(?i:piso|planta|bajo|puerta|portal|esc|escalera|int|scala|étage|bloque)(?![^\W_])\.?[ ]?\w{0,3}))?"
)
FLOOR = FLOOR * 2
ADDRESS = rf"(?:{NAME}{NUMBER_OF_HOUSE}{FLOOR}|\d{{1,4}}(?:[ ]?(?:bis|ter|[A-D])\b)?,?[ ](?:[a-zà-ÿ]{{3,12}}\.?[ ]){_SMALL}{NAME})"
"""What an address looks like, whichever kind of street it names; it needs its label."""


def _before(kinds: str) -> str:
    """Streets whose kind stands before the name, the number behind it; a name in small letters needs a comma."""
    return (
        rf"\b(?:(?i:{kinds})(?![^\W_])\.?|[Cc][/\\])[.,]?[ ]?(?:{_SMALL}{_W}(?:[ ]{_SMALL}{_W}){{0,4}}{NUMBER_OF_HOUSE}"
        rf"|[a-zà-ÿ'.]{{3,20}}(?:[ ][\w'.]{{2,20}}){{0,4}}(?=,){NUMBER_OF_HOUSE}){FLOOR}"
    )


def _joined(kinds: str) -> str:
    """Streets whose kind ends the name, joined to it or a word of its own, the number behind it."""
    return rf"\b(?:[A-ZÄÖÜ][\w'.-]{{1,25}}[ ]{_SMALL}){{0,2}}(?:[A-ZÄÖÜ][\w'-]{{1,30}}(?:{kinds})|(?i:{kinds})(?<=[A-ZÄÖÜ]\w{{2,9}}))\.?{NUMBER_OF_HOUSE}"


SPANISH = Language(
    code="es", name="Spanish", country="es",
    months=("enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "setiembre", "octubre", "noviembre", "diciembre"),
    postcode=r"(?:E-)?\d{5}", town_code=r"(?:0[1-9]|[1-4]\d|5[0-2])\d{3}", years="años",
    street=_before(r"calle|avenida|avda|av|plaza|pza|plza|paseo|pº|camino|carrer|ronda|travesía|carretera|ctra|glorieta|callejón|pasaje|urbanización|urb|cuesta|bulevar|rambla|alameda|gran vía"),
    streets=("Calle Toledo, 14", "Avda. de la Constitución 8, 2º A", "Glorieta del Olivo nº 3", "Pza. Mayor, 7"),
    announces=("avis(?:ar|e|en)", "llam(?:ar|e|en|ad)", "localiz(?:ar|a|able)", "contact(?:ar|e|o)"),
    labels={
        "MEDICAL_RECORD_NUMBER": Labels(
            ("nhc", "n\\.h\\.c\\.?", "hc", "h\\.? ?cl?\\.?", "historia (?:clínica)?", "historial (?:clínico)?", "expediente (?:clínico|médico)?", "ficha (?:clínica|del paciente)?", "paciente n\\.?º", "(?:id|identificador|código) (?:del )?paciente"),
            ("NHC", "Historia clínica", "Historia clínica n.º", "Número de historia", "Nº HC", "Expediente médico", "ID paciente")),
        "HEALTH_PLAN_NUMBER": Labels(
            ("nass", "nuss", "naf", "cipa?", "cip sns", "tsi", "seguridad social", "s\\.?s\\.", "afilia(?:ción|do|da)(?: (?:a la )?(?:seguridad social|ss))?", "asegurad[oa]", "tarjeta (?:sanitaria|de salud)(?: individual)?", "póliza(?: de (?:la )?(?:aseguradora|compañía|seguro))?", "mutualista", "beneficiari[oa]"),
            ("NASS", "Nº Seguridad Social", "Número de afiliación a la Seguridad Social", "Tarjeta sanitaria", "Póliza", "CIPA", "Nº de asegurado"), ("28 12345678 40", "ABCD 123456 7890")),
        "PROFESSIONAL_NUMBER": Labels(
            ("colegiad[oa]s?", "colegiación", "n\\.?[º°] col", "num col", "col\\.? n\\.?[º°]", "nºcol", "ncol", "cnp", "licencia médica", "col\\."),
            ("Nº colegiado", "Nº Col", "Número de colegiada", "N.º de colegiación", "num_colegiado"), ("28 28 12345", "28/12345")),
        "PHONE_NUMBER": Labels(
            ("teléfonos?(?: (?:fijo|móvil|particular|de casa|del trabajo))?", "telef", "telf?s?", "tfnos?(?: fijo)?", "tlfn?o?s?", "móvil(?:es)?", "celular", "fijo", "fax", "whatsapp"),
            ("Teléfono", "Tfno.", "Móvil", "Telf.", "Teléfono de contacto"), ("612 34 56 78", "915 123 456")),
        "DATE_OF_BIRTH": Labels(
            ("fecha (?:de )?nac(?:imiento)?", "f\\.? ?(?:de )?nac(?:imiento)?", "fec\\.? nac(?:imiento)?", "nacimiento", "nacid[oa](?: el)?", "nació", "fnac"),
            ("Fecha de nacimiento", "F. nac.", "nacida el", "fecha_nacimiento")),
        "POSTAL_CODE": Labels(("cod(?:igo)?\\.? postal", "código postal", "c\\.? ?p\\.?", "distrito postal"), ("Código postal", "CP", "C.P.")),
        "STREET_ADDRESS": Labels(("domicilio(?: habitual)?", "dirección(?: postal)?", "residencia", "reside", "residente", "vive"), ("Domicilio", "Dirección", "con domicilio en")),
        "AGE": Labels(("edad",), ("Edad", "edad del paciente")),
    },
)  # fmt: skip

GERMAN = Language(
    code="de", name="German", country="de",
    months=("Januar", "Jänner", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember"),
    postcode=r"(?:D-)?\d{5}", town_code=r"(?:D-)?\d{5}", years="jahre alt|jährigen?r?|jährige[nrs]?|j\\.",
    street=rf"(?:{_joined('straße|strasse|str|weg|platz|gasse|allee|ufer|damm|ring|chaussee|steig|stieg|pfad|hof|markt|wall|graben|berg|promenade|zeile')}"
    rf"|\b(?:Am|An[ ]der|An[ ]den|Im|In[ ]der|In[ ]den|Zum|Zur|Auf[ ]dem|Auf[ ]der|Hinter[ ]der|Unter[ ]den|Vor[ ]dem|Straße[ ]des|Platz[ ]der)[ ]{_W}(?:[ ]{_W})?{NUMBER_OF_HOUSE})",
    streets=("Bahnhofstraße 3", "Münchner Str. 17b", "Am Kirchberg 4", "Unter den Eichen 21"),
    announces=("anruf", "anrufen", "rückruf", "erreichbar", "zu erreichen", "kontakt", "melden"),
    labels={
        "MEDICAL_RECORD_NUMBER": Labels(
            ("patienten (?:nummer|nr|id|kennung|akte)", "pat\\.? (?:nr|id|nummer)", "fall (?:nummer|nr|id|zahl)", "akte(?:n ?(?:nummer|nr|zeichen))?(?: patient(?:in)?)?", "krankenakte", "aufnahme (?:nummer|nr)", "behandlungs (?:nummer|nr)", "patient(?:in)? nr"),
            ("Patientennummer", "Patienten-Nr.", "Fallnummer", "Aktenzeichen", "Fall-ID", "patientenId")),
        "HEALTH_PLAN_NUMBER": Labels(
            ("(?:kranken)?versicherten (?:nummer|nr|id)", "(?:kranken)?versicherungs (?:nummer|nr)", "kv (?:nummer|nr)", "kvnr", "egk(?: nummer| nr)?", "(?:sozial|renten)versicherungs (?:nummer|nr)", "sv (?:nummer|nr)", "mitglieds (?:nummer|nr)", "policen? (?:nummer|nr)"),
            ("Versichertennummer", "Krankenversicherungsnummer", "Versicherten-Nr.", "KVNR", "Mitgliedsnummer"), ("A123456789",)),
        "PROFESSIONAL_NUMBER": Labels(
            ("(?:lebenslange )?arzt (?:nummer|nr)", "lanr", "bsnr", "betriebsstätten (?:nummer|nr)", "approbations (?:nummer|nr)", "efn", "arzt id"),
            ("Arztnummer", "Arzt-Nr.", "LANR", "Approbationsnummer")),
        "PHONE_NUMBER": Labels(
            ("telefon(?: ?(?:nummer|nr))?(?: (?:privat|mobil|dienstlich))?", "tel(?: (?:privat|mobil|dienstlich))?", "fon", "handy(?: ?(?:nummer|nr))?", "mobil(?:telefon|nummer|funk)?", "ruf ?(?:nummer|nr)", "fax(?: ?nummer)?", "durchwahl"),
            ("Telefon", "Tel.", "Handynummer", "Mobil", "Rufnummer"), ("0561 123456", "0171/1234567")),
        "DATE_OF_BIRTH": Labels(
            ("geburts ?(?:datum|tag)", "geb\\.?(?: dat(?:um)?)?(?: am)?", "geboren(?: am)?"),
            ("Geburtsdatum", "geb. am", "geboren am", "geb.")),
        "POSTAL_CODE": Labels(("plz(?:/ ?ort)?", "postleitzahl(?:/ ?ort)?"), ("PLZ", "Postleitzahl")),
        "STREET_ADDRESS": Labels(("anschrift", "(?:wohn)?adresse", "wohnort", "wohnsitz", "wohnhaft", "wohnt", "straße"), ("Anschrift", "Adresse", "wohnhaft")),
        "AGE": Labels(("alter",), ("Alter", "Alter bei Aufnahme")),
    },
)  # fmt: skip

FRENCH = Language(
    code="fr", name="French", country="fr",
    months=("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre"),
    postcode=r"(?:F-)?\d{2}[ ]?\d{3}", town_code=r"(?:F-)?(?:0[1-9]|[1-8]\d|9[0-8])\d{3}", years="ans",
    street=rf"\b\d{{1,4}}(?:[ ]?(?:bis|ter|quater|[A-D])\b)?,?[ ]+(?i:rue|avenue|av|boulevard|bd|blvd|place|pl|allée|allées|chemin|impasse|quai|cours|route|square|passage|sentier|villa|résidence|faubourg|esplanade|promenade|rond-point)\b\.?[ ](?:(?:de|du|des|la|le|les|l'|d')[ ]?){{0,3}}{NAME}",
    streets=("14 rue des Capucines", "3 bis, boulevard Gambetta", "27 cours de la Marne"),
    announces=("joindre", "joignable", "appel(?:er|ez)?", "rappel(?:er|ez)?", "contact(?:er|ez)?", "prévenir"),
    labels={
        "MEDICAL_RECORD_NUMBER": Labels(
            ("ipp", "dossier(?: (?:patient|médical|clinique))?", "patient (?:n[°º]|id|numéro)", "n[°º] (?:du )?patient", "numéro (?:du )?patient", "identifiant (?:du )?patient", "nda", "iep"),
            ("IPP", "Numéro de dossier", "N° de dossier médical", "N° patient", "Identifiant patient")),
        "HEALTH_PLAN_NUMBER": Labels(
            ("sécurité sociale", "sécu", "nir", "nss", "assuré(?:e)?(?: social(?:e)?)?", "immatriculation", "carte vitale", "mutuelle", "adhérent(?:e)?", "matricule ins"),
            ("Numéro de sécurité sociale", "N° d'assuré", "NIR", "N° adhérent"), ("2 85 05 78 006 084 36",)),
        "PROFESSIONAL_NUMBER": Labels(
            ("rpps", "adeli", "finess", "ordre des médecins"), ("RPPS", "N° ADELI", "Numéro RPPS"), ("10012345678",)),
        "PHONE_NUMBER": Labels(
            ("téléphone(?: (?:fixe|portable|mobile))?", "tél", "tph", "portable", "mobile", "fixe", "fax", "télécopie", "gsm"),
            ("Téléphone", "Tél.", "Portable", "Téléphone du domicile"), ("06 12 34 56 78", "04.72.11.22.33")),
        "DATE_OF_BIRTH": Labels(
            ("date (?:de )?naissance", "née?(?:\\(e\\))?(?: le)?", "naissance", "ddn"), ("Date de naissance", "Né le", "née le", "DDN")),
        "POSTAL_CODE": Labels(("code postal", "c\\.? ?p\\.?"), ("Code postal", "CP")),
        "STREET_ADDRESS": Labels(("adresse(?: postale)?", "domicile", "domiciliée?", "demeurant", "habite", "réside", "résidant"), ("Adresse", "Domicile", "demeurant")),
        "AGE": Labels(("âge", "âgée?(?: de)?"), ("Âge", "âgé de")),
    },
)  # fmt: skip

ITALIAN = Language(
    code="it", name="Italian", country="it",
    months=("gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno", "luglio", "agosto", "settembre", "ottobre", "novembre", "dicembre"),
    postcode=r"(?:I-)?\d{5}", town_code=r"(?:I-)?\d{5}", years="anni",
    street=_before(r"via|viale|v\.le|piazza|p\.za|p\.zza|piazzale|p\.le|corso|c\.so|vicolo|largo|strada|str|contrada|c\.da|lungomare|lungarno|lungotevere|salita|calle|borgo|galleria|località|loc"),
    streets=("Via Garibaldi 12", "Piazzale Loreto, 4", "Largo dei Tintori 9"),
    announces=("chiam(?:are|ate)", "contatt(?:are|ate|o)", "avvis(?:are|ate)", "reperibile", "raggiungibile"),
    labels={
        "MEDICAL_RECORD_NUMBER": Labels(
            ("cartella(?: clinica)?", "nosologico", "(?:id|codice|identificativo) (?:del )?paziente", "paziente (?:id|n\\.?[º°]?)", "scheda (?:paziente|clinica)", "sdo", "pratica"),
            ("Cartella clinica", "Numero cartella", "Cartella n.", "ID paziente", "Numero nosologico")),
        "HEALTH_PLAN_NUMBER": Labels(
            ("tessera sanitaria", "tessera (?:europea|team)", "team", "assicurat[oa]", "assistit[oa]", "ssn", "polizza", "libretto sanitario"),
            ("Tessera sanitaria", "Numero di assicurato", "Polizza n.", "Codice assistito"), ("80380001234567890123",)),
        "PROFESSIONAL_NUMBER": Labels(
            ("iscrizione(?: (?:all'? ?)?(?:albo|ordine))?(?: (?:dei )?medici)?", "albo(?: (?:dei )?medici)?", "ordine (?:dei )?medici", "codice regionale", "omceo"),
            ("N. iscrizione", "Iscrizione all'albo n.", "Numero iscrizione albo", "Ordine dei medici n."), ("RM/12345",)),
        "PHONE_NUMBER": Labels(
            ("telefono(?: (?:fisso|cellulare|casa))?", "tel", "cell(?:ulare)?", "recapito(?: telefonico)?", "fisso", "fax", "mobile"),
            ("Telefono", "Tel.", "Cellulare", "Recapito telefonico"), ("051 1234567", "347 123 4567")),
        "DATE_OF_BIRTH": Labels(("data (?:di )?nascita", "nat[oa](?: il)?", "nascita"), ("Data di nascita", "nato il", "nata il")),
        "POSTAL_CODE": Labels(("c\\.?a\\.?p\\.?", "codice (?:di avviamento )?postale"), ("CAP", "Codice postale")),
        "STREET_ADDRESS": Labels(("indirizzo", "residenza", "residente", "domicilio", "domiciliat[oa]", "abita", "risiede"), ("Indirizzo", "Residenza", "residente in")),
        "AGE": Labels(("età",), ("Età", "Età del paziente")),
    },
)  # fmt: skip

PORTUGUESE = Language(
    code="pt", name="Portuguese", country="pt",
    months=("janeiro", "fevereiro", "março", "abril", "maio", "junho", "julho", "agosto", "setembro", "outubro", "novembro", "dezembro"),
    postcode=r"(?:\d{4}-\d{3}|\d{5}-\d{3}|\d{8}|\d{4})", town_code=r"\d{4}-\d{3}", years="anos",
    street=_before(r"rua|r\.|avenida|av|praça|praceta|pç|travessa|tv|largo|estrada|estr|alameda|beco|calçada|rotunda|urbanização|urb|bairro|caminho|quinta|rodovia|ladeira"),
    streets=("Rua do Salitre, 14", "Praça da Figueira 3, 1.º Dto.", "Alameda D. Afonso Henriques, 41"),
    announces=("lig(?:ar|ue)", "contact(?:ar|e|o)", "avis(?:ar|e)", "cham(?:ar|e)"),
    labels={
        "MEDICAL_RECORD_NUMBER": Labels(
            ("processo(?: clínico)?", "prontuário", "(?:número|n\\.?º|id|identificador|código) (?:do |da |de )?(?:doente|paciente)", "(?:doente|paciente) (?:id|n\\.?º)", "ficha clínica", "episódio", "registo clínico"),
            ("Processo clínico", "Número de processo", "N.º do doente", "Prontuário", "ID do paciente")),
        "HEALTH_PLAN_NUMBER": Labels(
            ("utente", "sns", "niss", "segurança social", "beneficiári[oa]", "segurad[oa]", "apólice", "cartão (?:de )?(?:saúde|sus|cidadão)", "cns", "convênio", "adse"),
            ("Número de utente", "N.º de beneficiário", "NISS", "Apólice", "Cartão de saúde"), ("123 456 789",)),
        "PROFESSIONAL_NUMBER": Labels(
            ("cédula(?: profissional)?", "(?:n\\.?º|número) (?:da|de) ordem", "ordem dos médicos", "crm(?:[/-][A-Z]{2})?", "coren", "carteira profissional"),
            ("Cédula profissional", "N.º da Ordem", "Cédula n.º", "CRM"), ("M12345",)),
        "PHONE_NUMBER": Labels(
            ("telefones?(?: (?:fixo|móvel|celular))?", "telemóve(?:l|is)", "tel", "telef", "tlm", "tlf", "celular", "contacto(?: telefónico)?", "contato(?: telefônico)?", "fax"),
            ("Telefone", "Telemóvel", "Tlm.", "Contacto telefónico"), ("912 345 678", "21 123 4567")),
        "DATE_OF_BIRTH": Labels(("data (?:de )?nasc(?:imento)?", "nascid[oa](?: a| em)?", "nascimento", "nasc", "nasceu", "dn"), ("Data de nascimento", "nascido a", "Nascida em")),
        "POSTAL_CODE": Labels(("cód(?:igo)?\\.? postal", "c\\.?e\\.?p\\.?", "c\\.? ?p\\.?"), ("Código postal", "CEP"), ("4700-123",)),
        "STREET_ADDRESS": Labels(("morada", "endereço", "residência", "residente", "domicílio", "reside", "mora", "vive"), ("Morada", "Endereço", "residente na")),
        "AGE": Labels(("idade",), ("Idade", "Idade do doente")),
    },
)  # fmt: skip

DUTCH = Language(
    code="nl", name="Dutch", country="nl",
    months=("januari", "februari", "maart", "april", "mei", "juni", "juli", "augustus", "september", "oktober", "november", "december"),
    postcode=r"(?:NL-)?\d{4}[ ]?[A-Z]{2}", town_code=r"[1-9]\d{3}[ ]?(?!S[ADS]\b)[A-Z]{2}", years="jaar oud|jarige",
    street=_joined("straat|laan|weg|plein|gracht|kade|singel|dijk|dreef|hof|steeg|pad|park|markt|plantsoen|boulevard|voorhout|haven|wal|ring|burgwal|lei|baan"),
    streets=("Dorpsstraat 14", "Willem de Zwijgerlaan 7", "Nieuwe Gracht 112"),
    announces=("bel(?:len|t)?", "terugbellen", "bereikbaar", "bereiken", "contact(?:eren)?"),
    labels={
        "MEDICAL_RECORD_NUMBER": Labels(
            ("patiënt(?:en)? ?(?:nummer|nr|id)", "dossier ?(?:nummer|nr|id)?", "zis ?(?:nummer|nr)?", "epd ?(?:nummer|nr)", "opname ?(?:nummer|nr)", "status ?(?:nummer|nr)"),
            ("Patiëntnummer", "Patiënt-ID", "Dossiernummer", "Dossier nr.", "ZIS-nummer")),
        "HEALTH_PLAN_NUMBER": Labels(
            ("verzekerde(?:n|nde)? ?(?:nummer|nr|id)", "verzekerings ?(?:nummer|nr)", "polis ?(?:nummer|nr)?", "relatie ?(?:nummer|nr)", "uzovi", "zorgpas"),
            ("Verzekerdennummer", "Polisnummer", "Verzekeringsnummer", "Polis nr.")),
        "PROFESSIONAL_NUMBER": Labels(
            ("big ?(?:nummer|nr|registratie|code|register)?", "agb ?(?:code|nummer)?", "arts ?(?:code|nummer)", "uzi ?(?:nummer|pas)?"),
            ("BIG-nummer", "AGB-code", "BIG-registratie", "UZI-nummer")),
        "PHONE_NUMBER": Labels(
            ("telefoon(?: ?(?:nummer|nr))?(?: (?:thuis|werk|mobiel|privé))?", "tel", "mobiel(?: ?(?:nummer|nr))?", "gsm", "06 nummer", "fax"),
            ("Telefoon", "Tel.", "Mobiel", "Telefoonnummer thuis"), ("06-12345678", "030 123 4567")),
        "DATE_OF_BIRTH": Labels(("geboorte ?datum", "geboren(?: op)?", "geb\\.? ?(?:dat(?:um)?)?"), ("Geboortedatum", "geboren op", "geb.")),
        "POSTAL_CODE": Labels(("postcode", "pc"), ("Postcode",), ("3511 AB",)),
        "STREET_ADDRESS": Labels(("(?:woon)?adres", "woonplaats", "wonende", "woonachtig", "woont", "straat"), ("Adres", "Woonadres", "wonende")),
        "AGE": Labels(("leeftijd",), ("Leeftijd", "Leeftijd bij opname")),
    },
)  # fmt: skip

LANGUAGES: Mapping[str, Language] = {
    one.code: one for one in (SPANISH, GERMAN, FRENCH, ITALIAN, PORTUGUESE, DUTCH)
}
"""Code -> the language, for each that can be asked for beside English."""
