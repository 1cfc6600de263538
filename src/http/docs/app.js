// Draws openapi.json, and sends what is tried. Text is only ever set as text: nothing here makes HTML of data.

import {samples} from "./samples.js";
import {PROOFS} from "./sign.js";

const root = new URL(".", location.href);
const METHODS = ["get", "post", "put", "patch", "delete"];
let api;

/** An element: `make("p", {class: "note"}, "text", child, …)`. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/** The little Markdown that descriptions use: `code`, **bold**, [links](https://…). */
function inline(text) {
  const parts = text.split(/(`[^`]+`|\*\*[^*]+\*\*|\[[^\]]+\]\(https:\/\/[^)]+\))/);
  return parts.filter(Boolean).map((part) => {
    const guide = part.match(/^`(docs\/\w+\.md)`$/);
    if (guide) return make("a", {href: guide[1]}, guide[1]);
    if (part.startsWith("`")) return make("code", {}, part.slice(1, -1));
    if (part.startsWith("**")) return make("strong", {}, part.slice(2, -2));
    const link = part.match(/^\[([^\]]+)\]\((https:\/\/[^)]+)\)$/);
    return link ? make("a", {href: link[2], rel: "noreferrer"}, link[1]) : part;
  });
}

function prose(text = "") {
  return text.split(/\n\s*\n/).filter((part) => part.trim()).map((part) => make("p", {}, ...inline(part)));
}

/** Follows references, and joins what stands beside them or in allOf into one schema. */
function resolve(schema) {
  if (!schema) return {};
  const parts = [...(schema.allOf ?? [])];
  if (schema.$ref) parts.push(schema.$ref.slice(2).split("/").reduce((at, key) => at?.[key], api));
  const {allOf, $ref, properties, ...whole} = schema;
  for (const part of parts.map(resolve)) {
    whole.properties = {...whole.properties, ...part.properties};
    whole.required = [...(whole.required ?? []), ...(part.required ?? [])];
    for (const [key, value] of Object.entries(part)) whole[key] ??= value;
  }
  for (const [name, property] of Object.entries(properties ?? {})) {
    whole.properties = {...whole.properties, [name]: {...whole.properties?.[name], ...property}};
  }
  const inner = schema.oneOf?.find((one) => one.type !== "null");
  if (!inner) return whole;
  const {description, ...rest} = resolve(inner);
  return {description: schema.description ?? description, ...rest, type: [rest.type, "null"].flat()};
}

function kindOf(schema) {
  const kinds = [schema.type ?? "anything"].flat();
  const named = kinds.map((kind) => (kind === "array" ? `list of ${[resolve(schema.items).type ?? "anything"].flat()[0]}s` : kind));
  const limits = [
    !schema.format?.startsWith("int") && schema.format,
    schema.minimum != null && (schema.maximum != null ? `${schema.minimum} to ${schema.maximum}` : `from ${schema.minimum}`),
    schema.maxLength != null && `at most ${schema.maxLength} characters`,
    schema.const != null && `always ${schema.const}`,
  ];
  return [named.join(" or "), ...limits.filter(Boolean)].join(", ");
}

/** A field, with a word for one that is never missing: "required" of a request, "always there" of an answer. */
function field(name, schema, must, description) {
  const head = make("dt", {}, make("span", {class: "name"}, name), " ", make("span", {class: "kind"}, kindOf(schema)));
  if (must) head.append(must === "required" ? " " : ", ", make("span", {class: must === "required" ? "must" : "kind"}, must));
  const body = make("dd", {}, ...prose(description ?? schema.description));
  if (schema.enum && schema.enum.length <= 20) {
    const words = schema.enum.flatMap((word, n) => [n ? ", " : "", make("code", {}, String(word))]);
    body.append(make("p", {class: "note"}, "One of ", ...words));
  }
  // A longer one is said better by the description.
  if (schema.pattern?.length <= 60) body.append(make("p", {class: "note"}, "Matches ", make("code", {}, schema.pattern)));
  const inner = schema.properties ? schema : resolve(schema.items);
  if (inner.properties) body.append(fields(inner, must || "always there"));
  return make("div", {}, head, body);
}

