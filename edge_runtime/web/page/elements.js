// Elements from values. Text is always text: what a person or a file is called can never be markup.
import { T } from "./texts.js";

export const h = (tag, properties, ...children) => filled(document.createElement(tag), properties, children);

export const svg = (tag, properties, ...children) =>
  filled(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function when(seconds) {
  const moment = new Date(seconds * 1000);
  const time = moment.toLocaleTimeString([], { timeStyle: "short" });
  if (moment.toDateString() === new Date().toDateString()) return `${T.today}, ${time}`;
  return `${moment.toLocaleDateString([], { dateStyle: "medium" })}, ${time}`;
}

export const number = (value, digits = 2) => (value === null || value === undefined ? "–" : value.toFixed(digits));

// Names and values; a pair without a value is left out.
export const facts = (pairs) => h("dl", {}, pairs.filter(([, value]) => value && value !== "–")
  .map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));

export function say(text) {
  const place = document.getElementById("said");
  place.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { place.textContent = ""; }, 6000);
}

// A question that must be answered before something is gone; resolves to true or false.
export function sure(text, yes, no) {
  const dialog = document.getElementById("question");
  return new Promise((resolve) => {
    dialog.replaceChildren(
      h("form", { method: "dialog" },
        h("p", { id: "asked" }, text),
        h("div", { class: "row" },
          h("button", { value: "no", autofocus: true }, no),
          h("button", { value: "yes", class: "bad" }, yes))));
    dialog.setAttribute("aria-labelledby", "asked");
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
    dialog.returnValue = "no";
    dialog.showModal();
  });
}

// A command to run on the device, and a button that copies it.
export function command(text, what) {
  const copy = async () => {
    try { await navigator.clipboard.writeText(text); say(T.copied); } catch { say(T.notCopied); }
  };
  return h("div", { class: "fix" }, h("code", {}, text), h("button", { onclick: copy, "aria-label": T.copyOf(what) }, T.copy));
}

// A field of photos: choose or drop; `take` gets the files.
export function photoField(label, multiple, take) {
  const input = h("input", { type: "file", accept: "image/*", multiple, "aria-label": label,
    onchange: () => { take([...input.files]); input.value = ""; } });
  const field = h("div", { class: "drop",
    ondragover: (event) => { event.preventDefault(); field.classList.add("over"); },
    ondragleave: () => field.classList.remove("over"),
    ondrop: (event) => { event.preventDefault(); field.classList.remove("over"); take([...event.dataTransfer.files]); },
  }, h("p", {}, label), input);
  return field;
}
