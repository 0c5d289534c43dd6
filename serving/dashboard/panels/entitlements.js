// What is used of what was bought this month, and when it will be used up at this month's pace.
import { shareBar } from "../charts.js";
import { element, table } from "../dom.js";
import { compact, dayText, monthText, number, percent } from "../format.js";
import { limitOf } from "./names.js";

const NEAR = 0.8;

export const entitlements = () => ({
  id: "entitlements",
  title: "Plan limits",
  exports: "entitlements",
  exportQuery: false,
  load: ({ get }) => get("/v1/entitlements"),
  concerns: (feature) => ["workflows", "api", "ai"].includes(feature),
  empty: ({ entitlements: found }) => (found.length ? null : "Your plan has no limits to show."),
  draw(parts, { month, entitlements: found }, { view }) {
    parts.note(month ? `${monthText(month)}, foreseen at its pace so far` : "");
    const shown = found.filter(({ metric }) => !view.feature || limitOf(metric).feature === view.feature);
    parts.body.replaceChildren(element("ul", { className: "meters" }, ...shown.map(meter)));
    parts.table(
      table(
        "Plan limits",
        ["Limit", "Used", "Included", "Foreseen at month end", "Reached on"],
        shown.map((each) => [
          limitOf(each.metric).label,
          number(each.used),
          each.included === null ? "Unlimited" : number(each.included),
          each.forecast_month_end === null ? "–" : number(Math.round(each.forecast_month_end)),
          each.limit_day ? dayText(each.limit_day) : "–",
        ]),
      ),
    );
  },
});

function meter({
  metric,
  used,
  included,
  share_used: told,
  forecast_month_end: forecast,
  days_to_limit: days,
  limit_day: limitDay,
}) {
  const label = limitOf(metric).label;
  const share = told === null ? null : Number(told);
  const ahead = included && forecast !== null ? Number(forecast) / Number(included) : null;
  const [tone, sign, words] = outlook({ share, ahead, days, limitDay });
  const amount = included === null ? `${compact(used)} used` : `${compact(used)} of ${compact(included)}`;
  const text = included === null ? "No limit on your plan" : words;
  const gauge = {
    role: "meter",
    ariaLabel: label,
    ariaValueMin: "0",
    ariaValueMax: "100",
    ariaValueNow: String(Math.min(Math.round((share ?? 0) * 100), 100)),
    ariaValueText: `${amount}. ${text}`,
  };
  return element(
    "li",
    { className: `meter ${tone}` },
    element(
      "div",
      { className: "row" },
      element("span", { className: "name" }, label),
      element("span", { className: "share" }, share === null ? "–" : percent(share)),
    ),
    included === null ? null : element("div", gauge, shareBar(share ?? 0, { ahead, tone: "tone" })),
    element(
      "p",
      { className: "quiet row" },
      element("span", {}, amount),
      element("span", { className: "outlook" }, sign ? element("b", { ariaHidden: "true" }, sign) : null, text),
    ),
  );
}

/** [how it is coloured, a sign, words]: the words say all that the colour does. */
function outlook({ share, ahead, days, limitDay }) {
  if (share === null) return ["calm", "", ""];
  if (share >= 1) return ["over", "■ ", share > 1 ? `Over the limit by ${percent(share - 1)}` : "The limit is reached"];
  if (limitDay && ahead !== null && ahead >= 1)
    return ["near", "▲ ", `Reached on ${dayText(limitDay)}, in ${number(days)} ${days === 1 ? "day" : "days"}`];
  if (share >= NEAR) return ["near", "▲ ", `${percent(1 - share)} left`];
  return ["calm", "", ahead === null ? `${percent(1 - share)} left` : `${percent(ahead)} foreseen at month end`];
}
