// The tenant's people by their pseudonyms, page by page. No name or address reaches this page.
import { element, table } from "../dom.js";
import { dayText, number } from "../format.js";
import { featureName } from "./names.js";

const PAGE = 10;
const COLUMNS = [
  ["user_key", "User"],
  ["first_active_day", "First active"],
  ["last_active_day", "Last active"],
  ["active_days_28d", "Active days, 28 d"],
  ["events_28d", "Events, 28 d"],
  ["top_feature", "Uses most"],
];

export const users = () => {
  let before = []; // cursors of the pages that lie before this one
  let cursor = null;
  let version = null;
  let turnPage = () => {};
  return {
    id: "users",
    title: "Users",
    note: "By pseudonym; no name or address reaches this page",
    size: "wide",
    exports: "users",
    exportQuery: false,
    concerns: () => false,
    load({ get, freshness }, again) {
      if (version !== freshness.version) [before, cursor, version] = [[], null, freshness.version];
      turnPage = (step) => {
        step();
        again();
      };
      return get("/v1/users", { limit: PAGE, cursor });
    },
    empty: ({ users: found }) => (found.length || before.length ? null : "Nobody has been active yet."),
    draw(parts, { users: found, next_cursor: next }) {
      const made = table("Users by pseudonym", COLUMNS.map(([, label]) => label), found.map(row));
      const forth = () => [before, cursor] = [[...before, cursor], next];
      const back = () => [before, cursor] = [before.slice(0, -1), before.at(-1)];
      const button = (label, possible, step) => element("button", { className: "plain", type: "button", disabled: !possible, onclick: () => turnPage(step) }, label);
      parts.body.replaceChildren(
        element("div", { className: "scroll open", tabIndex: 0, role: "region", ariaLabel: "Users" }, made),
        element("div", { className: "pages" }, button("Previous", before.length, back), element("span", { className: "quiet", role: "status" }, `Page ${before.length + 1}`), button("Next", next, forth)),
      );
    },
  };
};

const row = ({ user_key: key, first_active_day: first, last_active_day: last, active_days_28d: days, events_28d: events, top_feature: feature }) => [
  element("code", { title: key }, key.slice(0, 12)),
  dayText(first),
  dayText(last),
  number(days),
  number(events),
  feature ? featureName(feature) : "–",
];
