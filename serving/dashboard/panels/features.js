// Adoption of each feature. Choosing one narrows the page to it; choosing it again widens the page.
import { shareBar } from "../charts.js";
import { element, table } from "../dom.js";
import { number, percent } from "../format.js";
import { featureName } from "./names.js";
import { loadFeatures } from "./usage.js";

export const features = () => ({
  id: "features",
  title: "Feature adoption",
  note: "Share of a day’s active users, on average. Choose one to narrow the page.",
  exports: "features",
  load: loadFeatures,
  empty: ({ features: found }, { view }) =>
    found.length || view.feature ? null : "Nobody used a feature in this period.",
  draw(parts, { features: found }, { view, change }) {
    const choices = found.map((each) => choice(each, { chosen: view.feature === each.feature, change }));
    parts.body.replaceChildren(
      element("ul", { className: "choices" }, ...choices.map((button) => element("li", {}, button))),
    );
    parts.table(
      table(
        "Feature adoption",
        ["Feature", "Adoption", "Events", "Days used"],
        found.map(({ feature, average_adoption: share, events, days }) => [
          featureName(feature),
          percent(Number(share)),
          number(events),
          number(days.length),
        ]),
      ),
    );
  },
});

function choice({ feature, average_adoption: share, events }, { chosen, change }) {
  return element(
    "button",
    {
      type: "button",
      "data-key": feature,
      className: "choice",
      "aria-pressed": String(chosen),
      onclick: () => change({ feature: chosen ? null : feature }),
    },
    element(
      "span",
      { className: "row" },
      element("span", { className: "name" }, featureName(feature)),
      element("span", { className: "share" }, percent(Number(share))),
    ),
    shareBar(Number(share)),
    element("span", { className: "quiet" }, `${number(events)} events`),
  );
}
