// How the device is: troubles, model, cameras, events; and the end of a session.
import { at, get, post } from "./api.js";
import { h } from "./elements.js";
import { T } from "./texts.js";

export async function device(context) {
  const stats = await get("/api/stats");
  const facts = [
    [T.bundle, `${stats.bundle.name} (${stats.bundle.hash.slice(0, 12)})`],
    [T.running, span(stats.uptime_s)],
    [T.accelerators, Object.entries(stats.accelerators).map(([part, place]) => `${part}: ${place}`).join(", ")],
    [T.enrolledNow, `${stats.gallery.people} · ${T.photoCount(stats.gallery.templates)}`],
    [T.log, String(stats.events.stored ?? T.notKnown)],
    [T.troubles, stats.troubles.map((one) => `${one.part}: ${one.reason}`).join("; ") || T.none],
  ];
  const switches = Object.entries(stats.cameras).map(([name, camera]) => {
    const off = camera.state === "off";
    return h("li", { class: "row" }, h("span", {}, `${name}: ${T.cameraStates[camera.state] || camera.state}`),
      context.admin ? h("button", { onclick: async () => {
        try { await post(`${at("cameras", name)}/switch`, { on: off }); location.reload(); } catch (error) { context.fail(error); }
      } }, off ? T.switchOn : T.switchOff) : null);
  });
  return [[h("section", { class: "card" }, h("h3", {}, T.deviceHead), h("dl", {}, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    h("ul", { class: "plain" }, switches),
    h("p", {}, h("a", { href: "/api/openapi.json" }, T.api)),
    h("button", { onclick: async () => { try { await post("/api/session/end"); location.reload(); } catch (error) { context.fail(error); } } }, T.endSession))]];
}

function span(seconds) {
  if (seconds > 172800) return T.days(Math.floor(seconds / 86400));
  return seconds > 7200 ? T.hours(Math.floor(seconds / 3600)) : T.minutes(Math.floor(seconds / 60));
}
