// The planted faults of world.wit in AssemblyScript.

@external("planted:till/rates@1.0.0", "rate")
declare function rate(currency: usize, size: u32): u32;
@external("wasi:clocks/monotonic-clock@0.2.0", "now")
declare function now(): u64;

export function cabi_realloc(old: usize, oldSize: usize, alignment: usize, newSize: usize): usize {
  return old == 0 ? heap.alloc(newSize) : heap.realloc(old, newSize);
}

export function average(prices: usize, count: u32): u32 {
  let sum: u32 = 0;
  for (let i: u32 = 0; i < count; i++) sum += load<u32>(prices + (<usize>i << 2));
  heap.free(prices);
  return sum / count;
}

export function total(prices: usize, count: u32): u32 {
  let sum: u32 = 0;
  for (let i: u32 = 0; i + 1 < count; i++) sum += load<u32>(prices + (<usize>i << 2));
  heap.free(prices);
  return sum;
}

export function receipt(): u64 {
  return now();
}

export function ways(cents: u32): u64 {
  return cents < 2 ? 1 : ways(cents - 1) + ways(cents - 2);
}

let customers: u32 = 0;

export function greet(customer: usize, size: u32): u32 {
  const kept = heap.alloc(1024);
  memory.copy(kept, customer, min<u32>(size, 1024));
  heap.free(customer);
  return ++customers;
}

export function convert(cents: u32, currency: usize, size: u32): u32 {
  const price = rate(currency, size);
  heap.free(currency);
  return cents / price;
}