/** The same, with what is required at the front; otherwise in the order of the description. */
function requiredFirst(list, isRequired) {
  return [...list.filter(isRequired), ...list.filter((one) => !isRequired(one))];
}

function fields(schema, word) {
  const required = ([name]) => schema.required?.includes(name) ?? false;
  return make("dl", {class: "fields"}, ...requiredFirst(Object.entries(schema.properties ?? {}), required).map((one) =>
    field(one[0], resolve(one[1]), required(one) && word)));
}

function pretty(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

function code(text, label) {
  return make("pre", {tabindex: "0", role: "group", "aria-label": label}, text);
}

function examples(media) {
  return Object.entries(media?.examples ?? {}).flatMap(([name, example]) =>
    [make("p", {class: "note"}, ...inline(example.summary)), code(pretty(example.value), `Example: ${name}`)]);
}

function answer([status, response]) {
  const bad = Number(status) >= 400;
  const [kind, media] = Object.entries(response.content ?? {})[0] ?? [];
  const details = make("details", {class: "answer"}, make("summary", {},
    make("span", {class: `status${bad ? " bad" : ""}`}, status), " ", ...inline(response.description)));
  const schema = resolve(media?.schema);
  const headers = Object.keys(response.headers ?? {});
  if (kind) details.append(make("p", {class: "note"}, "As ", make("code", {}, kind), headers.length ? `; headers: ${headers.join(", ")}` : ""));
  if (schema.properties) details.append(fields(schema, "always there"));
  details.append(...examples(media));
  return details;
}

/** The names of the security schemes, any one of which proves who asks. */
function proofs(operation) {
  return (operation.security ?? []).flatMap(Object.keys);
}

/** What an operation takes beside its body: its parameters, and the headers that prove which host sends. */
function inputs(operation) {
  const headers = proofs(operation).map((name) => api.components.securitySchemes[name]).filter((scheme) => scheme?.type === "apiKey")
    .map((scheme) => ({name: scheme.name, in: "header", description: scheme.description, schema: {type: "string"}}));
  return [...requiredFirst(operation.parameters ?? [], (one) => one.required), ...headers];
}

function input(parameter, id) {
  const schema = resolve(parameter.schema);
  const label = make("label", {for: id}, make("span", {class: "name"}, parameter.name),
    ` in the ${parameter.in}${parameter.required ? ", required" : ""}`);
  const control = schema.enum
    ? make("select", {id}, ...(parameter.required ? [] : [make("option", {value: ""}, "not sent")]),
        ...schema.enum.map((word) => make("option", {value: word}, word)))
    : make("input", {id, autocomplete: "off", spellcheck: "false", placeholder: parameter.required ? "" : "not sent"});
  if (parameter.required && !schema.enum) control.value = parameter.example ?? "";
  control.dataset.name = parameter.name;
  control.dataset.in = parameter.in;
  if (parameter.required) control.required = true;
  return make("div", {class: "field"}, label, control);
}

/** A field for a host's secret, with which the delivery is signed. */
function secret(name, id) {
  const proof = PROOFS[name];
  const control = make("input", {id, type: "password", autocomplete: "off", spellcheck: "false", placeholder: "not signed"});
  control.dataset.proof = name;
  return make("div", {class: "field"}, make("label", {for: id}, make("span", {class: "name"}, proof.secret), ` ${proof.use}`), control);
}

/** The request that a form describes. */
async function request(form, path, method, kind) {
  const headers = new Headers();
  let filled = path;
  const query = new URLSearchParams();
  for (const control of form.querySelectorAll("[data-name]")) {
    const {name, in: place} = control.dataset;
    if (place === "path") filled = filled.replace(`{${name}}`, encodeURIComponent(control.value));
    else if (control.value === "") continue;
    else if (place === "query") query.set(name, control.value);
    else headers.set(name, control.value);
  }
  const token = document.getElementById("token").value;
  if (token) headers.set("Authorization", `Bearer ${token}`);
  const body = form.querySelector("textarea")?.value;
  if (body != null && kind) headers.set("Content-Type", kind);
  for (const {value, dataset} of form.querySelectorAll("[data-proof]")) {
    if (value) await PROOFS[dataset.proof].prove(value, body, headers);
  }
  const search = query.size ? `?${query}` : "";
  return [new URL(filled.slice(1) + search, root), {method: method.toUpperCase(), headers, body, cache: "no-store"}];
}

/** Sends a form's request, and shows the answer as it comes: an event stream lasts minutes. */
async function send(form, path, method, kind, stop) {
  const out = form.querySelector("output");
  out.replaceChildren(make("p", {}, "Waiting…"));
  const running = new AbortController();
  stop.onclick = () => running.abort();
  stop.hidden = false;
  try {
    const [url, options] = await request(form, path, method, kind);
    const response = await fetch(url, {...options, signal: running.signal});
    const shown = code("", "The answer's body");
    out.replaceChildren(
      make("p", {}, make("span", {class: `status${response.ok ? "" : " bad"}`}, String(response.status)), ` ${options.method} ${url.pathname}${url.search}`),
      make("p", {class: "note"}, [...response.headers].map(([name, value]) => `${name}: ${value}`).join(" · ")), shown);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      text += part.value;
      shown.textContent = text;
    }
    if (response.headers.get("content-type")?.includes("json")) shown.textContent = pretty(JSON.parse(text));
  } catch (error) {
    out.append(make("p", {}, error.name === "AbortError" ? "Stopped." : `Nothing was answered: ${error.message}.`));
  } finally {
    stop.hidden = true;
  }
}

