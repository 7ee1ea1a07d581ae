"""Memory that is not limited, counted with the wrong measure, or not clean."""

from __future__ import annotations

import re
from collections import Counter
from ctypes import addressof, memmove, memset, string_at

from msgspec import UNSET

from mutants import python_memories
from mutants.mutant import Family, answering, around, reading, rewriting
from mutants.python_memories import Account, Mapping, account_in_python
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.capi.guard import GuardRun
from pytest_airssys_wasm.runtime.execution.run import Run
from pytest_airssys_wasm.runtime.guest import in_process

FAMILY = Family("memory")

PAGE = 65_536


def _limit(patch, change):
    """`change(limit_bytes)` is the limit that is kept; the store's own account stays as it is shown."""

    def take(original, run, size_bytes):
        told, run.limit_bytes = run.limit_bytes, change(run.limit_bytes)
        try:
            return original(run, size_bytes)
        finally:
            run.limit_bytes = told

    _taking(patch, take)


def _taking(patch, take):
    """`take(original, run, size_bytes)` charges the account of a store."""
    account_in_python(patch)
    around(patch, python_memories, "take", take)


def _paying(patch, pay):
    """`pay(account)` is charged in the place of the store's account."""
    account_in_python(patch)
    around(patch, python_memories, "payer", lambda payer, engine: pay(payer(engine)))


@FAMILY.mutant
def no_memory_limit(patch):
    """A guest gets what it asks for."""
    _limit(patch, lambda _: 2**30)


class _OneMemory:
    """The account of one memory, which has the whole limit to itself."""

    def __init__(self, account, first_is_free=False):
        self.account = account
        self.used_bytes = 0
        self.is_free = first_is_free

    def take(self, size_bytes):
        account = self.account.run
        if not self.is_free and self.used_bytes + size_bytes > account.limit_bytes:
            account.denied_growths += 1
            return False
        self.is_free = False
        self.used_bytes += size_bytes
        account.used_bytes += size_bytes
        account.peak_bytes = max(account.peak_bytes, account.used_bytes)
        return True

    def give_back(self, size_bytes):
        self.used_bytes -= size_bytes
        self.account.give_back(size_bytes)


@FAMILY.mutant
def a_limit_for_each_memory(patch):
    """The limit holds for one memory at a time, as wasmtime's own does."""
    _paying(patch, _OneMemory)


@FAMILY.mutant
def the_initial_size_is_free(patch):
    """Only growth is limited."""
    _paying(patch, lambda account: _OneMemory(account, first_is_free=True))


@FAMILY.mutant
def the_gc_heap_is_free(patch):
    """Only linear memories are counted."""
    free = Account(GuardRun(limit_bytes=2**30))
    heaps = set()

    def instantiation(original, self, operation, run):
        heaps.discard(addressof(self.account))  # a store that is gone may have been there
        if operation.component.kind == "module" and not operation.component.shape.memories:
            heaps.add(addressof(self.account))
        return original(self, operation, run)

    around(patch, in_process.InProcessBackend, "_instantiation", instantiation)
    _paying(patch, lambda account: free if addressof(account.run) in heaps else account)


@FAMILY.mutant
def one_page_too_much(patch):
    """The limit is compared with what there is before the growth."""
    _limit(patch, lambda limit_bytes: limit_bytes + PAGE)


@FAMILY.mutant
def one_page_too_little(patch):
    """The last page cannot be had."""
    _limit(patch, lambda limit_bytes: limit_bytes - PAGE)


