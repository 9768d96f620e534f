// The API, and whether the device answers. Errors are one line for people.
export class ApiError extends Error {
  constructor(status, line) {
    super(line);
    this.status = status;
  }
}

async function answered(response) {
  if (response.ok) return response;
  let line = `${response.status} ${response.statusText}`;
  try {
    line = (await response.json()).error || line;
  } catch { /* no JSON: a proxy said it */ }
  throw new ApiError(response.status, line);
}

async function send(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch {
    throw new ApiError(0, "the device does not answer");
  }
  return answered(response);
}

export const get = async (path) => (await send(path)).json();

export const picture = async (path) => (await send(path)).blob();

export const post = async (path, body) =>
  (await send(path, {
    method: "POST",
    ...(body === undefined ? {} : { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }),
  })).json();

export const upload = async (path, file) =>
  (await send(path, { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: file })).json();

const sealed = (passphrase) => ({ "Familiar-Passphrase": encodeURIComponent(passphrase) });

export const save = async (path, passphrase) => (await send(path, { headers: sealed(passphrase) })).blob();

export const restore = async (path, file, passphrase) =>
  (await send(path, { method: "POST", headers: { "Content-Type": "application/octet-stream", ...sealed(passphrase) }, body: file })).json();

// Each line of an answer that comes bit by bit.
export async function* lines(path, body, signal) {
  const response = await send(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ;) {
    let bit;
    try { bit = await reader.read(); } catch { throw new ApiError(0, "the device does not answer"); }
    if (bit.done) return;
    const found = (text + bit.value).split("\n");
    text = found.pop();
    for (const line of found) if (line) yield JSON.parse(line);
  }
}

export const at = (...parts) => `/api/${parts.map((part) => encodeURIComponent(part)).join("/")}`;

// Events as they happen: `event` gets each, `state` gets "away" and "back". The browser connects again by itself.
export function listen(event, state) {
  const source = new EventSource("/api/events");
  source.onmessage = (message) => event(JSON.parse(message.data));
  source.addEventListener("state", (message) => state(JSON.parse(message.data).state));
  source.onerror = () => state("away");
  source.onopen = () => state("back");
  return () => source.close();
}
