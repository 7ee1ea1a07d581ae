// Three planted faults: a list that is read one element too far, a character outside of its range, and state that is
// carried over to later calls.

export function cabi_realloc(old: usize, oldSize: usize, alignment: usize, newSize: usize): usize {
  return old == 0 ? heap.alloc(newSize) : heap.realloc(old, newSize);
}

const first = new StaticArray<u32>(8);

export function sum(data: usize, length: u32): u64 {
  let total: u64 = 0;
  for (let i: u32 = 0; i < length; i++) {
    // Fault: `<=` instead of `<`.
    if (i <= 8) first[i] = load<u32>(data + (<usize>i << 2));
  }
  for (let i: u32 = 0; i < min<u32>(length, 8); i++) total += first[i];
  heap.free(data);
  return total;
}

export function next(after: u32): u32 {
  // Fault: 0xD800 and 0x110000 are not characters.
  return after + 1;
}

const stack = new StaticArray<u32>(4);
let height = 0;

export function push(value: u32): u32 {
  // Fault: the fifth number has no place.
  stack[height++] = value;
  return height;
}

export function clear(): void {
  height = 0;
}
