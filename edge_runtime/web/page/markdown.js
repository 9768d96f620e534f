// As much of Markdown as a model card uses, as elements: headings, lists, tables, paragraphs, code and bold.
import { h } from "./elements.js";

export function markdown(text) {
  const blocks = [];
  const lines = text.split("\n");
  for (let place = 0; place < lines.length;) {
    const kind = kindOf(lines[place]);
    const block = [];
    do { block.push(lines[place]); place += 1; }
    while (kind !== "heading" && place < lines.length && kindOf(lines[place]) === kind);
    if (kind !== "blank") blocks.push(MAKE[kind](block));
  }
  return blocks;
}

function kindOf(line) {
  if (!line.trim()) return "blank";
  if (/^#{1,6} /.test(line)) return "heading";
  if (/^\s*[-*] /.test(line)) return "list";
  return line.startsWith("|") ? "table" : "text";
}

const MAKE = {
  // The page's own headings come before the card's.
  heading: ([line]) => h(`h${Math.min(line.indexOf(" ") + 3, 6)}`, {}, line.replace(/^#+ /, "")),
  list: (lines) => h("ul", {}, lines.map((line) => h("li", {}, inline(line.replace(/^\s*[-*] /, ""))))),
  text: (lines) => h("p", {}, inline(lines.join(" "))),
  table: (lines) => {
    const rows = lines.filter((line) => !/^[|\s:-]+$/.test(line)).map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
    return h("div", { class: "scroll", tabindex: 0 }, h("table", {}, h("thead", {}, h("tr", {}, rows[0].map((cell) => h("th", { scope: "col" }, inline(cell))))),
      h("tbody", {}, rows.slice(1).map((row) => h("tr", {}, row.map((cell) => h("td", {}, inline(cell))))))));
  },
};

const inline = (text) => text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
  if (/^`.+`$/.test(part)) return h("code", {}, part.slice(1, -1));
  return /^\*\*.+\*\*$/.test(part) ? h("strong", {}, part.slice(2, -2)) : part;
});
