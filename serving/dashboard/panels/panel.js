// A card of the page: it asks for its own figures, and waits, fails and is tried again on its own.
import { Failure, Overtaken } from "../client.js";
import { draw, legend } from "../charts.js";
import { element } from "../dom.js";

const SLOW_MS = 3_000;

/**
 * Make a card. `spec`: {id, title, note, size, exports, load(context, again) → data, empty(data, context) → words or
 * null, draw(card, data, context), tools: [elements], concerns(feature)}.
 * `context`: {view, query: {from, to}, freshness, get(path, query), file(path, query), change(patch), announce(text),
 * fail(failure)}.
 */
export function panel(spec, { heading }) {
  const note = element("p", { className: "quiet" }, spec.note ?? "");
  const title = element(heading, { id: `${spec.id}-title` }, spec.title);
  const tools = element("div", { className: "tools" }, ...(spec.tools ?? []));
  const body = element("div", { className: "body" });
  const behind = element("div", {
    className: "scroll",
    tabIndex: 0,
    role: "region",
    ariaLabel: `${spec.title}, as a table`,
  });
  const details = element("details", { hidden: true }, element("summary", {}, "View as table"), behind);
  const hint = element("p", { className: "hint", role: "status" });
  const card = element(
    "section",
    { className: `card ${spec.size ?? ""} waiting`, id: spec.id, "aria-labelledby": title.id },
    element("div", { className: "head" }, element("div", {}, title, note), tools),
    hint,
    body,
    details,
  );
  const box = element("div", { className: "chart" });
  const parts = {
    body,
    /** Draw a chart (see charts.js), under its legend where there are several series. The box stays, and its focus. */
    chart(drawing, ...around) {
      const several = drawing.series.length > 1;
      const key = several
        ? [element("ul", { className: "legend", ariaHidden: "true" }, ...legend(drawing.series))]
        : [];
      for (const child of [...body.childNodes]) if (child !== box) child.remove();
      if (!box.isConnected) body.append(box);
      box.before(...around, ...key);
      draw(box, drawing);
    },
    title: (text) => title.replaceChildren(text),
    note: (text) => note.replaceChildren(text),
    table: (made) => {
      details.hidden = made === null;
      behind.replaceChildren(...(made ? [made] : []));
    },
  };
  let turn = 0;
  let context = null;
  if (spec.exports)
    tools.append(
      exportButton(
        spec,
        () => context,
        (words) => hint.replaceChildren(words),
      ),
    );

  /** Show what the context asks for; a later call overtakes an earlier one. */
  async function load(given) {
    const mine = ++turn;
    context = given;
    card.hidden = Boolean(context.view.feature && spec.concerns && !spec.concerns(context.view.feature));
    if (card.hidden) return;
    card.setAttribute("aria-busy", "true");
    const slow = setTimeout(() => hint.replaceChildren("This takes longer than usual …"), SLOW_MS);
    try {
      const data = await spec.load(context, () => load(context));
      if (mine !== turn) return;
      const words = spec.empty?.(data, context) ?? null;
      if (words) rest(element("p", { className: "nothing" }, words));
      else keepingFocus(body, () => spec.draw(parts, data, context));
      settle();
      performance.mark(`tailrace-${spec.id}`);
    } catch (failure) {
      if (mine !== turn || failure instanceof Overtaken) return;
      settle();
      fail(failure);
    } finally {
      clearTimeout(slow);
    }
  }

  function settle() {
    hint.replaceChildren();
    card.classList.remove("waiting");
    card.removeAttribute("aria-busy");
  }

  function rest(...children) {
    body.replaceChildren(...children);
    parts.table(null);
  }

  function fail(failure) {
    if (!(failure instanceof Failure)) console.error(failure);
    const told = failure instanceof Failure ? failure : new Failure("broken");
    if (told.kind === "signin") context.fail(told);
    const again = element("button", { className: "plain", type: "button", onclick: () => load(context) }, "Try again");
    rest(
      element(
        "div",
        { className: "failed", role: "alert" },
        element("p", {}, told.title),
        element("p", { className: "quiet" }, told.message),
        again,
      ),
    );
  }

  return { card, load };
}

/** Draw anew what may hold the focus: who was on a button is on the one of the same `data-key` afterwards. */
function keepingFocus(body, draw) {
  const held = body.getRootNode().activeElement;
  const key = body.contains(held) ? held.dataset?.key : undefined;
  draw();
  if (key === undefined) return;
  const same = [...body.querySelectorAll("[data-key]")].find(({ dataset }) => dataset.key === key);
  (same && !same.disabled ? same : body.querySelector("button:not(:disabled)"))?.focus();
}

/** The figures of a card as a file; `say` puts on the card what goes wrong. */
function exportButton({ title, exports, exportQuery }, context, say) {
  const button = element(
    "button",
    { className: "plain export", type: "button", ariaLabel: `Download ${title.toLowerCase()} as CSV` },
    "CSV",
  );
  button.onclick = async () => {
    if (!context()) return;
    const { file, query, announce } = context();
    button.disabled = true;
    try {
      const { name, content } = await file(`/v1/exports/${exports}.csv`, exportQuery === false ? {} : query);
      const address = URL.createObjectURL(content);
      element("a", { href: address, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
      announce(`${name} is downloaded`);
    } catch (failure) {
      say(`Nothing was downloaded. ${failure.title}.`);
    } finally {
      button.disabled = false;
    }
  };
  return button;
}
