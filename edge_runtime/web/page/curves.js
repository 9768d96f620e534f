// Both errors over the target, on logarithmic axes: drawn for the width there is, so that its texts stay readable.
import { h, svg } from "./elements.js";
import { T } from "./texts.js";

const HEIGHT = 300;
const MARGIN = { left: 84, right: 14, top: 12, bottom: 52 };
const LOWEST = 1e-4;
const LINES = [["missed", (row) => row.miss_rate], ["general", (row) => row.expected_per_1000 / 1000],
  ["alike", (row) => (row.alike_per_1000 === null ? null : row.alike_per_1000 / 1000)]];

export class Curves {
  constructor(rows) {
    this.rows = rows;
    this.lines = LINES.filter(([, rate]) => rows.every((row) => rate(row) !== null));
    this.at = null;
    this.place = h("div", { class: "curves" });
    this.element = h("figure", {}, this.place, h("figcaption", { class: "row" }, this.lines.map(([name]) => h("span", {},
      svg("svg", { width: 34, height: 12, "aria-hidden": "true" }, svg("line", { class: `line ${name}`, x1: 1, x2: 33, y1: 6, y2: 6 })),
      " ", T.curves[name]))));
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.place);
  }

  // The rates at a target, between the targets that were tried.
  costAt(target) {
    const found = {};
    for (const [name, rate] of this.lines) found[name] = between(this.rows, target, rate);
    if ("missed" in found) found.missedMost = between(this.rows, target, (row) => row.miss_interval[1]);
    return found;
  }

  mark(target) {
    this.at = target;
    this.draw();
  }

  draw() {
    const width = this.place.clientWidth;
    if (!width) return;
    const [low, high] = [this.rows[0].target_per_1000, this.rows[this.rows.length - 1].target_per_1000];
    const inner = width - MARGIN.left - MARGIN.right;
    const tall = HEIGHT - MARGIN.top - MARGIN.bottom;
    const x = (target) => MARGIN.left + inner * Math.log(target / low) / Math.log(high / low);
    const y = (rate) => MARGIN.top + tall * Math.log(Math.min(Math.max(rate, LOWEST), 1)) / Math.log(LOWEST);
    const parts = [];
    for (let power = 0; power <= 4; power += 1) {
      const at = y(10 ** -power);
      parts.push(svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: at, y2: at }),
        svg("text", { x: MARGIN.left - 8, y: at + 4, "text-anchor": "end" }, power ? T.oneIn(10 ** power) : T.allOf));
    }
    for (let tick = low; tick <= high * 1.001; tick *= 10) {
      parts.push(svg("line", { class: "grid", x1: x(tick), x2: x(tick), y1: MARGIN.top, y2: MARGIN.top + tall }),
        svg("text", { x: x(tick), y: MARGIN.top + tall + 18, "text-anchor": "middle" }, String(Number(tick.toPrecision(2)))));
    }
    parts.push(svg("text", { class: "title", x: MARGIN.left + inner / 2, y: HEIGHT - 8, "text-anchor": "middle" }, T.axisTarget),
      svg("text", { class: "title", x: 14, y: MARGIN.top + tall / 2, "text-anchor": "middle",
        transform: `rotate(-90 14 ${MARGIN.top + tall / 2})` }, T.axisShare));
    for (const [name, rate] of this.lines) {
      parts.push(svg("polyline", { class: `line ${name}`, points: this.rows.map((row) => `${x(row.target_per_1000)},${y(rate(row))}`).join(" ") }));
    }
    if (this.at !== null) {
      const at = x(Math.min(Math.max(this.at, low), high));
      parts.push(svg("line", { class: "mark", x1: at, x2: at, y1: MARGIN.top, y2: MARGIN.top + tall }));
      const cost = this.costAt(this.at);
      for (const [name] of this.lines) parts.push(svg("circle", { class: name, cx: at, cy: y(cost[name]), r: 5 }));
    }
    this.place.replaceChildren(svg("svg", { width, height: HEIGHT, role: "img", "aria-label": T.curveText }, parts));
  }

  leave() { this.watch.disconnect(); }
}

// Straight between two targets on both logarithmic axes, as it is drawn.
function between(rows, target, rate) {
  const after = Math.max(1, Math.min(rows.length - 1, rows.findIndex((row) => row.target_per_1000 >= target)));
  const [one, two] = [rows[after - 1], rows[after]];
  const span = Math.log(two.target_per_1000 / one.target_per_1000);
  const share = Math.min(Math.max(Math.log(target / one.target_per_1000) / span, 0), 1);
  const [first, second] = [rate(one), rate(two)];
  if (first < LOWEST || second < LOWEST) return first + share * (second - first);
  return first * (second / first) ** share;
}
