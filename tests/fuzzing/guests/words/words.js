// Three planted faults: a case of a variant that is mishandled, a list that may be empty, and a random number.

import { getRandomU64 } from "wasi:random/random@0.2.0";

export function width(shape) {
  switch (shape.tag) {
    case "dot":
      return 1;
    case "circle":
      return shape.val;
  }
  // Fault: the payload of a square is a number.
  return shape.val.side.length;
}

export function last(words) {
  // Fault: an empty list has no last word.
  return words[words.length - 1].length;
}

export function number(text) {
  // Fault: a random number.
  return text.length > 3 ? getRandomU64() % 1_000_000 : text.length;
}
