// What each camera sees now, who is there, and what to do where something is not well.
import { get } from "./api.js";
import { h } from "./elements.js";
import { FirstSteps } from "./first_steps.js";
import { T } from "./texts.js";
import { repeatedly, View } from "./view.js";

const EVERY_MS = 1000;

export async function now(context) {
  const stats = await get("/api/stats");
  const steps = new FirstSteps(context);
  await steps.show(stats);
  const cards = Object.entries(stats.cameras).map(([name, camera]) => new CameraCard(name, camera));
  const troubles = h("div", {});
  showTroubles(troubles, stats);
  const stop = repeatedly(async () => {
    try {
      const found = await get("/api/stats");
      showTroubles(troubles, found);
      await steps.show(found);
      await Promise.all(cards.map((card) => found.cameras[card.name] && card.show(found.cameras[card.name])));
    } catch { /* the state in the header says it */ }
  }, EVERY_MS);
  return [[steps.element, troubles, h("ul", { class: cards.length > 1 ? "cards wide" : "cards single" }, cards.map((card) => card.element))],
    () => { stop(); steps.leave(); cards.forEach((card) => card.view.leave()); }];
}

function showTroubles(place, { troubles, cameras }) {
  const text = JSON.stringify(troubles);
  if (place.dataset.shown === text) return;
  place.dataset.shown = text;
  // An empty device is led by its first steps.
  const shown = Object.keys(cameras).length ? troubles : troubles.filter((one) => one.part !== "cameras");
  place.replaceChildren(...(shown.length === 0 ? [] : [h("section", { class: "card" }, h("h3", { class: "warn" }, T.whatToDo),
    h("ul", {}, shown.map((one) => h("li", {}, h("strong", {}, one.part), `: ${one.reason}`))))]));
}

class CameraCard {
  constructor(name, camera) {
    this.name = name;
    this.view = new View(name);
    this.line = h("p", {});
    this.faces = h("p", { class: "who" });
    this.element = h("li", { class: "card" }, h("div", { class: "head" }, h("h3", {}, name), this.faces), this.view.element, this.line);
    this.tell(camera);
  }

  tell(camera) {
    const watching = camera.state === "running";
    this.faces.textContent = watching ? T.inView(camera.in_view) : "";
    const state = T.cameraStates[camera.state] || camera.state;
    this.line.textContent = [state, watching ? T.perSecond(camera.frames_per_s) : "", camera.error].filter(Boolean).join(" · ");
    this.line.className = watching ? "quiet" : "warn";
  }

  async show(camera) {
    this.tell(camera);
    await this.view.look();
  }
}
