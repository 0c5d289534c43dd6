// How figures and days are written. Days are UTC days throughout.
const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const dollars = new Intl.NumberFormat("en", { style: "currency", currency: "USD" });
const shortDollars = new Intl.NumberFormat("en", { style: "currency", currency: "USD", notation: "compact", maximumFractionDigits: 1 });
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const percents = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 0 });
const dayOf = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
const dayMonth = dayOf({ day: "numeric", month: "short" });
const fullDay = dayOf({ weekday: "short", day: "numeric", month: "short", year: "numeric" });
const moment = dayOf({ day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });

export const MS_A_DAY = 86_400_000;
export const number = (value) => whole.format(value);
export const compact = (value) => (Math.abs(value) < 10_000 ? tenths.format(value) : short.format(value));
export const money = (value) => dollars.format(value);
export const compactMoney = (value) => (Math.abs(value) < 10_000 ? dollars.format(value) : shortDollars.format(value));
export const percent = (value) => percents.format(value);
export const tickDay = (iso) => dayMonth.format(new Date(iso));
export const longDay = (iso) => fullDay.format(new Date(iso));
export const stamp = (iso) => `${moment.format(new Date(iso))} UTC`;
export const addDays = (iso, days) => new Date(Date.parse(iso) + days * MS_A_DAY).toISOString().slice(0, 10);

/** Every day from first to last, both included. */
export function eachDay(first, last) {
  const days = [];
  for (let day = first; day <= last; day = addDays(day, 1)) days.push(day);
  return days;
}