@FAMILY.mutant
def the_limit_is_rounded_up(patch):
    """A limit that is no whole number of pages is raised to one."""
    _limit(patch, lambda limit_bytes: -(-limit_bytes // PAGE) * PAGE)


@FAMILY.mutant
def no_memory_means_unlimited(patch):
    """A limit of zero is taken for the lack of one."""
    _limit(patch, lambda limit_bytes: limit_bytes or 2**30)


@FAMILY.mutant
def memory_with_64_bit_addresses_is_not_limited(patch):
    """Only what 32 bits can address is limited."""

    def instantiation(original, self, operation, run):
        component = operation.component
        if component.kind == "module" and any(memory.is_64 for memory in component.shape.memories):
            self.account.limit_bytes = 2**30
        return original(self, operation, run)

    around(patch, in_process.InProcessBackend, "_instantiation", instantiation)


@FAMILY.mutant
def a_refused_growth_ends_the_guest(patch):
    """A guest that is refused memory is not asked what it makes of it."""
    answering(patch, lambda answer, _: _dead(answer) if answer.denied_growths else {})


def _dead(answer):
    return {"verdict": Verdict.OUT_OF_MEMORY, "value": UNSET, "trap": None}


@FAMILY.mutant
def one_refusal_is_forever(patch):
    """After a refused growth the store gives no memory any more."""

    def take(original, self, size_bytes):
        taken = original(self, size_bytes)
        if not taken:
            self.limit_bytes = self.used_bytes
        return taken

    _taking(patch, take)


@FAMILY.mutant
def refusals_are_not_counted(patch):
    """`denied_growths` is always zero."""
    answering(patch, lambda _answer, _: {"denied_growths": 0})


@FAMILY.mutant
def a_refusal_is_counted_once(patch):
    """`denied_growths` is whether there was any."""
    answering(patch, lambda answer, _: {"denied_growths": answer.denied_growths and 1})


@FAMILY.mutant
def refusals_are_counted_from_the_beginning(patch):
    """What one call was refused is counted in the next, and blamed for its trap."""

    denied = Counter()

    def settle(original, self):
        store = addressof(self.account)
        original(self)
        denied[store] += self.account.denied_growths
        self.account.denied_growths = denied[store]

    around(patch, Run, "settle", settle)


@FAMILY.mutant
def the_guests_own_maximum_is_a_refusal(patch):
    """Each -1 of a growth is put down to the limit."""
    answering(patch, lambda answer, _: {"denied_growths": 1} if answer.value == -1 else {})


@FAMILY.mutant
def the_peak_is_what_there_was_at_first(patch):
    """Growth is not part of the peak."""

    def measured(original, self, size_bytes):
        peak = self.peak_bytes
        taken = original(self, size_bytes)
        if peak:
            self.peak_bytes = peak
        return taken

    _taking(patch, measured)


@FAMILY.mutant
def the_peak_is_that_of_the_largest_memory(patch):
    """Memories beside it do not add to it."""

    class Largest(_OneMemory):
        def take(self, size_bytes):
            run = self.account.run
            peak = run.peak_bytes
            taken = self.account.take(size_bytes)
            if taken:
                self.used_bytes += size_bytes
                run.peak_bytes = max(peak, self.used_bytes)
            return taken

    _paying(patch, Largest)


@FAMILY.mutant
def the_peak_is_the_limit(patch):
    """What a guest may have is told as what it had."""
    answering(patch, lambda _, request: {"peak_memory_bytes": _number(request.limits.get("memory_bytes"))})


def _number(limit_bytes):
    return limit_bytes if isinstance(limit_bytes, int) and limit_bytes >= 0 else None


@FAMILY.mutant
def the_peak_is_told_in_pages(patch):
    """Sixteen, and not 1,048,576."""
    answering(patch, lambda answer, _: {"peak_memory_bytes": (answer.peak_memory_bytes or 0) // PAGE})


@FAMILY.lasting_mutant
def the_peak_is_that_of_all_stores(patch):
    """What others hold at the time is part of it."""
    held = [0]

    def take(original, self, size_bytes):
        taken = original(self, size_bytes)
        if taken:
            held[0] += size_bytes
            self.peak_bytes = max(self.peak_bytes, held[0])
        return taken

    def give_back(original, self, size_bytes):
        held[0] -= size_bytes
        original(self, size_bytes)

    _taking(patch, take)
    around(patch, python_memories, "give_back", give_back)


@FAMILY.lasting_mutant
def all_stores_share_one_limit(patch):
    """What other stores hold at the time is missing."""
    held = [0]

    def take(original, self, size_bytes):
        if held[0] + size_bytes > self.limit_bytes:
            self.denied_growths += 1
            return False
        taken = original(self, size_bytes)
        held[0] += size_bytes if taken else 0
        return taken

    def give_back(original, self, size_bytes):
        held[0] -= size_bytes
        original(self, size_bytes)

    _taking(patch, take)
    around(patch, python_memories, "give_back", give_back)


@FAMILY.lasting_mutant
def memory_is_never_given_back_to_the_account(patch):
    """A store that is closed goes on to count against the next ones."""
    held = [0]

    def take(original, self, size_bytes):
        if held[0] + size_bytes > 8 * self.limit_bytes:
            return False
        taken = original(self, size_bytes)
        held[0] += size_bytes if taken else 0
        return taken

    _taking(patch, take)


@FAMILY.lasting_mutant
def memory_is_not_zeroed(patch):
    """A new memory is an old one, as its last guest left it."""
    left: dict[int, bytes] = {}

    def unmap(original, self):
        left[self.size_bytes] = string_at(self.base, self.size_bytes)
        original(self)

    def make(original, self, account, size_bytes, *rest):
        original(self, account, size_bytes, *rest)
        memmove(self.base, left.get(size_bytes, b""), len(left.get(size_bytes, b"")))

    account_in_python(patch)
    around(patch, Mapping, "unmap", unmap)
    around(patch, Mapping, "__init__", make)


@FAMILY.mutant
def grown_memory_is_not_zeroed(patch):
    """New pages hold what was there before."""

    def grow(original, self, size_bytes):
        before = self.size_bytes
        original(self, size_bytes)
        memset(self.base + before, 0xA5, size_bytes - before)

    account_in_python(patch)
    around(patch, Mapping, "grow", grow)


@FAMILY.mutant
def the_default_memory_limit(patch):
    """A run without a memory limit has one of 1 MiB."""
    reading(patch, lambda limits: {"memory_bytes": limits.get("memory_bytes", 2**20)})


def _count(patch, **counts):
    around(patch, in_process, "RawStore", lambda make, *args, **given: make(*args, **{**given, **counts}))


@FAMILY.mutant
def any_number_of_tables(patch):
    """Tables are not counted."""
    _count(patch, tables=10_000)


@FAMILY.mutant
def tables_of_any_size(patch):
    """Table elements are not counted."""
    _count(patch, table_elements=10_000_000)


@FAMILY.mutant
def any_number_of_instances(patch):
    """Instances are not counted."""
    _count(patch, instances=10_000)


@FAMILY.mutant
def any_number_of_memories(patch):
    """Memories are not counted."""
    _count(patch, memories=10_000)


@FAMILY.mutant
def one_table_element_too_little(patch):
    """The last element of the limit cannot be had."""
    around(
        patch,
        in_process,
        "RawStore",
        lambda make, *args, table_elements, **given: make(*args, table_elements=table_elements - 1, **given),
    )


@FAMILY.mutant
def garbage_is_never_collected(patch):
    """What a guest made is kept, though nobody can reach it."""
    made = re.compile(r"\(drop (\((?:array|struct)\.new\w* \$\w+ \([^()]*\)\))\)")

    def change(text):
        kept = made.sub(r"(drop (table.grow $kept \1 (i32.const 1)))", text).rstrip()
        return f"{kept[:-1]} (table $kept 0 anyref))" if made.search(text) and "(component" not in text else text

    rewriting(patch, change)


@FAMILY.lone_mutant
def globals_take_any_amount(patch):
    """The globals of instances are not counted."""
    patch.setattr(in_process, "MOST_INSTANCE_BYTES", 2**60)
