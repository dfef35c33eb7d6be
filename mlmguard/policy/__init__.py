"""Policies as data, and the judge: what a policy may say, how it is read, what it says of evidence."""

from mlmguard.moved import names_of

__getattr__ = names_of(__name__)
