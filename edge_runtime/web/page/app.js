// Which place is shown, what the device's state is, and who may use the page.
import { ApiError, get, listen, post } from "./api.js";
import { h, say } from "./elements.js";
import { T } from "./texts.js";
import { now } from "./now.js";
import { visits } from "./visits.js";
import { people } from "./people.js";
import { strangers } from "./strangers.js";
import { strictness } from "./strictness.js";
import { device } from "./device.js";

const places = { now, visits, people, strangers, strictness, device };
const main = document.getElementById("main");
let leave = null;
let stopListening = null;
let session = null;
const listeners = new Set();

// What a place is given: the session, and a way to hear of events and to be told when it is left.
const context = {
  get may() { return session && session.scope !== "read"; },
  get admin() { return session && session.scope === "admin"; },
  onEvent(heard) { listeners.add(heard); return () => listeners.delete(heard); },
  fail(error) {
    if (error instanceof ApiError && error.status === 401) login();
    else say(T.failed(error.message));
  },
};

function showState(state) {
  const place = document.getElementById("state");
  place.textContent = T.state[state] || state;
  place.className = { ok: "good", degraded: "warn" }[state] || "bad";
}

async function look() {
  try {
    showState((await get("/api/health")).state);
  } catch {
    showState("away");
  }
}

async function show() {
  const name = location.hash.slice(1).split("/")[0] || "now";
  const place = places[name] || now;
  if (leave) leave();
  leave = null;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${places[name] ? name : "now"}`) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else link.removeAttribute("aria-current");
  }
  document.title = `${T[name] || T.now} – ${T.title}`;
  main.replaceChildren(h("h2", {}, T[name] || T.now), h("p", { class: "quiet" }, T.loading));
  try {
    const [content, left] = await place(context);
    leave = left || null;
    main.replaceChildren(h("h2", {}, T[name] || T.now), ...content);
    const spot = document.getElementById(location.hash.split("/")[1] || "");
    if (spot) spot.scrollIntoView();
  } catch (error) {
    main.replaceChildren(h("h2", {}, T[name] || T.now), h("p", { class: "bad" }, T.failed(error.message)));
    context.fail(error);
  }
}

function login() {
  if (leave) leave();
  leave = null;
  const token = h("input", { type: "password", id: "token", autocomplete: "current-password", required: true });
  const form = h("form", { class: "card", onsubmit: async (event) => {
    event.preventDefault();
    try {
      session = await post("/api/session", { token: token.value.trim() });
      begin();
    } catch (error) { say(T.failed(error.message)); }
  } }, h("p", {}, T.loginText), h("label", { for: "token" }, T.token),
  h("div", { class: "row" }, token, h("button", { class: "main" }, T.login)));
  main.replaceChildren(h("h2", {}, T.loginHead), form);
  token.focus();
}

function begin() {
  if (stopListening) stopListening();
  let away = false;
  stopListening = listen(
    (event) => { for (const heard of listeners) heard(event); },
    (state) => {
      if (state === "away") { away = true; showState("away"); return; }
      if (away) { away = false; say(T.back); show(); }
      look();
    });
  show();
}

function start() {
  document.getElementById("skip").textContent = T.skip;
  document.getElementById("skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
  document.getElementById("places").append(...Object.keys(places).map((name) => h("a", { href: `#${name}` }, T[name])));
  window.addEventListener("hashchange", () => { if (session) { show(); main.focus(); } });
  setInterval(() => { if (!document.hidden) look(); }, 10000);
  look();
  enter();
}

async function enter() {
  try {
    session = await get("/api/session");
    begin();
  } catch (error) {
    if (error.status === 401) login();
    else setTimeout(enter, 2000);
  }
}

start();
