// The tenant's people by their pseudonyms, page by page. No name or address reaches this page.
import { element, table } from "../dom.js";
import { dayText, number } from "../format.js";
import { featureName } from "./names.js";

const PAGE = 10;
// `by`: how the API sorts by the column, its usual way round first.
const COLUMNS = [
  { label: "User", by: ["user_key"] },
  { label: "First active", by: ["-first_active_day", "first_active_day"] },
  { label: "Last active", by: ["-last_active_day", "last_active_day"] },
  { label: "Active days, 28 d", by: ["-active_days_28d", "active_days_28d"] },
  { label: "Events, 28 d", by: ["-events_28d", "events_28d"] },
  { label: "Uses most", by: [] },
];

export const users = () => {
  let before = []; // cursors of the pages that lie before this one
  let cursor = null;
  let listed = null; // version and order of what is paged through
  let turnPage = () => {};
  return {
    id: "users",
    title: "Users",
    note: "By pseudonym; no name or address reaches this page",
    size: "wide",
    exports: "users",
    exportQuery: false,
    concerns: () => false,
    load({ get, freshness, view: { sort } }, again) {
      const list = `${freshness.version} ${sort}`;
      if (listed !== list) [before, cursor, listed] = [[], null, list];
      turnPage = (step) => {
        step();
        again();
      };
      return get("/v1/users", { limit: PAGE, sort, cursor });
    },
    empty: ({ users: found }) => (found.length || before.length ? null : "Nobody has been active yet."),
    draw(parts, { users: found, next_cursor: next }, context) {
      const made = table(
        "Users by pseudonym",
        COLUMNS.map((column) => heading(column, context)),
        found.map(row),
      );
      const forth = () => ([before, cursor] = [[...before, cursor], next]);
      const back = () => ([before, cursor] = [before.slice(0, -1), before.at(-1)]);
      const button = (label, possible, step) =>
        element(
          "button",
          { className: "plain", type: "button", "data-key": label, disabled: !possible, onclick: () => turnPage(step) },
          label,
        );
      parts.body.replaceChildren(
        element("div", { className: "scroll open", tabIndex: 0, role: "region", ariaLabel: "List of users" }, made),
        element(
          "div",
          { className: "pages" },
          button("Previous", before.length, back),
          element("span", { className: "quiet", role: "status" }, `Page ${before.length + 1}`),
          button("Next", next, forth),
        ),
      );
    },
  };
};

const row = ({
  user_key: key,
  first_active_day: first,
  last_active_day: last,
  active_days_28d: days,
  events_28d: events,
  top_feature: feature,
}) => [
  element("code", { title: key }, key.slice(0, 12)),
  dayText(first),
  dayText(last),
  number(days),
  number(events),
  feature ? featureName(feature) : "–",
];

/** A column's heading: a button that sorts by it, and the other way round when it does already. */
function heading({ label, by }, { view: { sort }, change }) {
  const following = by[(by.indexOf(sort) + 1) % by.length];
  const direction = !by.includes(sort) ? null : sort.startsWith("-") ? "descending" : "ascending";
  const sign = { descending: " ↓", ascending: " ↑" }[direction] ?? "";
  const words = [label, element("span", { ariaHidden: "true" }, sign)];
  const inside = by.length
    ? [
        element(
          "button",
          { className: "sort", type: "button", "data-key": label, onclick: () => change({ sort: following }) },
          ...words,
        ),
      ]
    : words;
  return element("th", { scope: "col", "aria-sort": direction }, ...inside);
}
