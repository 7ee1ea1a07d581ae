// An adapter (docs/protocol.md) for the WebAssembly of V8 in Node.js 20 or later. It needs only the standard library.
// Each request runs on a separate thread, so that a guest that never returns can be ended at its deadline from outside.
// node.toml lists the cases that V8 fails, with the reasons.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setFlagsFromString } from "node:v8";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

// The smallest module that uses each feature, without magic and version. V8 supports the feature if the module is valid.
const PARTS = {
  "bulk-memory": "0104016000000302010005030100000a0d010b00410041004100fc0b000b",
  "multi-memory": "05050200000000",
  "memory64": "0503010400",
  "tail-call": "010401600000030201000a0601040012000b",
  "exceptions": "010401600000030201000a0f010d0002691f400103000b0f0b1a0b",
  "function-references": "0109026000006001640000030201010a08010600200014000b",
  "gc": "0106025f00600000030201010a08010600fb00001a0b",
  "simd": "010401600000030201000a17011500fd0c000000000000000000000000000000001a0b",
  "relaxed-simd": "01050160017b00030201000a0c010a0020002000fd80021a0b",
};
const isU64 = (value) => Number.isInteger(value) && value >= 0 && value <= 2 ** 64; // as the nearest double
const LIMITS = {
  __proto__: null,
  timeout_ms: (value) => value === "unlimited" || (typeof value === "number" && value >= 0),
  fuel: (value) => value === "unlimited" || isU64(value),
};
for (const name of ["memory", "transfer", "output"]) LIMITS[`${name}_bytes`] = isU64;
for (const name of ["tables", "table_elements", "instances", "memories"]) LIMITS[name] = isU64;
// V8 only identifies traps by their messages, which contain no names of the guest.
const TRAPS = [
  [/^unreachable/, "unreachable"],
  [/call stack/, "stack-overflow"],
  [/^memory access|data segment/, "memory-out-of-bounds"],
  [/^table|element segment/, "table-out-of-bounds"],
  [/^array (element )?(access|index)/, "array-out-of-bounds"],
  [/^null function or/, "null-function-or-bad-signature"], // V8 does not say which
  [/^divide result/, "integer-overflow"],
  [/by zero$/, "integer-division-by-zero"],
  [/^float unrepresentable/, "bad-conversion-to-integer"],
  [/null/, "null-reference"],
  [/^illegal cast/, "cast-failure"],
  [/array is too large/, "allocation-too-large"],
];

class HostFailure extends Error {}
const HOST = {
  "noop": () => {},
  "echo": (value) => value,
  "sleep-ms": (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms >>> 0),
  "fail": () => { throw new HostFailure("it fails, as it should"); },
};

const nowMs = () => Number(process.hrtime.bigint()) / 1e6; // the same clock in all threads
// JSON.stringify would drop the sign of -0.
const toLine = (answer) => JSON.stringify(answer).replaceAll('"\\u0000-0"', "-0.0");
// JSON.parse makes doubles, which hold 53 bits of an integer: longer integers are turned into text before.
const withLongIntegers = (line) =>
  JSON.parse(line.replace(/"(?:[^"\\]|\\.)*"|-?\d{16,}(?![\d.eE])/g, (it) => (it[0] === '"' ? it : `"${it}"`)));

// V8 does not expose the types of parameters, but converts text to them: 32 bits, 64 bits, or floating point.
const lowered = (value) =>
  Object.is(value, -0) ? "-0" : ({ inf: "Infinity", "-inf": "-Infinity", nan: "NaN" }[value] ?? String(value));

function lifted(value) {
  if (Array.isArray(value)) return value.map(lifted);
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "number") return null; // no result, or a reference, which no case asks for
  if (Object.is(value, -0)) return "\0-0";
  return Number.isFinite(value) ? value : { Infinity: "inf", "-Infinity": "-inf", NaN: "nan" }[value];
}

function judged(error, isInstantiation) {
  const message = String(error.message).slice(0, 2000);
  const is = (...kinds) => kinds.some((kind) => error instanceof kind);
  if (is(HostFailure)) return { verdict: "host-error", message };
  if (is(WebAssembly.Exception)) return { verdict: "trap", trap: "uncaught-exception", message };
  if (is(WebAssembly.CompileError)) return { verdict: "invalid-component", message };
  if (is(WebAssembly.LinkError) || (isInstantiation && is(TypeError))) return { verdict: "link-error", message };
  if (!is(WebAssembly.RuntimeError, RangeError)) throw error; // a guest cannot cause it
  if (/Cannot allocate Wasm memory/.test(message)) return { verdict: "out-of-memory", message };
  const cause = message.replace(/^WebAssembly\.\w+\(\): /, "");
  return { verdict: "trap", trap: TRAPS.find(([text]) => text.test(cause))?.[1] ?? "unknown", message };
}

