// Questions to the server, and its refusals. Who asks is in the session's cookie.

const REFUSED = new Set();

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

// Calls a listener whenever an answer says that nobody is signed in, or that whoever is may not do this any more.
export function onRefused(listener) {
  REFUSED.add(listener);
}

export async function read(path) {
  return answered(path, await fetch(path, { cache: "no-store" }));
}

export async function send(path, body) {
  const headers = { "Content-Type": "application/json", "X-Shotline-Request": "1" };
  return answered(path, await fetch(path, { method: "POST", cache: "no-store", headers, body: body && JSON.stringify(body) }));
}

async function answered(path, answer) {
  const document = await answer.json().catch(() => ({}));
  if (answer.ok || document.checks !== undefined) return document;
  if ([401, 403].includes(answer.status) && !path.startsWith("/access")) REFUSED.forEach((listener) => listener());
  throw new Refused(answer.status, document.detail ?? `${path} answered ${answer.status}`);
}
