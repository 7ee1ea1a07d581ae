"""Prints docs/reference.md, from the code: `python docs/reference.py > docs/reference.md`."""

from __future__ import annotations

import ast
import importlib
import re
from typing import TYPE_CHECKING

import sources

import pytest_airssys_wasm
from pytest_airssys_wasm import analysis, fuzzing
from pytest_airssys_wasm.plugin import fixtures, hookspecs, marker_names
from pytest_airssys_wasm.plugin.options import OPTIONS
from pytest_airssys_wasm.runtime import errors
from pytest_airssys_wasm.runtime.budget import limits
from pytest_airssys_wasm.runtime.manifest import model
from pytest_airssys_wasm.validation.checks import CHECKS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

TABLES = (
    "ComponentTable",
    "MemoryTable",
    "CpuTable",
    "WasiTable",
    "ManifestTest",
    "ManifestStep",
    "ImportStub",
    "StubAnswer",
    "FuzzTable",
)
WORDS = {"int": "integer", "float": "number", "str": "string", "Any": "any", "list": "array", "dict": "table"}

# Classes that users get from functions and do not construct.
NOT_CONSTRUCTED = ("CannotRepeat", "Component", "Instance", "Interface", "NoLaw", "Resource")

# Without an underscore because other folders of this package use them, but not part of the public API.
INTERNAL = {
    "Call": ("repetition",),
    "Component": (
        "attributes",
        "binary",
        "check_call",
        "engine",
        "loaded_by",
        "needed_from_host",
        "obstacle",
        "place_of",
        "unmet_imports",
        "parameter_types",
        "raw",
        "result_types",
    ),
    "CompileCache": ("facts", "fetch", "read", "recall", "remember"),
    "CostLaw": ("full_text", "make", "ranges_text"),
    "HostFunctions": ("find", "find_resource", "is_repeatable", "lack", "misfit"),
    "LimitedStore": ("as_rerun", "awaited_call", "direct_call", "direct_ends", "plain_export", "run", "run_async"),
    "ProcessIsolation": ("compile", "new_backends", "translate"),
    "UnknownExport": ("among",),
    "Wasi": ("check_directories",),
    "WasmEngine": ("revive", "to_binary"),
}

# Bases that are not part of the public API: their members are shown with those of the class.
BASES = {"CostLaw": "Law"}

CONTENTS = (
    ("Options", "options-and-ini-keys"),
    ("markers", "markers"),
    ("fixtures", "fixtures"),
    ("hooks", "hooks"),
    ("limits", "limits"),
    ("checks", "checks"),
    ("verdicts", "verdicts-and-errors"),
    ("`Component.toml`", "componenttoml"),
    ("Python API", "python-api"),
    ("analysis", "analysis"),
    ("fuzzing", "fuzzing"),
)
SETTINGS = """\
Every option has an ini key of the same stem, and the command line wins over the ini file. Limits have more sources. From
the weakest to the strongest they are the built-in defaults, the ini file, `Component.toml`, the command line and
markers; of several markers the closest one wins. So the ini file only fills in what a manifest leaves out. If the command
line replaces a limit of a manifest, every check and test that it affects says so: `memory 4 MiB from --wasm-memory, the
manifest says 512 KiB`. `--wasm-timeout-scale` multiplies the timeouts that result. All settings are checked when pytest starts: a wrong setting is a usage
error even if no test uses it. Paths in the ini file are relative to that file. Paths on the command line are relative to
the folder in which pytest was started.
"""
CEILINGS = """
The keys `wasm_max_…` are ceilings. A limit on the command line over its ceiling is a usage error. A marker over its
ceiling is a collection error, and the run ends with the exit code of a usage error. If a `Component.toml` is over a
ceiling, the tests and checks that use it fail. A ceiling below a built-in default lowers the default. Ceilings are
compared with timeouts before `--wasm-timeout-scale` multiplies them.

Cases of the suite and checks of components are ordinary pytest items: `-k`, `-m conformance`, `--lf`, `-n auto` and
JUnit work with them. Their node ids are `conformance/<chapter>/<case>` and `<path>/Component.toml::<check>`, or
`<path>/x.wasm::<check>` for a binary without a manifest.
"""
MARKERS = """\
Markers need no option, and can be set on a test, its class or its module. Wrong arguments are collection errors.
`fuel(None)` and `timeout_ms(None)` mean unlimited. Several `wasm_limits` markers are merged, limit by limit; of several
`wasi` markers only the closest one is used. With `world="file.wit#name"` the guest must export everything that this world
exports. `request.node.add_marker` must be called before the fixture on which the marker acts is set up; later, it is an error.
"""
LIMITS = """\
In Python, limits are written as `ResourceLimits(memory="1 MiB", fuel=10_000, …)`; markers, options and manifests use the
same names. An execution is one entry into guest code: an instantiation, or one call of an export. `WasmEngine.execute`
does both in one execution, with one budget. Zero is a valid limit for fuel and time, and stops the guest at once. If no
memory limit is given for a test or check, it fails with an error that lists the ways to give one.
"""
CHECKED = """\
Every `Component.toml` under the arguments of `pytest --airssys-wasm` gets all of these checks, and an additional one,
`tests[<name>]`, for each `[[tests]]` entry. A binary without a manifest that an argument or `--wasm-component` names gets all checks
except `manifest`. `--wasm-fuzz` adds the checks `fuzz[<export>]`, `worst-case[<export>]`, `fuzz-sequence` and
`fuzz-limits`, which [fuzzing](fuzzing.md) explains, and `--wasm-laws` the check [`law[<export>]`](costs.md#laws-as-checks). If a check cannot be made because an earlier one fails, it is skipped and names the earlier one.
"""
VERDICTS = """\
Verdicts are a closed set. In Python each of them except `ok` is an exception, derived from `WasmError`. If several
verdicts apply to an execution, the first of these is used: out-of-fuel, timeout, out-of-memory or resource-limit, trap.
If a growth is refused and the guest survives, the verdict is `ok`, and `usage.denied_growths` shows the refusal. An
execution that traps after a refused growth is `out-of-memory`, with the trap as its cause.
"""
FUZZING = """\
Import these strategies of Hypothesis from `pytest_airssys_wasm.fuzzing`, which needs the extra `fuzz`. [The page about
fuzzing](fuzzing.md) explains them, with examples.
"""
ANALYSIS = """\
Import these names from `pytest_airssys_wasm.analysis`. [The page about costs](costs.md) explains them, with examples.
"""


