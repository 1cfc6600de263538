// Writes every sample of the page at /docs into a file of its own: it must compile, or parse.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { samples } from "./samples.js";

const ending = { curl: "sh", Python: "py", TypeScript: "ts" };
const api = JSON.parse(readFileSync("openapi.json", "utf8"));
mkdirSync("samples");
for (const [path, item] of Object.entries(api.paths)) {
  for (const [method, operation] of Object.entries(item)) {
    for (const [language, text] of Object.entries(samples(path, method, operation, "http://127.0.0.1:8080"))) {
      writeFileSync(`samples/${operation.operationId}.${ending[language]}`, `${text}\n`);
    }
  }
}
