"""Where modules and names of the last version stand now; their old places work for one version more.

Nothing of a new place is imported until somebody asks for the old one (``mlmguard.__init__``). This file,
what asks for it and its test go with the next version. Standard library only.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MODULES: Mapping[str, str] = {
    "mlmguard.audited": "mlmguard.audit.checkpoint",
    "mlmguard.bench": "mlmguard.audit.bench",
    "mlmguard.rules": "mlmguard.policy.rule",
    "mlmguard.waivers": "mlmguard.policy.waiver",
    **{
        f"mlmguard.corpus.{name}": f"mlmguard.corpus.copies.{name}"
        for name in ("dedup", "minhash", "passages")
    },
    **{
        f"mlmguard.corpus.{name}": f"mlmguard.corpus.detect.{name}"
        for name in ("gates", "identifiers", "names", "prefilter", "presidio", "spans")
    },
    "mlmguard.corpus.originals": "mlmguard.corpus.read.originals",
    "mlmguard.corpus.pii": "mlmguard.corpus.detect.finder",
    "mlmguard.corpus.readers": "mlmguard.corpus.read.documents",
    "mlmguard.corpus.recognizers": "mlmguard.corpus.detect.builtin",
    "mlmguard.corpus.rule": "mlmguard.corpus.detect.recogniser",
    "mlmguard.corpus.sources": "mlmguard.corpus.read.sources",
    "mlmguard.leakage.ngrams": "mlmguard.leakage.ngram_index",
    "mlmguard.leakage.signals": "mlmguard.leakage.answers",
    "mlmguard.training.grad_layers": "mlmguard.training.clipping.layers",
    "mlmguard.training.grad_trace": "mlmguard.training.clipping.trace",
    "mlmguard.training.probing": "mlmguard.training.downstream",
    **{
        f"mlmguard.training.{name}": f"mlmguard.training.clipping.{name}"
        for name in ("per_sample", "precision", "unit_batch")
    },
    **{
        f"mlmguard.training.{name}": f"mlmguard.training.privacy.{name}"
        for name in ("claim", "ledger", "releases", "self_audit")
    },
    **{
        f"mlmguard.training.{name}": f"mlmguard.training.text.{name}"
        for name in ("masking", "objectives", "packing", "tokenizer", "tokens", "units")
    },
    "mlmguard.workflows": "mlmguard.commands",
    **{
        f"mlmguard.workflows.{name}": f"mlmguard.commands.{name}"
        for name in (
            "ablate", "baseline", "check", "compare", "demo", "doctor", "explain", "gate", "index", "ledger",
            "mask", "plan", "private_step", "probe", "publish", "review", "sample_review", "signature",
            "subject", "verify", "waive",
        )
    },
    "mlmguard.workflows.forget": "mlmguard.commands.forget_list",
    "mlmguard.workflows.glossary": "mlmguard.commands.explain",
    "mlmguard.workflows.policies": "mlmguard.commands.policy",
    "mlmguard.workflows.rerender": "mlmguard.commands.report",
}  # fmt: skip
"""Modules that are gone, and where most of their names are."""

NAMES: Mapping[str, str] = {
    "mlmguard.audit.corrected": "mlmguard.audit.evidence.corrected",
    "mlmguard.audit.read_checkpoint": "mlmguard.audit.checkpoint.read",
    "mlmguard.audited.Trained": "mlmguard.audit.checkpoint.Audited",
    "mlmguard.audited.read_checkpoint": "mlmguard.audit.checkpoint.read",
    "mlmguard.audited.read_foreign": "mlmguard.audit.checkpoint.read",
    "mlmguard.bench.AuditSettings": "mlmguard.settings.AuditSettings",
    "mlmguard.corpus.readers.MAX_CHARS": "mlmguard.corpus.read.document.MAX_CHARS",
    "mlmguard.corpus.readers.html_text": "mlmguard.corpus.read.html.html_text",
    "mlmguard.corpus.recognizers.Pattern": "mlmguard.corpus.detect.recogniser.Pattern",
    "mlmguard.corpus.recognizers.RULES": "mlmguard.corpus.detect.builtin.RECOGNISERS",
    "mlmguard.corpus.recognizers.Rule": "mlmguard.corpus.detect.recogniser.Recogniser",
    "mlmguard.corpus.rule.Rule": "mlmguard.corpus.detect.recogniser.Recogniser",
    "mlmguard.leakage.signals.LogitsAt": "mlmguard.leakage.scorer.LogitsAt",
    "mlmguard.leakage.signals.NextTokenScorer": "mlmguard.leakage.scorer.NextTokenScorer",
    "mlmguard.leakage.signals.Scorer": "mlmguard.leakage.scorer.Scorer",
    "mlmguard.policy.Policy": "mlmguard.policy.rule.Policy",
    "mlmguard.policy.fingerprint": "mlmguard.policy.judging.fingerprint_of",
    **{
        f"mlmguard.policy.{name}": f"mlmguard.policy.reading.{name}"
        for name in ("load", "parse", "policy_schema", "shipped")
    },
    **{
        f"mlmguard.policy.{name}": f"mlmguard.policy.judging.{name}"
        for name in ("exit_code", "judge", "worst")
    },
    **{
        f"mlmguard.training.clipping.{name}": f"mlmguard.training.clipping.clip.{name}"
        for name in ("Engine", "clipped_gradient_sum", "refuse_unclippable", "self_check")
    },
    "mlmguard.training.clipping.ClippedSum": "mlmguard.training.clipping.unit_batch.ClippedSum",
    "mlmguard.training.masking.read_mix": "mlmguard.settings.read_mix",
    "mlmguard.workflows.waive.Approval": "mlmguard.commands.approval.Approval",
    "mlmguard.workflows.waive.signed": "mlmguard.commands.approval.signed",
}
"""Names that are elsewhere, or called otherwise."""


def names_of(module: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of ``module``: gives a name from where it is now, with a line that says so."""

    def old_name(name: str) -> Any:
        old = f"{module}.{name}"
        if old in MODULES:
            return import_module(old)
        now = NAMES.get(old) or (f"{MODULES[module]}.{name}" if module in MODULES else "")
        place, _, new = now.rpartition(".")
        if not now or name.startswith("__") or not hasattr(import_module(place), new):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(f"{old} is now {now}", DeprecationWarning, stacklevel=2)
        return getattr(import_module(place), new)

    return old_name


def spec_of(module: str) -> ModuleSpec | None:
    """The module at an old place, made here; None where nothing has stood."""
    if module not in MODULES:
        return None
    package = any(name.startswith(f"{module}.") for name in MODULES)
    return ModuleSpec(module, _Loader(), is_package=package)


class _Loader(Loader):
    """Makes an empty module that knows where its names are."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__getattr__"] = names_of(module.__name__)
