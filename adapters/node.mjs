// An adapter (docs/protocol.md) for the WebAssembly of V8, in Node.js 20 or later: its standard library and nothing else.
//
// Each request has a thread of its own, so that a guest that never returns can be ended at its deadline from outside.
// node.toml beside it lists the cases that V8 does not hold, with the reasons.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setFlagsFromString } from "node:v8";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

// The smallest module that uses each part of the language, without magic and version: V8 is asked whether it is one.
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
const COUNTS = ["tables", "table_elements", "instances", "memories", "transfer_bytes", "output_bytes"];
const PAGE = 65536;
// V8 tells its traps by their texts only, and no name of a guest stands in these.
const TRAPS = [
  [/^unreachable/, "unreachable"],
  [/call stack/, "stack-overflow"],
  [/^memory access|data segment/, "memory-out-of-bounds"],
  [/^table|element segment/, "table-out-of-bounds"],
  [/^array (element )?(access|index)/, "array-out-of-bounds"],
  [/^null function or/, "null-function-or-bad-signature"], // V8 does not tell which
  [/^divide result/, "integer-overflow"],
  [/by zero$/, "integer-division-by-zero"],
  [/^float unrepresentable/, "bad-conversion-to-integer"],
  [/null/, "null-reference"],
  [/^illegal cast/, "cast-failure"],
  [/array is too large/, "allocation-too-large"],
];

class HostFailure extends Error {}
const sleep = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms >>> 0);
const HOST = { "noop": () => {}, "echo": (value) => value, "sleep-ms": sleep };
HOST.fail = () => { throw new HostFailure("it fails, as it should"); };

const nowMs = () => Number(process.hrtime.bigint()) / 1e6; // of one clock in all threads
// Where -0 stands for itself: JSON.stringify has no word for it.
const toLine = (answer) => JSON.stringify(answer).replaceAll('"\\u0000-0"', "-0.0");
// Doubles hold 53 bits of an integer: longer ones are kept as text.
const withLongIntegers = (line) =>
  JSON.parse(line.replace(/"(?:[^"\\]|\\.)*"|-?\d{16,}(?![\d.eE])/g, (it) => (it[0] === '"' ? it : `"${it}"`)));

// JavaScript makes of a text whatever number the parameter is of: 32 bits, 64 bits, or floating.
function lowered(value) {
  const text = { inf: "Infinity", "-inf": "-Infinity", nan: "NaN" }[value] ?? String(value);
  return Object.is(value, -0) ? "-0" : text;
}

function lifted(value) {
  if (Array.isArray(value)) return value.map(lifted);
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "number") return value === undefined || value === null ? null : String(value);
  if (Object.is(value, -0)) return "\0-0";
  return Number.isNaN(value) ? "nan" : Number.isFinite(value) ? value : value > 0 ? "inf" : "-inf";
}

function judged(error, isInstantiation) {
  const message = String(error?.message ?? error).slice(0, 2000);
  if (error instanceof HostFailure) return { verdict: "host-error", message };
  if (error instanceof WebAssembly.Exception) return { verdict: "trap", trap: "uncaught-exception", message };
  if (error instanceof WebAssembly.CompileError) return { verdict: "invalid-component", message };
  if (error instanceof WebAssembly.LinkError) return { verdict: "link-error", message };
  if (isInstantiation && error instanceof TypeError) return { verdict: "link-error", message };
  if (/Cannot allocate Wasm memory/.test(message)) return { verdict: "out-of-memory", message };
  const cause = message.replace(/^WebAssembly\.\w+\(\): /, "");
  return { verdict: "trap", trap: TRAPS.find(([text]) => text.test(cause))?.[1] ?? "unknown", message };
}

// The thread of one request: says when it enters the guest, and how it came back.
function runGuest({ path, steps, imports }) {
  let instance;
  const execute = (act, phase) => {
    parentPort.postMessage({ enteredMs: nowMs() });
    let answer;
    try {
      answer = { verdict: "ok", value: lifted(act()) };
    } catch (error) {
      answer = judged(error, phase !== undefined);
    }
    parentPort.postMessage({ leftMs: nowMs(), answer: { ...answer, phase } });
    return answer.verdict === "ok";
  };
  const host = Object.fromEntries(imports.map((name) => [name, HOST[name]]));
  const instantiate = () => {
    const module = new WebAssembly.Module(readFileSync(path));
    instance = new WebAssembly.Instance(module, { host });
  };
  if (!execute(instantiate, "instantiate")) return;
  for (const { call, args = [] } of steps) {
    if (call && !execute(() => instance.exports[call](...args.map(lowered)))) return;
  }
}

