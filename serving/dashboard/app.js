// The page: takes its token from the address's fragment into memory, asks the API, and shows what it answers.
import { draw, element, shareBar, sparkline, table } from "./charts.js";
import { MS_A_DAY, addDays, compact, compactMoney, eachDay, longDay, money, number, percent, stamp } from "./format.js";

const STALE_AFTER_MS = 26 * 3_600_000;
const FEATURE_NAMES = { workflows: "Workflows", tasks: "Tasks", comments: "Comments", api: "API", ai: "AI assistant" };
const MEASURES = [
  { key: "workflow_runs", label: "Workflow runs", part: "workflow_runs_failed", partLabel: "failed" },
  { key: "tasks_completed", label: "Tasks" },
  { key: "comments", label: "Comments" },
  { key: "api_requests", label: "API requests", part: "api_errors", partLabel: "errors" },
  { key: "ai_requests", label: "AI requests" },
  { key: "ai_tokens", label: "AI tokens" },
  { key: "ai_cost_usd", label: "AI spend", format: money, axis: compactMoney },
];

const byId = (id) => document.getElementById(id);
const state = { token: null, days: 30, measure: MEASURES[0], usage: null, request: 0 };

class Failure extends Error {
  constructor(title, text, { retry = false } = {}) {
    super(text);
    Object.assign(this, { title, retry });
  }
}
const SIGN_IN = () =>
  new Failure("Open this page from your product", "The link that opened it is missing its pass, or the pass has expired.");

/** The token leaves the address bar at once: it stays out of history, bookmarks and screenshots. */
function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!given) return;
  state.token = given;
  history.replaceState(null, "", location.pathname);
}

async function ask(path, query = {}) {
  if (!state.token) throw SIGN_IN();
  const address = `${path}?${new URLSearchParams(query)}`;
  const headers = { Authorization: `Bearer ${state.token}` };
  const answer = await fetch(address, { headers, cache: "no-store", credentials: "omit" }).catch(() => null);
  if (answer?.ok) return answer.json();
  if (answer?.status === 401) throw SIGN_IN();
  throw new Failure("The figures cannot be shown right now", "Nothing is lost. Please try again in a moment.", { retry: true });
}

async function load() {
  const request = ++state.request;
  show({ busy: true });
  try {
    const freshness = await ask("/v1/freshness");
    showStamp(freshness);
    if (!freshness.last_day) {
      const usage = await ask("/v1/usage");
      if (request === state.request) showName(usage.tenant_name);
      throw new Failure("No activity yet", "Figures appear here after your team’s first day of use, usually within the hour.");
    }
    const asked = addDays(freshness.last_day, 1 - state.days);
    // Days before the first are not quiet days: they would lower every mean.
    const query = { from: asked < freshness.first_day ? freshness.first_day : asked, to: freshness.last_day };
    const [usage, features] = await Promise.all([ask("/v1/usage", query), ask("/v1/features", query)]);
    if (request !== state.request) return; // a later choice has overtaken this one
    state.usage = fill(usage);
    showName(usage.tenant_name);
    show({});
    showTotals(state.usage);
    showPeople(state.usage);
    showFeatures(features);
    showActivity();
    announce(`Figures from ${longDay(usage.from)} to ${longDay(usage.to)}`);
  } catch (failure) {
    if (request !== state.request) return;
    if (!(failure instanceof Failure)) console.error(failure);
    show({ failure: failure instanceof Failure ? failure : new Failure("Something went wrong", "Please try again.", { retry: true }) });
  }
}

/** Days without a row had no activity; windows of several days are not known there. */
function fill(usage) {
  const known = new Map(usage.days.map((day) => [day.day, day]));
  const quiet = Object.fromEntries(MEASURES.flatMap(({ key, part }) => [key, part]).filter(Boolean).map((key) => [key, 0]));
  const days = eachDay(usage.from, usage.to).map(
    (day) => known.get(day) ?? { ...quiet, day, active_users: 0, active_users_7d: null, active_users_28d: null },
  );
  return { ...usage, days };
}

function show({ busy = false, failure = null }) {
  const figures = byId("figures");
  const first = state.usage === null;
  figures.hidden = Boolean(failure);
  figures.classList.toggle("loading", first && busy);
  figures.classList.toggle("refreshing", !first && busy);
  figures.setAttribute("aria-busy", String(busy));
  byId("message").hidden = !failure;
  byId("ranges").hidden = Boolean(failure);
  if (failure) {
    byId("message-title").textContent = failure.title;
    byId("message-text").textContent = failure.message;
    byId("retry").hidden = !failure.retry;
    state.usage = null;
  }
  if (first && busy) byId("totals").replaceChildren(...Array.from({ length: 6 }, skeleton));
}

const skeleton = () =>
  element("div", { className: "total" }, element("div", { className: "skeleton" }), element("div", { className: "skeleton" }));

function showName(name) {
  byId("tenant").textContent = name ?? "Your workspace";
  byId("mark").textContent = (name ?? "·").trim().charAt(0).toUpperCase();
  document.title = name ? `${name} – usage` : "Usage";
}

