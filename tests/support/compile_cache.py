"""A guest for the compile cache, and a stand-in for the engine that counts what the cache spares it."""

from __future__ import annotations

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.engine import WasmEngine

LIMITS = ResourceLimits(memory="1 MiB", timeout_ms=20_000)
GUEST = '(module (func (export "f") (result i32) i32.const 42))'


def entries(cache):
    return sorted(cache.directory.glob("*.cwasm"))


def run(cache, guest=GUEST):
    engine = WasmEngine(cache)
    try:
        return engine.execute(engine.load(guest), "f", limits=LIMITS).value
    finally:
        engine.close()


class Counted:
    """A stand-in for the engine that counts compilations and loads."""

    def __init__(self, cache):
        self.cache = cache
        self.events = []

    def fetch(self, key="k", content=b"artefact"):
        def load(path):
            self.events.append("load")
            return path.read_bytes()

        def compile_():
            self.events.append("compile")
            return content

        return self.cache.fetch(key, "name", 1, load, compile_, lambda made, path: path.write_bytes(made))
