// Active users: of the day, of 7 and of 28 days; or those of one feature beside all.
import { table } from "../dom.js";
import { bucketText, compact, number } from "../format.js";
import { featureName } from "./names.js";
import { loadFeatures, loadUsage, newestFirst, walking } from "./usage.js";

const WINDOWS = [
  { label: "Daily", key: "active_users", kind: "area" },
  { label: "7 days", key: "active_users_7d", kind: "line" },
  { label: "28 days", key: "active_users_28d", kind: "line" },
];

export const people = () => ({
  id: "people",
  title: "Active users",
  note: "Distinct people who ran, completed, commented on or called something",
  size: "wide",
  exports: "usage",
  async load(context) {
    const [usage, features] = await Promise.all([
      loadUsage(context, "day"),
      context.view.feature ? loadFeatures(context) : null,
    ]);
    return { usage, features };
  },
  draw(parts, { usage, features }, context) {
    const days = usage.rows.map(({ day }) => day);
    const series = features ? ofFeature(usage, features, context.view.feature) : windows(usage);
    parts.chart({
      label: "Active users by day",
      series,
      format: number,
      axis: compact,
      ...walking(days, "day", context),
    });
    parts.table(
      table(
        "Active users by day",
        ["Day", ...series.map(({ label }) => label)],
        newestFirst(
          days.map((day, index) => [
            bucketText(day, "day"),
            ...series.map(({ values }) => (values[index] === null ? "–" : number(values[index]))),
          ]),
        ),
      ),
    );
  },
});

const windows = ({ rows }) => WINDOWS.map((each) => ({ ...each, values: rows.map((row) => row[each.key]) }));

function ofFeature({ rows }, { features, quiet }, feature) {
  const own = features.find((each) => each.feature === feature)?.rows ?? quiet;
  const people = new Map(own.map(({ day, active_users: count }) => [day, count]));
  return [
    { label: featureName(feature), kind: "area", values: rows.map(({ day }) => people.get(day) ?? 0) },
    { label: "All features", kind: "line", values: rows.map((row) => row.active_users) },
  ];
}
