// Compiles the Motoko canisters of this folder to `<name>.wasm` and `<name>.did`: all of them, or the
// one that is named, into this folder or the one that is given.
//
//   node build.mjs [folder [name]]
//
// Each actor is compiled by a process of its own: what the compiler compiled before would show in the
// names that it makes up, and so in the bytes.

import { spawnSync } from "node:child_process";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const folder = resolve(process.argv[2] ?? here);
const names = readdirSync(here)
  .filter((file) => file.endsWith(".mo"))
  .map((file) => file.slice(0, -".mo".length))
  .sort();

function compile(name) {
  const require = createRequire(import.meta.url);
  const motoko = require("motoko").default;
  motoko.loadPackage(require("motoko/packages/latest/core.json"));
  motoko.setPublicMetadata(["candid:service"]);
  for (const other of names) {
    motoko.write(`${other}.mo`, readFileSync(join(here, `${other}.mo`), "utf8"));
  }
  const problems = motoko.check(`${name}.mo`).filter((found) => found.severity === 1);
  if (problems.length > 0) {
    const line = (found) => `${name}.mo:${found.range.start.line + 1}: ${found.message}`;
    console.error(problems.map(line).join("\n"));
    process.exit(1);
  }
  const { wasm } = motoko.wasm(`${name}.mo`, "ic");
  writeFileSync(join(folder, `${name}.wasm`), wasm);
  writeFileSync(join(folder, `${name}.did`), motoko.candid(`${name}.mo`));
  console.log(`${name}.wasm: ${wasm.length} bytes`);
}

if (process.argv[3] !== undefined) {
  compile(process.argv[3]);
} else {
  for (const name of names) {
    const script = fileURLToPath(import.meta.url);
    const { status } = spawnSync(process.execPath, [script, folder, name], { stdio: "inherit" });
    if (status !== 0) process.exit(1);
  }
}
