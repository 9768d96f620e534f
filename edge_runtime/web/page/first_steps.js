// From a device without a camera to the first face that gets its name: what to do next, with the command or the button.
import { get } from "./api.js";
import { command, h } from "./elements.js";
import { T } from "./texts.js";

const SOURCE = "v4l2:0";
// Whether somebody is being led; they may look at other places meanwhile.
let leading = false;

export class FirstSteps {
  constructor(context) {
    this.context = context;
    this.element = h("div", {});
    this.at = null;
    this.named = null;
    this.leave = context.onEvent((event) => { if (event.kind === "identified") this.named = event.person; });
  }

  async show(stats) {
    if (this.named === null && stats.gallery.people) {
      const { events } = await get("/api/events?kind=identified&limit=1");
      this.named = events.length ? events[0].person : "";
    }
    const done = [Object.keys(stats.cameras).length > 0, stats.gallery.people > 0, Boolean(this.named)];
    const at = done.findIndex((one) => !one);
    if (at === this.at) return;
    this.at = at;
    if (at < 0) {
      this.element.replaceChildren(...(leading ? [h("section", { class: "card good-news" }, h("h3", {}, T.firstDone(this.named)), h("p", {}, T.firstDoneText))] : []));
      leading = false;
      return;
    }
    leading = true;
    const body = [() => this.camera(), () => this.person(), () => [h("p", {}, T.firstFace)]][at]();
    this.element.replaceChildren(h("section", { class: "card" }, h("h3", {}, T.firstHead), h("ol", { class: "steps" },
      T.firstSteps.map((step, place) => h("li", place === at ? { "aria-current": "step" } : { class: done[place] ? "done" : "later" },
        h("strong", {}, step), done[place] ? h("span", { class: "good" }, ` ✓ ${T.done}`) : null, place === at ? body : null)))));
  }

  camera() {
    const place = h("div", {}, h("p", { class: "quiet" }, this.context.admin ? T.loading : T.firstAsk));
    if (this.context.admin) {
      get("/api/doctor").then(({ rows }) => place.replaceChildren(...cameraCommands(rows)), (error) => this.context.fail(error));
    }
    return [h("p", {}, T.firstCamera), place];
  }

  person() {
    if (!this.context.may) return [h("p", {}, T.firstAsk)];
    return [h("p", {}, T.firstText), h("p", { class: "row" }, h("a", { class: "button main", href: "#people/camera" }, T.fromCamera),
      h("a", { class: "button", href: "#people/photos" }, T.fromPhotos))];
  }
}

// The doctor's command, for each kind of camera.
function cameraCommands(rows) {
  const row = rows.find((one) => one.check === "cameras" && one.command);
  if (!row) return [h("p", { class: "quiet" }, T.firstRestart), command("sudo systemctl restart familiar", T.restart)];
  const shown = h("div", {});
  const kind = h("select", { id: "kind-of-camera", onchange: () => tell() }, T.cameraKinds.map(([source, label]) => h("option", { value: source }, label)));
  const tell = () => shown.replaceChildren(command(row.command.replace(SOURCE, kind.value), T.firstSteps[0]));
  tell();
  return [h("label", { for: "kind-of-camera" }, T.kindOfCamera), kind, h("p", {}, T.firstWrite), shown,
    h("p", {}, T.firstRestart), command("sudo systemctl restart familiar", T.restart), h("p", { class: "quiet" }, T.firstWait)];
}
