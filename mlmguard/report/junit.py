"""The verdicts as JUnit XML, for whatever shows the tests of a pipeline.

Each rule is a test. What is not known is an *error*, as a test that could not run is: a pipeline must not
read it as green. A waived rule is skipped and says by whom, one that does not apply or is out of reach says
why; a warning passes and stands in ``system-out``.
"""

from __future__ import annotations

from xml.etree import ElementTree as xml

from mlmguard.report import words
from mlmguard.report.clearance import Case
from mlmguard.types import Status, Verdict

_ELEMENT = {
    Status.FAIL: "failure",
    Status.INCONCLUSIVE: "error",
    Status.WAIVED: "skipped",
    Status.OUT_OF_REACH: "skipped",
    Status.NOT_APPLICABLE: "skipped",
}


def render(case: Case) -> str:
    """One suite for the policy. Its time is the day of the judgement: seconds would change every report."""
    judgement = case.judgement
    verdicts = judgement.verdicts if judgement else ()
    policy = judgement.policy if judgement else "no policy"
    counted = {status: sum(v.status is status for v in verdicts) for status in Status}
    silent = words.said_by_no_rule(case)
    suites = xml.Element("testsuites")
    suite = xml.SubElement(
        suites,
        "testsuite",
        {
            "name": f"mlmguard {policy}",
            "package": "mlmguard",
            "id": "0",
            "timestamp": f"{judgement.day or '1970-01-01' if judgement else '1970-01-01'}T00:00:00",
            "hostname": "localhost",
            "tests": str(len(verdicts) + silent),
            "failures": str(counted[Status.FAIL]),
            "errors": str(counted[Status.INCONCLUSIVE] + silent),
            "skipped": str(sum(counted[status] for status, what in _ELEMENT.items() if what == "skipped")),
            "time": "0",
        },
    )
    properties = xml.SubElement(suite, "properties")
    facts = {"run": case.evidence.run_id, "verdict": words.headline(case)[0]}
    if judgement:
        facts |= {"policy version": judgement.policy_version, "policy sha256": judgement.policy_hash}
    for name, value in facts.items():
        xml.SubElement(properties, "property", {"name": name, "value": value})
    for verdict in verdicts:
        _case(suite, policy, verdict)
    if silent:
        test = xml.SubElement(suite, "testcase", {"name": "verdict", "classname": policy, "time": "0"})
        sentence = " ".join(words.headline(case))
        xml.SubElement(test, "error", {"message": sentence, "type": "inconclusive"}).text = sentence
    warned = [f"{v.rule}: warning, {v.reason}" for v in verdicts if v.status is Status.WARN]
    xml.SubElement(suite, "system-out").text = "\n".join(warned)
    xml.SubElement(suite, "system-err")
    xml.indent(suites)
    return xml.tostring(suites, "unicode", xml_declaration=True) + "\n"


def _case(suite: xml.Element, policy: str, verdict: Verdict) -> None:
    names = {"name": verdict.rule, "classname": policy, "time": "0"}
    test = xml.SubElement(suite, "testcase", names)
    element = _ELEMENT.get(verdict.status)
    if element is None:
        return
    attributes = {"message": verdict.reason}
    if element != "skipped":
        attributes["type"] = verdict.status.value
    outcome = xml.SubElement(test, element, attributes)
    outcome.text = f"{verdict.title}\nrequired: {verdict.required}\nobserved: {verdict.observed}"
