// What stands around the cards: name, stamp, controls, what the page is narrowed to, and messages in the cards' place.
import { choose, element, segments, shape } from "./dom.js";
import { MS_A_DAY, rangeText, stamp } from "./format.js";
import { featureName } from "./panels/names.js";
import { RANGES, daysOf } from "./view.js";

const STALE_AFTER_MS = 26 * 3_600_000;

/** Build it. `change(patch)` takes another view, `toggleTheme()` and `retry()` what the buttons say. */
export function shell({ level, change, toggleTheme, retry }) {
  const [first, second] = [`h${level}`, `h${level + 1}`];
  const mark = element("span", { className: "mark", ariaHidden: "true" });
  const name = element(first, { id: "tenant" }, "Your workspace");
  const stampText = element("span");
  const stamped = element(
    "p",
    { className: "stamp", hidden: true },
    element("span", { className: "dot", ariaHidden: "true" }),
    stampText,
  );
  const ranges = segments("Period", "range", RANGES, null, (range) => change({ range, from: null, to: null }));
  const from = element("input", { type: "date", ariaLabel: "From", required: true });
  const to = element("input", { type: "date", ariaLabel: "To", required: true });
  const narrow = () => from.reportValidity() && to.reportValidity() && change({ from: from.value, to: to.value });
  from.onchange = to.onchange = narrow;
  const theme = element(
    "button",
    { className: "icon", type: "button", ariaLabel: "Switch between light and dark", onclick: toggleTheme },
    half(),
  );
  const dates = element("span", { className: "dates" }, from, element("span", { ariaHidden: "true" }, "–"), to);
  const controls = element(
    "div",
    { className: "controls", role: "group", ariaLabel: "Period shown", hidden: true },
    ranges,
    dates,
  );
  const chips = element("ul", { className: "chips", ariaLabel: "The page is narrowed to" });
  const notice = element("p", { className: "notice", role: "status", hidden: true });
  const again = element("button", { className: "primary", type: "button", onclick: retry }, "Try again");
  const [title, text] = [element(second), element("p")];
  const message = element("section", { className: "message", role: "alert", hidden: true }, title, text, again);
  const figures = element("div", { className: "figures" });
  const main = element(
    level === 1 ? "main" : "div",
    { id: "main", tabIndex: -1 },
    controls,
    notice,
    chips,
    message,
    figures,
  );
  const skip = level === 1 ? element("a", { className: "skip", href: "#main" }, "Skip to the figures") : null;
  skip?.addEventListener("click", (event) => {
    event.preventDefault(); // the address keeps the view
    main.focus();
  });
  const announcement = element("p", { className: "unseen", ariaLive: "polite" });
  const root = element(
    "div",
    { className: "tailrace" },
    skip,
    element(
      level === 1 ? "header" : "div",
      { className: "heading" },
      element(
        "div",
        { className: "brand" },
        mark,
        element("div", {}, name, element("p", { className: "quiet" }, "Usage and adoption")),
      ),
      element("div", { className: "controls" }, stamped, theme),
    ),
    main,
    announcement,
    element(
      level === 1 ? "footer" : "p",
      { className: "foot quiet" },
      "Days are UTC days. You see your own organisation’s figures only.",
    ),
  );

  return {
    root,
    figures,

    announce: (words) => announcement.replaceChildren(words),

    name(tenant) {
      name.replaceChildren(tenant ?? "Your workspace");
      mark.replaceChildren((tenant ?? "·").trim().charAt(0).toUpperCase());
    },

    /** When the figures were complete, and whether that is too long ago. */
    stamp({ as_of: asOf, version }) {
      stamped.hidden = !asOf;
      notice.hidden = true;
      if (!asOf) return;
      const days = Math.floor((Date.now() - Date.parse(asOf)) / MS_A_DAY);
      const age = `${days} ${days === 1 ? "day" : "days"}`;
      const stale = Date.now() - Date.parse(asOf) > STALE_AFTER_MS;
      stamped.classList.toggle("stale", stale);
      stamped.title = `Version ${version}`;
      stampText.replaceChildren(`Data as of ${stamp(asOf)}${stale ? `, ${age} old` : ""}`);
      notice.hidden = !stale || !message.hidden;
      if (stale)
        notice.replaceChildren(
          `These figures are ${age} old: nothing newer has been published. They were complete at ${stamp(asOf)}.`,
        );
    },

    /** The controls as the view has them, and a chip for each thing that the page is narrowed to. */
    show(view, freshness) {
      const days = daysOf(view, freshness);
      choose(ranges, view.from ? null : view.range);
      [from.value, to.value] = [days.from, days.to];
      [from.max, to.max] = [days.to, freshness.last_day];
      [from.min, to.min] = [freshness.first_day, days.from];
      const chip = (words, patch) =>
        element(
          "li",
          {},
          element(
            "button",
            {
              className: "chip",
              type: "button",
              ariaLabel: `Show all again, not only ${words}`,
              onclick: () => widen(patch),
            },
            words,
            element("span", { ariaHidden: "true" }, " ×"),
          ),
        );
      const widen = (patch) => {
        main.focus(); // the chip goes away
        change(patch);
      };
      chips.replaceChildren(
        ...(view.from ? [chip(rangeText(days.from, days.to), { from: null, to: null })] : []),
        ...(view.feature ? [chip(featureName(view.feature), { feature: null })] : []),
      );
      chips.hidden = !chips.childElementCount;
    },

    /** Words in the figures' place: {title, message, retry}; null puts the figures back. */
    say(words) {
      message.hidden = words === null;
      figures.hidden = words !== null;
      controls.hidden = words !== null;
      if (words === null) return;
      notice.hidden = true;
      chips.hidden = true;
      title.replaceChildren(words.title);
      text.replaceChildren(words.message);
      again.hidden = !words.retry;
    },
  };
}

const half = () =>
  shape(
    "svg",
    { viewBox: "0 0 24 24", width: 18, height: 18, "aria-hidden": "true" },
    shape("circle", { cx: 12, cy: 12, r: 8.5, fill: "none", stroke: "currentColor", "stroke-width": 1.8 }),
    shape("path", { d: "M12 3.5a8.5 8.5 0 0 1 0 17z", fill: "currentColor" }),
  );
