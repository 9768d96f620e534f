// Who came, the newest first: one card a visit, with the reasons of the decision.
import { get } from "./api.js";
import { clock, h, number, when } from "./elements.js";
import { T } from "./texts.js";

const MOST = 300;
const OF_VISITS = ["identified", "unknown", "rejected", "left", "appeared"];

export async function visits(context) {
  const seen = new Map();
  const list = h("ul", { class: "cards" });
  const camera = h("select", { id: "camera" }, h("option", { value: "" }, T.allCameras));
  const whom = h("select", { id: "whom" }, ["everybody", "onlyKnown", "onlyUnknown"].map((one) => h("option", { value: one }, T[one])));
  for (const name of Object.keys((await get("/api/stats")).cameras)) camera.append(h("option", { value: name }, name));
  const show = () => {
    const wanted = [...seen.values()].filter((visit) => (!camera.value || visit.camera === camera.value)
      && (whom.value === "everybody" || (whom.value === "onlyKnown") === Boolean(visit.person)));
    wanted.sort((a, b) => b.from - a.from);
    list.replaceChildren(...wanted.slice(0, MOST).map(visitCard));
    if (wanted.length === 0) list.append(h("li", { class: "quiet" }, T.nothing));
  };
  camera.onchange = show;
  whom.onchange = show;
  for (const event of (await get("/api/events?limit=1000")).events) take(seen, event);
  show();
  const stop = context.onEvent((event) => { if (take(seen, event)) show(); });
  return [[h("p", { class: "quiet" }, T.newest), h("div", { class: "row" },
    h("div", {}, h("label", { for: "camera" }, T.camera), camera), h("div", {}, h("label", { for: "whom" }, T.whom), whom)), list], stop];
}

// The visit that an event belongs to; a decision replaces the one before it.
function take(seen, event) {
  if (!OF_VISITS.includes(event.kind) || !event.track_id) return false;
  const key = `${event.camera} ${event.track_id} ${event.first_seen ?? ""}`;
  const visit = seen.get(key) || { camera: event.camera, from: event.first_seen ?? event.wall_time, decision: null, person: null };
  visit.until = Math.max(visit.until || 0, event.wall_time);
  if (["identified", "unknown", "rejected"].includes(event.kind)) { visit.decision = event; visit.person = event.person; }
  seen.set(key, visit);
  return true;
}

function visitCard(visit) {
  const decision = visit.decision;
  const name = visit.person || (decision && decision.stranger ? `${T.stranger} ${decision.stranger}` : T.unknown);
  const parts = [h("h3", {}, name), h("p", { class: "quiet" }, `${when(visit.from)} – ${clock(visit.until)} · ${visit.camera}`)];
  if (decision) {
    const face = decision.has_crop && h("img", { alt: T.faceAlt(name), loading: "lazy", src: `/api/events/${decision.event_id}/crop.jpg` });
    parts.push(h("div", { class: "faces" }, face), why(decision));
  }
  return h("li", { class: "card" }, parts);
}

function why(event) {
  const rows = [
    [T.reason, event.reason], [T.candidate, event.candidate], [T.score, number(event.score)], [T.threshold, number(event.threshold)],
    [T.confidence, event.confidence === null ? null : `${Math.round(100 * event.confidence)} %`], [T.runnerUp, event.runner_up],
    [T.margin, event.margin === null ? null : number(event.margin)],
    [T.quality, Object.entries(event.quality).map(([measure, value]) => `${measure} ${number(value, 1)}`).join(", ")],
    [T.event, String(event.event_id)],
  ].filter(([, value]) => value && value !== "–");
  return h("details", {}, h("summary", {}, T.why), h("dl", {}, rows.map(([label, value]) => [h("dt", {}, label), h("dd", {}, value)])));
}
