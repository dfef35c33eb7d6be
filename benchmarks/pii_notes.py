# ruff: noqa: E501 (notes are read across)
"""Notes of clinics in other languages, with a place for each value, and the values: held out from the rules.

Written before the first rule of these languages, as the offices of a hospital write: headers of letters, admission
sheets, discharge notes, mails between departments. The shapes of the values are those of the countries. Names stand
for themselves: nothing here asks for them. ``{RECORD}`` and its like are places of values; a note holds each at most
once, and numbers that are nobody's beside them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from faker import Faker

TYPES = {
    "RECORD": "MEDICAL_RECORD_NUMBER",
    "INSURANCE": "HEALTH_PLAN_NUMBER",
    "PROFESSIONAL": "PROFESSIONAL_NUMBER",
    "POSTCODE": "POSTAL_CODE",
    "STREET": "STREET_ADDRESS",
    "PHONE": "PHONE_NUMBER",
    "BIRTH": "DATE_OF_BIRTH",
}
"""Place of a note -> the type that has to be found there."""

NOTES: dict[str, tuple[str, ...]] = {
    "es": (
        "Datos del paciente.\nNombre: Ernesto.\nApellidos: Rivera Bueno.\nNHC: {RECORD}.\nNASS: {INSURANCE}.\nDomicilio: {STREET}.\nLocalidad/ Provincia: Madrid.\nCP: {POSTCODE}.\nDatos asistenciales.\nFecha de nacimiento: {BIRTH}.\nPaís: España.\nEdad: 70 años Sexo: H.\nFecha de ingreso: 12/06/2016.\nMédico: Ignacio Navarro NºCol: {PROFESSIONAL}.\nInforme clínico del paciente: varón de 70 años, sin alergias, que acude por dolor lumbar de 3 semanas.",
        "INFORME DE ALTA\n\nNº Historia Clínica: {RECORD}\nNº Seguridad Social: {INSURANCE}\nPaciente nacida el {BIRTH}, con domicilio en {STREET}, {POSTCODE} Sevilla. Teléfono de contacto {PHONE}.\n\nMotivo de ingreso: disnea de 48 horas. Saturación 91 %, tensión 145/82.\n\nFdo.: Dra. Peña, colegiada nº {PROFESSIONAL}",
        "Estimado compañero:\n\nTe remito a la paciente con número de historia {RECORD} para valoración. Vive sola en {STREET} y se la localiza en el móvil {PHONE}. Su número de afiliación a la Seguridad Social es {INSURANCE}. Hemoglobina 11,2 y plaquetas 203.000 en el último control.\n\nUn saludo,\nDr. Lago (Nº de colegiado {PROFESSIONAL})",
        "HOJA DE ADMISIÓN | Servicio: Urgencias\nHistoria: {RECORD} | Tarjeta sanitaria: {INSURANCE}\nF. nac.: {BIRTH} | Tfno.: {PHONE}\nDirección: {STREET} | C.P. {POSTCODE}\nMédico responsable, n.º col. {PROFESSIONAL}\nTriaje 3. Box 12. Constantes: FC 88, Tª 37,4.",
        "Paciente de 54 años (NHC {RECORD}) que consulta por cefalea. Refiere que cambió de domicilio en marzo: ahora reside en {STREET} (código postal {POSTCODE}). Avisar a su hija en el {PHONE}. Póliza de la aseguradora: {INSURANCE}. Firma el informe el médico colegiado {PROFESSIONAL}.",
        "De: admision\nPara: archivo\nAsunto: cambio de datos\n\nBuenos días, por favor actualizad la ficha de la historia clínica {RECORD}:\n- dirección: {STREET}\n- código postal: {POSTCODE}\n- teléfono fijo: {PHONE}\n- nº de la Seguridad Social: {INSURANCE}\nLa solicitud la firma el facultativo con número de colegiado {PROFESSIONAL}. Gracias.",
        "{{\"nhc\": \"{RECORD}\", \"nass\": \"{INSURANCE}\", \"fecha_nacimiento\": \"{BIRTH}\", \"direccion\": \"{STREET}\", \"cp\": \"{POSTCODE}\", \"telefono\": \"{PHONE}\", \"num_colegiado\": \"{PROFESSIONAL}\", \"edad\": 63}}",
        "Informe de consultas externas\nIdentificación: historia n.º {RECORD}\nAfiliado n.º {INSURANCE}\nNacimiento: {BIRTH}\nDomicilio habitual: {STREET}\n{POSTCODE} Valencia\nTlf: {PHONE}\n\nJuicio clínico: gonartrosis grado 2. Revisión en 6 meses.\n\nDra. Soler, Col. {PROFESSIONAL}",
        "Evolución. Mujer de 81 años, HC {RECORD}, ingresada el 4 de mayo. Contacto familiar: {PHONE} (hijo). Alta a domicilio, {STREET}. Tarjeta sanitaria individual {INSURANCE}. Próxima cita el 02/09/2019 a las 10:30. Colegiado n.º {PROFESSIONAL}.",
        "| Campo | Valor |\n|---|---|\n| Nº historia | {RECORD} |\n| Nº afiliación SS | {INSURANCE} |\n| Domicilio | {STREET} |\n| CP | {POSTCODE} |\n| Teléfono | {PHONE} |\n| Nº colegiado | {PROFESSIONAL} |",
    ),
    "de": (
        "Entlassungsbrief\n\nPatient: Herr Brandt, geb. {BIRTH}, wohnhaft {STREET}, {POSTCODE} Kassel\nPatientennummer: {RECORD}\nVersichertennummer: {INSURANCE}\nTelefon: {PHONE}\n\nSehr geehrte Frau Kollegin, wir berichten über den stationären Aufenthalt vom 03.05. bis 11.05.2019. Diagnosen: Pneumonie, Hypertonie. Hb 12,4 g/dl.\n\nDr. Vogt, LANR {PROFESSIONAL}",
        "Aufnahmebogen\nFallnummer: {RECORD}\nKrankenkasse: AOK, Versicherten-Nr. {INSURANCE}\nGeburtsdatum: {BIRTH}\nAnschrift: {STREET}\nPLZ/Ort: {POSTCODE} Jena\nTel.: {PHONE}\nArzt-Nr.: {PROFESSIONAL}\nGewicht 81 kg, RR 140/85.",
        "Hallo zusammen, bitte die Akte {RECORD} heraussuchen. Die Patientin (geboren am {BIRTH}) ist umgezogen, neue Adresse {STREET}, Postleitzahl {POSTCODE}. Rückruf unter {PHONE}. Ihre Versichertennummer lautet {INSURANCE}. Arztnummer auf dem Rezept: {PROFESSIONAL}.",
    ),
    "fr": (
        "Compte rendu d'hospitalisation\n\nPatient né le {BIRTH}, demeurant {STREET}, {POSTCODE} Lyon\nN° de dossier : {RECORD}\nN° de sécurité sociale : {INSURANCE}\nTéléphone : {PHONE}\n\nMotif : douleur thoracique depuis 2 heures. TA 150/90, SpO2 97 %.\n\nDr Morel, RPPS {PROFESSIONAL}",
        "Fiche d'admission\nIPP : {RECORD}\nDate de naissance : {BIRTH}\nNuméro d'assuré : {INSURANCE}\nAdresse : {STREET}\nCode postal : {POSTCODE}\nTél. : {PHONE}\nMédecin traitant, N° RPPS : {PROFESSIONAL}\nPoids 68 kg, température 37,9.",
        "Bonjour, merci de mettre à jour le dossier {RECORD}. La patiente habite maintenant au {STREET} (code postal {POSTCODE}) et son portable est le {PHONE}. Son numéro de sécurité sociale est {INSURANCE}. Ordonnance signée par le médecin, numéro RPPS {PROFESSIONAL}.",
    ),
    "it": (
        "Lettera di dimissione\n\nPaziente nato il {BIRTH}, residente in {STREET}, {POSTCODE} Bologna\nCartella clinica n. {RECORD}\nTessera sanitaria: {INSURANCE}\nTelefono: {PHONE}\n\nMotivo del ricovero: febbre da 4 giorni. PA 135/80, SpO2 95 %.\n\nDott. Ferri, iscrizione all'albo n. {PROFESSIONAL}",
        "Scheda di accettazione\nNumero cartella: {RECORD}\nData di nascita: {BIRTH}\nNumero di assicurato: {INSURANCE}\nIndirizzo: {STREET}\nCAP: {POSTCODE}\nTel.: {PHONE}\nMedico, n. iscrizione {PROFESSIONAL}\nPeso 72 kg, glicemia 104.",
        "Buongiorno, vi chiedo di aggiornare la cartella {RECORD}. La paziente abita ora in {STREET} (CAP {POSTCODE}), cellulare {PHONE}. Il numero della tessera sanitaria è {INSURANCE}. Ricetta firmata dal medico, numero di iscrizione {PROFESSIONAL}.",
    ),
    "pt": (
        "Relatório de alta\n\nDoente nascido a {BIRTH}, residente na {STREET}, {POSTCODE} Braga\nProcesso clínico n.º {RECORD}\nN.º de utente: {INSURANCE}\nTelefone: {PHONE}\n\nMotivo de internamento: tosse com 5 dias de evolução. TA 130/75.\n\nDr. Matos, cédula profissional {PROFESSIONAL}",
        "Ficha de admissão\nNúmero de processo: {RECORD}\nData de nascimento: {BIRTH}\nNúmero de beneficiário: {INSURANCE}\nMorada: {STREET}\nCódigo postal: {POSTCODE}\nTelemóvel: {PHONE}\nMédico, n.º da Ordem {PROFESSIONAL}\nPeso 64 kg, glicemia 98.",
        "Bom dia, agradeço que atualizem o processo {RECORD}. A doente mora agora na {STREET} (código postal {POSTCODE}) e o telemóvel é {PHONE}. O número de utente é {INSURANCE}. Receita assinada pelo médico, cédula n.º {PROFESSIONAL}.",
    ),
    "nl": (
        "Ontslagbrief\n\nPatiënt geboren op {BIRTH}, wonende {STREET}, {POSTCODE} Utrecht\nPatiëntnummer: {RECORD}\nVerzekerdennummer: {INSURANCE}\nTelefoon: {PHONE}\n\nReden van opname: benauwdheid sinds 3 dagen. RR 138/84.\n\nDr. De Wit, BIG-nummer {PROFESSIONAL}",
        "Opnameformulier\nDossiernummer: {RECORD}\nGeboortedatum: {BIRTH}\nPolisnummer: {INSURANCE}\nAdres: {STREET}\nPostcode: {POSTCODE}\nTel.: {PHONE}\nArts, AGB-code {PROFESSIONAL}\nGewicht 77 kg, glucose 5,4.",
        "Goedemorgen, graag dossier {RECORD} bijwerken. De patiënte woont nu op {STREET} (postcode {POSTCODE}), mobiel {PHONE}. Haar verzekerdennummer is {INSURANCE}. Recept getekend door de arts, BIG-registratie {PROFESSIONAL}.",
    ),
}  # fmt: skip

LOCALES = {"es": "es_ES", "de": "de_DE", "fr": "fr_FR", "it": "it_IT", "pt": "pt_PT", "nl": "nl_NL"}
_MONTHS = {
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
}
# "#" is any digit, "%" one that is not 0, "?" a capital.
_SHAPES: dict[tuple[str, str], tuple[str, ...]] = {
    ("es", "RECORD"): ("%#####", "%######", "%#######", "nhc-%#####", "HC%######", "%#-%#####"),
    ("es", "INSURANCE"): ("## %#######", "## %####### ##", "############", "##/%#######/##", "##%#########", "???? %##### ####", "????%#########"),
    ("es", "PROFESSIONAL"): ("28 28 %####", "2828%####", "28/%####", "46-%####", "0808%####", "%####"),
    ("es", "PHONE"): ("91# ## ## ##", "9%#######", "6%# ### ###", "6%#######", "+34 6%# ## ## ##", "(+34) 91 ### ## ##", "95 ### ## ##", "6%#-##-##-##"),
    ("es", "POSTCODE"): ("28###", "41###", "080##", "46###", "50###"),
    ("de", "RECORD"): ("%#####", "%#######", "P-%#####", "%###/##", "20%######"),
    ("de", "INSURANCE"): ("?#########", "?## ### ###", "%#########"),
    ("de", "PROFESSIONAL"): ("%########", "%##### ###"),
    ("de", "PHONE"): ("0%### %#####", "0%##/%######", "+49 %## %######", "01%# %#######", "(0%###) %#####", "0%##-%#####"),
    ("de", "POSTCODE"): ("34###", "07###", "10###", "80###"),
    ("fr", "RECORD"): ("%#######", "%########", "%#####", "D%######"),
    ("fr", "INSURANCE"): ("1 %# 0% 75 ### ### ##", "2%#0%69######", "2 %# 0% 33 ### ### ##", "1%#0%31########"),
    ("fr", "PROFESSIONAL"): ("10%########", "%########", "75%######"),
    ("fr", "PHONE"): ("0% ## ## ## ##", "06########", "+33 6 ## ## ## ##", "04.##.##.##.##", "01-##-##-##-##"),
    ("fr", "POSTCODE"): ("690##", "750##", "33###", "59###"),
    ("it", "RECORD"): ("%######", "20%#/%####", "%#####", "CC%#####"),
    ("it", "INSURANCE"): ("80380###############", "%#########", "8038%###############"),
    ("it", "PROFESSIONAL"): ("%####", "%###", "RM/%####", "MI-%####"),
    ("it", "PHONE"): ("051 %######", "3%# #######", "+39 3%# ### ####", "06%#######", "02/%######"),
    ("it", "POSTCODE"): ("401##", "001##", "201##"),
    ("pt", "RECORD"): ("%######", "%#####", "P%######", "20%#/%####"),
    ("pt", "INSURANCE"): ("%########", "%## ### ###", "%##########"),
    ("pt", "PROFESSIONAL"): ("%####", "M%####", "%###"),
    ("pt", "PHONE"): ("9%# ### ###", "9%#######", "+351 21 ### ####", "253 ### ###", "21#######"),
    ("pt", "POSTCODE"): ("4%##-###", "1%##-###", "3%##-###"),
    ("nl", "RECORD"): ("%######", "%#######", "D%#####", "20%#-%####"),
    ("nl", "INSURANCE"): ("%########", "%#########", "A%########"),
    ("nl", "PROFESSIONAL"): ("%##########", "%#######"),
    ("nl", "PHONE"): ("06-%#######", "06 %#######", "030-%######", "+31 6 %#######", "020 %### ###"),
    ("nl", "POSTCODE"): ("3%## ??", "1%##??", "9%## ??"),
}  # fmt: skip


def shaped(shape: str, draw: random.Random) -> str:
    """A value of this shape."""
    made = {
        "#": "0123456789",
        "%": "123456789",
        "?": "ABCDEFGHJKLMNPRSTVWXYZ",
    }
    return "".join(draw.choice(made[c]) if c in made else c for c in shape)


def value(language: str, place: str, draw: random.Random) -> str:
    """What stands at ``place`` in a note of ``language``."""
    if place == "BIRTH":
        return _birth(language, draw)
    if place == "STREET":
        return _street(language, draw)
    return shaped(draw.choice(_SHAPES[language, place]), draw)


def _birth(language: str, draw: random.Random) -> str:
    day, month, year = draw.randrange(1, 29), draw.randrange(1, 13), draw.randrange(1925, 2016)
    named = _MONTHS[language].split()[month - 1]
    of = {"es": " de ", "pt": " de ", "de": ". "}.get(language, " ")
    written = f"{day}{of}{named}{' de ' if of == ' de ' else ' '}{year}"
    return draw.choice(
        (
            f"{day:02}/{month:02}/{year}",
            f"{day:02}.{month:02}.{year}",
            f"{day:02}-{month:02}-{year}",
            f"{year}-{month:02}-{day:02}",
            written,
        )
    )


_STREETS: dict[str, tuple[str, ...]] = {
    "es": (
        "Calle Miguel Benítez {n}", "C/ del Pez, {n}, 2º izda", "Avda. de América {n}, 3º B", "Calle de la Cruz Verde nº {n}", "Plaza de España, {n}", "Paseo de la Castellana {n}",
        "C/ Alcalde Sáinz de Baranda {n} 1º D", "Av. Diagonal, {n}", "Camino Viejo de Leganés {n}", "Travesía del Horno, {n}", "Ronda de Atocha {n}", "Calle Sol s/n",
    ),
    "de": ("Lindenstraße {n}", "Am Alten Markt {n}", "Goethestr. {n}a", "Berliner Straße {n}", "Kirchweg {n}", "Heinrich-Heine-Allee {n}", "Hinter der Mauer {n}"),
    "fr": ("{n} rue des Lilas", "{n}, avenue Jean Jaurès", "{n} bis rue de la République", "{n} place du Marché", "{n} chemin des Vignes", "{n}, boulevard Saint-Michel", "{n} allée des Tilleuls"),
    "it": ("Via Giuseppe Verdi {n}", "Viale dei Mille, {n}", "Piazza San Marco {n}", "Corso Vittorio Emanuele {n}", "Via dell'Indipendenza {n}/A", "Largo Augusto {n}", "Via XX Settembre, {n}"),
    "pt": ("Rua das Flores, {n}", "Avenida da Liberdade {n}, 2.º Esq.", "Praça do Comércio {n}", "Travessa do Carmo, n.º {n}", "Rua Dr. António José de Almeida {n}", "Largo da Sé {n}", "Estrada da Luz {n}"),
    "nl": ("Kerkstraat {n}", "Prinses Beatrixlaan {n}", "Oude Gracht {n}", "Van Goghweg {n}-2", "Stationsplein {n}", "Lange Voorhout {n}", "Johan de Wittlaan {n} bis"),
}  # fmt: skip


def _street(language: str, draw: random.Random) -> str:
    return draw.choice(_STREETS[language]).replace("{n}", str(draw.randrange(2, 240)))


def notes(language: str, seed: int) -> Iterator[tuple[str, list[tuple[str, int, int]]]]:
    """(text, values as (type, start, end)) without end; the same for the same seed."""
    draw = random.Random(f"{seed} notes {language}")
    number = 0
    while True:
        template = NOTES[language][number % len(NOTES[language])]
        number += 1
        pieces: list[str] = []
        spans: list[tuple[str, int, int]] = []
        length = 0
        for piece in re.split(r"(\{[A-Z]+\})", template.replace("{{", "\1").replace("}}", "\2")):
            place = piece[1:-1]
            one = value(language, place, draw) if place in TYPES else piece
            if place in TYPES:
                spans.append((TYPES[place], length, length + len(one)))
            pieces.append(one.replace("\1", "{").replace("\2", "}"))
            length += len(one)
        yield "".join(pieces), spans


def emails(language: str, draw: random.Random) -> str:
    fake = Faker(LOCALES[language])
    fake.seed_instance(draw.getrandbits(32))
    return str(fake.free_email())
