// Who came, the newest first: one card a visit, why it was decided so, and what to do where that was wrong.
import { at, get, post } from "./api.js";
import { facts, h, number, say, when } from "./elements.js";
import { T } from "./texts.js";

const PAGE = 100;
const HOUR_S = 3600;
const DAY_S = 86400;

export async function visits(context) {
  const list = new CardList(context);
  const [stats, found] = await Promise.all([get("/api/stats"), get("/api/faces")]);
  list.names = found.people.map((person) => person.name);
  const camera = choice("camera", [["", T.allCameras], ...Object.keys(stats.cameras).map((name) => [name, name])]);
  const whom = choice("whom", [["", T.everybody], [" unknown", T.onlyUnknown], ...list.names.map((name) => [name, name])]);
  const span = choice("span", [[DAY_S, T.lastDay], [7 * DAY_S, T.lastWeek], [0, T.always]]);
  const ask = (more) => get(`/api/visits?${new URLSearchParams({ limit: PAGE, camera: camera.value,
    ...(whom.value === " unknown" ? { unknown: true } : { person: whom.value }), ...more })}`);
  const since = () => (Number(span.value) ? Date.now() / 1000 - Number(span.value) : 0);
  const earlier = h("button", { onclick: () => fill(list.earliest) }, T.earlier);
  const fill = async (before) => {
    try {
      if (!before) list.clear();
      const answer = await ask({ since: since(), before: before || 0 });
      list.take(answer.visits);
      earlier.hidden = !answer.more;
    } catch (error) { context.fail(error); }
  };
  list.again = async () => list.take((await ask({ since: list.openSince() })).visits);
  for (const field of [camera, whom, span]) field.onchange = () => fill();
  await fill();
  // Several events come at once where somebody is decided on; one look is enough for them.
  let timer = null;
  const stop = context.onEvent((event) => {
    if (event.track_id && timer === null) timer = setTimeout(async () => { timer = null; try { await list.again(); } catch { /* the header says it */ } }, 1000);
  });
  const field = (label, input) => h("div", {}, h("label", { for: input.id }, label), input);
  const names = h("datalist", { id: "names" }, list.names.map((name) => h("option", { value: name })));
  return [[h("p", { class: "quiet" }, T.newest), names,
    h("div", { class: "row" }, field(T.camera, camera), field(T.whom, whom), field(T.span, span)), list.element, earlier],
  () => { stop(); clearTimeout(timer); }];
}

const choice = (id, options) => h("select", { id }, options.map(([value, label]) => h("option", { value }, label)));

// The cards; one whose visit has not changed stays as it is, so that nothing closes under a reader.
class CardList {
  constructor(context) {
    this.context = context;
    this.shown = new Map();
    this.element = h("ul", { class: "cards" });
    this.clear();
  }

  clear() {
    this.shown.clear();
    this.element.replaceChildren(h("li", { class: "quiet" }, T.nothing));
  }

  get earliest() { return Math.min(...[...this.shown.values()].map((one) => one.visit.first_s)); }

  // From when on something may have changed: the earliest visit that has not ended.
  openSince() {
    const now = Date.now() / 1000;
    const open = [...this.shown.values()].map((one) => one.visit).filter((visit) => !visit.left && visit.last_s > now - HOUR_S);
    return Math.min(now - 60, ...open.map((visit) => visit.first_s - 1));
  }

  take(found) {
    for (const visit of found) {
      const key = `${visit.camera} ${visit.track_id} ${visit.first_s}`;
      const before = this.shown.get(key);
      const text = JSON.stringify(visit);
      if (before && before.text === text) continue;
      if (before && before.element.contains(document.activeElement) && !before.stale) continue;
      const element = card(this, visit, key);
      if (before) before.element.replaceWith(element);
      this.shown.set(key, { visit, text, element });
    }
    const order = [...this.shown.values()].sort((a, b) => b.visit.first_s - a.visit.first_s).map((one) => one.element);
    if (order.length === 0) return;
    order.forEach((element, place) => {
      if (this.element.children[place] !== element) this.element.insertBefore(element, this.element.children[place] || null);
    });
    while (this.element.children.length > order.length) this.element.lastChild.remove();
  }

  // After a correction: the card as the device has it now, and the reader stays at it.
  async renew(key) {
    const before = this.shown.get(key);
    before.stale = true;
    const { camera, first_s } = before.visit;
    this.take((await get(`/api/visits?${new URLSearchParams({ camera, since: first_s - 1, before: first_s + 1, limit: PAGE })}`)).visits);
    const summary = this.shown.get(key).element.querySelector("summary");
    if (summary) summary.focus();
  }
}

