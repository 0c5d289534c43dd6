// One measure over time, by day, week or month.
import { choose, element, segments, table } from "../dom.js";
import { bucketText, humanise } from "../format.js";
import { GRAINS } from "../view.js";
import { MEASURES, featureName, measuresOf } from "./names.js";
import { loadFeatures, loadUsage, newestFirst, walking } from "./usage.js";

/** `change(patch)`: takes what the reader chooses here. */
export const activity = ({ change }) => {
  const grains = segments("Grain", "grain", GRAINS, "day", (grain) => change({ grain }));
  const measures = element("select", {
    ariaLabel: "Measure",
    onchange: ({ target }) => change({ measure: target.value }),
  });
  offer(measures, MEASURES, MEASURES[0]);
  return {
    id: "activity",
    title: "Activity",
    size: "full",
    exports: "usage",
    tools: [measures, grains],
    async load(context) {
      const { grain, feature } = context.view;
      const own = measuresOf(feature);
      if (own.length) return { usage: await loadUsage(context, grain), own };
      return { features: await loadFeatures(context), own };
    },
    draw(parts, { usage, features, own }, context) {
      const { grain, feature, measure } = context.view;
      choose(grains, grain);
      grains.hidden = !usage;
      const shown = own.find(({ key }) => key === measure) ?? own[0];
      offer(measures, own, shown);
      if (usage) ofUsage(parts, { usage, own, shown }, context);
      else ofFeature(parts, features, feature, context);
    },
  };
};

/** The measures to choose from; none to choose where there is but one. */
function offer(select, measures, shown) {
  select.hidden = measures.length < 2;
  select.replaceChildren(
    ...measures.map(({ key, label }) => element("option", { value: key, selected: key === shown.key }, label)),
  );
}

function ofUsage(parts, { usage, own, shown }, context) {
  const { grain } = context.view;
  const { key, label, part, partLabel, format, axis } = shown;
  const days = usage.rows.map(({ day }) => day);
  parts.title(own === MEASURES ? "Activity" : label);
  const total = format(Number(usage.totals[key]));
  parts.note(part ? `${total} in the period, ${format(usage.totals[part])} ${partLabel}` : `${total} in the period`);
  const series = [{ label, kind: "column", values: usage.rows.map((row) => Number(row[key])) }];
  parts.chart({ label: `${label} by ${grain}`, series, format, axis, ...walking(days, grain, context) });
  parts.table(
    table(
      `Activity by ${grain}`,
      [humanise(grain), ...own.map((each) => each.label)],
      newestFirst(usage.rows).map((row) => [
        bucketText(row.day, grain),
        ...own.map((each) => each.format(Number(row[each.key]))),
      ]),
    ),
  );
}

/** A feature whose measures this page does not know by name still has its events. */
function ofFeature(parts, { features, quiet }, feature, context) {
  const rows = features.find((each) => each.feature === feature)?.rows ?? quiet;
  const { format, axis } = MEASURES[1];
  const label = `${featureName(feature)} events`;
  const days = rows.map(({ day }) => day);
  parts.title(label);
  parts.note("");
  parts.chart({
    label: `${label} by day`,
    series: [{ label, kind: "column", values: rows.map(({ events }) => events) }],
    format,
    axis,
    ...walking(days, "day", context),
  });
  parts.table(
    table(
      label,
      ["Day", "Events"],
      newestFirst(rows).map((row) => [bucketText(row.day, "day"), format(row.events)]),
    ),
  );
}
