// Everybody enrolled: photos, names, consent, forgetting; enrolment; and who is on any picture.
import { at, get, post, upload } from "./api.js";
import { h, number, photoField, say, sure, when } from "./elements.js";
import { enrolment } from "./enrolment.js";
import { percent } from "./strictness.js";
import { T } from "./texts.js";

const MOST_WEIGHT = 9;

export async function people(context) {
  const list = h("ul", { class: "cards" });
  let left = false;
  const refresh = async () => {
    const found = (await get("/api/faces")).people;
    list.replaceChildren(...found.map((person) => personCard(context, person, found, refresh)));
    if (found.length === 0) list.append(h("li", { class: "card quiet" }, T.nobodyYet));
    expect(list, found);
    lastSeen(list, found, () => left);
    return found;
  };
  const [found, stats] = await Promise.all([refresh(), get("/api/stats")]);
  const content = [list];
  let leave = () => {};
  if (context.may) {
    const [card, ending] = enrolment(context, Object.keys(stats.cameras), found.map((person) => person.name), refresh);
    content.push(card);
    leave = ending;
  } else content.push(h("p", { class: "quiet" }, T.mayNot));
  content.push(recognition(context));
  return [content, () => { left = true; leave(); }];
}

const placeOf = (list, kind, name) => [...list.querySelectorAll(`.${kind}`)].find((one) => one.dataset.of === name);

// What each may expect comes later: it is reckoned anew, which takes a moment.
async function expect(list, found) {
  let persons = [];
  if (found.length) {
    try { persons = (await get("/api/calibration")).persons; } catch { /* the people do not depend on it */ }
  }
  for (const outlook of persons) {
    const place = placeOf(list, "expected", outlook.name);
    if (place) place.textContent = expected(outlook);
  }
}

async function lastSeen(list, found, left) {
  for (const { name } of found) {
    if (left()) return;
    try {
      const { visits } = await get(`/api/visits?${new URLSearchParams({ person: name, limit: 1 })}`);
      const place = placeOf(list, "seen", name);
      if (place) place.textContent = visits.length ? T.lastSeenAt(when(visits[0].last_s), visits[0].camera) : T.neverSeen;
    } catch { return; }
  }
}

const expected = (outlook) => [T.missed(percent(outlook.missed), outlook.missed_from),
  ...Object.entries(outlook.with_photos).map(([photos, share]) => T.withPhotos(photos, percent(share))),
  outlook.hard_to_tell.length ? T.looksLike(outlook.hard_to_tell.join(", ")) : ""].join(" ").trim();

function personCard(context, person, everybody, refresh) {
  const more = h("div", {});
  const open = h("button", { "aria-expanded": "false", "aria-label": `${T.open}: ${person.name}`, onclick: async () => {
    const shown = Boolean(more.firstChild);
    try {
      more.replaceChildren(...(shown ? [] : personDetails(context, await get(at("faces", person.name)), everybody, refresh)));
      open.setAttribute("aria-expanded", String(!shown));
      open.textContent = shown ? T.open : T.close;
    } catch (error) { context.fail(error); }
  } }, T.open);
  return h("li", { class: "card" }, h("h3", {}, person.name),
    h("p", { class: "quiet" }, `${T.photoCount(person.templates)} · ${T.since(when(person.added))}`),
    person.expires ? h("p", { class: "quiet" }, T.forgottenAfter(when(person.expires - 1))) : null,
    person.merged.length ? h("p", { class: "quiet" }, T.alsoCalled(person.merged.map((part) => part.name).join(", "))) : null,
    h("p", { class: "seen quiet", "data-of": person.name }),
    h("p", { class: "expected", "data-of": person.name }), open, more);
}

function personDetails(context, person, everybody, refresh) {
  const act = (what) => async () => { try { await what(); await refresh(); } catch (error) { context.fail(error); } };
  const photos = h("ul", { class: "plain lines" }, person.records.map((photo) => h("li", {},
    h("div", {}, h("div", {}, photo.source), h("div", { class: "quiet" }, when(photo.added), photo.forced ? ` · ${photo.forced}` : ""),
      h("meter", { min: 0, max: MOST_WEIGHT, value: photo.weight, low: 2, high: 4, optimum: MOST_WEIGHT, "aria-label": T.photoQuality, title: T.photoQuality })),
    context.may && person.records.length > 1
      ? h("button", { "aria-label": `${T.deletePhoto}: ${photo.source}`, onclick: act(() => post(`${at("faces", person.name, "photos", photo.template_id)}/delete`)) }, T.deletePhoto)
      : null)));
  if (person.negatives.length) photos.append(...person.negatives.map((view) => h("li", { class: "quiet" }, T.notThem(person.name, view.source))));
  if (!context.may) return [photos, person.consent ? h("p", { class: "quiet" }, `${T.consent}: ${person.consent}`) : null].filter(Boolean);
  const submitted = (what) => async (event) => { event.preventDefault(); await act(what)(); };
  const id = person.person_id;
  const name = h("input", { type: "text", id: `rename-${id}`, value: person.name, required: true, maxlength: 80 });
  const rename = h("form", { class: "row", onsubmit: submitted(async () => {
    say(T.renamed((await post(`${at("faces", person.name)}/rename`, { new: name.value })).name));
  }) }, h("div", { class: "grows" }, h("label", { for: name.id }, T.newName), name), h("button", {}, T.rename));
  const forget = h("button", { class: "bad", onclick: async () => {
    if (!await sure(T.forgetSure(person.name, person.merged.map((part) => part.name).join(", ")), T.forget, T.cancel)) return;
    await act(async () => {
      const gone = await post(`${at("faces", person.name)}/delete`);
      say(`${T.forgotten(person.name)} ${gone.remains ? T.remains : ""}`);
    })();
  } }, T.forget);
  return [photos, parts(person, act), rename, merge(person, everybody, submitted), note(person, submitted), h("p", {}, forget)].filter(Boolean);
}

