"""The robustness gate: what becomes of the model's answers when rows are a little wrong, and what of the champion's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlship.gates import limits
from mlship.gates.base import FEWEST_ROWS, GateContext, without
from mlship.gates.robustness import perturb
from mlship.gates.robustness.columns import columns_rule, shuffled_rule, shuffled_tables
from mlship.gates.robustness.perturbed import Sample
from mlship.gates.robustness.rules import Perturbation
from mlship.policy.gates import RobustnessGate
from mlship.report.figures import listed, share, things
from mlship.types import GateResult, Status

if TYPE_CHECKING:
    import pandas as pd


class Robustness:
    """The rules of `gates.robustness`, on a seeded sample of the evaluation rows."""

    name = "robustness"

    def judge(self, context: GateContext) -> list[GateResult]:
        """A drop, and where asked a share of flips, for each perturbation; then the columns."""
        rules = context.policy.gates.robustness
        if rules is None:
            return []
        rows = context.evaluation
        if rows is None or len(rows) < FEWEST_ROWS:
            reason = (
                "the policy names no evaluation data"
                if rows is None
                else f"the evaluation data has {things(len(rows), 'row')}; below {FEWEST_ROWS} nothing is decided"
            )
            return [without(self.name, "rows", Status.INCONCLUSIVE, f">= {FEWEST_ROWS} rows", reason)]
        sample = Sample.of(context, rules.rows, rules.metric)
        tried = perturbations(rules, sample)
        tables: dict[str, pd.DataFrame] = {}
        for perturbation in tried:
            tables |= perturbation.tables(sample)
        if rules.permuted:
            tables |= shuffled_tables(sample)
        context.tick(1, 4)
        found = sample.ask(tables)
        context.tick(2, 4)
        results = [result for perturbation in tried for result in perturbation.judged(sample, rules, found)]
        context.tick(3, 4)
        if rules.permuted:
            results.append(shuffled_rule(sample, found))
        if rules.columns:
            results.append(columns_rule(sample, rules))
        return results


def perturbations(rules: RobustnessGate, sample: Sample) -> list[Perturbation]:
    """What the policy asks for, with the columns that it can be done to."""
    numbers = tuple(column for column in sample.columns if column.kind in ("number", "whole"))
    texts = tuple(column for column in sample.columns if column.kind == "text")
    may_miss = tuple(column for column in sample.columns if column.may_miss)
    never = [column.name for column in sample.columns if not column.may_miss]
    refused = f"{listed(never)} {'holds' if len(never) == 1 else 'hold'} whole numbers in the signature"
    strengths = limits.perturbations(rules)
    known = [
        Perturbation(
            rule="noise",
            strength=strengths.get("noise", 0),
            words=f"noise of {share(rules.noise)} of a standard deviation",
            axis="noise, in standard deviations",
            touched=numbers,
            make=lambda frame, strength, columns: perturb.noise(frame, strength, sample.rng("noise"), columns),
            nothing="no input holds numbers",
        ),
        Perturbation(
            rule="missing",
            strength=strengths.get("missing", 0),
            words=f"{share(rules.missing)} of the values missing",
            axis="share of values missing",
            touched=may_miss,
            make=lambda frame, strength, columns: perturb.missing(frame, strength, sample.rng("missing"), columns),
            nothing=f"no input may miss a value: {refused}, and one that misses is refused",
            note=f"{refused}: a row that misses one is refused" if never else "",
            most=1,
        ),
        Perturbation(
            rule="scale",
            strength=strengths.get("scale", 0),
            words=f"numbers {share(rules.scale)} too high",
            axis="share by which numbers are too high",
            touched=numbers,
            make=perturb.scale,
            nothing="no input holds numbers",
        ),
        Perturbation(
            rule="unseen_categories",
            strength=strengths.get("unseen_categories", 0),
            words=f"{share(limits.UNSEEN_SHARE)} of the texts never seen before",
            axis="share of texts never seen before",
            touched=texts,
            make=lambda frame, strength, columns: perturb.unseen(frame, strength, sample.rng("unseen"), columns),
            nothing="no input holds texts",
            most=1,
        ),
    ]
    return [perturbation for perturbation in known if perturbation.strength]
