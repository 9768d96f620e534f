// Visitors who were never named: look at them, give them a name, ignore or forget one or many.
import { at, get, post } from "./api.js";
import { h, say, sure, when } from "./elements.js";
import { T } from "./texts.js";

export async function strangers(context) {
  const list = h("ul", { class: "cards" });
  const chosen = new Set();
  const bulk = h("div", { class: "row bulk" });
  const refresh = async () => {
    const [{ strangers: found }, { people }] = await Promise.all([get("/api/strangers"), get("/api/faces")]);
    found.sort((a, b) => b.last_seen - a.last_seen);
    for (const id of chosen) if (!found.some((one) => one.stranger === id)) chosen.delete(id);
    list.replaceChildren(...found.map((one) => card(context, one, refresh, chosen, tell)),
      h("datalist", { id: "names" }, people.map((person) => h("option", { value: person.name }))));
    if (found.length === 0) list.append(h("li", { class: "card quiet" }, T.noStrangers));
    bulk.hidden = !context.may || found.length < 2;
    tell();
  };
  const each = (verb) => async () => {
    try {
      for (const id of [...chosen]) await post(`${at("strangers", id)}/${verb}`);
      chosen.clear();
    } catch (error) { context.fail(error); }
    await refresh();
  };
  const all = h("input", { type: "checkbox", id: "all-strangers", onchange: () => {
    const wanted = all.checked;  // each box that changes sets it anew
    for (const box of list.querySelectorAll("input[type=checkbox]")) if (box.checked !== wanted) box.click();
  } });
  const ignore = h("button", { onclick: each("ignore") });
  const forget = h("button", { class: "bad", onclick: async () => { if (await sure(T.forgetMany(chosen.size), T.forget, T.cancel)) await each("forget")(); } });
  bulk.append(h("p", { class: "check" }, all, h("label", { for: all.id }, T.chooseAll)), ignore, forget);
  const tell = () => {
    const boxes = list.querySelectorAll("input[type=checkbox]");
    all.checked = boxes.length > 0 && chosen.size === boxes.length;
    ignore.textContent = T.ignoreMany(chosen.size);
    forget.textContent = T.forgetChosen(chosen.size);
    ignore.disabled = forget.disabled = chosen.size === 0;
  };
  await refresh();
  return [[h("p", { class: "quiet" }, T.strangersText), bulk, list]];
}

function card(context, one, refresh, chosen, tell) {
  const called = `${T.stranger} ${one.stranger}`;
  const faces = h("div", { class: "faces" });
  get(at("strangers", one.stranger)).then((shown) => {
    faces.append(...shown.records.filter((view) => view.crop).slice(0, 8)
      .map((view) => h("img", { src: `data:image/jpeg;base64,${view.crop}`, alt: T.faceAlt(called) })));
  }, context.fail);
  const act = (what) => async () => { try { await what(); await refresh(); } catch (error) { context.fail(error); } };
  const box = h("input", { type: "checkbox", "aria-label": T.chooseOne(called), checked: chosen.has(one.stranger),
    onchange: () => { chosen[box.checked ? "add" : "delete"](one.stranger); tell(); } });
  const parts = [h("div", { class: "head" }, h("h3", {}, called, one.ignored ? [" ", h("span", { class: "tag" }, T.ignored)] : null), context.may ? box : null), faces,
    h("p", { class: "quiet" }, `${T.visitCount(one.visits)} · ${one.cameras.join(", ")} · ${T.lastSeen(when(one.last_seen))}`)];
  if (context.may) {
    const id = `name-${one.stranger}`;
    const name = h("input", { type: "text", id, required: true, maxlength: 80, autocomplete: "off", list: "names" });
    parts.push(
      h("form", { class: "row", onsubmit: async (event) => {
        event.preventDefault();
        await act(async () => {
          const named = await post(`${at("strangers", one.stranger)}/name`, { name: name.value });
          const refused = named.results.find((result) => !result.accepted);
          const taken = named.results.filter((result) => result.accepted).length;
          say(taken ? T.named(named.name, taken) : T.failed(refused ? refused.reason : T.nothing));
        })();
      } }, h("div", { class: "grows" }, h("label", { for: id }, T.name), name), h("button", { class: "main" }, T.giveName)),
      h("div", { class: "row" },
        h("button", { onclick: act(() => post(`${at("strangers", one.stranger)}/${one.ignored ? "unignore" : "ignore"}`)) },
          one.ignored ? T.unignore : T.ignore),
        h("button", { class: "bad", onclick: async () => {
          if (await sure(T.strangerForgetSure, T.forget, T.cancel)) await act(() => post(`${at("strangers", one.stranger)}/forget`))();
        } }, T.forget)));
  }
  return h("li", { class: "card" }, parts);
}
