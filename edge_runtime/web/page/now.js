// What each camera sees now, who is there, and what to do where something is not well.
import { at, get, picture } from "./api.js";
import { h } from "./elements.js";
import { T } from "./texts.js";

const EVERY_MS = 1000;

export async function now(context) {
  const stats = await get("/api/stats");
  const cards = Object.entries(stats.cameras).map(([name, camera]) => new CameraCard(name, camera));
  const troubles = h("div", {});
  const content = [troubles, h("ul", { class: "cards wide" }, cards.map((card) => card.element))];
  if (stats.gallery.people === 0) {
    content.unshift(h("section", { class: "card" }, h("h3", {}, T.firstHead), h("p", {}, T.firstText),
      context.may ? h("a", { class: "button", href: "#people" }, T.enrolSomebody) : null));
  }
  showTroubles(troubles, stats.troubles);
  let over = false;
  const turn = async () => {
    if (over) return;
    // Nothing is drawn for a page that nobody looks at.
    if (!document.hidden) {
      try {
        const found = await get("/api/stats");
        showTroubles(troubles, found.troubles);
        await Promise.all(cards.map((card) => found.cameras[card.name] && card.show(found.cameras[card.name])));
      } catch { /* the state in the header says it */ }
    }
    setTimeout(turn, EVERY_MS);
  };
  turn();
  return [content, () => { over = true; cards.forEach((card) => card.leave()); }];
}

function showTroubles(place, troubles) {
  place.replaceChildren(...(troubles.length === 0 ? [] : [h("section", { class: "card" }, h("h3", { class: "warn" }, T.whatToDo),
    h("ul", {}, troubles.map((one) => h("li", {}, h("strong", {}, one.part), `: ${one.reason}`))))]));
}

class CameraCard {
  constructor(name, camera) {
    this.name = name;
    this.url = null;
    this.view = h("img", { class: "view", alt: T.viewOf(name) });
    this.line = h("p", { class: "quiet" });
    this.faces = h("p", {});
    this.element = h("li", { class: "card" }, h("h3", {}, name), this.view, this.faces, this.line);
    this.tell(camera);
  }

  tell(camera) {
    this.faces.textContent = T.inView(camera.in_view);
    const state = T.cameraStates[camera.state] || camera.state;
    this.line.textContent = [state, T.perSecond(camera.frames_per_s), camera.error].filter(Boolean).join(" · ");
    this.line.className = camera.state === "running" ? "quiet" : "warn";
  }

  async show(camera) {
    this.tell(camera);
    try {
      const url = URL.createObjectURL(await picture(`${at("cameras", this.name)}/snapshot.jpg`));
      this.view.src = url;
      if (this.url) URL.revokeObjectURL(this.url);
      this.url = url;
    } catch {
      this.view.removeAttribute("src");
      this.view.alt = T.noView;
    }
  }

  leave() {
    if (this.url) URL.revokeObjectURL(this.url);
  }
}