function wrongLimit(limits) {
  const isCount = (value) => Number.isInteger(value) && value >= 0;
  for (const [name, value] of Object.entries({ memory_bytes: null, ...limits })) {
    const isRight =
      name === "memory_bytes" || COUNTS.includes(name) ? isCount(value) && value < 2 ** 64
      : name === "fuel" ? value === "unlimited" || (isCount(value) && value <= 2 ** 64) // as the nearest double
      : name === "timeout_ms" && (value === "unlimited" || (typeof value === "number" && value >= 0));
    if (!isRight) return `${name}: ${JSON.stringify(value)} is no such limit`;
  }
}

// V8 bounds memories by a flag of the process: only requests with one bound run beside each other.
const open = new Set();
let boundPages;

async function run({ limits, steps, imports = [] }, path) {
  const message = wrongLimit(limits);
  if (message) return [{ verdict: "invalid-config", phase: "instantiate", message }];
  const pages = Math.min(Math.floor(limits.memory_bytes / PAGE), 2 ** 32 - 1);
  while (open.size && pages !== boundPages) await Promise.race(open);
  setFlagsFromString(`--wasm-max-mem-pages=${(boundPages = pages)}`);
  const running = answersOf(new Worker(new URL(import.meta.url), { workerData: { path, steps, imports } }), limits.timeout_ms ?? 100);
  open.add(running);
  const answers = await running;
  open.delete(running);
  return answers.length > 1 && steps[0].call ? answers.slice(1) : answers;
}

function answersOf(worker, timeoutMs) {
  const limitMs = timeoutMs === "unlimited" ? Infinity : timeoutMs;
  const answers = [];
  let enteredMs, timer;
  return new Promise((resolve) => {
    const end = (...last) => {
      clearTimeout(timer);
      worker.terminate();
      resolve([...answers, ...last]);
    };
    const phase = () => (answers.length ? undefined : "instantiate");
    const late = (elapsed_ms) => end({ verdict: "timeout", elapsed_ms, phase: phase(), message: "the time is up" });
    const watch = () => {
      const leftMs = enteredMs + limitMs - nowMs();
      if (leftMs <= 0) late(limitMs - leftMs);
      else timer = setTimeout(watch, Math.min(leftMs, 2 ** 31 - 1)); // what is longer fires at once
    };
    worker.on("message", (said) => {
      clearTimeout(timer);
      if (said.enteredMs) return (enteredMs = said.enteredMs), watch();
      const elapsed_ms = said.leftMs - enteredMs;
      if (elapsed_ms >= limitMs) return late(elapsed_ms);
      answers.push({ ...said.answer, elapsed_ms });
    });
    worker.on("error", (error) => end({ verdict: "runtime-died", phase: phase(), message: String(error.message) }));
    worker.on("exit", () => end());
  });
}

async function answer(line) {
  const request = JSON.parse(line);
  const say = (said) => process.stdout.write(`${toLine({ id: request.id, ...said })}\n`);
  if (request.op === "run") return say({ steps: await run({ ...request, steps: withLongIntegers(line).steps }, request.component) });
  if (request.op !== "hello") return say({ error: `${request.op}: not known here` });
  const isPart = (body) => WebAssembly.validate(Buffer.from(`0061736d01000000${body}`, "hex"));
  const parts = Object.keys(PARTS).filter((name) => isPart(PARTS[name]));
  const capabilities = ["module", "timeout", "memory", "imports", "concurrent", ...parts];
  say({ runtime: "V8 in Node.js", version: `${process.versions.node} (V8 ${process.versions.v8})`, capabilities });
}

if (isMainThread) createInterface({ input: process.stdin }).on("line", answer).on("close", () => process.exit(0));
else runGuest(workerData);
