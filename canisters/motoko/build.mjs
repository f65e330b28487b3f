// Compiles the Motoko canisters of this folder to `<name>.wasm` and `<name>.did`.

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const motoko = require("motoko").default;
const here = dirname(fileURLToPath(import.meta.url));

motoko.loadPackage(require("motoko/packages/latest/core.json"));
motoko.setPublicMetadata(["candid:service"]);

for (const name of ["counter", "counter_v2"]) {
  const file = `${name}.mo`;
  motoko.write(file, readFileSync(join(here, file), "utf8"));
  const problems = motoko.check(file).filter((found) => found.severity === 1);
  if (problems.length > 0) {
    console.error(problems.map((found) => `${file}: ${found.message}`).join("\n"));
    process.exit(1);
  }
  const { wasm } = motoko.wasm(file, "ic");
  writeFileSync(join(here, `${name}.wasm`), wasm);
  writeFileSync(join(here, `${name}.did`), motoko.candid(file));
  console.log(`${name}.wasm: ${wasm.length} bytes`);
}
