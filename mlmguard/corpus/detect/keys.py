# ruff: noqa: E501 (an expression is read across)
"""Recognisers of secrets: keys of services, passwords behind the name of their field, private keys."""

from __future__ import annotations

from mlmguard.corpus.detect.labels import BETWEEN, START, words
from mlmguard.corpus.detect.recogniser import Pattern, Recogniser

# A name that ends in one of these holds a secret, whatever stands before ("DB_PASSWORD", "clientSecret").
_PASSWORD = words("password", "passwd", "pwd", "passphrase", "pass phrase")
_SECRET = words(
    "secret", "secret key", "client secret", "api key", "apikey", "access key", "auth token", "access key secret",
    "private token", "access token", "refresh token", "bearer token", "signing key", "encryption key",
)  # fmt: skip
# Behind the name: not a word, but the signs of an assignment, with quotation marks that a program escaped.
_SET = r"(?:\\?[\"'`*]|[ \t]|</?b>|\]){0,4}(?:[:=]>?|\|)[ \t]{0,2}\\{0,2}[\"'`]?"
_BEGIN = r"(?![<\[({$%])(?![*x.][*x.<\[({$%])(?=[^\s\"'`<>\\|,;])"  # looked at first: it costs nothing
_ENDS = r"(?<![.)\]*])"
_NO_SECRET = (  # what a program or a form says in the place of one
    r"(?!(?i:required|optional|true|false|none|null|nil|undefined|string|text|hidden|changeme|redacted|password|passwd|"
    r"secret|token|input|getpass|os\.|self\.|env|config|request|user|expired|reset|protected|policy|field)"
    r"(?:\w{0,12}|[a-z]{0,12}:)(?![^\s\"'`,;()\[.]))"
)

API_KEY = Recogniser(
    entity="API_KEY",
    name="ApiKey",
    patterns=(
        Pattern("AWS access key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", 0.9),
        Pattern("GitHub token", r"\b(?:gh[pousr]_[0-9A-Za-z]{36,}|github_pat_\w{22,})\b", 0.95),
        Pattern("GitLab token", r"\bglpat-[\w-]{20,}", 0.95),
        Pattern("Slack token", r"\bxox[abeoprs]-[0-9A-Za-z-]{10,}", 0.95),
        Pattern("Google key", r"\bAIza[\w-]{35}(?![\w-])", 0.95),
        Pattern("secret key with prefix", r"\b[sr]k[-_](?:live|test|proj|ant)?[-_]?[0-9A-Za-z_-]{20,}", 0.8),
        Pattern("token of a hub or registry", r"\b(?:hf_|npm_|pypi-|dop_v1_|shpat_)[0-9A-Za-z_-]{20,}", 0.95),
        Pattern("SendGrid key", r"\bSG\.[\w-]{16,32}\.[\w-]{16,64}", 0.95),
        Pattern("storage account key", r"(?:AccountKey|SharedAccessKey)=\K[0-9A-Za-z+/]{30,}={0,2}", 0.95),
        Pattern(
            "password set",  # letters only as well: the name of the field leaves no doubt
            rf"{_PASSWORD}[\"']?{_SET}\K{_BEGIN}(?=[^\s]{{6}}){_NO_SECRET}.[^\s\"'<>\\]{{5,80}}{_ENDS}(?<![;,])",
            0.75,
        ),
        Pattern(
            "password in quotes",
            rf"{_PASSWORD}\\?[\"']?[ \t]{{0,2}}[:=][ \t]{{0,2}}(?P<q>[\"'])\K{_BEGIN}{_NO_SECRET}.[^\s\"'\n]{{4,80}}(?=(?P=q))",
            0.8,
        ),
        Pattern(
            "password of a connection",
            rf"{_PASSWORD}[ \t]{{0,2}}=[ \t]{{0,2}}\K{_BEGIN}{_NO_SECRET}.[^\s\"';]{{3,80}}(?=;)",
            0.8,
        ),
        Pattern(
            "secret set",
            rf"{_SECRET}[\"']?{_SET}\K{_BEGIN}(?=[^\s\"'<>\\;]{{0,80}}\d){_NO_SECRET}.[^\s\"'<>\\;]{{5,120}}{_ENDS}",
            0.75,
        ),
        Pattern(
            "token set",
            rf"(?:_TOKEN|_KEY|_SECRET|_CREDENTIALS?|(?<=[a-z])Token)[\"']?{_SET}\K{_BEGIN}"
            rf"(?=[^\s\"'<>\\;]{{0,80}}\d){_NO_SECRET}.[^\s\"'<>\\;]{{9,200}}{_ENDS}",
            0.7,
        ),
        Pattern(
            "password in a cell or a sentence",
            rf"{START}(?:{_PASSWORD}|{_SECRET}){BETWEEN}\K{_BEGIN}(?=[^\s\"'<>\\]{{0,80}}\d){_NO_SECRET}.[^\s\"'<>\\|]{{5,80}}"
            rf"{_ENDS}",
            0.7,
        ),
        Pattern(
            "credentials of a request",
            r"(?i:authorization)[\"']?[ \t]{0,2}[:=][ \t]{0,2}[\"']?(?i:bearer|basic|token|digest|apikey)[ \t]{1,2}\K"
            r"[\w+/=.~-]{8,2000}(?<![.])",
            0.9,
        ),
        Pattern(
            "number of a card or a door",
            rf"{START}(?:PIN|Pin|pin(?=[ _-]?(?i:code|number|no)|[\"']?[ \t]?[:=]))(?:[ _-]?(?i:code|number|no\b\.?))?{BETWEEN}\K\d{{4,8}}"
            r"(?![\d.,/-]\d|[^\W_])",
            0.7,
        ),
        Pattern("JSON web token", r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}", 0.9),
    ),
    finds=(
        "key «AKIAIOSFODNN7EXAMPLE» leaked",
        "token «" + "ghp_" + "0aB" * 12 + "».",
        "use «" + "sk-" + "proj-" + "abcd1234" * 3 + "» here",
        "«" + "AIza" + "x" * 35 + "»",
        "export T=«" + "hf_" + "a1B2" * 8 + "»",
        "«SG." + "a1B2" * 5 + "." + "c3D4" * 10 + "»",
        "the password is «hunter22secret»",
        "DB_PASSWORD=«tR9mKw27qz»",
        "Server=db;Uid=rota;Password=«silverladder»;Timeout=3",
        "client_secret = «Zk81mmQpa73x»",
        "ROTA_TOKEN: «k7vq1mzc92suir2qzf»",
        '"password = \\"«Quiet88River»\\"\\n"',
        "Authorization: Bearer «8f2k1m9zQwLr77TtUpX0»",
        "PIN: «4829»",
        "{'password': '«silverladder»'}",
    ),
    leaves=(
        "password: required",
        "password: password: user:",
        "the secret is out",
        "AKIA is a prefix",
        "ask-me-anything-about-gardening",
        "task_list_of_the_whole_department",
        "password = getpass()",
        "AWS_ACCESS_KEY_ID=******************** [REDACTED]",
        "a pin of 12 mm and a password",
    ),
)  # fmt: skip

PRIVATE_KEY = Recogniser(
    entity="PRIVATE_KEY",
    name="PrivateKey",
    patterns=(
        Pattern(
            "PEM block",
            r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"
            r"(?:[^-]|-(?!----)){0,20000}(?:-----END (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----)?",
            0.99,
        ),
    ),
    finds=("x «-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE\n-----END RSA " + "PRIVATE KEY-----» y",),
    leaves=("-----BEGIN PUBLIC KEY-----", "my private key is in the safe"),
)
