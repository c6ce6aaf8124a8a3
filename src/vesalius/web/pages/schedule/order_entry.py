"""Order entry: who, what, why, how soon and when; and the order as it stands, to print.

Theory. One form, sent whole; what is wrong is told at its field with everything that was typed still there. The same
form asks in between (`do=find`, `do=slots`), so that it works without a script; the script asks for the same parts as
one types. A patient is never made twice by oversight: the same ID is refused with the record that has it, the same name
and birth date must be confirmed as another person; what is sent twice is placed once (`sheets.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from vesalius.model import datetimes
from vesalius.model.errors import BadRecord, DuplicateRecord, NoSuchRecord, WrongState
from vesalius.model.orders import (
    Identifier,
    Order,
    Patient,
    Priority,
    Procedure,
    RequestedProcedure,
    ScheduledStep,
    Station,
)
from vesalius.model.steps import ORDER_GRID, OrderVerb, can
from vesalius.ports.ris import Ris, RisView, RisWork
from vesalius.ris import catalogue, orders, patients
from vesalius.ris.rules import RisRules
from vesalius.web.context import WebContext
from vesalius.web.errors import Problem
from vesalius.web.pages import ris_words
from vesalius.web.pages.schedule import booking
from vesalius.web.pages.schedule.api import clean, day_of
from vesalius.web.pages.schedule.sheets import NUMBER, Sheet, Sheets
from vesalius.web.pages.schedule.steps import form_of, study_of
from vesalius.web.pages.shell import Shell

FOUND = 12
MOST_SLOTS = 400
PRIORITIES = (Priority.STAT, Priority.HIGH, Priority.ROUTINE, Priority.LOW)
# What a person may do with an order; a reason belongs to the first two.
_VERBS = {OrderVerb.CANCEL: orders.cancel, OrderVerb.HOLD: orders.hold, OrderVerb.RELEASE: orders.release}
_SEXES = ("", "F", "M", "O")


@dataclass(frozen=True, slots=True)
class Slots:
    """When a procedure could be done on a station."""

    station: Station
    times: tuple[str, ...]


@dataclass(slots=True)
class Form:
    """What was typed, what is wrong with it, and what there is to choose from."""

    fields: dict[str, str]
    errors: dict[str, str] = field(default_factory=dict)  # field -> key of the catalogue
    found: list[Patient] = field(default_factory=list)  # patients to choose from
    twins: list[Patient] = field(default_factory=list)  # who may be the new patient
    chosen: Patient | None = None
    procedures: list[Procedure] = field(default_factory=list)
    slots: list[Slots] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        return self.fields.get(name, "")

    @property
    def procedure(self) -> Procedure | None:
        """What was picked."""
        return next((one for one in self.procedures if key_of(one) == self["procedure"]), None)


def key_of(procedure: Procedure) -> str:
    """How a form names a procedure of the catalogue."""
    return f"{procedure.code.value}\\{procedure.code.scheme}"


def search(view: RisView, text: str) -> list[Patient]:
    """Patients by name, ID or birth date, as it was typed."""
    text = clean(text).strip()[:64]
    if not text:
        return []
    born = birth_date_of(text)
    if born:
        return view.patients(birth_date=born, limit=FOUND)
    # "Müller, Käthe" and "Müller Käthe" are the family name first, as in DICOM; a name in one word begins any part.
    found = view.patients(text=text.replace(", ", "^").replace(",", "^"), limit=FOUND)
    if not found and " " in text:
        found = view.patients(text="^".join(text.split(None, 1)), limit=FOUND)
    return found


def birth_date_of(text: str) -> str:
    """A day as people write it (31.01.1970, 1970-01-31, 19700131), as DICOM does; empty where it is none."""
    for form in ("%d.%m.%Y", "%Y-%m-%d", "%Y%m%d", "%d/%m/%Y"):
        try:
            found = datetime.strptime(text.strip(), form)
        except ValueError:
            continue
        return found.strftime("%Y%m%d") if found.year >= 1800 else ""
    return ""


def twins_of(view: RisView, family: str, given: str, born: str) -> list[Patient]:
    """Records that may be of the same person: the same birth date and a name that begins alike."""
    if not family or not born:
        return []
    same = view.patients(text=family, birth_date=born, limit=FOUND)
    first = given.casefold()[:1]
    return [one for one in same if not first or _given(one.name).casefold()[:1] in ("", first)]


def _given(name: str) -> str:
    return [*name.partition("=")[0].split("^"), ""][1]


def slots_of(view: RisView, procedure: Procedure, day: str, now: str) -> list[Slots]:
    """When it could begin on a day, on each station that can do it; nothing in the past."""
    return [
        Slots(station, tuple(booking.first_free(view, station, day, procedure.minutes, now)[:MOST_SLOTS]))
        for station in catalogue.stations_for(view, procedure)
    ]


def fill(view: RisView, form: Form, now: str) -> None:
    """What there is to choose from, for what was typed so far."""
    form.procedures = sorted(
        (one for one in view.find(Procedure) if one.active), key=lambda one: (one.modality, one.name)
    )
    # A patient that was picked before "new patient" was is none.
    if form["who"] != "new" and form["patient"].isascii() and form["patient"].isdigit() and len(form["patient"]) <= 18:
        try:
            form.chosen = patients.known(view, int(form["patient"]))
        except NoSuchRecord:
            form.fields["patient"] = ""
    if form["q"] and form.chosen is None:
        form.found = search(view, form["q"])
    if form.procedure is not None and form["day"]:
        form.slots = slots_of(view, form.procedure, form["day"].replace("-", ""), now)


def check(view: RisView, form: Form, rules: RisRules) -> None:
    """Everything that is wrong, each at its field."""
    wrong = form.errors
    if form["who"] == "new":
        born = form["born"].replace("-", "")
        if not form["family"]:
            wrong["family"] = "orders.error.family"
        if any(mark in form["family"] + form["given"] for mark in "^=\\"):
            wrong["family"] = "orders.error.marks"
        if born and datetimes.normalize_date(born) != born:
            wrong["born"] = "orders.error.born"
        elif not born and not form["nodate"]:
            wrong["born"] = "orders.error.noborn"
        held = patients.find(view, Identifier(form["id"]), rules) if form["id"] else None
        if held is not None:
            wrong["id"] = "orders.error.id"
            form.twins = [held]
        elif not form["another"]:
            form.twins = twins_of(view, form["family"], form["given"], born)
            if form.twins:
                wrong["another"] = "orders.error.twins"
    elif form.chosen is None:
        wrong["patient"] = "orders.error.patient"
    if form.procedure is None:
        wrong["procedure"] = "orders.error.procedure"
    if form["priority"] not in PRIORITIES:
        wrong["priority"] = "orders.error.priority"
    if not form["reason"]:
        wrong["reason"] = "orders.error.reason"
    if not form["ordering"]:
        wrong["ordering"] = "orders.error.ordering"
    if form["slot"] and len(form["slot"].rpartition("@")[2]) != 14:
        wrong["slot"] = "orders.error.slot"


def place(work: RisWork, form: Form, ctx: WebContext) -> Order:
    """The patient if new, the order, and its step if a time was chosen: all or nothing. Raises `Refused`."""
    by, rules, picked = ris_words.by(ctx), ctx.ris_rules, form.procedure
    if picked is None:
        raise BadRecord("the order names no procedure")
    patient = form.chosen if form["who"] != "new" else _new_patient(work, form, ctx)
    if patient is None:
        raise BadRecord("the order names no patient")
    order = Order(
        patient.ref, priority=Priority(form["priority"]), reason=form["reason"][:200],
        ordering=_person(form["ordering"]), callback=form["callback"][:64],
        comments=form["comments"][:400], transport=form["transport"][:64],
        entered_by=ris_words.WHO,
    )  # fmt: skip
    wanted = RequestedProcedure(
        0,
        patient.ref,
        code=picked.code,
        description=picked.name,
        reason=form["reason"][:64],
        body_part=picked.body_part,
    )
    made, requested = orders.place(work, by, order, [wanted], rules)
    if form["slot"]:
        station, _, start = form["slot"].rpartition("@")
        booking.plan(work, by, requested[0].ref, booking.Place(station, start, picked.minutes), rules)
    return made


def _new_patient(work: RisWork, form: Form, ctx: WebContext) -> Patient:
    number = form["id"]
    while not number or (not form["id"] and patients.find(work, Identifier(number), ctx.ris_rules) is not None):
        number = f"V{work.next_number('patient'):08}"
    name = "^".join((form["family"], form["given"])).rstrip("^")
    made = Patient(
        Identifier(number), name, form["born"].replace("-", ""), form["sex"] if form["sex"] in _SEXES else ""
    )
    return patients.add(work, ris_words.by(ctx), made, ctx.ris_rules)


def _person(text: str) -> str:
    """`Family, Given` as DICOM writes a name; anything else as the family name."""
    family, _, given = text.replace("\\", " ").replace("=", " ").partition(",")
    return "^".join(part.strip() for part in (family, given) if part.strip())[:64]


@dataclass(frozen=True, slots=True)
class Placed:
    """An order with all that it has come to."""

    order: Order
    person: ris_words.Person
    lines: tuple[tuple[RequestedProcedure, Procedure | None, tuple[ScheduledStep, ...], str], ...]
    stations: dict[str, Station]

    @property
    def verbs(self) -> tuple[OrderVerb, ...]:
        """What a person may do with it now."""
        return tuple(verb for verb in _VERBS if can(ORDER_GRID, self.order.state, verb))


def placed(view: RisView, ref: int) -> Placed:
    """An order by its number. Raises `NoSuchRecord`."""
    order = view.get(Order, ref)
    steps = orders.steps(view, ref)
    lines = tuple(
        (
            one,
            catalogue.procedure_by_code(view, one.code.value, one.code.scheme) if one.code else None,
            tuple(step for step in steps if step.procedure == one.ref),
            study_of(view, one),
        )
        for one in orders.procedures(view, ref)
    )
    person = ris_words.person_of(view.get(Patient, order.patient), order.accession)
    return Placed(order, person, lines, {one.aet: one for one in view.find(Station)})


def routes(ctx: WebContext, shell: Shell, ris: Ris) -> list[BaseRoute]:
    """`/orders/new`, `/orders/{order}` and the parts of the form."""

    sheets = Sheets()

    def stamp() -> str:
        return ris_words.stamp(ris_words.now(ctx))

    def show(request: Request, form: Form, status: int = 200) -> Response:
        form.fields[NUMBER] = form[NUMBER] or sheets.number()
        return shell.render(
            request, "orders-new.html", status=status, room="schedule", form=form, priorities=PRIORITIES,
            key_of=key_of, today=ris_words.now(ctx).strftime("%Y-%m-%d"),
        )  # fmt: skip

    async def new(request: Request) -> Response:
        asked = request.query_params
        form = Form({name: asked.get(name, "")[:64] for name in ("patient", "q", "procedure", "day", "slot")})
        form.fields.setdefault("priority", Priority.ROUTINE)
        form.fields["day"] = form["day"] or ris_words.now(ctx).strftime("%Y-%m-%d")
        await ctx.call(ris.look, lambda view: fill(view, _day_checked(form), stamp()))
        return show(request, form)

    async def post(request: Request) -> Response:
        fields = await form_of(ctx, request)
        sheet = sheets.of(fields)
        async with sheet.lock:
            return await answer(request, _day_checked(Form(fields)), sheet)

    async def answer(request: Request, form: Form, sheet: Sheet) -> Response:
        if sheet.order:  # sent again
            return RedirectResponse(f"{shell.prefix(request)}/orders/{sheet.order}", 303)
        asking = form["do"] != "place"

        def look(view: RisView) -> None:
            fill(view, form, stamp())
            if not asking:
                check(view, form, ctx.ris_rules)

        await ctx.call(ris.look, look)
        if asking:
            return show(request, form)
        if form.errors:
            return show(request, form, 422)
        try:
            made = await ctx.call(ris.change, lambda work: place(work, form, ctx))
        except booking.Refused:
            form.errors["slot"] = "orders.error.taken"
        except (DuplicateRecord, WrongState, BadRecord) as error:
            raise Problem(409 if not isinstance(error, BadRecord) else 400, error.message, error.hint) from None
        else:
            sheet.order = made.ref
            return RedirectResponse(f"{shell.prefix(request)}/orders/{made.ref}", 303)
        form.fields["slot"] = ""
        await ctx.call(ris.look, lambda view: fill(view, form, stamp()))
        return show(request, form, 422)

    async def found(request: Request) -> Response:
        text = request.query_params.get("q", "")
        people = await ctx.call(ris.look, lambda view: search(view, text))
        return shell.render(request, "orders-patients.html", room="schedule", people=people, sought=text.strip(),
                            chosen="")  # fmt: skip

    async def twins(request: Request) -> Response:
        asked = request.query_params
        born = birth_date_of(asked.get("born", ""))

        def look(view: RisView) -> list[Patient]:
            number = asked.get("id", "").strip()[:64]
            held = patients.find(view, Identifier(number), ctx.ris_rules) if number else None
            alike = twins_of(view, asked.get("family", "").strip()[:64], asked.get("given", "").strip()[:64], born)
            return [held] if held is not None else alike

        people = await ctx.call(ris.look, look)
        same_id = bool(people) and people[0].identifier.value == asked.get("id", "").strip()
        return shell.render(request, "orders-twins.html", room="schedule", people=people, same_id=same_id)

    async def slots(request: Request) -> Response:
        asked = request.query_params
        form = _day_checked(Form({"procedure": asked.get("procedure", ""), "day": asked.get("day", ""),
                                  "slot": asked.get("slot", "")}))  # fmt: skip
        await ctx.call(ris.look, lambda view: fill(view, form, stamp()))
        return shell.render(request, "orders-slots.html", room="schedule", form=form)

    def number(request: Request) -> int:
        text = request.path_params["order"]
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise Problem(404, "there is no such order")
        return int(text)

    async def advance(request: Request) -> Response:
        ref, fields = number(request), await form_of(ctx, request)
        verb, reason = fields.get("verb", ""), fields.get("reason", "")[:200]
        if verb not in _VERBS:
            raise Problem(400, "the form names no verb")
        if verb != OrderVerb.RELEASE and not reason:
            raise BadRecord(f"{verb} needs a reason")
        await ctx.call(ris.change, lambda work: _VERBS[OrderVerb(verb)](work, ris_words.by(ctx, reason), ref))
        return RedirectResponse(f"{shell.prefix(request)}/orders/{ref}", 303)

    async def order(request: Request) -> Response:
        ref = number(request)
        known = await ctx.call(ris.look, lambda view: placed(view, ref))
        return shell.render(request, "orders.html", room="schedule", found=known)

    return [
        Route("/orders/new", shell.page(new), methods=["GET"], name="order-entry"),
        Route("/orders/new", shell.page(post), methods=["POST"]),
        Route("/orders/{order}", shell.page(order), methods=["GET"], name="order"),
        Route("/orders/{order}", shell.page(advance), methods=["POST"]),
        Route("/parts/orders/patients", shell.page(found), methods=["GET"]),
        Route("/parts/orders/twins", shell.page(twins), methods=["GET"]),
        Route("/parts/orders/slots", shell.page(slots), methods=["GET"]),
    ]


def _day_checked(form: Form) -> Form:
    if form["day"]:
        try:
            form.fields["day"] = day_of(form["day"]).strftime("%Y-%m-%d")
        except Problem:
            form.fields["day"] = ""
    return form
