"""The router: what matches, that what matches is found, and who wins."""

from __future__ import annotations

from lbtutor.testing.lawbook import law
from lbtutor.testing.program import Broken, Run
from lbtutor.testing.worlds.router import Asked, rivals, says


@law("router", hint="Which part of a rule or of a request may be missing?")
def it_never_fails(run: Run[Asked]) -> None:
    """Every request gets a target or None, and no call raises."""
    if run.fault is not None:
        raise Broken(run.moments[-1] if run.moments else None, "a target or None", str(run.fault))


@law(
    "router",
    meets=("a rule did not match",),
    hint="Take the rule that was used, and compare host, path (segment by segment) and each header with the request.",
)
def a_rule_that_does_not_match_is_not_used(run: Run[Asked]) -> None:
    """The target is that of a rule whose host, whole path segments and headers all match."""
    for asked in run.answered("ask"):
        matching = {rule[3] for rule in asked.matching(deep=True)}
        run.meet("a rule did not match", len(asked.rules) - len(matching))
        if asked.answer is not None and asked.answer not in matching:
            rule = next((says(rule) for rule in asked.rules if rule[3] == asked.answer), None)
            why = f"the rule for {rule} does not match" if rule else "no rule has that target"
            raise Broken(asked, " or ".join(sorted(asked.best(deep=True))) or "None", str(asked.answer), why)


@law(
    "router",
    meets=("a rule matched", "a host in capitals or with a port matched", "a path with a query matched"),
    hint="Capitals, a port, a query, a slash at the end: which of these may a request have that a rule has not?",
)
def a_rule_that_matches_is_found(run: Run[Asked]) -> None:
    """When a rule matches, there is a target."""
    for asked in run.answered("ask"):
        matching = asked.matching(deep=False)
        if not matching:
            continue
        _, host, path, _ = run.program.ops[asked.op]
        run.meet("a rule matched")
        run.meet("a host in capitals or with a port matched", int(host != asked.host))
        run.meet("a path with a query matched", int(path != asked.path))
        if asked.answer is None and not (run.claims["hosts"] == "any" and asked.is_left_to_its_host()):
            best = " or ".join(sorted(asked.best(deep=False)))
            raise Broken(asked, best, "None", f"the rule for {says(matching[0])} matches")


@law(
    "router",
    claims={"precedence": "specific"},
    source=rivals,
    times=60,
    meets=("several rules matched",),
    hint="Of two rules that match, what is compared first: host, path, headers, or their place in the list?",
)
def the_most_specific_rule_wins(run: Run[Asked]) -> None:
    """Of several rules that match, the exact host wins before a longer wildcard, then more segments, then headers."""
    for asked in run.answered("ask"):
        allowed = asked.best(deep=True) | asked.best(deep=False)
        matching = {rule[3]: rule for rule in asked.matching(deep=True)}
        run.meet("several rules matched", int(len(asked.matching(deep=False)) > 1))
        if asked.answer in matching and asked.answer not in allowed:
            best = sorted(allowed)
            better = f"{says(matching[best[0]])} is more specific than {says(matching[str(asked.answer)])}"
            raise Broken(asked, " or ".join(best), str(asked.answer), better)
