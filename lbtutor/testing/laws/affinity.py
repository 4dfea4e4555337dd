"""Cookie affinity: a client stays where it is for as long as that server can serve it."""

from __future__ import annotations

from lbtutor.testing.lawbook import law
from lbtutor.testing.program import SILENT, Broken, Run
from lbtutor.testing.worlds.affinity import Visit, forgeries, newcomers


@law("affinity", hint="What may a cookie be? None, empty, as long as somebody likes, and never one of yours.")
def it_never_fails(run: Run[Visit]) -> None:
    """Whatever cookie a client shows, the answer is a pair, a server and a cookie to set, and no call raises."""
    if run.fault is not None:
        raise Broken(run.moments[-1] if run.moments else None, "an answer", str(run.fault))
    for visit in run.answered("visit"):
        if not visit.fits:
            raise Broken(visit, "(name, set_cookie), with a text or None for the cookie", repr(visit.answer))


@law(
    "affinity",
    meets=("a client came after a server had failed", "nobody was there"),
    hint="Before you follow a cookie: is that server still a member, and is it healthy?",
)
def whoever_is_chosen_is_there_and_healthy(run: Run[Visit]) -> None:
    """A client goes to a server that is a member and healthy, and to None exactly when there is none."""
    failed = False
    for visit in run.moments:
        failed = failed or visit.kind == "fail"
        if visit.kind != "visit" or visit.answer is SILENT:
            continue
        run.meet("a client came after a server had failed", int(failed and bool(visit.eligible)))
        run.meet("nobody was there", int(not visit.eligible))
        right = visit.answer in visit.eligible if visit.eligible else visit.answer is None
        if not right and visit.fits:
            there = f"{', '.join(visit.eligible)} can be used" if visit.eligible else "nobody can be used"
            raise Broken(visit, " or ".join(visit.eligible) or "None", str(visit.answer), there)


@law(
    "affinity",
    meets=("a client came again", "a client came again after its server had failed"),
    hint="Write down the cookie that the client holds at each line of the story, and what your code reads from it.",
)
def a_client_stays(run: Run[Visit]) -> None:
    """A client that comes again goes to the server it had, while that is there; after a failure, to its new one."""
    for visit in run.answered("visit"):
        if not visit.known or visit.home not in visit.eligible or visit.answer not in visit.eligible:
            continue
        run.meet("a client came again")
        run.meet("a client came again after its server had failed", int(visit.first not in ("", visit.home)))
        allowed = _where(visit, run.claims.get("failback"))
        if visit.answer not in allowed:
            raise Broken(
                visit, " or ".join(allowed), str(visit.answer), f"{visit.client} was sent to {visit.home} the last time"
            )


def _where(visit: Visit, failback: object) -> list[str]:
    """Where the client may go: to its last server; or, if that is claimed, back to the first one, or to the one that
    its cookie was given for. Whoever goes back keeps its cookie, so its place meanwhile is found anew, and may be
    another when others can be used."""
    homes = dict.fromkeys((visit.first, visit.named))
    if failback is not False and visit.moved and visit.named not in visit.eligible:
        return list(visit.eligible)
    back = [name for name in homes if name in visit.eligible and name != visit.home]
    return [visit.home] if failback is False or not back else back if failback is True else [visit.home, *back]


@law(
    "affinity",
    meets=("a client came without a cookie", "a client came with a foreign cookie"),
    hint="By what will the next request of this client be known?",
)
def a_stranger_gets_a_cookie(run: Run[Visit]) -> None:
    """A client without a cookie, or with one that nobody gave it, is given one."""
    for visit in run.answered("visit"):
        if (visit.shows is not None and visit.known) or visit.answer not in visit.eligible:
            continue
        run.meet(f"a client came {'without a cookie' if visit.shows is None else 'with a foreign cookie'}")
        if visit.given is None:
            raise Broken(visit, "a cookie to set", "None", f"{visit.client} shows none of yours")


@law(
    "affinity",
    source=newcomers,
    times=5,
    meets=("a hundred newcomers came",),
    hint="Which server does a client get that has no cookie yet, and the client after it?",
)
def newcomers_are_balanced(run: Run[Visit]) -> None:
    """A hundred new clients do not all go to one server."""
    visits = [visit for visit in run.answered("visit") if visit.shows is None and len(visit.eligible) > 1]
    if len(visits) < 100:
        return
    run.meet("a hundred newcomers came")
    if len({visit.answer for visit in visits}) == 1:
        raise Broken(visits[-1], "more than one server for 100 clients", f"{visits[-1].answer} each time")


@law(
    "affinity",
    claims={"signed": True},
    source=forgeries,
    times=5,
    meets=("a forged cookie came",),
    hint="What in the cookie proves that you wrote it, and does the proof cover every letter of the rest?",
)
def a_changed_cookie_is_not_followed(run: Run[Visit]) -> None:
    """A cookie with one letter changed does not lead to another server: who shows it is given a new one."""
    for visit in run.answered("visit"):
        if not visit.forged or visit.answer not in visit.eligible:
            continue
        run.meet("a forged cookie came")
        if visit.given in (None, visit.shows) and visit.answer != visit.home:
            why = f"it was made of one for {visit.home} by a change of one letter"
            raise Broken(visit, "a new cookie", f"{visit.answer}, as the forged one says", why)