// The list was made anew: whoever uses the keyboard goes on at somebody's card.
function stayAt(name) {
  const buttons = [...document.querySelectorAll("main li.card button")];
  const open = buttons.find((one) => one.getAttribute("aria-label") === `${T.open}: ${name}`);
  if (open) open.focus();
}

// Those who were merged into somebody, and what takes that back.
function parts(person, act) {
  if (!person.merged.length) return null;
  return h("ul", { class: "plain lines" }, person.merged.map((part) => h("li", {},
    h("div", {}, h("div", {}, T.samePerson(part.name)), h("div", { class: "quiet" }, T.photoCount(part.templates), part.expires ? ` · ${T.forgottenAfter(when(part.expires - 1))}` : "")),
    h("button", { "aria-label": `${T.unmerge}: ${part.name}`, onclick: async () => {
      await act(async () => { await post(`${at("faces", part.name)}/unmerge`); say(T.unmerged(part.name)); })();
      stayAt(part.name);
    } }, T.unmerge))));
}

// Somebody who is enrolled by two names: says which of them stays.
function merge(person, everybody, submitted) {
  const others = everybody.filter((one) => one.person_id !== person.person_id);
  if (!others.length) return null;
  const into = h("select", { id: `merge-${person.person_id}` }, others.map((one) => h("option", { value: one.name }, one.name)));
  const act = submitted(async () => {
    await post(`${at("faces", person.name)}/merge`, { into: into.value });
    say(T.mergedSaid(person.name, into.value));
  });
  return h("form", { class: "row", onsubmit: async (event) => { await act(event); stayAt(into.value); } },
    h("div", { class: "grows" }, h("label", { for: into.id }, T.sameAs), into), h("button", {}, T.mergePeople));
}

// What somebody agreed to, and the day after which they are forgotten.
function note(person, submitted) {
  const consent = h("input", { type: "text", id: `consent-${person.person_id}`, value: person.consent || "", maxlength: 2000 });
  const until = h("input", { type: "date", id: `until-${person.person_id}`, value: person.expires ? day(person.expires - 1) : "", min: day(Date.now() / 1000) });
  return h("form", { class: "row", onsubmit: submitted(async () => {
    const last = until.value ? { expires: new Date(`${until.value}T24:00`).getTime() / 1000 } : { for_good: true };
    await post(`${at("faces", person.name)}/note`, { consent: consent.value.trim() || "-", ...last });
    say(T.noted);
  }) }, h("div", { class: "grows whole" }, h("label", { for: consent.id }, T.consent), consent), h("div", { class: "grows" }, h("label", { for: until.id }, T.lastDayOf), until), h("button", {}, T.save));
}

function day(seconds) {
  const moment = new Date(seconds * 1000);
  return [moment.getFullYear(), moment.getMonth() + 1, moment.getDate()].map((part) => String(part).padStart(2, "0")).join("-");
}

function recognition(context) {
  const results = h("ul", { class: "plain", "aria-live": "polite" });
  const take = async ([file]) => {
    if (!file) return;
    results.replaceChildren(h("li", {}, T.loading));
    try {
      const found = (await upload("/api/faces/recognize", file)).faces;
      results.replaceChildren(...(found.length ? found.map(faceLine) : [h("li", {}, T.noFace)]));
    } catch (error) { results.replaceChildren(); context.fail(error); }
  };
  return h("section", { class: "card", id: "who" }, h("h3", {}, T.whoHead), h("p", { class: "quiet" }, T.whoText),
    photoField(T.choose, false, take), results);
}

function faceLine(face, index) {
  if (face.rejected) return h("li", {}, `${T.face(index + 1)}: ${T.tooPoor(face.rejected)}`);
  return h("li", {}, `${T.face(index + 1)}: `, h("strong", {}, face.person || T.unknown),
    face.candidate ? h("span", { class: "quiet" }, ` (${T.candidate} ${face.candidate}, ${T.score} ${number(face.score)}, ${T.threshold} ${number(face.threshold)})`) : null);
}
