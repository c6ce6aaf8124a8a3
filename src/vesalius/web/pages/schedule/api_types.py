"""What the OpenAPI document says of the schedule's JSON interface (`api.py`)."""

from __future__ import annotations

from vesalius.model.steps import StepState, StepVerb
from vesalius.ris.schedule import LONGEST_MINUTES
from vesalius.web.negotiation import JSON
from vesalius.web.openapi_types import JSON_ERROR, Operation, Schema, Value

LONGEST_REASON = 200
MOST_DAYS = 42

_TEXT: Schema = {"type": "string", "maxLength": 64}
# Days that there are, but for the 29th of February, which no pattern can know; the years are `ris_words.YEARS`.
_DATE = (
    "(1[89]|[2-8][0-9]|9[0-8])[0-9]{2}"
    "((0[13578]|1[02])(0[1-9]|[12][0-9]|3[01])|(0[469]|11)(0[1-9]|[12][0-9]|30)|02(0[1-9]|1[0-9]|2[0-8]))"
)
TIME: Schema = {"type": "string", "pattern": f"^{_DATE}([01][0-9]|2[0-3])[0-5][0-9]([0-5][0-9])?$"}
_REASON: Schema = {"type": "string", "maxLength": LONGEST_REASON}
_MINUTES: Schema = {"type": "integer", "minimum": 0, "maximum": LONGEST_MINUTES}
_REF: Schema = {"type": "integer", "minimum": 1, "maximum": (1 << 62) - 1}
DAY: Schema = {"type": "string", "pattern": f"^{_DATE}$"}
_VERBS = [str(verb) for verb in StepVerb if verb is not StepVerb.MOVE]  # that has an operation of its own
_STEP: Schema = {
    "type": "object",
    "required": ["step", "state", "station", "start", "minutes", "order", "accession", "patient", "study", "images"],
    "properties": {
        "step": {"type": "integer"}, "number": {"type": "string"},
        "state": {"type": "string", "enum": [str(state) for state in StepState]},
        "station": {"type": "string"}, "start": {"type": "string"}, "minutes": {"type": "integer"},
        "order": {"type": "integer"}, "accession": {"type": "string"}, "study": {"type": "string"},
        "images": {"type": "boolean"}, "patient": {"type": "object"},
    },
}  # fmt: skip
_PATIENTS: Schema = {
    "type": "object", "required": ["patients"],
    "properties": {"patients": {"type": "array", "items": {
        "type": "object", "required": ["ref", "id", "issuer", "name", "birth_date", "sex"]}}},
}  # fmt: skip
_CONFLICT: Schema = {
    "type": "object",
    "required": ["title", "detail", "hint"],
    "properties": {name: {"type": "string"}
                   for name in ("title", "detail", "hint", "code", "station", "begin", "end")},
}  # fmt: skip
_WRONG = {400: JSON_ERROR, 404: JSON_ERROR, 409: _CONFLICT, 413: JSON_ERROR, 415: JSON_ERROR, 503: JSON_ERROR}


def _number(name: str, text: str) -> Value:
    return Value(name, text, {"type": "string", "pattern": "^[0-9]{1,18}$"}, "path", True)


_OF_STEP = _number("step", "number of the step's row")

OPERATIONS = (
    Operation(
        "get", "/ris/schedule", "The scheduled steps of some days",
        parameters=(
            Value("day", "the first day; today where it is left out", DAY),
            Value("days", "how many", {"type": "integer", "minimum": 1, "maximum": MOST_DAYS}),
            Value("station", "AE title", {"type": "string"}),
        ),
        responses={200: {"type": "object", "required": ["steps", "last"], "properties": {
            "steps": {"type": "array", "items": _STEP}, "last": {"type": "integer"}}}, 400: JSON_ERROR},
    ),
    Operation(
        "get", "/ris/slots", "When a step could begin on a station on a day",
        parameters=(
            Value("station", "AE title", {"type": "string", "minLength": 1}, required=True),
            Value("day", "YYYYMMDD", DAY, required=True),
            Value("minutes", "how long it takes; 15", {"type": "integer", "minimum": 1, "maximum": LONGEST_MINUTES}),
        ),
        responses={200: {"type": "object", "required": ["slots"], "properties": {
            "slots": {"type": "array", "items": {"type": "string"}}}}, 400: JSON_ERROR, 404: JSON_ERROR},
    ),
    Operation(
        "get", "/ris/patients", "Patients whose name has a word, or whose ID, begins so",
        parameters=(
            Value("q", "name or ID", _TEXT),
            Value("born", "birth date, YYYYMMDD", {"type": "string", "pattern": f"^({_DATE})?$"}),
        ),
        responses={200: _PATIENTS, 400: JSON_ERROR},
    ),
    Operation(
        "post", "/ris/steps", "Plan a procedure that waits for a time",
        request={JSON: {
            "type": "object", "required": ["procedure", "station", "start"],
            "properties": {"procedure": _REF, "station": _TEXT, "start": TIME, "minutes": _MINUTES,
                           "force": {"type": "boolean"}, "reason": _REASON},
        }},
        responses={201: _STEP, **_WRONG},
    ),
    Operation("get", "/ris/steps/{step}", "A scheduled step", parameters=(_OF_STEP,),
              responses={200: _STEP, 404: JSON_ERROR}),
    Operation(
        "post", "/ris/steps/{step}/move", "Another time, station or length; what is left out stays",
        parameters=(_OF_STEP,),
        request={JSON: {
            "type": "object",
            "properties": {"station": _TEXT, "start": TIME, "minutes": _MINUTES,
                           "force": {"type": "boolean", "description": "also when the station is closed"},
                           "reason": _REASON,
                           "seen": {"type": "object", "required": ["station", "start"],
                                    "properties": {"station": _TEXT, "start": _TEXT}}},
        }},
        responses={200: _STEP, **_WRONG},
    ),
    Operation(
        "post", "/ris/steps/{step}/advance", "What happens to a step",
        parameters=(_OF_STEP,),
        request={JSON: {
            "type": "object", "required": ["verb"],
            "properties": {"verb": {"type": "string", "enum": _VERBS}, "reason": _REASON},
        }},
        responses={200: _STEP, **_WRONG},
    ),
    Operation(
        "post", "/ris/blocks", "Nobody is planned there then",
        request={JSON: {
            "type": "object", "required": ["station", "begin", "end", "note"],
            "properties": {"station": _TEXT, "begin": TIME, "end": TIME, "note": _REASON},
        }},
        responses={201: {"type": "object", "required": ["block", "station", "begin", "end", "note"]}, **_WRONG},
    ),
    Operation("delete", "/ris/blocks/{block}", "That time is free again",
              parameters=(_number("block", "number of the blocked time"),),
              responses={204: None, 400: JSON_ERROR, 404: JSON_ERROR, 409: _CONFLICT}),
)  # fmt: skip
