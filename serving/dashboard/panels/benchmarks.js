// Where the tenant stands among others on its plan. Too few of them, and there is nothing to show.
import { bandLine } from "../charts.js";
import { element, table } from "../dom.js";
import { monthText, number } from "../format.js";
import { peerOf } from "./names.js";

export const benchmarks = () => ({
  id: "benchmarks",
  title: "Among your peers",
  exports: "benchmarks",
  exportQuery: false,
  load: ({ get }) => get("/v1/benchmarks"),
  concerns: (feature) => feature === "api",
  empty: ({ benchmarks: found }) =>
    found.length
      ? null
      : "Not enough organisations on your plan to compare with: nobody’s figures can be guessed from this page.",
  draw(parts, { month, benchmarks: found }, { view }) {
    const shown = found.map(figures).filter(({ metric }) => !view.feature || peerOf(metric).feature === view.feature);
    parts.note(month ? `${monthText(month)}, others on your plan` : "Others on your plan");
    parts.body.replaceChildren(element("ul", { className: "meters" }, ...shown.map(line)));
    parts.table(
      table(
        "Among your peers",
        ["Measure", "You", "Lower quartile", "Median", "Upper quartile", "Peers"],
        shown.map(({ metric, value, p25, median, p75, peers }) => {
          const { label, format } = peerOf(metric);
          return [label, format(value), format(p25), format(median), format(p75), `${number(peers)}+`];
        }),
      ),
    );
  },
});

/** Exact figures travel as text. */
const figures = ({ metric, peers, ...rest }) => ({
  metric,
  peers,
  ...Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, Number(value)])),
});

function line({ metric, value, p25, median, p75, peers }) {
  const { label, note, format, less } = peerOf(metric);
  const place = value < p25 ? "Below most peers" : value > p75 ? "Above most peers" : "Within the middle half";
  const good = less ? value < p25 : value > p75;
  return element(
    "li",
    { className: "meter" },
    element(
      "div",
      { className: "row" },
      element("span", { className: "name" }, label),
      element("span", { className: "share" }, format(value)),
    ),
    bandLine({ value, p25, median, p75 }),
    element(
      "p",
      { className: "quiet row" },
      element("span", {}, place, good ? " ✓" : ""),
      element("span", {}, `${format(p25)} – ${format(p75)}`),
    ),
    element(
      "p",
      { className: "quiet" },
      `${note}${note ? "; " : ""}median ${format(median)} of ${number(peers)}+ peers`,
    ),
  );
}
