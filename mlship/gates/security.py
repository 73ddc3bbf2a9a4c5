"""The security gate: is it safe to load this model, and what does it ask for?"""

from __future__ import annotations

from mlship.exhibits import Table
from mlship.gates import requirements
from mlship.gates.base import GateContext, without
from mlship.gates.requirements import Required
from mlship.report.figures import count, listed, things
from mlship.scan.findings import Finding, Findings, Kind
from mlship.scan.scan import advice, scanned
from mlship.types import GateResult, Measurement, ModelVersion, Status

_SCAN, _CODE = "nothing untrusted", "none, or trusted"
_MOST_ROWS = 20


class Security:
    """Always judged: nothing is loaded before its files have been looked through."""

    name = "security"

    def judge(self, context: GateContext) -> list[GateResult]:
        """Results for the candidate's scan and code, the champion's, and the candidate's packages."""
        candidate = context.candidate
        section = context.policy.gates.security
        if not section.scan:
            reason = "the policy turns the scan off: the models are loaded unseen"
            results = [without(self.name, "scan", Status.SKIPPED, _SCAN, reason)]
        else:
            results = self._scan(context, candidate.version)
            if candidate.champion is not None:
                results.append(self._champion(context, candidate.champion))
        packages = requirements.required(candidate.version.path)
        return [*results, self._unpinned(context, packages), *self._vulnerable(context, packages)]

    def _scan(self, context: GateContext, version: ModelVersion) -> list[GateResult]:
        section = context.policy.gates.security
        findings = scanned(version, section, context.home)
        others = [one for one in findings.found if one.kind is not Kind.CODE]
        code = [one for one in findings.found if one.kind is Kind.CODE]
        reached = f"loading its {things(findings.files, 'file')} reaches {things(findings.types, 'type')}"
        said = f"{reached}, all trusted" if not others else self._told(others, findings)
        results = [self._result("scan", _SCAN, others, findings, said)]
        if section.allow_code:
            reason = "the policy trusts the code that comes with the model"
            results.append(without(self.name, "code", Status.SKIPPED, _CODE, reason))
        elif code:
            results.append(self._result("code", _CODE, code, findings, self._told(code, findings)))
        else:
            results.append(self._result("code", _CODE, [], findings, "the model brings no code of its own"))
        return results

    def _champion(self, context: GateContext, champion: ModelVersion) -> GateResult:
        findings = scanned(champion, context.policy.gates.security, context.home)
        if findings.safe:
            said = f"version {champion.version} may be loaded for comparison"
        else:
            said = f"version {champion.version}, which the candidate is compared with, is not loaded: "
            said += self._told(list(findings.found), findings)
        return self._result("champion", _SCAN, list(findings.found), findings, said)

    def _told(self, found: list[Finding], findings: Findings) -> str:
        only = Findings(tuple(found), findings.files, findings.types)
        return f"{listed([str(one) for one in found], 2)}; {advice(only)}"

    def _result(self, rule: str, limit: str, found: list[Finding], findings: Findings, reason: str) -> GateResult:
        status = Status.FAILED if found else Status.PASSED
        measured = Measurement("untrusted things", float(len(found)), n=findings.files, source="scan")
        table = Table(
            "What loading would reach",
            ("file", "why", "what"),
            tuple((one.file, one.kind.value, one.what) for one in found[:_MOST_ROWS]),
            note=f"{count(len(found))} in all" if len(found) > _MOST_ROWS else "",
        )
        return GateResult(self.name, rule, status, limit, reason, measured, exhibits=(table,) if len(found) > 2 else ())

    def _unpinned(self, context: GateContext, packages: tuple[Required, ...]) -> GateResult:
        judged = context.policy.gates.security.requirements.unpinned == "fail"
        limit = "none" if judged else "listed only"
        if not packages:
            status = Status.INCONCLUSIVE if judged else Status.SKIPPED
            return without(self.name, "unpinned", status, limit, "the model names no packages that it needs")
        loose = [one.text for one in packages if one.version is None]
        measured = Measurement("requirements without an exact version", float(len(loose)), n=len(packages))
        if not loose:
            reason = f"each of its {things(len(packages), 'requirement')} names an exact version"
            return GateResult(self.name, "unpinned", Status.PASSED, limit, reason, measured)
        reason = f"{count(len(loose))} of {things(len(packages), 'requirement')} name no exact version: {listed(loose)}"
        status = Status.FAILED if judged else Status.SKIPPED
        return GateResult(self.name, "unpinned", status, limit, reason, measured)

    def _vulnerable(self, context: GateContext, packages: tuple[Required, ...]) -> list[GateResult]:
        asked = context.policy.gates.security.requirements.vulnerable
        if asked == "off":
            return []
        rule, limit = "vulnerable", "none" if asked == "fail" else "listed only"
        undecided = Status.INCONCLUSIVE if asked == "fail" else Status.SKIPPED
        if not packages:
            return [without(self.name, rule, undecided, limit, "the model names no packages that it needs")]
        audit = requirements.audit(packages, context.home)
        if audit.reason:
            return [without(self.name, rule, undecided, limit, audit.reason)]
        measured = Measurement("known vulnerabilities", float(len(audit.found)), n=audit.looked_at, source="pip-audit")
        unknown = f"; nothing is known about {listed(list(audit.skipped))}" if audit.skipped else ""
        if not audit.found:
            status = undecided if audit.skipped else Status.PASSED
            reason = f"none is known in {things(audit.looked_at, 'package')}{unknown}"
            return [GateResult(self.name, rule, status, limit, reason, measured)]
        told = [f"{one.package} {one.version} ({one.id})" for one in audit.found]
        reason = f"{things(len(told), 'known vulnerability', 'known vulnerabilities')}: {listed(told, 3)}{unknown}"
        table = Table(
            "Known vulnerabilities",
            ("package", "version", "id", "mended in"),
            tuple((one.package, one.version, one.id, ", ".join(one.fixed) or None) for one in audit.found[:_MOST_ROWS]),
            note=f"{count(len(told))} in all" if len(told) > _MOST_ROWS else "",
        )
        status = Status.FAILED if asked == "fail" else Status.SKIPPED
        return [GateResult(self.name, rule, status, limit, reason, measured, exhibits=(table,))]
