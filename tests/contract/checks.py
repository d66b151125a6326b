"""Which checks of schemathesis are made, and why the others are not. A check that is in neither list fails a test."""

from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi

MADE = [
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_headers_conformance,
    openapi.response_schema_conformance,
    openapi.ignored_auth,
]

NOT_MADE = {
    "not_a_server_error": "`only_meant_server_errors` below is made in its place",
    "negative_data_rejection": "the server reads more than is described, on purpose: unknown members and names, integers and "
    "truth values as strings, null for absent, any Content-Type. Old clients depend on it (docs/northbound.md)",
    "positive_data_acceptance": "what is right in form may be refused for what it means: an unknown device, an illegal callback "
    "URL, a command that was sent already. That each operation can succeed is a test of its own",
    "missing_required_header": "without a token it is 403 with 1010005, as on the platform, where the check wants 401; `ignored_auth` is made",
    "unsupported_method": "needs the phase of schemathesis that sends other methods; the Rust test of the description calls each "
    "path with each method",
    "allow_header_conformance": "as above",
    "use_after_free": "commands and cancel tasks stay after their device; that what was removed is 404 is told in tests/interop",
    "ensure_resource_availability": "needs links between operations; the calls that succeed are made one after the other here",
    "object_level_authorization": "needs two users in one run; tests/interop and the Rust tests call with another application",
}

# Codes of answers of 5xx that are right, and why.
RIGHT_5XX = {
    "100412": "500 is the platform's status for too many devices",
    "100501": "503: a limit was reached, and it says so with Retry-After",
}


@checks.CHECKS.register
def only_meant_server_errors(ctx, response, case) -> bool | None:
    """Stands in for `not_a_server_error`, and lets the codes of RIGHT_5XX pass."""
    if response.status_code >= 500 and not any(f'"{code}"' in response.text for code in RIGHT_5XX):
        raise AssertionError(f"{response.status_code} {response.text[:500]}")
    return None


MADE.append(only_meant_server_errors)
