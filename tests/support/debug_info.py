"""A guest that traps two calls deep, with debugging information that is encoded here, so that no compiler is needed.

The functions are those of this source file, whose paths and lines the information states:

    10  static void deep(void) {
    11      __builtin_trap();
        …
    20  void run(void) {
    21      deep();
"""

from __future__ import annotations

from wasmtime import wat2wasm

WAT_CODE = '(func $deep unreachable) (func $run (export "run") call $deep)'
# The content of the code section: two bodies, each with its size and no locals.
CODE = bytes([2, 3, 0, 0x00, 0x0B, 4, 0, 0x10, 0, 0x0B])
ROWS = [(2, 10), (3, 11), (6, 20), (7, 21)]
"""Addresses in that content, with their lines: where a body begins, and its first instruction."""
END = len(CODE)


def leb128(value: int) -> bytes:
    encoded = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        encoded.append(low | (0x80 if value else 0))
        if not value:
            return bytes(encoded)


def sized(*parts: bytes) -> bytes:
    content = b"".join(parts)
    return len(content).to_bytes(4, "little") + content


def rows(addresses_and_lines, end):
    """The instructions of a line program for one sequence."""
    program = b""
    line = 1
    for address, wanted in addresses_and_lines:
        program += b"\0\5\2" + address.to_bytes(4, "little")  # set_address
        step = wanted - line
        program += b"\3" + (bytes([step & 0x7F]) if -64 <= step < 64 else signed(step)) + b"\1"  # advance_line, copy
        line = wanted
    return program + b"\0\5\2" + end.to_bytes(4, "little") + b"\0\1\1"


def signed(value: int) -> bytes:
    encoded = bytearray()
    while True:
        low = value & 0x7F
        value >>= 7
        is_last = (value == 0 and not low & 0x40) or (value == -1 and low & 0x40)
        encoded.append(low | (0 if is_last else 0x80))
        if is_last:
            return bytes(encoded)


OPCODES = bytes([13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1])
"""The first special opcode, and the number of operands of each standard one."""


def line_program(program: bytes, *, version: int = 4, folder: str = "src", file: str = "t.c") -> bytes:
    """The section `.debug_line` with one program, of one file in one folder."""
    machine = bytes([1, 1, 1, 0xFB, 14]) + OPCODES
    if version == 4:
        header = machine + folder.encode() + b"\0\0" + file.encode() + b"\0\1\0\0" + b"\0"
        return sized(b"\4\0", sized(header), program)
    machine = bytes([1, 1, 1, 0xFB, 14]) + OPCODES
    names = b"\1\1\x08" + b"\2" + b"/home/me\0" + folder.encode() + b"\0"
    files = b"\2\1\x08\2\x0b" + b"\2" + b"other.c\0\0" + file.encode() + b"\0\1"
    return sized(b"\5\0\4\0", sized(machine + names + files), program)


def dwarf(
    program: bytes | None = None, *, version: int = 4, inlined: int | None = None, end: int = END, **names: str
) -> dict[str, bytes]:
    """The sections of one compilation unit, in the folder /home/me.

    With `inlined` the instruction there got into `run` by a call in line 30 of the same file, of a function that was
    called in line 31.
    """
    tag_of_unit = b"\1\x11" + bytes([1 if inlined is not None else 0]) + b"\x10\x17\x1b\x08\x11\1\x12\x06\0\0"
    tag_of_call = b"\2\x1d\1\x11\1\x12\x06\x58\x0b\x59\x0b\0\0"
    unit = (
        b"\1" + (0).to_bytes(4, "little") + b"/home/me\0" + (1).to_bytes(4, "little") + (end - 1).to_bytes(4, "little")
    )
    if inlined is not None:
        where = inlined.to_bytes(4, "little") + (1).to_bytes(4, "little") + b"\1"
        unit += b"\2" + where + bytes([31]) + b"\2" + where + bytes([30]) + b"\0\0\0"
    header = b"\4\0" + (0).to_bytes(4, "little") + b"\4" if version == 4 else b"\5\0\1\4" + (0).to_bytes(4, "little")
    return {
        ".debug_abbrev": tag_of_unit + tag_of_call + b"\0",
        ".debug_info": sized(header, unit),
        ".debug_line": line_program(rows(ROWS, END) if program is None else program, version=version, **names),
    }


def source_map_url(name: str) -> dict[str, bytes]:
    return {"sourceMappingURL": leb128(len(name.encode())) + name.encode()}


def module_text(sections=None, *, code: str = WAT_CODE, name: str = "$m") -> str:
    """The text of a core module with custom sections."""
    custom = "".join(
        f'(@custom "{title}" (after last) "{"".join(f"{chr(92)}{byte:02x}" for byte in content)}")'
        for title, content in (sections or {}).items()
    )
    return f"(module {name} {code} {custom})"


def module(sections=None, **options) -> bytes:
    """The binary of a core module with custom sections."""
    return bytes(wat2wasm(module_text(sections, **options)))


def component(sections=None) -> bytes:
    """The binary of a component with that module behind another one, which has no debugging information."""
    other = module_text(code='(func (export "other") nop nop nop nop)', name="$n").replace("(module", "(core module", 1)
    guest = module_text(sections).replace("(module", "(core module", 1)
    return bytes(
        wat2wasm(
            f"(component {other} {guest} (core instance $i (instantiate $m)) (core instance (instantiate $n)) "
            '(func (export "run") (canon lift (core func $i "run"))))'
        )
    )