def reference() -> str:
    """Yield the parts of the page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Reference\n"
    yield "<!-- Printed by docs/reference.py: change the code, then run it again. -->\n"
    yield " · ".join(f"[{name}](#{anchor})" for name, anchor in CONTENTS) + "\n"
    yield from ("## Options and ini keys\n", SETTINGS, *_options(), CEILINGS)
    yield from ("## Markers\n", MARKERS, *_markers(), "")
    yield from ("## Fixtures\n", *_fixtures(), "")
    yield from ("## Hooks\n", *_hooks())
    yield from ("## Limits\n", LIMITS, *_limits(), "")
    yield from ("## Checks\n", CHECKED, *_checks(), "")
    yield from ("## Verdicts and errors\n", VERDICTS, *_verdicts(), "")
    yield from (
        "## `Component.toml`\n",
        "[The page about manifests](manifest.md) explains the keys, with examples.\n",
        *_manifest(),
    )
    yield from (
        "## Python API\n",
        "Import these names from `pytest_airssys_wasm`. [WIT values in Python](values.md) describes how values are mapped.\n",
        *_api(),
    )
    yield from ("## Analysis\n", ANALYSIS, *_analysis())
    yield from ("## Fuzzing\n", FUZZING, *_fuzzing())


def _options() -> Iterator[str]:
    yield from _head("option", "ini key", "")
    for option in OPTIONS:
        flag = f"`{option.flag}{' ' + option.metavar if option.metavar else ''}`" if option.has_flag else ""
        yield _row(flag, f"`{option.key}`" if option.has_key else "", option.help)


def _markers() -> Iterator[str]:
    class Config:
        """Takes what the plugin tells pytest."""

        def __init__(self) -> None:
            self.lines: list[str] = []

        def addinivalue_line(self, _name: str, line: str) -> None:
            """Describe a marker: signature and meaning."""
            self.lines.append(line)

    config = Config()
    marker_names.declare(config)
    yield from _head("marker", "")
    for line in config.lines:
        signature, meaning = re.findall(r"^(.*?\)|\w+): (.*)$", line)[0]
        yield _row(f"`{signature}`", meaning)


def _fixtures() -> Iterator[str]:
    yield from _head("fixture", "scope", "")
    for node in sources.functions(sources.tree(fixtures)):
        decorators = [ast.unparse(one) for one in node.decorator_list]
        if any("pytest.fixture" in one for one in decorators) and not node.name.startswith("_"):
            yield _row(f"`{node.name}`", "session" if "session" in decorators[0] else "function", sources.doc(node))


def _hooks() -> Iterator[str]:
    for node in sources.functions(sources.tree(hookspecs)):
        yield f"### `{sources.signature(node)}`\n"
        yield f"{sources.paragraphs(node)}\n"


def _limits() -> Iterator[str]:
    node = sources.classes(limits)["ResourceLimits"]
    yield f"{sources.paragraphs(node)}\n"
    yield from _head("limit", "default", "")
    for name, field in vars(limits.ResourceLimits)["__dataclass_fields__"].items():
        if not field.type.startswith("ClassVar"):
            default = "required" if name == "memory" else f"{field.default:,}"
            yield _row(f"`{name}`", default, dict(sources.attributes(node)).get(name, ""))


def _checks() -> Iterator[str]:
    yield from _head("check", "passes when")
    for name, check in CHECKS.items():
        condition = sources.first_paragraph(check.__doc__).removeprefix("Check that ")
        yield _row(f"`{name}`", condition[0].upper() + condition[1:])


def _verdicts() -> Iterator[str]:
    nodes = sources.classes(errors)
    classes = {one.verdict: one for one in errors.WasmError.__subclasses__()}
    yield from _head("verdict", "exception", "meaning", "attributes")
    yield _row("`ok`", "", "The execution returned.", "")
    for verdict in errors.Verdict:
        if verdict in classes:
            node = nodes[classes[verdict].__name__]
            own = "; ".join(f"`{name}`: {text.rstrip('.')}" for name, text in sources.attributes(node))
            yield _row(f"`{verdict}`", f"`{node.name}`", sources.doc(node), own)
    yield "\nAll exceptions have these attributes:\n"
    yield from _head("attribute", "")
    for name, text in sources.attributes(nodes["WasmError"]):
        yield _row(f"`{name}`", text)


def _manifest() -> Iterator[str]:
    nodes = sources.classes(model)
    for name in TABLES:
        yield f"{sources.doc(nodes[name])}\n"
        yield from _head("key", "type", "", "")
        for field in nodes[name].body:
            if isinstance(field, ast.AnnAssign):
                key = ast.unparse(field.target)
                needed = "required" if field.value is None else ""
                yield _row(f"`{key}`", _toml_type(field.annotation), needed, dict(sources.attributes(nodes[name]))[key])
        yield ""


def _api() -> Iterator[str]:
    for name in pytest_airssys_wasm.__all__:
        module = importlib.import_module(pytest_airssys_wasm._MODULE_OF[name])
        if (module is not errors or name == "Frame") and name != "ResourceLimits":  # those are shown above
            yield from _entry(module, name)


def _fuzzing() -> Iterator[str]:
    for name in fuzzing.__all__:
        yield from _entry(importlib.import_module(getattr(fuzzing, name).__module__), name)


def _analysis() -> Iterator[str]:
    for name in sorted(analysis.__all__, key=lambda name: (name[0].isupper(), name)):
        yield from _entry(importlib.import_module(analysis._MODULE_OF[name]), name)


def _entry(module: ModuleType, name: str) -> Iterator[str]:
    nodes = sources.classes(module)
    node = nodes.get(name)
    if node is None:
        function = next(one for one in sources.functions(sources.tree(module)) if one.name == name)
        yield f"### `{sources.signature(function)}`\n"
        yield f"{sources.paragraphs(function)}\n"
        return
    if name in BASES:
        (_, *inherited), (text, *own) = nodes[BASES[name]].body, node.body
        node.body = [text, *inherited, *own]
    fields = sources.dataclass_fields(node)
    init = None if fields or name in NOT_CONSTRUCTED or sources.is_error(node) else sources.function(node, "__init__")
    yield f"### `{sources.call(name, init.args) if init else name}`\n"
    yield f"{sources.paragraphs(node)}\n"
    members = [*_members(node)]
    if members:
        yield "\n".join(members) + "\n"


def _members(node: ast.ClassDef) -> Iterator[str]:
    leave_out = INTERNAL.get(node.name, ())
    documented = dict(sources.attributes(node))
    functions = {one.name: one for one in sources.functions(node) if not one.name.startswith("_")}
    missing = set(leave_out) - {*documented, *functions}
    assert not missing, f"{node.name} has no {missing}"
    typed = {
        name: f"`{annotation}`" + (f". {documented[name]}" if name in documented else "")
        for name, annotation in sources.dataclass_fields(node).items()
    }
    for name, text in {**typed, **{name: text for name, text in documented.items() if name not in typed}}.items():
        if name not in leave_out:
            yield f"- `{name}`: {text}"
    for name, function in functions.items():
        if name not in leave_out:
            is_property = any("property" in ast.unparse(one) for one in function.decorator_list)
            yield f"- `{name if is_property else sources.signature(function)}`: {sources.doc(function)}"


def _toml_type(annotation: ast.expr) -> str:
    names = (re.findall(r"\w+", one.partition("[")[0])[-1] for one in ast.unparse(annotation).split(" | "))
    return " or ".join(WORDS[name] for name in names if name not in ("None", "UnsetType"))


def _head(*titles: str) -> Iterator[str]:
    yield _row(*titles)
    yield "|" + "---|" * len(titles)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


if __name__ == "__main__":
    print(reference(), end="")
