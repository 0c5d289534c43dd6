// What the reader looks at: a range, a grain, what the page is narrowed to. It is written as text, for the address or
// for the page around us, so that Back works and a link shows the same. The pass to the figures is no part of it.
import { addDays, daysBetween } from "./format.js";

export const RANGES = [
  ["7", "7 days"],
  ["30", "30 days"],
  ["90", "90 days"],
  ["365", "12 months"],
];
export const GRAINS = [
  ["day", "Day"],
  ["week", "Week"],
  ["month", "Month"],
];
const SORTS = ["first_active_day", "last_active_day", "active_days_28d", "events_28d"]
  .flatMap((each) => [each, `-${each}`])
  .concat("user_key");
const MOST_DAYS = 400; // the API's own limit
const ISO_DAY = /^\d{4}-\d{2}-\d{2}$/;
const NAME = /^[a-z][a-z0-9_]{0,63}$/;
const isDay = (text) => ISO_DAY.test(text) && !Number.isNaN(Date.parse(text));
const among = (options) => (text) => options.some(([value]) => value === text);

const FIELDS = {
  range: { otherwise: "30", valid: among(RANGES) },
  from: { otherwise: null, valid: isDay },
  to: { otherwise: null, valid: isDay },
  grain: { otherwise: "day", valid: among(GRAINS) },
  measure: { otherwise: "workflow_runs", valid: (text) => NAME.test(text) },
  feature: { otherwise: null, valid: (text) => NAME.test(text) },
  sort: { otherwise: "-events_28d", valid: (text) => SORTS.includes(text) },
  theme: { otherwise: null, valid: (text) => text === "light" || text === "dark" },
};

/** A view out of text such as "range=90&feature=ai". What is malformed is left out: anyone may edit a link. */
export function readView(text) {
  const given = new URLSearchParams(text);
  const view = {};
  for (const [name, { otherwise, valid }] of Object.entries(FIELDS)) {
    const value = given.get(name);
    view[name] = value !== null && valid(value) ? value : otherwise;
  }
  if (!view.from || !view.to || view.from > view.to) view.from = view.to = null;
  return view;
}

/** The text of a view, of what differs from the usual only. */
export function writeView(view) {
  const told = Object.entries(FIELDS).filter(
    ([name, { otherwise }]) => view[name] !== otherwise && view[name] !== null,
  );
  return new URLSearchParams(told.map(([name]) => [name, view[name]])).toString();
}

/** The days to ask for. Days before the first with data are not quiet days: they would lower every mean. */
export function daysOf(view, { first_day: first, last_day: last }) {
  if (view.from) {
    const earliest = addDays(view.to, 1 - MOST_DAYS);
    return { from: view.from < earliest ? earliest : view.from, to: view.to };
  }
  const asked = addDays(last, 1 - Number(view.range));
  return { from: asked < first ? first : asked, to: last };
}

/** Whether a range of the same length before `from` holds data from its first day on, so that comparing is fair. */
export const comparable = ({ from, to }, { first_day: first }) => addDays(from, -daysBetween(from, to)) >= first;
