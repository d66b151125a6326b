"""Writes docs/openapi.json, the description of the northbound interface.

    python3 scripts/openapi           writes it
    python3 scripts/openapi --check   fails if it is not what would be written

Owns how the parts become one document: `operations` says what can be called, `schemas` what bodies look like. Codes,
statuses and texts of errors are read from the table in crates/api/src/error.rs, so that they stand in one place.
"""

import json
import re
import sys
from pathlib import Path

from operations import OPERATIONS, TAGS, Operation
from schemas import HEADERS, PARAMETERS, SCHEMAS, object_of, text

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "openapi.json"
TABLE = ROOT / "crates" / "api" / "src" / "error.rs"

ROW = re.compile(r'^    \w+ = "(\d+)" (\d+) "(.*)";$', re.MULTILINE)
CODES = {code: (int(status), said) for code, status, said in ROW.findall(TABLE.read_text())}

# Told by what the platform calls its gateway, in a shape of its own.
GATEWAY = ("1010005", "1010009")
ALWAYS = ("100001", "50252", "100501")
WITH_TOKEN = (*GATEWAY, "100217")

SHARED: dict[str, dict] = {}

ABOUT = """The legacy interface of the platform, as Downlink speaks it, and a few extensions under `/downlink/v1`.

Downlink reads more than is written here: names in the query and `app_key` in whatever case, `x-app-key`, the token in the
header `access_token`, integers and truth values as strings, null for what is absent, JSON under any Content-Type; it passes
over members and names that it does not know. What it answers is written here exactly; members may be added.
A path that is not here is 404 with 100225, a method that is not here 405 with 100019."""


def error_body(codes: list[str]) -> dict:
    shapes = []
    business = [code for code in codes if code not in GATEWAY]
    gateway = [code for code in codes if code in GATEWAY]
    if business:
        shapes.append(object_of({"error_code": text(enum=business), "error_desc": text()}))
    if gateway:
        shapes.append(object_of({"resultcode": text(enum=gateway), "resultmsg": text()}))
    return shapes[0] if len(shapes) == 1 else {"oneOf": shapes}


def error_answer(codes: list[str]) -> dict:
    answer = {
        "description": "\n".join(f"- `{code}` {CODES[code][1]}" for code in codes),
        "content": {"application/json": {"schema": error_body(codes)}},
    }
    if "1010009" in codes or "100501" in codes:
        answer["headers"] = {"Retry-After": HEADERS["Retry-After"]}
    return answer


def shared(kind: str, name: str, part: dict) -> dict:
    """Puts a part where several operations can refer to it."""
    SHARED.setdefault(kind, {})[name] = part
    return {"$ref": f"#/components/{kind}/{name}"}


def refused(status: int, codes: list[str]) -> dict:
    return shared("responses", "_".join([str(status), *codes]), error_answer(codes))


def errors(operation: Operation) -> dict[str, dict]:
    codes = {*operation.codes, *ALWAYS, *(WITH_TOKEN if operation.token else ())}
    by_status: dict[int, list[str]] = {}
    for code in CODES:
        if code in codes:
            by_status.setdefault(CODES[code][0], []).append(code)
    if operation.body:
        by_status |= {408: ["100022"], 413: ["100022"]}
    assert codes <= CODES.keys(), f"{operation.id}: no such codes: {codes - CODES.keys()}"
    return {str(status): refused(status, by_status[status]) for status in sorted(by_status)}


def success(operation: Operation) -> dict:
    answer: dict = {"description": operation.told}
    if operation.answer:
        answer["content"] = {operation.answer_type: {"schema": operation.answer}}
    if operation.empty_json:
        answer["headers"] = {"Content-Type": {"required": True, "schema": text(enum=["application/json"])}}
    if operation.answer_headers:
        answer["headers"] = {name: HEADERS[name] for name in operation.answer_headers}
    return answer


def parameter(name: str, place: str) -> dict:
    in_path = {"required": True} if place == "path" else {}
    described = {"name": name.partition(":")[0], "in": place, **in_path, **PARAMETERS[name]}
    return shared("parameters", f"{place}.{name.replace(':', '.')}", described)


def asked_of(operation: Operation) -> dict:
    """The schema of a request: what several operations ask for stands once, under the name of the first."""
    known = SHARED.setdefault("schemas", {})
    name = next((name for name, schema in known.items() if schema == operation.body), f"{operation.id}.request")
    return shared("schemas", name, operation.body)


def item(operation: Operation) -> dict:
    in_path = [parameter(name, "path") for name in re.findall(r"{(\w+)}", operation.path)]
    by_query = [parameter(name, "query") for name in operation.query]
    by_header = [parameter(name, "header") for name in operation.headers]
    described = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        **({"description": operation.more} if operation.more else {}),
        **({"deprecated": True} if operation.old else {}),
        "parameters": in_path + by_query + by_header,
        "responses": {str(operation.status): success(operation), **errors(operation)},
        "security": [{"token": [], "app_key": []}, {"token": []}] if operation.token else [],
    }
    if operation.body:
        content = {"schema": asked_of(operation), "example": operation.example}
        types = ["application/x-www-form-urlencoded"] if operation.form else []
        described["requestBody"] = {
            "required": operation.body_required,
            "content": {kind: content for kind in [*types, "application/json"]},
        }
    return described


def document() -> dict:
    paths: dict[str, dict] = {}
    for operation in OPERATIONS:
        methods = paths.setdefault(operation.path, {})
        assert operation.method not in methods, f"{operation.id}: stands there twice"
        methods[operation.method] = item(operation)
    # Of no operation; see ABOUT.
    refused(404, ["100225"])
    refused(405, ["100019"])
    return {
        "openapi": "3.1.0",
        "info": {"title": "Downlink, northbound", "version": "1", "description": ABOUT},
        "servers": [{"url": "https://localhost:8743"}],
        "tags": TAGS,
        "paths": paths,
        "components": {
            "schemas": {**SCHEMAS, **SHARED.pop("schemas")},
            **{kind: dict(sorted(parts.items())) for kind, parts in sorted(SHARED.items())},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "The `accessToken` of a login."},
                "app_key": {"type": "apiKey", "in": "header", "name": "app_key", "description": "The `appId`; may be absent."},
            },
        },
    }


def lines(value, depth: int = 0) -> str:
    """JSON in which what fits on a line stands on one."""
    plain = json.dumps(value, ensure_ascii=False)
    if len(plain) + depth <= 120 or not isinstance(value, (dict, list)):
        return plain
    inner, outer = "\n" + " " * (depth + 1), "\n" + " " * depth
    if isinstance(value, list):
        return "[" + ",".join(inner + lines(one, depth + 1) for one in value) + outer + "]"
    members = (f"{inner}{json.dumps(name)}: {lines(one, depth + 1)}" for name, one in value.items())
    return "{" + ",".join(members) + outer + "}"


def main() -> int:
    written = lines(document()) + "\n"
    if sys.argv[1:] == ["--check"]:
        if DOCUMENT.read_text() != written:
            print("docs/openapi.json is not what scripts/openapi writes: run python3 scripts/openapi", file=sys.stderr)
            return 1
        return 0
    DOCUMENT.write_text(written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
