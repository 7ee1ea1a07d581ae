"""The stub of a guest says what its exports take and return, so that type checkers know, whatever the names are."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from pytest_airssys_wasm.stubs.__main__ import main
from pytest_airssys_wasm.stubs.render import render
from support.checkout import GUESTS

INVENTORY = GUESTS / "inventory" / "inventory.wasm"

HOSTILE = """(component
  (type $r (resource (rep i32)))
  (core module $m (memory (export "m") 1)
    (func (export "f") (param i32) (result i32) local.get 0)
    (func (export "two") (param i32 i32) (result i32) local.get 0)
    (func (export "three") (param i32 i32 i32) (result i32) local.get 0))
  (core instance $i (instantiate $m))
  (type $item' (record (field "str" u32) (field "int" u32) (field "as-dict" u32)))
  (export $item "item" (type $item'))
  (type $handle' (enum "a" "class"))
  (export $handle "class-handle" (type $handle'))
  (export $r' "class" (type $r))
  (func (export "[constructor]class") (param "self" u32) (result (own $r')) (canon lift (core func $i "f")))
  (func (export "[method]class.drop") (param "self" (borrow $r')) (result u32) (canon lift (core func $i "f")))
  (func (export "[method]class.list") (param "self" (borrow $r')) (param "class" u32) (result u32)
    (canon lift (core func $i "two")))
  (func (export "str") (param "self" u32) (result u32) (canon lift (core func $i "f")))
  (func (export "int") (param "str" u32) (param "def" u32) (result u32) (canon lift (core func $i "two")))
  (func (export "object") (param "value" $item) (result u32) (canon lift (core func $i "three")))
  (func (export "import") (param "x" $handle) (result u32) (canon lift (core func $i "f")))
  (func (export "store") (param "x" u32) (result u32) (canon lift (core func $i "f")))
  (func (export "list-all") (param "x" bool) (result u32) (canon lift (core func $i "f"))))"""
"""A component whose names are keywords, types of Python, and names that the stub itself needs."""

MODULE = """(module
  (func (export "add") (param i32 i64) (result f64) f64.const 0)
  (func (export "pair") (result i32 f32) i32.const 0 f32.const 0)
  (func (export "none"))
  (func (export "a-b")) (func (export "a_b")) (func (export "c-d"))  (func (export "c.d"))
  (func (export "x\\0aimport os\\0a#")) (func (export "")) (func (export "_function")) (func (export "_start"))
  (func (export "e-f")) (func (export "e--f")) (func (export "int"))
  (func (export "vector") (param v128)))"""


@pytest.fixture
def written(engine):
    def stub(source, name="guest.wasm"):
        text = render(engine.load(source), name)
        ast.parse(text)
        return text

    return stub


def test_functions_have_the_types_of_their_values(written):
    text = written(INVENTORY)
    for line in (
        "    def echo_u8(self, value: int) -> int: ...",
        "    def echo_bytes(self, value: _abc.Sequence[int]) -> bytes: ...",
        "    def echo_triple(self, value: tuple[float, str, str]) -> tuple[float, str, str]: ...",
        "    def echo_items(self, value: _abc.Sequence[Item | _wasm.Record | _abc.Mapping[str, _t.Any]]) -> list[Item]: ...",
        "    def echo_handling(self, value: _abc.Iterable[Handling]) -> frozenset[Handling]: ...",
        "    def echo_nested_option(self, value: _wasm.Some | None) -> _Some[int | None] | None: ...",
        "    def echo_ok_result(self, value: _wasm.Ok | _wasm.Err) -> _Ok[str] | _Err[None]: ...",
        "    def take(self, sku: str, quantity: int) -> _Ok[Item] | _Err[ShelfError]: ...",
        "    def __call__(self, label: str) -> ShelfHandle: ...",
        "    def nothing(self) -> None: ...",
        "    class_: Unit",
        "    from_: str | None",
        "Unit: _t.TypeAlias = _t.Literal['piece', 'kilogram', 'litre']",
        "    def __getitem__(self, interface: _t.Literal['demo:inventory/stock@1.0.0'], /) -> StockInterface: ...",
        "    Shelf: ShelfClass",
    ):
        assert f"\n{line}\n" in text


def test_hostile_names_do_not_change_what_others_mean(written):
    text = written(HOSTILE, "import.wasm")
    for line in (
        "class Import:",
        "class ClassClass:",
        "    def str(_self, /, self: _builtins.int) -> _builtins.int: ...",
        "    def int(self, str: _builtins.int, def_: _builtins.int) -> _builtins.int: ...",
        "    def import_(self, x: ClassHandle2) -> _builtins.int: ...",
        "    def store_(self, x: _builtins.int) -> _builtins.int: ...",
        "    def drop_(self) -> _builtins.int: ...",
        "    def list(self, class_: _builtins.int) -> _builtins.int: ...",
        "    def list_all(self, x: bool) -> _builtins.int: ...",
        "    def __call__(_self, /, self: _builtins.int) -> ClassHandle: ...",
        "    as_dict_: _builtins.int",
        "    class_: ClassClass",
    ):
        assert f"\n{line}\n" in text


def test_modules_have_core_types_and_odd_names_are_left_out(written):
    text = written(MODULE, "x\nimport os\n.wasm")
    assert "import os\n" not in text
    for line in (
        "    def add(self, p0: _builtins.int, p1: _builtins.int, /) -> float: ...",
        "    def pair(self) -> tuple[_builtins.int, float]: ...",
        "    def none(self) -> None: ...",
        "    def _start(self) -> None: ...",
        "    def c_d(self) -> None: ...",
        "    # only by exact name: 'x\\nimport os\\n#'",
        "    # only by exact name: '_function'",
        "    # cannot be called, because values of its type have no Python value: 'vector'",
    ):
        assert f"\n{line}\n" in text
    assert "def a_b(self) -> None: ..." in text  # the export of exactly that name


@pytest.mark.parametrize("name", ["1.wasm", "é.wasm", "", "_t.wasm", "class.wasm", "bool.wasm", "int.wat"])
def test_the_class_has_a_name_whatever_the_file_is_called(written, name):
    assert "\nclass " in written(MODULE, name)


def test_the_command_writes_to_stdout_or_a_file(tmp_path, capfdbinary):
    main([str(INVENTORY)])
    shown = capfdbinary.readouterr().out.decode()
    main([str(INVENTORY), "-o", str(tmp_path / "inventory.pyi")])
    assert (tmp_path / "inventory.pyi").read_text() == shown
    assert shown.startswith("# The exports of inventory.wasm, as written by python -m pytest_airssys_wasm.stubs.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.wasm"], "nothing.wasm: "),
        (["broken.wasm"], "broken.wasm: "),
        (["good.wat", "-o", "good.wat"], r"expected a file named *.pyi, got 'good.wat'"),
        (["good.wat", "-o", "no/x.pyi"], "no/x.pyi"),
    ],
)
def test_wrong_arguments_are_usage_errors(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.wasm").write_bytes(b"\0asm\1\0\0\0\xff")
    (tmp_path / "good.wat").write_text("(module)")
    (tmp_path / "Component.toml").write_text("this is not TOML")  # which has nothing to do with it
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "good.wat").read_text() == "(module)"


RIGHT = """
from __future__ import annotations
import typing
from pytest_airssys_wasm import Err, Ok, Record, Variant
if typing.TYPE_CHECKING:
    from inventory import Inventory, ShelfHandle

async def right(component: Inventory) -> None:
    echo = component["demo:inventory/echo@1.0.0"]
    stock = component["demo:inventory/stock@1.0.0"]
    number: int = echo.echo_u8(value=3) + await echo.echo_u8.call_async(4)
    data: bytes = echo.echo_bytes(b"a")
    size = echo.echo_size({"width": 1, "height": 2, "weight": None})
    assert size.width == 1 and size == Record(width=1, height=2, weight=None)
    assert echo.echo_size(size).as_dict()["width"] == 1
    condition = echo.echo_condition(Variant("expires", 3))
    if condition.case == "expires":
        number += condition.payload
    assert condition == Variant("expires", 3)
    echo.echo_handling({"cold"})
    echo.echo_unit("litre")
    with stock.Shelf("top") as shelf:
        match shelf.take("x", quantity=1):
            case Ok(item):
                print(item.price + 1.0)
            case Err(error):
                print(error.case)
    opened = stock.open("x")
    if isinstance(opened, Ok):
        handle: ShelfHandle = opened.value
    assert stock.Shelf.standing() == await stock.Shelf.standing.call_async()
    component.call("x", 1, y=2)
"""
WRONG = {
    "echo.echo_u9(1)": "attr-defined",
    "echo.echo_u8('x')": "arg-type",
    "echo.echo_u8(valeu=1)": "call-arg",
    "echo.echo_u8()": "call-arg",
    "echo.echo_unit('mile')": "arg-type",
    "echo.echo_size({}).depth": "attr-defined",
    "component['demo:inventory/echo']": "call-overload",
    "component['demo:inventory/stock@1.0.0'].Shelf(3)": "arg-type",
}


@pytest.mark.slow
def test_mypy_accepts_stubs_and_finds_mistakes(written, tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "inventory.pyi").write_text(written(INVENTORY, "inventory.wasm"))
    (tmp_path / "hostile.pyi").write_text(written(HOSTILE, "hostile.wasm"))
    (tmp_path / "module.pyi").write_text(written(MODULE, "module.wasm"))
    (tmp_path / "right.py").write_text(RIGHT)
    head = "from inventory import Inventory\ndef wrong(component: Inventory) -> None:\n    echo = component['demo:inventory/echo@1.0.0']\n"
    (tmp_path / "wrong.py").write_text(head + "".join(f"    {line}\n" for line in WRONG))

    def mypy(*files):
        command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), *files]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    accepted = mypy("inventory.pyi", "hostile.pyi", "module.pyi", "right.py")
    assert accepted.returncode == 0, accepted.stdout
    found = mypy("wrong.py").stdout
    for number, kind in enumerate(WRONG.values(), start=4):
        assert f"wrong.py:{number}: error" in found, (number, found)
        assert f"[{kind}]" in next(
            line for line in found.splitlines() if line.startswith(f"wrong.py:{number}: error")
        ), found
