"""docs/openapi.json, and copies of it that say more, or something else, than the server does."""

import copy
import json
import re
from pathlib import Path

PATH = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"


def load() -> dict:
    return json.loads(PATH.read_text())


def answers(document: dict) -> list[tuple[str, dict]]:
    """The schemas of what is answered, with their names; requests have schemas of their own."""
    schemas = document["components"]["schemas"]
    return [(name, schema) for name, schema in schemas.items() if not name.endswith(".request")]


def reached(document: dict, name: str) -> set[str]:
    """The schemas that an answer of this name is made of."""
    names = {name}
    for ref in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document["components"]["schemas"][name])):
        names |= reached(document, ref)
    return names


def objects(schema: dict, where: str = "") -> list[tuple[str, dict]]:
    """All objects with members within a schema, and where they stand."""
    members = schema.get("properties", {})
    found = [(where, schema)] if members else []
    for name, member in members.items():
        found += objects(member, f"{where}/{name}")
    if "items" in schema:
        found += objects(schema["items"], f"{where}/[]")
    for number, choice in enumerate(schema.get("oneOf", [])):
        found += objects(choice, f"{where}/{number}")
    return found


def closed(document: dict) -> dict:
    """A copy in which answers have no members but those that are named: what the server adds in silence is a failure.
    For clients the document leaves it open."""
    document = copy.deepcopy(document)
    errors = document["components"]["responses"].values()
    parts = [schema for _, schema in answers(document)] + [error["content"]["application/json"]["schema"] for error in errors]
    for part in parts:
        for _, found in objects(part):
            found["additionalProperties"] = False
    return document


def members(document: dict) -> list[tuple[str, str, str]]:
    """Every member of every answer: name of the schema, place of the object in it, member."""
    return [
        (name, where, member)
        for name, schema in answers(document)
        for where, found in objects(schema)
        for member in found["properties"]
    ]


def renamed(document: dict, schema: str, where: str, member: str) -> dict:
    """A copy in which one member is called otherwise."""
    document = copy.deepcopy(document)
    [found] = [one for place, one in objects(document["components"]["schemas"][schema]) if place == where]
    found["properties"] = {other if other != member else f"{member}Renamed": rule for other, rule in found["properties"].items()}
    found["required"] = [other if other != member else f"{member}Renamed" for other in found.get("required", [])]
    return document


# No member of a request may be this.
WRONG = [[]]


def wrong_requests(document: dict, schema: dict, example) -> list[tuple[str, dict]]:
    """Bodies in which one member, at whatever depth, is what it may not be; with that member's name."""
    schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if "items" in schema:
        inner = example[0] if isinstance(example, list) and example else {}
        return [(name, [body]) for name, body in wrong_requests(document, schema["items"], inner)]
    example = example if isinstance(example, dict) else {}
    found = []
    for name, member in schema.get("properties", {}).items():
        found.append((name, {**example, name: WRONG}))
        found += [(inner, {**example, name: body}) for inner, body in wrong_requests(document, member, example.get(name))]
    return found
