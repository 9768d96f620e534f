// Everybody enrolled: photos, names, forgetting; enrolment by photos; and who is on any picture.
import { at, get, post, upload } from "./api.js";
import { h, number, photoField, say, sure, when } from "./elements.js";
import { percent } from "./strictness.js";
import { T } from "./texts.js";

export async function people(context) {
  const list = h("ul", { class: "cards" });
  const refresh = async () => {
    const found = (await get("/api/faces")).people;
    list.replaceChildren(...found.map((person) => personCard(context, person, refresh)));
    expect(list, found);
    if (found.length === 0) list.append(h("li", { class: "quiet" }, T.nothing));
  };
  await refresh();
  const content = [list];
  if (context.may) content.push(enrolment(context, refresh));
  else content.push(h("p", { class: "quiet" }, T.mayNot));
  content.push(recognition(context));
  return [content];
}

// What each may expect comes later: it is reckoned anew, which takes a moment.
async function expect(list, found) {
  let persons = [];
  if (found.length) {
    try { persons = (await get("/api/calibration")).persons; } catch { /* the people do not depend on it */ }
  }
  for (const outlook of persons) {
    const place = [...list.querySelectorAll(".expected")].find((one) => one.dataset.of === outlook.name);
    if (place) place.textContent = expected(outlook);
  }
}

const expected = (outlook) => [T.missed(percent(outlook.missed), outlook.missed_from),
  ...Object.entries(outlook.with_photos).map(([photos, share]) => T.withPhotos(photos, percent(share))),
  outlook.hard_to_tell.length ? T.looksLike(outlook.hard_to_tell.join(", ")) : ""].join(" ").trim();

function personCard(context, person, refresh) {
  const more = h("div", {});
  const open = h("button", { "aria-expanded": "false", onclick: async () => {
    if (more.firstChild) { more.replaceChildren(); open.setAttribute("aria-expanded", "false"); return; }
    try {
      const shown = await get(at("faces", person.name));
      more.replaceChildren(...personDetails(context, shown, refresh));
      open.setAttribute("aria-expanded", "true");
    } catch (error) { context.fail(error); }
  } }, T.open);
  return h("li", { class: "card" }, h("h3", {}, person.name),
    h("p", { class: "quiet" }, `${T.photoCount(person.templates)} · ${T.added} ${when(person.added)}`
      + (person.expires ? ` · ${T.until} ${when(person.expires)}` : "")),
    h("p", { class: "expected", "data-of": person.name }), open, more);
}

function personDetails(context, person, refresh) {
  const act = (what) => async () => { try { await what(); await refresh(); } catch (error) { context.fail(error); } };
  const photos = h("ul", { class: "plain" }, person.records.map((photo) => h("li", { class: "row" },
    h("span", {}, `${photo.source} · ${when(photo.added)}${photo.forced ? ` · ${photo.forced}` : ""}`),
    context.may && person.records.length > 1
      ? h("button", { onclick: act(() => post(`${at("faces", person.name, "photos", photo.template_id)}/delete`)) }, T.deletePhoto)
      : null)));
  if (person.negatives.length) photos.append(...person.negatives.map((view) => h("li", { class: "quiet" }, T.notThem(person.name, view.source))));
  if (!context.may) return [photos];
  const id = `rename-${person.person_id}`;
  const name = h("input", { type: "text", id, value: person.name, required: true, maxlength: 80 });
  const rename = h("form", { class: "row", onsubmit: async (event) => {
    event.preventDefault();
    await act(async () => { say(T.renamed((await post(`${at("faces", person.name)}/rename`, { new: name.value })).name)); })();
  } }, h("div", {}, h("label", { for: id }, T.newName), name), h("button", {}, T.rename));
  const forget = h("button", { class: "bad", onclick: async () => {
    if (!await sure(T.forgetSure(person.name), T.forget, T.cancel)) return;
    await act(async () => {
      const gone = await post(`${at("faces", person.name)}/delete`);
      say(`${T.forgotten(person.name)} ${gone.remains ? T.remains : ""}`);
    })();
  } }, T.forget);
  return [photos, rename, forget];
}

function enrolment(context, refresh) {
  const name = h("input", { type: "text", id: "enrol-name", required: true, maxlength: 80, autocomplete: "off" });
  const results = h("ul", { class: "plain", "aria-live": "polite" });
  const one = async (file, force) => {
    const line = h("li", {}, `${file.name}: ${T.loading}`);
    results.append(line);
    try {
      const answer = await upload(`${at("faces", name.value.trim())}/register${force ? "?force=true" : ""}`, file);
      const word = answer.accepted ? (answer.known ? T.known : T.enrolled) : T.refused;
      line.replaceChildren(h("span", { class: answer.accepted ? "good" : "warn" }, `${file.name}: ${word}`),
        answer.reason ? `: ${answer.reason} ` : "",
        !answer.accepted && !force && answer.xyxy
          ? h("button", { onclick: async () => { line.remove(); await one(file, true); await refresh(); } }, T.anyway) : "");
    } catch (error) {
      line.replaceChildren(h("span", { class: "bad" }, `${file.name}: ${error.message}`));
      if (error.status === 401) context.fail(error);
    }
  };
  const take = async (files) => {
    if (!name.reportValidity() || !name.value.trim()) { name.focus(); return; }
    results.replaceChildren();
    for (const file of files) await one(file, false);
    try { await refresh(); } catch (error) { context.fail(error); }
  };
  return h("section", { class: "card", id: "enrol" }, h("h3", {}, T.enrolHead), h("p", { class: "quiet" }, T.firstText),
    h("label", { for: "enrol-name" }, T.name), name, h("p", {}), photoField(T.dropHere, true, take), results);
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