function showStamp({ as_of: asOf, version }) {
  byId("stamp").hidden = !asOf;
  if (!asOf) return;
  const age = Date.now() - Date.parse(asOf);
  const days = Math.floor(age / MS_A_DAY);
  const stale = age > STALE_AFTER_MS;
  byId("stamp").classList.toggle("stale", stale);
  byId("stamp").title = `Version ${version}`;
  byId("stamp-text").textContent = `Data as of ${stamp(asOf)}${stale ? ` · ${days} ${days === 1 ? "day" : "days"} old` : ""}`;
}

function showTotals({ days, totals, previous }) {
  const newest = days.findLast((day) => day.active_users_28d !== null);
  const mean = days.reduce((sum, day) => sum + day.active_users, 0) / days.length;
  const counted = (label, key, format = compact) => ({
    label,
    value: format(Number(totals[key])),
    change: versus(Number(totals[key]), Number(previous[key])),
    values: days.map((day) => Number(day[key])),
  });
  const cards = [
    { label: "Active users, 28 days", value: compact(newest?.active_users_28d ?? 0), change: "distinct people", values: days.map((day) => day.active_users_28d).filter((value) => value !== null) },
    { label: "Active users a day", value: compact(mean), change: `${number(Math.max(...days.map((day) => day.active_users)))} at most`, values: days.map((day) => day.active_users) },
    counted("Workflow runs", "workflow_runs"),
    counted("Tasks completed", "tasks_completed"),
    counted("API requests", "api_requests"),
    counted("AI spend", "ai_cost_usd", compactMoney),
  ];
  byId("totals").replaceChildren(
    ...cards.map(({ label, value, change, values }) =>
      element(
        "div",
        { className: "total" },
        element("dt", {}, label),
        element("dd", { className: "value" }, value),
        element("dd", { className: "change" }, change),
        element("dd", {}, sparkline(values)),
      ),
    ),
  );
}

function versus(now, before) {
  if (!before) return "no prior period";
  const change = now / before - 1;
  const sign = change > 0 ? "▲" : change < 0 ? "▼" : "±";
  return element("span", {}, element("b", {}, `${sign} ${percent(Math.abs(change))}`), " vs. prior period");
}

function showPeople({ days }) {
  const series = [
    { label: "Daily", key: "active_users", kind: "area" },
    { label: "7 days", key: "active_users_7d", kind: "line" },
    { label: "28 days", key: "active_users_28d", kind: "line" },
  ].map((each) => ({ ...each, values: days.map((day) => day[each.key]) }));
  byId("people-legend").replaceChildren(
    ...series.map(({ label }, index) => element("li", {}, element("i", { className: `s${index}` }), label)),
  );
  draw(byId("people"), { label: "Active users by day", days: days.map(({ day }) => day), series, format: number, announce });
  byId("people-table").replaceChildren(
    table("Active users by day", ["Day", ...series.map(({ label }) => label)], newestFirst(days).map((day) => [
      longDay(day.day),
      ...series.map(({ key }) => (day[key] === null ? "–" : number(day[key]))),
    ])),
  );
}

function showFeatures({ features }) {
  const nameOf = (feature) => FEATURE_NAMES[feature] ?? feature;
  byId("features").replaceChildren(
    ...features.map(({ feature, average_adoption: share, events }) =>
      element(
        "li",
        {},
        element("div", { className: "row" }, element("span", { className: "name" }, nameOf(feature)), element("span", { className: "share" }, percent(share))),
        shareBar(share),
        element("p", { className: "quiet" }, `${number(events)} events`),
      ),
    ),
  );
  byId("features-table").replaceChildren(
    table(
      "Feature adoption",
      ["Feature", "Adoption", "Events", "Days used"],
      features.map(({ feature, average_adoption: share, events, days }) => [
        nameOf(feature), percent(share), number(events), number(days.length),
      ]),
    ),
  );
}

function showActivity() {
  const { days, totals } = state.usage;
  const { key, label, part, partLabel, format = number, axis = compact } = state.measure;
  const total = format(Number(totals[key]));
  byId("activity-note").textContent = part
    ? `${total} in the period, ${number(totals[part])} ${partLabel}`
    : `${total} in the period`;
  const series = [{ label, kind: "column", values: days.map((day) => Number(day[key])) }];
  draw(byId("activity"), { label: `${label} by day`, days: days.map(({ day }) => day), series, format, axis, announce });
  byId("activity-table").replaceChildren(
    table("Activity by day", ["Day", ...MEASURES.map((each) => each.label)], newestFirst(days).map((day) => [
      longDay(day.day),
      ...MEASURES.map((each) => (each.format ?? number)(Number(day[each.key]))),
    ])),
  );
}

const newestFirst = (days) => [...days].reverse();

function announce(text) {
  byId("announcement").textContent = text;
}

function chooseMeasures() {
  byId("measures").append(
    ...MEASURES.map((measure) => {
      const input = element("input", { type: "radio", name: "measure", value: measure.key, checked: measure === state.measure });
      return element("label", {}, input, element("span", {}, measure.label));
    }),
  );
  byId("measures").addEventListener("change", ({ target }) => {
    state.measure = MEASURES.find(({ key }) => key === target.value);
    if (state.usage) showActivity();
  });
}

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}

byId("ranges").addEventListener("change", ({ target }) => {
  state.days = Number(target.value);
  load();
});
byId("retry").addEventListener("click", load);
byId("theme").addEventListener("click", switchTheme);
addEventListener("hashchange", () => {
  takeToken();
  if (location.hash === "") load();
});
chooseMeasures();
takeToken();
load();
