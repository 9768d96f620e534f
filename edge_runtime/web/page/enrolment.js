// Enrolling somebody: by photos, or standing before a camera and told what to do.
import { at, lines, upload } from "./api.js";
import { h, photoField } from "./elements.js";
import { T } from "./texts.js";
import { repeatedly, View } from "./view.js";

const EVERY_MS = 400;
const FACE_PX = 96;

// Gives the card, and what to do when it is left.
export function enrolment(context, cameras, names, refresh) {
  const name = h("input", { type: "text", id: "enrol-name", required: true, maxlength: 80, autocomplete: "off", list: "names" });
  const given = () => {
    if (name.value.trim() && name.reportValidity()) return name.value.trim();
    name.value = "";
    name.reportValidity();
    name.focus();
    return null;
  };
  const camera = cameras.length ? new BeforeCamera(context, cameras, given, refresh) : null;
  const card = h("section", { class: "card", id: "enrol" }, h("h3", {}, T.enrolHead),
    h("datalist", { id: "names" }, names.map((one) => h("option", { value: one }))),
    h("label", { for: "enrol-name" }, T.name), name,
    h("div", { class: "ways" },
      h("section", { id: "photos" }, h("h4", {}, T.fromPhotos), h("p", { class: "quiet" }, T.photosText), byPhotos(context, given, refresh)),
      h("section", { id: "camera" }, h("h4", {}, T.fromCamera), camera ? camera.element : h("p", { class: "quiet" }, T.noCamera))));
  return [card, () => camera && camera.leave()];
}

function byPhotos(context, given, refresh) {
  const results = h("ul", { class: "plain", "aria-live": "polite" });
  const again = async (line, file, who, options) => { line.remove(); await one(file, who, options); await refresh(); };
  const one = async (file, who, options) => {
    const line = h("li", {}, `${file.name}: ${T.loading}`);
    results.append(line);
    try {
      const answer = await upload(`${at("faces", who)}/register?${new URLSearchParams({ source: file.name.slice(0, 200), ...options })}`, file);
      const word = answer.accepted ? (answer.known ? T.known : T.enrolled) : T.refused;
      line.replaceChildren(h("span", { class: answer.accepted ? "good" : "warn" }, `${file.name}: ${word}`),
        answer.reason && answer.boxes.length < 2 ? `: ${answer.reason} ` : "");
      if (answer.accepted) return;
      if (answer.xyxy && !options.force) {
        line.append(h("button", { onclick: () => again(line, file, who, { ...options, force: true }) }, T.anyway));
      } else if (answer.boxes.length > 1 && !options.face) {
        line.append(h("p", {}, T.whichFace(who)), await faces(file, answer.boxes, (face) => again(line, file, who, { ...options, face })));
      }
    } catch (error) {
      line.replaceChildren(h("span", { class: "bad" }, `${file.name}: ${error.message}`));
      if (error.status === 401) context.fail(error);
    }
  };
  const take = async (files) => {
    const who = given();
    if (who === null) return;
    results.replaceChildren();
    for (const file of files) await one(file, who, {});
    try { await refresh(); } catch (error) { context.fail(error); }
  };
  return h("div", {}, photoField(T.dropHere, true, take), results);
}

// A button for each face of a group photo, with its picture where the browser can read the file.
async function faces(file, boxes, choose) {
  let picture = null;
  try { picture = await createImageBitmap(file); } catch { /* the numbers are from the left */ }
  return h("div", { class: "row" }, boxes.map(([left, top, right, bottom], place) => {
    const canvas = picture && h("canvas", { width: FACE_PX, height: FACE_PX });
    if (canvas) {
      const side = 1.3 * Math.max(right - left, bottom - top);
      canvas.getContext("2d").drawImage(picture, (left + right - side) / 2, (top + bottom - side) / 2, side, side, 0, 0, FACE_PX, FACE_PX);
    }
    return h("button", { class: "pick", onclick: () => choose(place + 1) }, canvas, T.face(place + 1));
  }));
}

class BeforeCamera {
  constructor(context, cameras, given, refresh) {
    Object.assign(this, { context, given, refresh, ending: null });
    this.camera = h("select", { id: "enrol-camera" }, cameras.map((name) => h("option", {}, name)));
    this.guidance = h("p", { class: "guidance", role: "status", "aria-live": "assertive" });
    this.count = h("p", { class: "quiet" });
    this.bar = h("progress", { "aria-label": T.viewsGathered });
    this.place = h("div", {});
    this.result = h("ul", { class: "plain", "aria-live": "polite" });
    this.begin = h("button", { class: "main", onclick: () => this.run() }, T.begin);
    this.stop = h("button", { onclick: () => this.leave() }, T.stop);
    this.element = h("div", {}, h("p", { class: "quiet" }, T.cameraText),
      cameras.length > 1 ? h("div", {}, h("label", { for: "enrol-camera" }, T.camera), this.camera) : null,
      this.place, h("p", {}, this.begin), this.result);
  }

  async run() {
    const who = this.given();
    if (who === null) return;
    const camera = this.camera.value;
    const ending = new AbortController();
    const view = new View(camera);
    this.ending = ending;
    this.result.replaceChildren();
    this.guidance.textContent = T.loading;
    this.place.replaceChildren(this.guidance, h("div", { class: "row bulk" }, this.bar, this.count, this.stop), view.element);
    this.show(true);
    this.guidance.scrollIntoView({ block: "start" });
    const stopLooking = repeatedly(() => view.look(), EVERY_MS);
    try {
      for await (const step of lines(`${at("faces", who)}/live`, { camera }, ending.signal)) await this.take(step, who);
    } catch (error) {
      if (!ending.signal.aborted) this.tell("bad", error.message);
      if (error.status === 401) this.context.fail(error);
    } finally {
      stopLooking();
      view.leave();
      this.place.replaceChildren();
      this.show(false);
    }
  }

  async take(step, who) {
    if (step.error) { this.tell("bad", step.error); return; }
    if (step.results) {
      const taken = step.results.filter((one) => one.accepted).length;
      this.tell(taken ? "good" : "warn", T.named(who, taken));
      for (const one of step.results) if (one.reason) this.tell("quiet", `${T.refused}: ${one.reason}`);
      await this.refresh();
      return;
    }
    this.guidance.textContent = T.guide(step.guidance);
    this.count.textContent = T.viewsOf(step.views, step.of);
    this.bar.max = step.of;
    this.bar.value = step.views;
  }

  tell(kind, text) { this.result.append(h("li", { class: kind }, text)); }

  show(running) {
    this.begin.hidden = running;
    (running ? this.stop : this.begin).focus();
  }

  leave() { if (this.ending) this.ending.abort(); }
}