function tryIt(path, method, operation) {
  const id = operation.operationId;
  const [kind, media] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  const stop = make("button", {type: "button", class: "second", hidden: true}, "Stop");
  const parameters = requiredFirst(operation.parameters ?? [], (one) => one.required);
  const secrets = proofs(operation).filter((name) => PROOFS[name]);
  const form = make("form", {}, make("h3", {}, "Try it"), ...parameters.map((parameter, n) => input(parameter, `${id}-${n}`)),
    ...secrets.map((name) => secret(name, `${id}-${name}`)),
    secrets.length ? make("p", {class: "note"}, "What you type here stays in this page's memory; signatures are made in the page.") : null);
  if (kind) {
    const text = make("textarea", {id: `${id}-body`, spellcheck: "false"});
    text.value = pretty(Object.values(media.examples ?? {})[0]?.value ?? {});
    form.append(make("div", {class: "field"}, make("label", {for: text.id}, make("span", {class: "name"}, "body"), ` as ${kind}`), text));
  }
  form.append(make("div", {class: "row"}, make("button", {type: "submit"}, "Send"), stop), make("output", {"aria-live": "polite"}));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form, path, method, kind, stop);
  });
  return form;
}

/** Puts a text on the clipboard; without one (a page that is not from https), the text is selected instead. */
async function copy(pre, button) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(pre.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(pre);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = label; }, 2000);
}

let language = "curl";

/** The example request as code, in the language that was chosen last anywhere on the page. */
function sampleOf(path, method, operation) {
  const texts = samples(path, method, operation, root.href.replace(/\/$/, ""));
  const shown = code("", "The sample");
  const choices = Object.keys(texts).map((name) => make("button", {type: "button", class: "choice"}, name));
  const copier = make("button", {type: "button", class: "copy"}, "Copy");
  const sample = make("div", {class: "sample"},
    make("div", {class: "row"}, make("div", {role: "group", "aria-label": "Language", class: "choices"}, ...choices), copier), shown);
  sample.show = () => {
    shown.textContent = texts[language];
    for (const choice of choices) choice.setAttribute("aria-pressed", String(choice.textContent === language));
  };
  for (const choice of choices) {
    choice.onclick = () => {
      language = choice.textContent;
      for (const one of document.querySelectorAll(".sample")) one.show();
    };
  }
  copier.onclick = () => copy(shown, copier);
  sample.show();
  return sample;
}

function section(title, ...children) {
  return children.length ? [make("h3", {}, title), ...children] : [];
}

