// Visitors who were never named: look at them, give them a name, ignore or forget them.
import { at, get, post } from "./api.js";
import { h, say, sure, when } from "./elements.js";
import { T } from "./texts.js";

export async function strangers(context) {
  const list = h("ul", { class: "cards" });
  const refresh = async () => {
    const found = (await get("/api/strangers")).strangers.sort((a, b) => b.last_seen - a.last_seen);
    list.replaceChildren(...found.map((one) => card(context, one, refresh)));
    if (found.length === 0) list.append(h("li", { class: "quiet" }, T.strangersOff));
  };
  await refresh();
  return [[h("p", { class: "quiet" }, T.strangersText), list]];
}

function card(context, one, refresh) {
  const faces = h("div", { class: "faces" });
  get(at("strangers", one.stranger)).then((shown) => {
    faces.append(...shown.records.filter((view) => view.crop).slice(0, 8)
      .map((view) => h("img", { src: `data:image/jpeg;base64,${view.crop}`, alt: T.faceAlt(`${T.stranger} ${one.stranger}`) })));
  }, context.fail);
  const act = (what) => async () => { try { await what(); await refresh(); } catch (error) { context.fail(error); } };
  const parts = [h("h3", {}, `${T.stranger} ${one.stranger}`), faces,
    h("p", { class: "quiet" }, `${T.visitCount(one.visits)} · ${one.cameras.join(", ")} · ${T.lastSeen(when(one.last_seen))}`,
      one.ignored ? h("span", { class: "tag" }, T.ignored) : null)];
  if (context.may) {
    const id = `name-${one.stranger}`;
    const name = h("input", { type: "text", id, required: true, maxlength: 80, autocomplete: "off" });
    parts.push(
      h("form", { class: "row", onsubmit: async (event) => {
        event.preventDefault();
        await act(async () => {
          const named = await post(`${at("strangers", one.stranger)}/name`, { name: name.value });
          const refused = named.results.find((result) => !result.accepted);
          const taken = named.results.filter((result) => result.accepted).length;
          say(taken ? T.named(named.name, taken) : T.failed(refused ? refused.reason : T.nothing));
        })();
      } }, h("div", {}, h("label", { for: id }, T.name), name), h("button", { class: "main" }, T.giveName)),
      h("div", { class: "row" },
        h("button", { onclick: act(() => post(`${at("strangers", one.stranger)}/${one.ignored ? "unignore" : "ignore"}`)) },
          one.ignored ? T.unignore : T.ignore),
        h("button", { class: "bad", onclick: async () => {
          if (await sure(T.strangerForgetSure, T.forget, T.cancel)) await act(() => post(`${at("strangers", one.stranger)}/forget`))();
        } }, T.forget)));
  }
  return h("li", { class: "card" }, parts);
}
