// Writes an operation's example request as code, from the description alone. It needs no browser: `.ci/clients` runs it too.

/** How a delivery proves its host in a sample; the variables are those of the instance. */
const PROVEN = {
  githubSignature: {
    curl: [
      `signature=$(printf %s "$body" | openssl dgst -sha256 -hmac "$PLAUDIT_GITHUB_SECRET" | sed 's/^.* //')`,
      "X-Hub-Signature-256: sha256=$signature",
    ],
    python: [
      `secret = os.environ["PLAUDIT_GITHUB_SECRET"].encode()`,
      `headers["X-Hub-Signature-256"] = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()`,
    ],
    typescript: [
      `const PLAUDIT_GITHUB_SECRET = "the secret";`,
      `const bytes = new TextEncoder();`,
      `const kind = { name: "HMAC", hash: "SHA-256" };`,
      `const key = await crypto.subtle.importKey("raw", bytes.encode(PLAUDIT_GITHUB_SECRET), kind, false, ["sign"]);`,
      `const code = new Uint8Array(await crypto.subtle.sign("HMAC", key, bytes.encode(body)));`,
      `const hex = [...code].map((byte) => byte.toString(16).padStart(2, "0")).join("");`,
      `headers.set("X-Hub-Signature-256", \`sha256=\${hex}\`);`,
    ],
  },
  gitlabToken: {
    curl: ["", "X-Gitlab-Token: $PLAUDIT_GITLAB_SECRET"],
    python: [`headers["X-Gitlab-Token"] = os.environ["PLAUDIT_GITLAB_SECRET"]`],
    typescript: [`const PLAUDIT_GITLAB_SECRET = "the secret token";`, `headers.set("X-Gitlab-Token", PLAUDIT_GITLAB_SECRET);`],
  },
};

/** The example request: what is required, and the first example of the body. */
function requestOf(path, method, operation) {
  const parameters = (operation.parameters ?? []).filter((parameter) => parameter.required);
  const value = (parameter) => String(parameter.example ?? parameter.schema.enum?.[0] ?? "");
  const filled = parameters.filter((parameter) => parameter.in === "path").reduce(
    (at, parameter) => at.replace(`{${parameter.name}}`, encodeURIComponent(value(parameter)).replaceAll("%3A", ":")), path);
  const [kind, media] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  const schemes = (operation.security ?? []).flatMap(Object.keys);
  const [answer] = Object.keys(Object.entries(operation.responses).find(([status]) => status < 300)?.[1].content ?? {});
  return {
    method: method.toUpperCase(),
    path: filled,
    headers: parameters.filter((parameter) => parameter.in === "header").map((parameter) => [parameter.name, value(parameter)]),
    kind,
    body: kind && (Object.values(media.examples ?? {})[0]?.value ?? {}),
    token: schemes.includes("token"),
    proof: PROVEN[schemes.find((scheme) => PROVEN[scheme])],
    streams: answer === "text/event-stream",
    json: answer === "application/json",
  };
}

function curl({method, path, headers, kind, body, token, proof, streams}, url) {
  const options = headers.map(([name, value]) => `--header "${name}: ${value}"`);
  if (method !== (kind ? "POST" : "GET")) options.unshift(`--request ${method}`);
  if (streams) options.push("--no-buffer");
  if (token) options.push('${PLAUDIT_TOKEN:+--header "Authorization: Bearer $PLAUDIT_TOKEN"}');
  const text = kind && JSON.stringify(body, null, 2);
  const before = [];
  if (proof) {
    const [sign, header] = proof.curl;
    before.push(`body=$(cat <<'JSON'\n${text}\nJSON\n)`, ...(sign ? [sign] : []));
    options.push(`--header "${header}"`, '--json "$body"');
  } else if (kind) {
    options.push(`--json @- <<'JSON'\n${text}\nJSON`);
  }
  const call = `curl --fail-with-body --silent --show-error "\${PLAUDIT_URL:-${url}}${path}"`;
  return [...before, [call, ...options].join(" \\\n  ")].join("\n");
}

/** A JSON value as Python writes it. */
function literal(value, indent = "") {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const deeper = `${indent}    `;
  const items = Array.isArray(value)
    ? value.map((item) => literal(item, deeper))
    : Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${literal(item, deeper)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return items.length ? `${open}\n${items.map((item) => `${deeper}${item},\n`).join("")}${indent}${close}` : open + close;
}

function python({method, path, headers, kind, body, token, proof, streams}, url) {
  const signs = proof?.python.some((line) => line.includes("hmac"));
  const modules = [signs && "hashlib", signs && "hmac", kind && "json", "os", "sys", "urllib.error", "urllib.request"];
  const sent = [...(kind ? [["Content-Type", kind]] : []), ...headers];
  return [
    ...modules.filter(Boolean).map((module) => `import ${module}`),
    "",
    `url = os.environ.get("PLAUDIT_URL", ${JSON.stringify(url)})`,
    `headers = ${sent.length ? literal(Object.fromEntries(sent)) : "{}"}`,
    ...(token ? [`if token := os.environ.get("PLAUDIT_TOKEN"):`, `    headers["Authorization"] = f"Bearer {token}"`] : []),
    ...(kind ? [`body = json.dumps(${literal(body)}).encode()`] : []),
    ...(proof?.python ?? []),
    `request = urllib.request.Request(url + ${JSON.stringify(path)}${kind ? ", body" : ""}, headers=headers, method="${method}")`,
    "try:",
    "    with urllib.request.urlopen(request) as answer:",
    ...(streams
      ? ["        for line in answer:", `            print(line.decode(), end="", flush=True)`]
      : ["        print(answer.read().decode())"]),
    "except urllib.error.HTTPError as error:",
    "    sys.exit(error.read().decode())",
  ].join("\n");
}

function typescript({method, path, headers, kind, body, token, proof, streams, json}, url) {
  const sent = [...(kind ? [["Content-Type", kind]] : []), ...headers].map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`);
  const options = [`method: "${method}"`, "headers", ...(kind ? ["body"] : [])];
  return [
    `const PLAUDIT_URL = ${JSON.stringify(url)};`,
    ...(token ? [`const PLAUDIT_TOKEN: string = "";`] : []),
    "",
    `const headers = new Headers(${sent.length ? `{ ${sent.join(", ")} }` : ""});`,
    ...(token ? ["if (PLAUDIT_TOKEN) headers.set(\"Authorization\", `Bearer ${PLAUDIT_TOKEN}`);"] : []),
    ...(kind ? [`const body = JSON.stringify(${JSON.stringify(body, null, 2)});`] : []),
    ...(proof?.typescript ?? []),
    `const response = await fetch(PLAUDIT_URL + ${JSON.stringify(path)}, { ${options.join(", ")} });`,
    ...(streams
      ? [
          "const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();",
          "for (let part = await reader.read(); !part.done; part = await reader.read()) console.log(part.value);",
        ]
      : [`console.log(response.status, await response.${json ? "json" : "text"}());`]),
  ].join("\n");
}

/** The code for each language. `url` is the instance that it calls unless PLAUDIT_URL names another. */
export function samples(path, method, operation, url) {
  const request = requestOf(path, method, operation);
  return {curl: curl(request, url), Python: python(request, url), TypeScript: typescript(request, url)};
}
