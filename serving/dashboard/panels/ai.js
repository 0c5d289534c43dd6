// AI spend by model, and this month's against the cap.
import { shareBar } from "../charts.js";
import { element, table } from "../dom.js";
import { axisMoney, bucketText, buckets, compact, money, number, percent } from "../format.js";
import { newestFirst, walking } from "./usage.js";

const MOST_SERIES = 4;

export const ai = () => ({
  id: "ai",
  title: "AI spend",
  size: "wide",
  exports: "ai",
  load: ({ get, query }) => get("/v1/ai", query),
  concerns: (feature) => feature === "ai",
  empty: ({ models, spent_month_usd: spent }) =>
    models.length || Number(spent ?? 0) ? null : "No AI requests in this period.",
  draw(parts, answer, context) {
    const { models, totals } = answer;
    const days = buckets(context.query.from, context.query.to);
    const series = grouped(models).map(({ label, days: rows }) => ({
      label,
      kind: "column",
      values: spread(days, rows),
    }));
    parts.note(
      `${money(Number(totals.cost_usd))} in the period, for ${compact(totals.tokens)} tokens ` +
        `in ${number(totals.requests)} requests`,
    );
    const drawn = series.length ? series : [{ label: "AI spend", kind: "column", values: days.map(() => 0) }];
    parts.chart(
      {
        label: "AI spend by day and model",
        series: drawn,
        format: money,
        axis: axisMoney,
        ...walking(days, "day", context),
      },
      cap(answer),
    );
    parts.table(
      table(
        "AI spend by day and model",
        ["Day", ...drawn.map(({ label }) => label), "Together"],
        newestFirst(
          days.map((day, index) => [
            bucketText(day, "day"),
            ...drawn.map(({ values }) => money(values[index])),
            money(drawn.reduce((sum, { values }) => sum + values[index], 0)),
          ]),
        ),
      ),
    );
  },
});

/** The costliest models one by one, the others together: more colours than these are not told apart. */
function grouped(models) {
  const cost = ({ days }) => days.reduce((sum, day) => sum + Number(day.cost_usd), 0);
  const sorted = [...models]
    .sort((one, other) => cost(other) - cost(one))
    .map(({ model, days }) => ({ label: model, days }));
  if (sorted.length <= MOST_SERIES) return sorted;
  const rest = sorted.slice(MOST_SERIES - 1);
  return [
    ...sorted.slice(0, MOST_SERIES - 1),
    { label: `${rest.length} other models`, days: rest.flatMap(({ days }) => days) },
  ];
}

function spread(days, rows) {
  const sums = new Map();
  for (const { day, cost_usd: cost } of rows) sums.set(day, (sums.get(day) ?? 0) + Number(cost));
  return days.map((day) => sums.get(day) ?? 0);
}

function cap({ spend_cap_usd: limit, spent_month_usd: spent }) {
  const amount = money(Number(spent ?? 0));
  if (limit === null) return element("p", { className: "cap quiet" }, `${amount} this month; no spend cap is set.`);
  const share = Number(limit) > 0 ? Number(spent) / Number(limit) : 1;
  const tone = share >= 1 ? "over" : share >= 0.8 ? "near" : "calm";
  const words = `${amount} of the month’s cap of ${money(Number(limit))}`;
  return element(
    "div",
    { className: `cap meter ${tone}` },
    element(
      "div",
      { className: "row" },
      element("span", {}, words),
      element("span", { className: "share" }, percent(share)),
    ),
    element(
      "div",
      {
        role: "meter",
        ariaLabel: "AI spend this month",
        ariaValueMin: "0",
        ariaValueMax: "100",
        ariaValueNow: String(Math.min(Math.round(share * 100), 100)),
        ariaValueText: words,
      },
      shareBar(share, { tone: "tone" }),
    ),
  );
}
