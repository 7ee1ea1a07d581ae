"""The report as JSON, which can be written and read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_airssys_wasm.conformance.loader import convert
from pytest_airssys_wasm.reporting.model import FORMAT, Report
from pytest_airssys_wasm.runtime.base.regular_files import REPORT_BYTES, read_regular
from pytest_airssys_wasm.runtime.errors import Described, InvalidConfiguration

if TYPE_CHECKING:
    from pathlib import Path


def render(report: Report) -> str:
    """Write the report as indented JSON. A lone surrogate, which UTF-8 cannot encode, becomes a question mark."""
    text = json.dumps(msgspec.to_builtins(report), ensure_ascii=False, allow_nan=False, indent=1)
    return text.encode("utf-8", "replace").decode("utf-8") + "\n"


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the reports that `render` writes."""
    return msgspec.json.schema(Report)


def read(path: Path) -> Report:
    """Read a report from a file that `render` wrote.

    Raises `InvalidConfiguration`, which names the file and the position, for any other file.
    """
    try:
        data = json.loads(read_regular(path, REPORT_BYTES).decode("utf-8"))
    except OSError as error:
        raise InvalidConfiguration(str(path), error.strerror or str(error), "a readable file") from error
    except (ValueError, RecursionError) as error:  # of decoding and of parsing
        wanted = "JSON, as --wasm-report x.json writes it"
        raise InvalidConfiguration(str(path), Described(_reason(error)), wanted) from error
    written = data.get("format", "nothing") if isinstance(data, dict) else FORMAT
    if written != FORMAT:
        raise InvalidConfiguration(f"{path}: format", written, f"{FORMAT}, which this version reads")
    return convert(data, Report, str(path))


def _reason(error: ValueError | RecursionError) -> str:
    match error:
        case UnicodeDecodeError():
            return "a file that is not text in UTF-8"
        case json.JSONDecodeError(lineno=line, colno=column):
            return f"something else at line {line}, column {column}"
        case RecursionError():
            return "values that are nested too deeply"
    return str(error)  # that of an int of thousands of digits
