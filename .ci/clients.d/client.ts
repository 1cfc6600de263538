// A client of the types that openapi-typescript makes of /openapi.json.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./plaudit.d.ts";

type Recognition = components["schemas"]["Recognition"];
type Problem = components["schemas"]["Problem"];

const { PLAUDIT_URL: baseUrl, PLAUDIT_TOKEN: token } = process.env;
assert(baseUrl && token);
const plaudit = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

// Listening comes first, so that the recognition below is on the stream.
const listening = new AbortController();
const stream = await plaudit.GET("/v1/recognitions/stream", { parseAs: "stream", signal: listening.signal });
assert(stream.data);

// Posts: new, the same again, and refused with a problem.
for (const talk of [1, 2, 3]) {
  const body = { contributor: "Grace", kind: "talk", source: "typescript", id: `talk-${talk}` };
  const posted = await plaudit.POST("/v1/contributions", { body });
  assert.equal(posted.response.status, 201);
  assert.equal(posted.data?.tally, talk);
  const again = await plaudit.POST("/v1/contributions", { body });
  assert.equal(again.response.status, 200);
}
const refused = await plaudit.POST("/v1/contributions", { body: { contributor: "a/b", kind: "Talk" } });
assert.equal(refused.data, undefined);
const problem: Problem = refused.error;
assert.equal(problem.type, "urn:plaudit:problem:invalid_fields");
assert.deepEqual(problem.errors?.map((error) => error.field).sort(), ["contributor", "kind"]);

// Reads by id.
const path = { id: "api:typescript:talk-1" };
const talk = await plaudit.GET("/v1/contributions/{id}", { params: { path } });
assert.equal(talk.data?.title, null);
const missing = await plaudit.GET("/v1/contributions/{id}", { params: { path: { id: "api:typescript:talk-9" } } });
assert.equal(missing.error?.status, 404);

// Reads a list page by page.
const ids: string[] = [];
for (let cursor: string | undefined, more = true; more; ) {
  const query = { limit: 1, ...(cursor === undefined ? {} : { cursor }) };
  const page = await plaudit.GET("/v1/contributors/{id}/contributions", { params: { path: { id: "grace" }, query } });
  assert(page.data);
  ids.push(...page.data.items.map((item) => item.id));
  const next: string | null = page.data.next;
  cursor = next === null ? undefined : (new URL(next, baseUrl).searchParams.get("cursor") ?? undefined);
  more = cursor !== undefined;
}
assert.deepEqual(ids, ["api:typescript:talk-3", "api:typescript:talk-2", "api:typescript:talk-1"]);

// Reads the recognition from the stream.
let text = "";
for await (const part of stream.data.pipeThrough(new TextDecoderStream())) {
  text += part;
  if (text.includes("\n\n")) break;
}
const data = text.split("\n").find((line) => line.startsWith("data:"));
assert(data);
const recognition = JSON.parse(data.slice("data:".length)) as Recognition;
assert.equal(recognition.id, "grace:3");
assert.equal(recognition.contribution?.id, "api:typescript:talk-3");
const read = await plaudit.GET("/v1/recognitions/{id}", { params: { path: { id: recognition.id } } });
assert.equal(read.data?.milestone, 3);

// Takes a contribution back.
const retracted = await plaudit.DELETE("/v1/contributions/{id}", { params: { path } });
assert.equal(retracted.data?.tally, 2);
