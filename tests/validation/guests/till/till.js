// The planted faults of world.wit in JavaScript.

import { now } from "wasi:clocks/monotonic-clock@0.2.0";
import { rate } from "planted:till/rates@1.0.0";

export function average(prices) {
  return Math.trunc(Array.from(prices).reduce((sum, price) => sum + price) / prices.length);
}

export function total(prices) {
  let sum = 0;
  for (let i = 0; i + 1 < prices.length; i++) sum += prices[i];
  return sum;
}

export function receipt() {
  return now();
}

export function ways(cents) {
  return cents < 2 ? 1n : ways(cents - 1) + ways(cents - 2);
}

const customers = [];

export function greet(customer) {
  customers.push(new Uint8Array(1024));
  return customers.length;
}

export function convert(cents, currency) {
  return Number(BigInt(cents) / BigInt(rate(currency)));
}
