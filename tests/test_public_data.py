"""Values, usage, limits, grants, manifests and the errors of values can be copied, pickled and read."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

from pytest_airssys_wasm import (
    CompileCache,
    CompileProgress,
    Err,
    Execution,
    FuelMetrics,
    Ok,
    Record,
    ResourceLimits,
    Some,
    Usage,
    Variant,
    Wasi,
    WrongType,
    WrongValue,
)
from pytest_airssys_wasm.runtime.binary.needs import MisplacedData, Needs, exceeded
from pytest_airssys_wasm.runtime.manifest.loading import parse_manifest
from pytest_airssys_wasm.runtime.wit.types import BorrowType, FunctionType, ListType, Primitive, ResourceType
from pytest_airssys_wasm.runtime.wit.world import InterfaceType, Opaque, World

FUEL = FuelMetrics(max_fuel=10, consumed=7, is_exact=False)
USAGE = Usage(
    fuel=FUEL,
    wall_ms=0.5,
    peak_memory_bytes=65536,
    memory_limit_bytes=131072,
    denied_growths=1,
    host_calls=2,
    transfer_bytes=3,
    denied_capabilities=("read-file",),
)
LIMITS = ResourceLimits(memory="1 MiB", timeout_ms="2 s", fuel=None)
MANIFEST = parse_manifest(
    '[component]\nname = "a"\nversion = "1.0.0"\n[resources.memory]\nmax_bytes = 1048576\n[wasi]\nargs = ["a"]\n'
    '[[tests]]\nname = "adds"\ncall = "add"\nargs = [1]\nreturns = { x = 1 }\n',
    Path("Component.toml"),
)
NEEDS = Needs(memory_bytes=2**21, misplaced_data=(MisplacedData(number=0, end_bytes=2, memory_bytes=1),))
WORLD = World({"f": FunctionType((("x", BorrowType(ResourceType("r", 1))),), ListType(Primitive("u8")))})


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Record({"is-open": True, "class": [1]}), "Record(is_open=True, class_=[1])"),
        (Variant("until", 3), "Variant(case='until', payload=3)"),
        (Some(None), "Some(value=None)"),
        (Ok("x"), "Ok(value='x')"),
        (Err(Record(code=1)), "Err(error=Record(code=1))"),
        (FUEL, "FuelMetrics(max_fuel=10, consumed=7, is_exact=False)"),
        (USAGE, "transfer_bytes=3, cpu_ms=None, host_ms=0.0, denied_capabilities=('read-file',))"),
        (Execution(value=Ok(1), usage=USAGE, stdout=b"x"), "Execution(value=Ok(value=1), usage=Usage(fuel="),
        (LIMITS, "ResourceLimits(memory=1048576, fuel=None, timeout_ms=2000.0, tables=16"),
        (Wasi(args=["a"], env={"A": "1"}, preopen={"/": ("/", "ro")}), "Wasi(args=['a'], env={'A': '1'}, stdin=b''"),
        (MANIFEST, "Manifest(path=PosixPath('Component.toml'), name='a', version='1.0.0'"),
        (CompileProgress(name="a", size_bytes=1, elapsed_s=1.5), "name='a', size_bytes=1, elapsed_s=1.5)"),
        (NEEDS, "Needs(memory_bytes=2097152"),
        (exceeded(NEEDS, LIMITS), "Excess(resource='memory', needed=2097152, limit=1048576"),
        (WORLD, "World(imports={'f': FunctionType(params=(('x', BorrowType(resource=ResourceType(name='r'"),
        (InterfaceType({"m": Opaque("core module")}), "InterfaceType(items={'m': Opaque(kind='core module')})"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_data_can_be_copied_pickled_and_read(value, shown):
    assert shown in repr(value)
    for copied in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert copied == value
        assert repr(copied) == repr(value)


@pytest.mark.parametrize("kind", [WrongType, WrongValue])
def test_an_error_of_a_value_keeps_its_path_when_it_is_copied(kind):
    error = kind("u32", -1).at(".price").at("[3]").at("args[0]")
    for copied in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert type(copied) is kind
        assert str(copied) == str(error) == "args[0][3].price: expected u32, got -1"
    copied.at("again")
    assert "again" not in str(error)


def test_a_cache_shows_its_folder_and_its_bound(tmp_path):
    assert repr(CompileCache(tmp_path, 1_000)) == f"CompileCache({str(tmp_path)!r}, max_bytes=1000)"
