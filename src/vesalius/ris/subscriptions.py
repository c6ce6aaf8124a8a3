"""Who hears of which workitem: subscriptions, of one, of all, or of all that match a question (PS3.4 CC.2.3).

Theory. What an AE hears of a workitem is a row of its own, whichever way it came (Table CC.2.3-2): a global
subscription makes one for every workitem that is there and for every one that comes, and can be suspended without
taking back those. What an AE said of one workitem goes before what it said of all, except that unsubscribing globally
ends everything. Whoever is subscribed anew is told at once what the state is.
"""

from __future__ import annotations

from vesalius.model import workitem_query
from vesalius.model import workitems as w
from vesalius.model.entities import Values
from vesalius.model.identifiers import is_valid_aet
from vesalius.model.orders import By
from vesalius.model.workitems import GlobalSubscription, Gone, Happening, Refused, Subscription, Workitem
from vesalius.ports.workitems import WorkitemView, WorkitemWork
from vesalius.standard import statuses

GLOBAL, FILTERED = "global", "filtered"
_ORIGIN = {w.GLOBAL_SUBSCRIPTION: GLOBAL, w.FILTERED_SUBSCRIPTION: FILTERED}
_PAGE = 500


def subscribe(work: WorkitemWork, by: By, uid: str, aet: str, *, locked: bool, keys: Values) -> None:
    """N-ACTION, type 3. `keys`: what workitems have to match, for the filtered subscription. Raises `Refused`."""
    _check(aet)
    origin = _ORIGIN.get(uid, "")
    if not origin:
        item = present(work, uid)
        work.subscribe(item.ref, Subscription(aet, locked))
        work.tell(aet, uid, Happening.STATE, w.state_report(item))
    else:
        _subscribe_globally(work, aet, locked, keys if origin == FILTERED else {}, origin)
    work.announce("workitem-subscribed", by, {"workitem": uid, "aet": aet, "lock": "yes" if locked else "no"})


def unsubscribe(work: WorkitemWork, by: By, uid: str, aet: str) -> None:
    """N-ACTION, type 4. Raises `Refused`."""
    _check(aet)
    origin = _ORIGIN.get(uid, "")
    if origin == GLOBAL:
        work.suspend(aet, filtered=False)
        work.suspend(aet, filtered=True)
        work.unsubscribe_all(aet, ("", GLOBAL, FILTERED))
    elif origin == FILTERED:
        work.suspend(aet, filtered=True)
        work.unsubscribe_all(aet, (FILTERED,))
    else:
        work.unsubscribe(present(work, uid).ref, aet)
    work.announce("workitem-unsubscribed", by, {"workitem": uid, "aet": aet})


def suspend(work: WorkitemWork, by: By, uid: str, aet: str) -> None:
    """N-ACTION, type 5: no more new ones; those that are heard of stay. Raises `Refused`."""
    _check(aet)
    origin = _ORIGIN.get(uid, "")
    if not origin:
        status = statuses.UPS_NOT_APPROPRIATE
        raise Refused(status, "only a global subscription can be suspended")
    work.suspend(aet, filtered=origin == FILTERED)
    work.announce("workitem-suspended", by, {"workitem": uid, "aet": aet})


def restarted(work: WorkitemWork) -> None:
    """Tell every subscriber that this system was away and is back, with everything (PS3.4 CC.2.4, event 4)."""
    for aet in work.receivers():
        work.tell(aet, w.GLOBAL_SUBSCRIPTION, Happening.SCP_STATUS, w.RESTARTED)


def subscribe_new(work: WorkitemWork, item: Workitem) -> list[str]:
    """Subscribe everybody who wants to hear of all such workitems; who that is."""
    found: dict[str, Subscription] = {}
    for one in work.global_subscriptions():
        if one.filtered and not workitem_query.parse(one.keys).matches(item):
            continue
        known = found.get(one.aet)
        locked = one.locked or (known is not None and known.locked)
        found[one.aet] = Subscription(one.aet, locked, FILTERED if one.filtered else GLOBAL)
    for subscription in found.values():
        work.subscribe(item.ref, subscription)
    return sorted(found)


def _subscribe_globally(work: WorkitemWork, aet: str, locked: bool, keys: Values, origin: str) -> None:
    query = workitem_query.parse(keys)
    if origin == FILTERED and not query.keys.asks:
        raise Refused(statuses.INVALID_ARGUMENT_VALUE, "a filtered subscription without anything to match")
    work.subscribe_globally(GlobalSubscription(aet, locked, origin == FILTERED, keys))
    after = 0
    while page := work.search(query.narrow, after=after, limit=_PAGE):
        for item in page:
            known = next((one for one in work.subscriptions(item.ref) if one.aet == aet), None)
            if (known is not None and known.origin == "") or not query.matches(item):
                continue
            work.subscribe(item.ref, Subscription(aet, locked, origin))
            if known is None:
                work.tell(aet, item.uid, Happening.STATE, w.state_report(item))
        after = page[-1].ref


def present(view: WorkitemView, uid: str) -> Workitem:
    """A workitem that is here. Raises `Refused` (C307), `Gone` where it was deleted."""
    item = view.get(uid)
    if item is None or item.gone:
        status = statuses.UPS_NO_SUCH_WORKITEM
        raise (Refused if item is None else Gone)(status, w.MEANING[status])
    return item


def _check(aet: str) -> None:
    if not is_valid_aet(aet):
        raise Refused(statuses.INVALID_ARGUMENT_VALUE, "Receiving AE is no AE title", offending=(w.RECEIVING_AE,))
