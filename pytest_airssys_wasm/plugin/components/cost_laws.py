"""The checks that `--wasm-laws` adds to a component, as pytest items."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pytest_airssys_wasm.plugin.engine import the_engine
from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.plugin.sources import load_component
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.errors import WasmError
from pytest_airssys_wasm.validation.unfit import Blocked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from pytest_airssys_wasm.plugin.sources import Source
    from pytest_airssys_wasm.validation.candidate import Candidate

    Check = Callable[[Candidate], str]


def law_checks(file: pytest.File, source: Source) -> Iterator[tuple[str, Check, str | None]]:
    """Yield the names and the functions of the checks of cost laws, and their exports: none without `--wasm-laws`.

    The component is loaded, because its exports are the names of the checks. If that fails, the only check is `law`,
    which has no export.
    """
    settings = file.config.stash[SETTINGS]
    if not settings.wasm_laws:
        return
    from pytest_airssys_wasm.validation.cost_laws import check_cost_law
    from pytest_airssys_wasm.validation.exports import callable_exports, is_excluded

    try:
        component = load_component(source, the_engine(file.config), file.config)
    except (OSError, WasmError):  # the check `loads` meets the same error, and reports it
        yield "law", _blocked, None
        return
    excluded = () if source.manifest is None else source.manifest.fuzz.exclude
    for name in callable_exports(component):
        if not is_excluded(name, excluded):
            check = partial(check_cost_law, export=name, seed=settings.wasm_fuzz_seed or 0)
            yield f"law[{printable(name)}]", check, name


def _blocked(candidate: Candidate) -> str:
    candidate.need("loads", candidate.load)
    raise Blocked("loads", "it could not be loaded when the checks were collected")
