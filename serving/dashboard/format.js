// How figures and days are written, and what lies between days. Days are UTC days throughout, as ISO text.

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const dollars = new Intl.NumberFormat("en", { style: "currency", currency: "USD" });
const shortDollars = new Intl.NumberFormat("en", {
  style: "currency",
  currency: "USD",
  notation: "compact",
  maximumFractionDigits: 1,
});
const wholeDollars = new Intl.NumberFormat("en", { style: "currency", currency: "USD", maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const percents = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 0 });
const finePercents = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const dayOf = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
const dayMonth = dayOf({ day: "numeric", month: "short" });
const weekday = dayOf({ weekday: "short" });
const plainDay = dayOf({ day: "numeric", month: "short", year: "numeric" });
const monthYear = dayOf({ month: "long", year: "numeric" });
const shortMonth = dayOf({ month: "short", year: "numeric" });
const moment = dayOf({ day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });

export const MS_A_DAY = 86_400_000;
export const number = (value) => whole.format(value);
export const compact = (value) => (Math.abs(value) < 10_000 ? tenths.format(value) : short.format(value));
export const money = (value) => dollars.format(value);
export const compactMoney = (value) => (Math.abs(value) < 10_000 ? dollars.format(value) : shortDollars.format(value));
/** Money under an axis: cents only where the ticks have them. */
export const axisMoney = (value) =>
  value >= 10_000 ? shortDollars.format(value) : (Number.isInteger(value) ? wholeDollars : dollars).format(value);
export const percent = (value) => percents.format(value);
export const finePercent = (value) => finePercents.format(value);
export const stamp = (iso) => `${moment.format(new Date(iso))} UTC`;
export const dayText = (iso) => plainDay.format(new Date(iso));
export const monthText = (iso) => monthYear.format(new Date(iso));

/** "workflow_runs" → "Workflow runs", for what has no name of its own here. */
export const humanise = (name) => (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ");

export const addDays = (iso, days) => new Date(Date.parse(iso) + days * MS_A_DAY).toISOString().slice(0, 10);

/** How many days from first to last, both included. */
export const daysBetween = (first, last) => Math.round((Date.parse(last) - Date.parse(first)) / MS_A_DAY) + 1;

/** The first day of the day, ISO week or month that `iso` lies in. */
export function bucketOf(iso, grain) {
  if (grain === "week") return addDays(iso, -((new Date(iso).getUTCDay() + 6) % 7));
  return grain === "month" ? `${iso.slice(0, 7)}-01` : iso;
}

/** The first day of the bucket after the one that begins on `iso`. */
export function nextBucket(iso, grain) {
  return grain === "month" ? bucketOf(addDays(iso, 31), grain) : addDays(iso, grain === "week" ? 7 : 1);
}

/** Every bucket that has a day from first to last, by its first day. */
export function buckets(first, last, grain = "day") {
  const found = [];
  for (let day = bucketOf(first, grain); day <= last; day = nextBucket(day, grain)) found.push(day);
  return found;
}

const fullDay = (iso) => `${weekday.format(new Date(iso))} ${dayText(iso)}`; // browsers differ in the comma between

/** A bucket in full, and under an axis. */
export const bucketText = (iso, grain) =>
  grain === "month" ? monthYear.format(new Date(iso)) : grain === "week" ? `Week of ${dayText(iso)}` : fullDay(iso);
export const tickText = (iso, grain) => (grain === "month" ? shortMonth : dayMonth).format(new Date(iso));

/** A range of days in as few words as say it. */
export const rangeText = (first, last) => (first === last ? fullDay(first) : `${dayText(first)} – ${dayText(last)}`);
