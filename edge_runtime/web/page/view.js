// The picture of a camera, as often as it is asked for.
import { at, picture } from "./api.js";
import { h } from "./elements.js";
import { T } from "./texts.js";

export class View {
  constructor(camera) {
    this.camera = camera;
    this.url = null;
    this.image = h("img", { class: "view", alt: T.viewOf(camera), hidden: true });
    this.nothing = h("p", { class: "view quiet" }, T.noView);
    this.element = h("div", {}, this.image, this.nothing);
  }

  async look() {
    let url = null;
    try {
      url = URL.createObjectURL(await picture(`${at("cameras", this.camera)}/snapshot.jpg`));
    } catch { /* a camera that is off or lost has none */ }
    if (url) this.image.src = url;
    this.image.hidden = !url;
    this.nothing.hidden = Boolean(url);
    this.leave();
    this.url = url;
  }

  leave() {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = null;
  }
}

// Calls `look` again and again while anybody looks at the page; gives what ends that.
export function repeatedly(look, pauseMs) {
  let over = false;
  const turn = async () => {
    if (over) return;
    if (!document.hidden) await look();
    if (!over) setTimeout(turn, pauseMs);
  };
  turn();
  return () => { over = true; };
}
