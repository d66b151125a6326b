"""Calls of the described operations through schemathesis: one that succeeds, and many at random."""

import threading
from dataclasses import dataclass, field

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig

from contract.checks import MADE
from contract.ready import Ready

NOT_AT_RANDOM = {
    "followFeed": "its answer does not end; it is called once with an end, and read in tests/interop/test_feed.py",
}


@dataclass
class Made:
    """What came of the calls: failures as texts, and the answers that were successes by operation."""

    failures: list[str] = field(default_factory=list)
    successes: dict[str, object] = field(default_factory=dict)


def operations(document: dict) -> dict[str, object]:
    schema = schemathesis.openapi.from_dict(document, config=SchemathesisConfig())
    found = [result.ok() for result in schema.get_all_operations()]
    return {operation.definition.raw["operationId"]: operation for operation in found}


def filled(value, names: dict):
    """A body in which members that have a value of ours get it, at whatever depth."""
    if isinstance(value, dict):
        return {key: names.get(key) or filled(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, names) for inner in value]
    return value


def parameters(operation, place: str, names: dict) -> dict:
    """Values for parameters: ours, else the described example; what has neither is left out."""
    raw = operation.schema.raw_schema
    described = [raw["components"]["parameters"][one["$ref"].rpartition("/")[2]] for one in operation.definition.raw["parameters"]]
    values = {one["name"]: names.get(one["name"], one.get("example")) for one in described if one["in"] == place}
    return {name: value for name, value in values.items() if value not in (None, "")}


def success(operation, ready: Ready, checks=MADE) -> object:
    """One call as it is described, with what is there to succeed with. Gives the answer."""
    name = operation.definition.raw["operationId"]
    names = {**ready.names, **ready.before(name)}
    body = operation.definition.raw.get("requestBody")
    given_body = {}
    if body:
        kind, content = next(iter(body["content"].items()))
        example = filled(content["example"], names)
        # What is optional and known is given too, so that the answer has all that it may have.
        example |= {key: value for key, value in names.items() if key == "callbackUrl"}
        given_body = {"body": example, "media_type": kind}
    case = operation.Case(
        path_parameters=parameters(operation, "path", names),
        query=parameters(operation, "query", names),
        headers=parameters(operation, "header", names),
        **given_body,
    )
    na, ender = ready.na, None
    if name == "followFeed":
        na, ender = ready.stream_that_ends()
        case.query["appId"] = na.app[0]
        ender.start()
    answer = case.call_and_validate(base_url=base_url(ready), headers=headers(na, operation), checks=checks, timeout=30)
    if isinstance(ender, threading.Thread):
        ender.join(30)
    return answer


def base_url(ready: Ready) -> str:
    host, port = ready.server.address("northbound-plain")
    return f"http://{host}:{port}"


def headers(na, operation) -> dict[str, str]:
    if not operation.definition.raw["security"]:
        return {}
    return {name: value for name, value in na.headers().items() if name != "Content-Type"}


def all_successes(document: dict, ready: Ready) -> Made:
    """Calls each operation once so that it succeeds."""
    made = Made()
    for name, operation in operations(document).items():
        try:
            answer = success(operation, ready)
        except (Exception, BaseExceptionGroup) as failure:  # noqa: BLE001 whatever it is, it is told
            parts = getattr(failure, "exceptions", [failure])
            made.failures.append(f"{name}: " + "\n".join(str(part) for part in parts))
            continue
        if 200 <= answer.status_code < 300:
            made.successes[name] = answer
        else:
            made.failures.append(f"{name}: {answer.status_code} {answer.text[:300]}")
    return made


def at_random(operation, ready: Ready, mode: GenerationMode, examples: int, number: int) -> None:
    """Calls it with what schemathesis thinks up; half of the time for what is there."""

    @seed(number)
    @settings(max_examples=examples, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
    def call(case, known):
        if known:
            names = {**ready.names, **ready.still_there()}
            case.path_parameters = {key: names.get(key, value) for key, value in case.path_parameters.items()}
            if isinstance(case.body, dict) and "deviceId" in case.body:
                case.body = {**case.body, "deviceId": names["deviceId"]}
        case.query.pop("appId", None)
        case.call_and_validate(base_url=base_url(ready), headers=headers(ready.na, operation), checks=MADE, timeout=30)

    call()
