"""mlmguard: decide whether a masked language model trained on people's text may be released."""

__version__ = "0.1.0"
