// The target as a slider, what it costs, and by person what is needed and missed.
import { get, post } from "./api.js";
import { h, number, say } from "./elements.js";
import { T } from "./texts.js";

export async function strictness(context) {
  const place = h("div", {});
  const refresh = async () => place.replaceChildren(...page(context, (await get("/api/stats")).gallery, refresh));
  await refresh();
  return [[place]];
}

function page(context, gallery, refresh) {
  const facts = [
    [T.enrolledNow, `${gallery.people} · ${T.photoCount(gallery.templates)}`],
    [T.needed, gallery.threshold === null ? T.notKnown : [...new Set([number(gallery.threshold), number(gallery.highest_threshold)])].join(" – ")],
    [T.generally, number(gallery.expected_per_1000, 1)],
    [T.alike, gallery.alike_per_1000 === null ? T.notKnown : number(gallery.alike_per_1000, 1)],
  ];
  const value = gallery.target_per_1000;
  const shown = h("output", { for: "target" }, String(value));
  const slider = h("input", { type: "range", id: "target", min: -1, max: 2, step: 0.05, value: Math.log10(value),
    "aria-valuetext": String(value), oninput: () => {
      shown.textContent = String(rounded(slider.value));
      slider.setAttribute("aria-valuetext", shown.textContent);
    } });
  const set = h("button", { class: "main", onclick: async () => {
    try {
      const wanted = rounded(slider.value);
      await post("/api/calibration", { false_accepts_per_1000_strangers: wanted });
      await refresh();
      say(`${T.applied(wanted)} ${T.keep(wanted)}`);
    } catch (error) { context.fail(error); }
  } }, T.apply);
  return [h("p", {}, T.strictText),
    gallery.refused ? h("p", { class: "bad" }, `${T.nobodyNamed} ${gallery.refused}`) : null,
    h("section", { class: "card" }, h("label", { for: "target" }, T.wish, ": ", shown), slider,
      context.admin ? set : h("p", { class: "quiet" }, T.mayNot),
      h("dl", {}, facts.map(([name, text]) => [h("dt", {}, name), h("dd", {}, text)])),
      gallery.note ? h("p", { class: "quiet" }, gallery.note) : null)].filter(Boolean);
}

const rounded = (exponent) => Number((10 ** Number(exponent)).toPrecision(2));