function card(list, visit, key) {
  const { decision } = visit;
  const name = visit.person || (visit.stranger ? `${T.stranger} ${visit.stranger}` : T.states[visit.state] || T.unknown);
  const lasted = visit.left ? T.lasted(Math.round(visit.last_s - visit.first_s)) : T.stillHere;
  const head = h("div", {}, h("h3", {}, name, visit.ignored ? [" ", h("span", { class: "tag" }, T.ignored)] : null),
    h("p", { class: "quiet" }, `${when(visit.first_s)} · ${lasted}`), h("p", { class: "quiet" }, visit.camera),
    visit.earlier.length ? h("p", { class: "quiet" }, T.before(visit.earlier.join(", "))) : null,
    decision && decision.corrected ? h("p", {}, h("span", { class: "tag warn" }, T.markedWrong(visit.person))) : null);
  const face = decision && decision.has_crop
    ? h("img", { alt: T.faceAlt(name), loading: "lazy", src: `/api/events/${decision.event_id}/crop.jpg` }) : null;
  return h("li", { class: "card" }, h("div", { class: "visit" }, face, head),
    decision ? [why(visit), list.context.may ? correction(list, visit, key) : null] : null);
}

function why(visit) {
  const event = visit.decision;
  return h("details", {}, h("summary", {}, T.why), facts([
    [T.reason, event.reason], [T.candidate, event.candidate], [T.score, number(event.score)], [T.threshold, number(event.threshold)],
    [T.confidence, event.confidence === null ? null : T.surely(event.confidence)], [T.runnerUp, event.runner_up],
    [T.margin, event.margin === null ? null : number(event.margin)],
    [T.quality, Object.entries(event.quality).map(([measure, value]) => T.measure(measure, value)).join(" · ")],
    [T.visit, visit.stranger && visit.visits ? String(visit.visits) : null], [T.event, String(event.event_id)],
  ]));
}

// What can be said of a decision: that the name was wrong, who it was, and that it was right after all.
function correction(list, visit, key) {
  const event = visit.decision;
  const result = h("p", { "aria-live": "polite" });
  const act = async (what) => {
    try {
      const told = await what();
      if (told) { result.replaceChildren(...told); return; }
      await list.renew(key);
    } catch (error) { list.context.fail(error); }
  };
  if (event.corrected) {
    return h("div", { class: "row" }, h("button", { onclick: () => act(async () => {
      const taken = await post(`${at("events", event.event_id)}/take-back`);
      say([T.takenBack, ...taken.only.map(T.keepsView)].join(" "));
    }) }, T.undo));
  }
  if (!visit.person && !visit.stranger) return null;
  const id = `is-${event.event_id}`;
  const name = h("input", { type: "text", id, list: "names", required: true, maxlength: 80, autocomplete: "off" });
  const tell = (force) => act(() => (visit.person ? thisIs(event, name.value.trim(), force) : nameStranger(visit, name.value.trim(), force))
    .then((refused) => refused && [`${T.refused}: ${refused} `, force ? "" : h("button", { onclick: () => tell(true) }, T.anyway)]));
  return h("details", {}, h("summary", {}, visit.person ? T.notRight : T.whoIsThis),
    visit.person ? h("p", {}, h("button", { onclick: () => act(async () => {
      const { effect, name: whose } = await post(`${at("events", event.event_id)}/wrong`, {});
      say(effect.lost ? T.wrongLost(whose, effect.lost, effect.photos) : T.wrongSaid(whose));
    }) }, T.wasNot(visit.person))) : null,
    h("form", { class: "row", onsubmit: (submitted) => { submitted.preventDefault(); tell(false); } },
      h("div", {}, h("label", { for: id }, T.thisIs), name), h("button", { class: "main" }, T.save)), result);
}

// Gives why the view was not enrolled; nothing where all is well.
async function thisIs(event, was, force) {
  const { effect, name } = await post(`${at("events", event.event_id)}/wrong`, { was, force });
  if (!effect.enrolled.accepted) return effect.enrolled.reason;
  say(T.wasTold(name, was));
  return "";
}

async function nameStranger(visit, name, force) {
  const named = await post(`${at("strangers", visit.stranger)}/name`, { name, force });
  const taken = named.results.filter((one) => one.accepted).length;
  if (!taken) return named.results[0].reason;
  say(T.named(named.name, taken));
  return "";
}
