"""The fuel that calls take with a probe in each block, as `--wasm-coverage` repeats them, beside the fuel without:
`python benchmarks/probes.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from pytest_airssys_wasm import Record, ResourceLimits, WasmEngine
from pytest_airssys_wasm.analysis.guest_coverage.probed_build import ProbedBuild
from support.probed import called

ROOT = Path(__file__).parent.parent
LIMITS = ResourceLimits(memory="64 MiB", fuel=100_000_000, timeout_ms=60_000)
TEXT = "It was the best of times, it was the worst of times. " * 20
DOCUMENT = '{"name": "a \\"quoted\\" text", "sizes": [1, 2.5, -3e7, true, null], "more": {"empty": {}}}'
ITEMS = [Record(name=f"item {number}", quantity=number, price=250, tax="standard") for number in range(1, 20)]
CALLS = (
    ("examples/c/json-minify.wasm", "minify", (f"[{', '.join([DOCUMENT] * 20)}]",)),
    ("examples/rust/invoice.wasm", "total-of", (ITEMS, None)),
    ("examples/assemblyscript/sparkline.wasm", "draw", ([float(n * n % 17) for n in range(200)], 80)),
    ("fixtures/guests/text-transform/text-transform.wasm", "transform", (TEXT,)),
    ("fixtures/guests/as-transform/as-transform.wasm", "transform", (TEXT,)),
)
LOOP = '(module (func (export "count") (param $n i32) (loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))'


def line(engine: WasmEngine, name: str, source: Path | str, export: str, args: tuple[object, ...]) -> str:
    """Make a call without and with probes, and return its line of the table."""
    component = engine.load(source)
    content = source.encode() if isinstance(source, str) else source.read_bytes()
    history, done = called(engine, component, [(export, *args)], LIMITS)
    build = ProbedBuild(engine.to_binary(content, name)[1], engine, is_counting=False)
    probed = build.run(history, history.steps).done
    build.close()
    assert [one.ending for one in probed] == [one.ending for one in done]
    before, after = (sum(one.fuel for one in every) for every in (done, probed))
    return f"{name:<20} {before:>10,} {after:>12,} {after / before:>6.2f}"


def main() -> None:
    """Print a line for each call."""
    print(f"{'guest':<20} {'fuel':>10} {'with probes':>12} {'ratio':>6}")
    with WasmEngine() as engine:
        for path, export, args in CALLS:
            print(line(engine, Path(path).name, ROOT / path, export, args))
        print(line(engine, "an empty loop", LOOP, "count", (10_000,)))


if __name__ == "__main__":
    main()
