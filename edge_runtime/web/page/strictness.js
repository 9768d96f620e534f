// The target as a slider, what it costs for strangers and for people enrolled, and who is hard to tell apart.
import { get, post } from "./api.js";
import { Curves } from "./curves.js";
import { facts, h, number, say } from "./elements.js";
import { T } from "./texts.js";

export async function strictness(context) {
  const place = h("div", {});
  let curves = null;
  const refresh = async () => {
    const { gallery } = await get("/api/stats");
    const found = gallery.people ? await get("/api/calibration") : null;
    if (curves) curves.leave();
    curves = found && new Curves(found.targets);
    place.replaceChildren(...page(context, gallery, found, curves, refresh));
  };
  await refresh();
  return [[place], () => curves && curves.leave()];
}

function page(context, gallery, found, curves, refresh) {
  const value = gallery.target_per_1000;
  const shown = h("output", { for: "target" }, String(value));
  const cost = h("p", { "aria-live": "polite" });
  const tell = (target) => {
    shown.textContent = String(target);
    slider.setAttribute("aria-valuetext", T.ofThousand(target));
    if (!curves) return;
    curves.mark(target);
    cost.textContent = T.costs(target, curves.costAt(target));
  };
  const slider = h("input", { type: "range", id: "target", min: -1, max: 2, step: 0.05, value: Math.log10(value),
    oninput: () => tell(rounded(slider.value)) });
  const set = h("button", { class: "main", onclick: async () => {
    try {
      const wanted = rounded(slider.value);
      await post("/api/calibration", { false_accepts_per_1000_strangers: wanted });
      await refresh();
      say(`${T.applied(wanted)} ${T.keep(wanted)}`);
    } catch (error) { context.fail(error); }
  } }, T.apply);
  tell(value);
  return [h("p", {}, T.strictText),
    gallery.refused ? h("p", { class: "bad" }, `${T.nobodyNamed} ${gallery.refused}`) : null,
    h("section", { class: "card" }, h("label", { for: "target" }, T.wish, ": ", shown), slider, cost,
      context.admin ? set : h("p", { class: "quiet" }, T.mayNot),
      found ? null : h("p", { class: "quiet" }, T.strictEmpty)),
    ...(found ? [h("section", { class: "card" }, h("h3", {}, T.curveHead), curves.element, table(found)), inForce(found)] : []),
  ].filter(Boolean);
}

function inForce(found) {
  const needed = found.thresholds === null ? T.nobodyNamed : [...new Set(found.thresholds.map((one) => number(one)))].join(" – ");
  return h("section", { class: "card" }, h("h3", {}, T.inForce(found.target_per_1000)), h("ul", {},
    h("li", {}, T.generally(rangeOf(found.expected_per_1000, found.interval_per_1000))),
    h("li", {}, found.alike_per_1000 === null ? T.alikeNotKnown : T.alike(rangeOf(found.alike_per_1000, found.alike_interval))),
    h("li", {}, found.miss_rate === null ? T.missedNotKnown : T.missedNow(percent(found.miss_rate), found.miss_interval.map(percent), found.photos_tried)),
    h("li", {}, found.false_names_per_week === null ? T.weekNotKnown : T.week(T.about(found.false_names_per_week), Math.round(found.strangers_per_week)))),
  facts([[T.enrolledNow, `${T.peopleCount(found.people)} · ${T.photoCount(found.templates)}`], [T.needed, needed], [T.keptFor, T.keptForWhom[found.kept_for]]]),
  found.note ? h("p", { class: "quiet" }, found.note) : null,
  found.pairs.length ? [h("h3", {}, T.hardToTell), h("ul", {}, found.pairs.map((pair) => h("li", {}, T.pair(pair.first, pair.second, number(pair.margin)))))] : null);
}

function table(found) {
  const cells = (row) => [String(row.target_per_1000), range(row.expected_per_1000, row.interval_per_1000),
    row.alike_per_1000 === null ? "–" : range(row.alike_per_1000, row.alike_interval),
    row.miss_rate === null ? "–" : percent(row.miss_rate), row.supported ? T.yes : T.no];
  return h("details", {}, h("summary", {}, T.asTable), h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": T.asTable },
    h("table", { class: "numbers" }, h("thead", {}, h("tr", {}, T.columns.map((one) => h("th", { scope: "col" }, one)))),
      h("tbody", {}, found.targets.map((row) => h("tr", row.target_per_1000 === found.target_per_1000 ? { "aria-current": "true" } : {},
        cells(row).map((cell, place) => h(place ? "td" : "th", place ? {} : { scope: "row" }, cell))))))));
}

const plain = (value) => (value >= 10 ? value.toFixed(0) : String(Number(value.toFixed(2))));
const rounded = (exponent) => Number((10 ** Number(exponent)).toPrecision(2));
export const percent = (share) => `${Math.round(100 * share)} %`;
const rangeOf = (value, [low, high]) => T.range(T.about(value), plain(low), plain(high));
const range = (value, [low, high]) => T.range(T.short(value), plain(low), plain(high));
