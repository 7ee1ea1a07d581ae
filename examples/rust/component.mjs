// node component.mjs CORE WIT WORLD OUT: makes a component from a core module that exports the functions of the world.
// (`wasm-tools component embed` and `new` do the same; here they come from npm.)
import { readFile, writeFile } from "node:fs/promises";
import { componentEmbed, componentNew } from "@bytecodealliance/jco-transpile/wasm-tools";

const [core, wit, world, out] = process.argv.slice(2);
const binary = await readFile(core);
const witSource = await readFile(wit, "utf8");
await writeFile(out, await componentNew(await componentEmbed({ binary, witSource, world }), []));
