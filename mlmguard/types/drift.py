"""What moved between two checkpoints, or between the text of a checkpoint and what comes now."""

from __future__ import annotations

from collections.abc import Mapping

from mlmguard.types.audit import AttackRun, Evidence, Measurement, ModelFacts
from mlmguard.types.noun import noun
from mlmguard.types.privacy import Seal


@noun
class Drift:
    """Numbers of two sides with their intervals, and the p-value of each that was tested. No text.

    ``compares`` is "texts" or "checkpoints"; ``judged_by`` says what the p-values compare with: "documents"
    dealt anew, or "earlier results".
    """

    run_id: str  # of the training of the checkpoint, or of the new one; "": not of ours
    compares: str
    judged_by: str
    model: ModelFacts
    earlier_model: ModelFacts | None  # of two checkpoints the old one
    documents: Mapping[str, int]  # that were compared: before, now; known: in which tokens were counted
    settings: Mapping[str, str]  # what has to agree where results are compared
    measurements: tuple[Measurement, ...]
    notes: tuple[str, ...]
    tool_version: str
    seal: Seal | None = None  # over the evidence that this is for a judge
    schema: str = "mlmguard/drift/v1"

    @property
    def evidence(self) -> Evidence:
        """What a judge and the writers of reports are given."""
        counted = ", ".join(f"{count:,} {side}" for side, count in sorted(self.documents.items()))
        return Evidence(
            run_id=self.run_id,
            model=self.model,
            manifest=None,
            statement=None,
            measurements=self.measurements,
            curves=(),
            attacks=(AttackRun("drift", "run", f"{self.compares}; documents: {counted}"),),
            notes=(f"Drift between {self.compares}, judged by {self.judged_by}.", *self.notes),
            tool_version=self.tool_version,
            seal=self.seal,
        )
