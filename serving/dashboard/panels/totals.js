// Totals of the range, each against the range of the same length before.
import { sparkline } from "../charts.js";
import { element } from "../dom.js";
import { compact, number, percent } from "../format.js";
import { comparable } from "../view.js";
import { featureName, measuresOf } from "./names.js";
import { loadFeatures, loadUsage } from "./usage.js";

export const totals = () => ({
  id: "totals",
  title: "Totals of the period",
  size: "totals",
  async load(context) {
    const [usage, features] = await Promise.all([
      loadUsage(context, "day"),
      context.view.feature ? loadFeatures(context) : null,
    ]);
    return { usage, features };
  },
  draw(parts, { usage, features }, context) {
    const cards = [...(features ? featureCards(features, context) : peopleCards(usage)), ...countCards(usage, context)];
    parts.body.replaceChildren(element("dl", {}, ...cards.slice(0, 6).map(total)));
  },
});

const total = ({ label, value, change, values }) =>
  element(
    "div",
    { className: "total" },
    element("dt", {}, label),
    element("dd", { className: "value" }, value),
    element("dd", { className: "change" }, change),
    element("dd", {}, sparkline(values.length ? values : [0])),
  );

function peopleCards({ rows }) {
  const window = rows.map((row) => row.active_users_28d).filter((value) => value !== null);
  const daily = rows.map((row) => row.active_users);
  return [
    { label: "Active users, 28 days", value: compact(window.at(-1) ?? 0), change: "distinct people", values: window },
    {
      label: "Active users a day",
      value: compact(mean(daily)),
      change: `${number(Math.max(...daily))} at most`,
      values: daily,
    },
  ];
}

function featureCards(features, { view }) {
  const chosen = features.features.find(({ feature }) => feature === view.feature);
  const rows = chosen?.rows ?? features.quiet;
  const people = rows.map((row) => row.active_users);
  const label = featureName(view.feature);
  return [
    {
      label: `${label} adoption`,
      value: percent(Number(chosen?.average_adoption ?? 0)),
      change: "of a day’s active users",
      values: rows.map((row) => Number(row.adoption_share)),
    },
    {
      label: `${label} users a day`,
      value: compact(mean(people)),
      change: `${number(Math.max(...people))} at most`,
      values: people,
    },
    ...(measuresOf(view.feature).length
      ? []
      : [
          {
            label: `${label} events`,
            value: compact(chosen?.events ?? 0),
            change: "in the period",
            values: rows.map((row) => row.events),
          },
        ]),
  ];
}

function countCards({ rows, totals: sums, previous }, { view, query, freshness }) {
  const shown = view.feature
    ? measuresOf(view.feature)
    : measuresOf(null).filter(({ key }) => !["comments", "ai_requests", "ai_tokens"].includes(key));
  const fair = comparable(query, freshness);
  return shown.map(({ key, label, total: short }) => ({
    label,
    value: short(Number(sums[key])),
    change: fair ? versus(Number(sums[key]), Number(previous[key])) : "no full period before",
    values: rows.map((row) => Number(row[key])),
  }));
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / Math.max(values.length, 1);

function versus(now, before) {
  if (!before) return now ? "none in the period before" : "none before either";
  const change = now / before - 1;
  const [sign, word] = change > 0 ? ["▲", "up"] : change < 0 ? ["▼", "down"] : ["±", "level"];
  return element(
    "span",
    {},
    element(
      "b",
      {},
      element("span", { ariaHidden: "true" }, `${sign} `),
      element("span", { className: "unseen" }, `${word} `),
      percent(Math.abs(change)),
    ),
    " vs. period before",
  );
}