// The thread of one request reports when it enters the guest, and the outcome.
function runGuest({ component, steps, imports = [] }) {
  const execute = (act, phase) => {
    parentPort.postMessage({ enteredMs: nowMs() });
    let answer;
    try {
      answer = { verdict: "ok", value: lifted(act()), phase };
    } catch (error) {
      answer = { ...judged(error, phase === "instantiate"), phase };
    }
    parentPort.postMessage({ leftMs: nowMs(), answer });
    return answer.verdict === "ok";
  };
  const host = Object.fromEntries(imports.map((name) => [name, HOST[name]]));
  let instance;
  const instantiate = () => {
    instance = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(component)), { host });
  };
  const calls = steps.filter((step) => step.call);
  execute(instantiate, "instantiate") &&
    calls.every(({ call, args = [] }) => execute(() => instance.exports[call](...args.map(lowered))));
}

// Returns the answers of a thread, and ends it if a step is late.
function answersOf(worker, limitMs) {
  const answers = [];
  let enteredMs, timer;
  return new Promise((resolve, reject) => {
    const end = (...last) => {
      clearTimeout(timer);
      worker.terminate();
      resolve([...answers, ...last]);
    };
    const fail = (verdict, more) => end({ verdict, phase: answers.length ? undefined : "instantiate", ...more });
    const watch = () => {
      const elapsed_ms = nowMs() - enteredMs;
      if (elapsed_ms >= limitMs) fail("timeout", { elapsed_ms, message: "the time is up" });
      else timer = setTimeout(watch, Math.min(limitMs - elapsed_ms, 2 ** 31 - 1)); // a longer one would fire at once
    };
    worker.on("message", (said) => {
      clearTimeout(timer);
      if (said.enteredMs) return (enteredMs = said.enteredMs), watch();
      const elapsed_ms = said.leftMs - enteredMs;
      if (elapsed_ms >= limitMs) return fail("timeout", { elapsed_ms, message: "it came back too late" });
      answers.push({ ...said.answer, elapsed_ms });
    });
    worker.on("error", (error) =>
      error.code === "ERR_WORKER_OUT_OF_MEMORY" ? fail("runtime-died", { message: error.message }) : reject(error));
    worker.on("exit", () => end());
  });
}

function wrongLimit(limits) {
  const wrong = Object.entries({ memory_bytes: null, ...limits }).find(([name, value]) => !LIMITS[name]?.(value));
  return wrong && `${wrong[0]}: ${JSON.stringify(wrong[1])} is no such limit`;
}

// V8 bounds memories by a flag of the process: only threads with the same bound can run at the same time. A thread that is
// ended runs on for a moment; if its guest grew a memory beyond a new bound then, V8 would abort the process.
const open = new Set();
let boundPages;

async function run({ limits, ...request }) {
  const message = wrongLimit(limits);
  if (message) return [{ verdict: "invalid-config", phase: "instantiate", message }];
  const pages = Math.min(Math.floor(limits.memory_bytes / 65536), 2 ** 32 - 1);
  while (open.size && pages !== boundPages) await Promise.race(open);
  setFlagsFromString(`--wasm-max-mem-pages=${(boundPages = pages)}`);
  const { timeout_ms = 100 } = limits;
  const thread = new Worker(new URL(import.meta.url), { workerData: request });
  const running = answersOf(thread, timeout_ms === "unlimited" ? Infinity : timeout_ms);
  const exited = new Promise((resolve) => thread.once("exit", resolve));
  open.add(exited);
  exited.then(() => open.delete(exited));
  const answers = await running;
  return answers.length > 1 && request.steps[0].call ? answers.slice(1) : answers;
}

function hello() {
  const isPart = (name) => WebAssembly.validate(Buffer.from(`0061736d01000000${PARTS[name]}`, "hex"));
  // What V8 tells neither of memory nor of traps, and how late its timers may be, is not promised.
  const promised = ["module", "imports", "concurrent", "memory-limit", "timeout-limit", "timeout-in-host", "web-limits"];
  const capabilities = [...promised, ...Object.keys(PARTS).filter(isPart)];
  return { runtime: "V8 in Node.js", version: `${process.versions.node} (V8 ${process.versions.v8})`, capabilities };
}

async function answer(line) {
  let id = null, said;
  try {
    const request = JSON.parse(line);
    id = request.id;
    if (request.op === "hello") said = hello();
    else if (request.op === "run") said = { steps: await run({ ...request, steps: withLongIntegers(line).steps }) };
    else said = { error: `${request.op}: not known here` };
  } catch (error) {
    said = { error: String(error) };
  }
  process.stdout.write(`${toLine({ id, ...said })}\n`);
}

if (isMainThread) createInterface({ input: process.stdin }).on("line", answer).on("close", () => process.exit(0));
else runGuest(workerData);