/** An operation, whose inside is drawn when it is first opened. */
function draw(path, method, operation) {
  const details = make("details", {class: "operation", id: operation.operationId}, make("summary", {},
    make("span", {class: `method ${method}`}, method.toUpperCase()), make("span", {class: "path"}, path),
    make("span", {class: "says"}, ...inline(operation.summary ?? ""))));
  const inside = () => {
    const taken = inputs(operation).map((one) => field(one.name, resolve(one.schema), one.required && "required", one.description));
    const [kind, media] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
    const schema = resolve(media?.schema);
    const body = kind ? [...prose(operation.requestBody.description), make("p", {class: "note"}, "As ", make("code", {}, kind)), schema.properties ? fields(schema, "required") : null] : [];
    const asked = proofs(operation).map((name) => ({token: "a token", oidc: "an OIDC token"})[name] ?? `the header ${api.components.securitySchemes[name].name}`);
    const open = !operation.security?.length || operation.security.some((one) => !Object.keys(one).length);
    details.append(make("div", {class: "inside"},
      ...prose(operation.description),
      make("p", {class: "note"}, asked.length ? `Needs ${asked.join(" or ")}${open ? ", unless the operator opens it" : ""}.` : "For anyone."),
      ...section("Sample", sampleOf(path, method, operation)),
      ...section("Parameters", ...(taken.length ? [make("dl", {class: "fields"}, ...taken)] : [])),
      ...section("Body", ...body),
      ...section("Answers", ...Object.entries(operation.responses).map(answer)),
      tryIt(path, method, operation)));
  };
  details.addEventListener("toggle", inside, {once: true});
  return details;
}

function drawAll() {
  document.getElementById("version").textContent = api.info.version;
  document.getElementById("about").append(...prose(api.info.description));
  if (api.paths["/how-it-counts"]) document.getElementById("guides").prepend(make("a", {href: "how-it-counts"}, "How it counts here"));
  const all = Object.entries(api.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => [path, method, item[method]]));
  for (const tag of api.tags) {
    const own = all.filter(([, , operation]) => operation.tags?.includes(tag.name));
    const title = tag.name[0].toUpperCase() + tag.name.slice(1);
    document.getElementById("operations").append(make("section", {class: "group"},
      make("h2", {}, title), make("p", {class: "quiet"}, tag.description), ...own.map((one) => draw(...one))));
    document.getElementById("nav").append(make("div", {class: "group"}, make("h2", {}, title), make("ul", {}, ...own.map(([path, method, operation]) =>
      make("li", {}, make("a", {href: `#${operation.operationId}`}, make("span", {class: `method ${method}`}, method.toUpperCase()), ` ${path}`))))));
  }
  const words = new Map(all.map(([path, method, operation]) =>
    [operation.operationId, [path, method, operation.operationId, operation.summary, operation.description, ...operation.tags].join(" ").toLowerCase()]));
  document.getElementById("search").addEventListener("input", (event) => find(words, event.target.value));
}

/** Leaves only the operations that have every word of the search. */
function find(words, search) {
  const wanted = search.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const [id, text] of words) {
    const found = wanted.every((word) => text.includes(word));
    count += found;
    document.getElementById(id).hidden = !found;
    document.querySelector(`#nav a[href="#${id}"]`).parentElement.hidden = !found;
  }
  for (const group of document.querySelectorAll(".group")) {
    group.hidden = !group.querySelector("details.operation:not([hidden]), li:not([hidden])");
  }
  document.getElementById("found").textContent = wanted.length ? `${count} of ${words.size} operations` : "";
}

/** Opens what the address names. */
function open() {
  const named = document.getElementById(location.hash.slice(1));
  if (named?.tagName !== "DETAILS" || named.hidden) return;
  named.open = true;
  named.scrollIntoView();
  named.querySelector("summary").focus({preventScroll: true});
}

async function start() {
  const loading = document.getElementById("loading");
  try {
    api = await (await fetch(new URL("openapi.json", root))).json();
    drawAll();
    loading.remove();
    open();
    addEventListener("hashchange", open);
  } catch (error) {
    loading.textContent = `The description cannot be read: ${error.message}`;
  }
}

start();
