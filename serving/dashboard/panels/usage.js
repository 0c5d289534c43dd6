// What several cards ask of `/v1/usage` and `/v1/features`, with the days that had no use filled in.
import { bucketOf, buckets, nextBucket, addDays, bucketText, tickText } from "../format.js";
import { MEASURES } from "./names.js";

const QUIET = Object.fromEntries(
  MEASURES.flatMap(({ key, part }) => [key, part])
    .filter(Boolean)
    .map((key) => [key, 0]),
);

/** Usage with `rows`, one a bucket of the grain. A bucket without any use has no windows of several days. */
export async function loadUsage({ get, query }, grain) {
  const usage = await get("/v1/usage", { ...query, grain: grain === "day" ? null : grain });
  const known = new Map(usage.days.map((row) => [bucketOf(row.day, grain), row]));
  const rows = buckets(usage.from, usage.to, grain).map((day) => ({
    active_users: 0,
    active_users_7d: null,
    active_users_28d: null,
    ...QUIET,
    ...known.get(day),
    day,
  }));
  return { ...usage, rows };
}

/** Features, each with `rows` by day; `quiet` is the rows of a feature that nobody used. */
export async function loadFeatures({ get, query }) {
  const answer = await get("/v1/features", query);
  const quiet = buckets(answer.from, answer.to).map((day) => ({ day, active_users: 0, events: 0, adoption_share: 0 }));
  const features = answer.features.map((feature) => {
    const known = new Map(feature.days.map((row) => [row.day, row]));
    return { ...feature, rows: quiet.map((row) => known.get(row.day) ?? row) };
  });
  return { ...answer, features, quiet };
}

/** How a chart over buckets of a grain names them, and what choosing one does: the page narrows to its days. */
export function walking(days, grain, { query, change }) {
  return {
    days,
    name: (day) => bucketText(day, grain),
    tick: (day) => tickText(day, grain),
    pick: (index) => {
      const [first, last] = [days[index], addDays(nextBucket(days[index], grain), -1)];
      const from = first < query.from ? query.from : first;
      const to = last > query.to ? query.to : last;
      if (from !== query.from || to !== query.to) change({ from, to, grain: "day" });
    },
  };
}

/** Rows for a table: the newest first. */
export const newestFirst = (rows) => [...rows].reverse();
