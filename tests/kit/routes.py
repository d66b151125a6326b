"""The routes of the northbound interface, read from the router's source: what is not understood is an error, so that no route
is passed over."""

import re
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "crates" / "server" / "src"
METHOD = re.compile(r"(?<![\w:.])(get|post|put|delete|patch)\(|\.(get|post|put|delete|patch)\(")


def northbound_routes() -> list[tuple[str, str]]:
    """Method and path of each, as `("GET", "/a/{id}")`."""
    found = []
    for source in [SOURCES / "http.rs", *sorted((SOURCES / "http").rglob("*.rs"))]:
        found += routes_of(source.read_text())
    assert len(found) == len(set(found)), "a route twice"
    return found


def routes_of(text: str) -> list[tuple[str, str]]:
    """The routes of one source, its own tests left out."""
    text = re.split(r"^#\[cfg\(test\)\]\nmod \w+ \{", text, flags=re.MULTILINE)[0]
    found = []
    for function in functions(text):
        for at in (match.end() for match in re.finditer(r"(?<!self\.router)\.route\(", function)):
            path, methods = arguments(function, at)
            for full in paths(path, function[:at]):
                found += [(method, full) for method in methods_of(methods, function[:at])]
    return found


def functions(text: str) -> list[str]:
    """Each function of a file, from its `fn` at the left edge to the next."""
    return re.split(r"^(?=(?:pub(?:\([^)]*\))? )?(?:async )?fn )", text, flags=re.MULTILINE)


def arguments(text: str, at: int) -> list[str]:
    """The arguments of the call whose parenthesis opened just before `at`. Strings hold no parentheses here, or balanced."""
    depth, parts, part, quoted = 0, [], "", False
    for letter in text[at:]:
        quoted ^= letter == '"'
        if not quoted and depth == 0 and letter in ",)":
            parts.append(part.strip())
            part = ""
            if letter == ")":
                return [part for part in parts if part]
            continue
        depth += (letter in "([{") - (letter in ")]}") if not quoted else 0
        part += letter
    raise AssertionError("a call without an end")


def paths(argument: str, before: str) -> list[str]:
    """The paths that an argument stands for: a literal, or made by `format!` from what stands before it in a loop."""
    argument = argument.removeprefix("&")
    if literal := re.fullmatch(r'"([^"]*)"', argument):
        return [literal[1]]
    loops = re.findall(r"for version in \[([^\]]*)\]", before)
    assert loops, f"a route that is not understood: {argument}"
    versions = re.findall(r'"([^"]*)"', loops[-1])
    return [formatted(argument, before, version) for version in versions]


def formatted(argument: str, before: str, version: str) -> str:
    """One path, in the loop's turn of `version`."""
    argument = argument.removeprefix("&")
    if made := re.fullmatch(r'format!\("([^"]*)"\)', argument):
        def put(name: re.Match) -> str:
            return version if name[1] == "version" else formatted(name[1], before, version)

        text = re.sub(r"(?<!\{)\{(\w+)\}(?!\})", put, made[1].replace("{{", "\0").replace("}}", "\1"))
        return text.replace("\0", "{").replace("\1", "}")
    if call := re.fullmatch(r'(\w+)\("([^"]*)"\)', argument):
        closure = re.findall(rf"let {call[1]} = \|(\w+): &str\| (format!\([^;]*\));", before)
        assert closure, f"a route that is not understood: {argument}"
        parameter, body = closure[-1]
        return formatted(body.replace("{" + parameter + "}", call[2]), before, version)
    bound = re.findall(rf"let {re.escape(argument)} = (format!\([^;]*\));", before)
    assert bound, f"a route that is not understood: {argument}"
    return formatted(bound[-1], before, version)


def methods_of(argument: str, before: str) -> list[str]:
    """The methods of `get(a).put(b)`, or of the name that this was bound to."""
    if re.fullmatch(r"\w+", argument):
        bound = re.findall(rf"let {argument} = ([^;]*);", before)
        assert bound, f"methods that are not understood: {argument}"
        argument = bound[-1]
    methods = [(first or second).upper() for first, second in METHOD.findall(argument)]
    assert methods, f"methods that are not understood: {argument}"
    return methods
