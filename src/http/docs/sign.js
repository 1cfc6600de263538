// Signs a delivery as its host would. The secret stays in the page: only the header made with it is sent.

const bytes = new TextEncoder();

async function hmac(key, text) {
  if (!crypto.subtle) throw new Error("browsers sign only in pages from https:// or from this machine");
  const imported = await crypto.subtle.importKey("raw", key, {name: "HMAC", hash: "SHA-256"}, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", imported, bytes.encode(text)));
}

function fromBase64(text) {
  try {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  } catch {
    throw new Error("a signing token is whsec_ and then base64");
  }
}

/** What proves a host, by the name of its security scheme: what to ask for, and the headers made with it. */
export const PROOFS = {
  githubSignature: {
    secret: "secret",
    use: "of the webhook, which signs the body in X-Hub-Signature-256",
    async prove(secret, body, headers) {
      const code = await hmac(bytes.encode(secret), body);
      headers.set("X-Hub-Signature-256", `sha256=${[...code].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`);
    },
  },
  gitlabSignature: {
    secret: "signing token",
    use: "whsec_…, which signs the body in webhook-signature",
    async prove(secret, body, headers) {
      const given = (name, otherwise) => headers.get(name) ?? (headers.set(name, otherwise), otherwise);
      const id = given("webhook-id", String(crypto.getRandomValues(new Uint32Array(1))[0]));
      const timestamp = given("webhook-timestamp", String(Math.floor(Date.now() / 1000)));
      const code = await hmac(fromBase64(secret.replace(/^whsec_/, "")), `${id}.${timestamp}.${body}`);
      headers.set("webhook-signature", `v1,${btoa(String.fromCharCode(...code))}`);
    },
  },
  gitlabToken: {
    secret: "secret token",
    use: "which is sent as it is in X-Gitlab-Token",
    async prove(secret, body, headers) {
      headers.set("X-Gitlab-Token", secret);
    },
  },
};
