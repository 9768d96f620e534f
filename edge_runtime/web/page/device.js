// How the device is, what to do where something is not well, its model, cameras, backup; and the end of a session.
import { at, get, post, restore, save } from "./api.js";
import { command, facts, h, say } from "./elements.js";
import { markdown } from "./markdown.js";
import { T } from "./texts.js";

export async function device(context) {
  const [stats, bundle] = await Promise.all([get("/api/stats"), get("/api/bundle")]);
  const checks = h("section", { class: "card" }, h("h3", {}, T.checks), h("p", { class: "quiet" }, T.checking));
  const content = [overview(stats, bundle), context.admin ? checks : null, cameras(context, stats),
    h("section", { class: "card" }, h("h3", {}, T.card), bundle.card
      ? h("details", {}, h("summary", {}, T.readCard), h("div", { class: "prose" }, markdown(bundle.card))) : h("p", { class: "quiet" }, T.noCard)),
    context.admin ? backup(context) : null,
    h("section", { class: "card" }, h("h3", {}, T.programs), h("ul", {},
      h("li", {}, h("a", { href: "/api/openapi.json" }, T.api)), h("li", {}, h("a", { href: "/api/metrics" }, T.metrics))),
    h("button", { onclick: async () => { try { await post("/api/session/end"); location.reload(); } catch (error) { context.fail(error); } } }, T.endSession))];
  let left = false;
  if (context.admin) {
    // It looks at every file and runs the models once, which takes a moment.
    get("/api/doctor").then(({ rows }) => { if (!left) checks.replaceChildren(h("h3", {}, T.checks), ...table(rows)); },
      (error) => { if (!left) { checks.lastChild.textContent = T.failed(error.message); context.fail(error); } });
  }
  return [content.filter(Boolean), () => { left = true; }];
}

function overview(stats, bundle) {
  return h("section", { class: "card" }, h("h3", {}, T.deviceHead), facts([
    [T.version, stats.version],
    [T.bundle, `${bundle.name} (${bundle.hash.slice(0, 12)})${bundle.signed_by ? `, ${T.signedBy(bundle.signed_by)}` : ""}`],
    [T.running, span(stats.uptime_s)],
    [T.temperature, stats.temperature_c === null ? T.notKnown : `${Math.round(stats.temperature_c)} °C`],
    [T.accelerators, Object.entries(stats.accelerators).map(([part, place]) => `${part}: ${place}`).join(", ")],
    [T.enrolledNow, `${T.peopleCount(stats.gallery.people)} · ${T.photoCount(stats.gallery.templates)}`],
    [T.log, String(stats.events.stored ?? T.notKnown)],
    [T.troubles, stats.troubles.map((one) => `${one.part}: ${one.reason}`).join("; ") || T.none],
  ]));
}

// What needs a hand comes first; what is well is folded away.
function table(rows) {
  const line = (row) => h("tr", {}, h("th", { scope: "row" }, row.check),
    h("td", { class: { ok: "good", warn: "warn", fail: "bad" }[row.state] || "quiet" }, T.checkStates[row.state] || row.state),
    h("td", {}, row.found, row.command ? command(row.command, row.check) : null));
  const whole = (some) => h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, T.checkColumns.map((one) => h("th", { scope: "col" }, one)))),
    h("tbody", {}, some.map(line))));
  const wanting = rows.filter((row) => ["warn", "fail"].includes(row.state));
  const others = rows.filter((row) => !wanting.includes(row));
  return [wanting.length ? whole(wanting) : h("p", { class: "good" }, T.allChecked),
    h("details", {}, h("summary", {}, T.others(others.length)), whole(others))];
}

function cameras(context, stats) {
  const lines = Object.entries(stats.cameras).map(([name, camera]) => {
    const off = camera.state === "off";
    return h("li", { class: "row" }, h("span", {}, `${name}: ${T.cameraStates[camera.state] || camera.state}`),
      context.admin ? h("button", { onclick: async () => {
        try { await post(`${at("cameras", name)}/switch`, { on: off }); location.reload(); } catch (error) { context.fail(error); }
      }, "aria-label": `${off ? T.switchOn : T.switchOff}: ${name}` }, off ? T.switchOn : T.switchOff) : null);
  });
  return h("section", { class: "card" }, h("h3", {}, T.cameras), h("ul", { class: "plain" }, lines));
}

function backup(context) {
  const secret = (id, kind) => h("input", { type: "password", id, required: true, minlength: 8, autocomplete: kind });
  const made = secret("backup-pass", "new-password");
  const given = secret("restore-pass", "off");
  const file = h("input", { type: "file", id: "restore-file", required: true });
  const box = (id, label) => [h("input", { type: "checkbox", id }), h("label", { for: id }, label)];
  const merge = box("restore-merge", T.merge);
  const forgotten = box("restore-forgotten", T.alsoForgotten);
  const field = (label, input) => h("div", {}, h("label", { for: input.id }, label), input);
  const sending = (what) => async (event) => {
    event.preventDefault();
    const button = event.target.querySelector("button");
    button.disabled = true;
    try { await what(); } catch (error) { context.fail(error); } finally { button.disabled = false; }
  };
  return h("section", { class: "card" }, h("h3", {}, T.backup), h("p", {}, T.backupText),
    h("form", { class: "row", onsubmit: sending(async () => {
      const url = URL.createObjectURL(await save("/api/backup", made.value));
      h("a", { href: url, download: `people-${new Date().toISOString().slice(0, 10)}.familiar` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10000);
      made.value = "";
      say(T.saved);
    }) }, field(T.passphrase, made), h("button", { class: "main" }, T.saveBackup)),
    h("h4", {}, T.restoreHead),
    h("form", { onsubmit: sending(async () => {
      const options = new URLSearchParams({ merge: merge[0].checked, forgotten: forgotten[0].checked });
      const found = await restore(`/api/restore?${options}`, file.files[0], given.value);
      given.value = "";
      say(T.restored(found.people, found.added, found.known, found.signer));
    }) }, field(T.backupFile, file), field(T.passphrase, given), h("p", { class: "check" }, merge), h("p", { class: "check" }, forgotten),
    h("button", {}, T.restore)));
}

function span(seconds) {
  if (seconds > 172800) return T.days(Math.floor(seconds / 86400));
  return seconds > 7200 ? T.hours(Math.floor(seconds / 3600)) : T.minutes(Math.floor(seconds / 60));
}
