"""The server against docs/openapi.json: every answer has a status, a type and a body that are written there."""

import os

import jsonschema_rs
import pytest
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from contract import calls, document
from contract.checks import MADE, NOT_MADE
from contract.ready import Ready

DOCUMENT = document.load()
OPERATIONS = calls.operations(document.closed(DOCUMENT))
EXAMPLES = int(os.environ.get("DOWNLINK_CONTRACT_EXAMPLES") or 8)

# Members of answers that the calls below do not bring about, and why.
NEVER_SEEN: dict[tuple[str, str], str] = {
    ("BatchTask", "deviceLocation"): "of a task by location; tests/interop/test_batch_tasks.py",
    ("BatchTask", "groupList"): "of a task by groups; tests/interop/test_groups.py",
    ("SubtaskPage", "output"): "of a device that answered; tests/interop/test_batch_tasks.py",
}

# Members of requests that are not read, and why.
NOT_READ = {
    ("createBatchTask", member): "goes with another kind of devices than the example's; crates/api reads it"
    for member in ("deviceType", "manufacturerId", "model", "deviceLocation", "groupList")
}


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    ready = Ready(tmp_path_factory.mktemp("contract"))
    yield ready
    ready.close()
    assert b"panicked" not in ready.server.log.read_bytes()


@pytest.fixture(scope="module")
def successes(ready) -> calls.Made:
    return calls.all_successes(document.closed(DOCUMENT), ready)


def test_every_check_is_made_or_has_a_reason_not_to_be():
    load_all_checks()
    known = {check.__name__ for check in MADE} | set(NOT_MADE)
    assert set(CHECKS.get_all_names()) == known


def test_every_operation_can_succeed_and_answers_as_described(successes):
    assert not successes.failures, "\n".join(successes.failures)
    assert successes.successes.keys() == OPERATIONS.keys()


def answered(made: calls.Made) -> dict[str, list]:
    """The JSON bodies of the successes, by the name of their schema."""
    bodies: dict[str, list] = {}
    for name, operation in OPERATIONS.items():
        answer = made.successes[name]
        described = operation.definition.raw["responses"][str(answer.status_code)].get("content", {}).get("application/json")
        if described:
            bodies.setdefault(described["schema"]["$ref"].rpartition("/")[2], []).append(answer.json())
    return bodies


def unfit(changed: dict, name: str, bodies: list) -> bool:
    """Whether some body is not what this document says of its schema."""
    described = {"$ref": f"#/components/schemas/{name}", "components": document.closed(changed)["components"]}
    validator = jsonschema_rs.validator_for(described)
    return not all(validator.is_valid(body) for body in bodies)


def test_a_renamed_member_is_noticed(successes):
    bodies = answered(successes)
    assert not any(unfit(DOCUMENT, *one) for one in bodies.items())
    made_of = {name: document.reached(DOCUMENT, name) for name in bodies}
    unseen = set()
    for schema, where, member in document.members(DOCUMENT):
        changed = document.renamed(DOCUMENT, schema, where, member)
        if not any(unfit(changed, *one) for one in bodies.items() if schema in made_of[one[0]]):
            unseen.add((schema, member))
    assert unseen == NEVER_SEEN.keys(), "in neither an answer nor the list, or in both"


def test_a_renamed_member_fails_the_calls(ready):
    answered = document.renamed(DOCUMENT, "Command", "", "commandId")
    failures = calls.all_successes(document.closed(answered), ready).failures
    assert any(failure.startswith("createCommand:") for failure in failures), failures


def test_every_member_of_a_request_is_read_and_named_when_it_is_wrong(ready):
    """Members that are not read would be passed over: so a name that is wrong in the description is found out."""
    passed_over = []
    for name, operation in OPERATIONS.items():
        asked = operation.definition.raw.get("requestBody", {}).get("content", {}).get("application/json")
        if not asked:
            continue
        names = {**ready.names, **ready.before(name)}
        path = calls.parameters(operation, "path", names)
        for member, body in document.wrong_requests(DOCUMENT, asked["schema"], calls.filled(asked["example"], names)):
            if (name, member) in NOT_READ:
                continue
            answer = ready.na.call(operation.method.upper(), operation.path.format(**path), body)
            if answer.status != 400 or member.lower() not in answer.json["error_desc"].lower():
                passed_over.append(f"{name}: {member}: {answer}")
    assert not passed_over, "\n".join(passed_over)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - calls.NOT_AT_RANDOM.keys()))
def test_whatever_is_asked_the_answer_is_as_described(ready, rng, name, mode):
    calls.at_random(OPERATIONS[name], ready, mode, EXAMPLES, rng.getrandbits(32))
