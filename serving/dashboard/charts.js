// Charts in SVG, drawn to the pixel width of their box. A chart takes the keyboard: arrows, Home and End walk its days,
// Enter narrows the page to one, and what it shows there is read aloud; the table beside each chart holds every figure.
// Series differ by dashes as well as by colour.
import { element, shape } from "./dom.js";

const MARGIN = { top: 10, right: 10, bottom: 26, left: 48 };
const KEYS = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1 };

/** Round values from 0 to at least `highest`, about four of them. */
export function ticks(highest) {
  const rough = Math.max(highest, 1e-9) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= rough);
  return Array.from({ length: Math.ceil(highest / step - 1e-9) + 1 }, (_, index) => index * step);
}

/** A line through points; a single one is a line of no length, which its round caps make a dot. */
const path = (points) =>
  points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("") +
  (points.length === 1 ? "h0" : "");

/** A small line without axes, for a total's card. */
export function sparkline(values) {
  const highest = Math.max(...values, 1e-9);
  const at = (value, index) => [1 + (index / Math.max(values.length - 1, 1)) * 118, 28 - (value / highest) * 25];
  const points = values.map(at);
  return shape(
    "svg",
    { viewBox: "0 0 120 30", preserveAspectRatio: "none", class: "spark s0", "aria-hidden": "true" },
    shape("path", { class: "area", d: `${path(points)}L119 30L1 30Z` }),
    shape("path", { class: "line thin", d: path(points), "vector-effect": "non-scaling-stroke" }),
  );
}

/** A horizontal share from 0 to 1; `ahead` is a second share, foreseen, drawn behind the first. */
export function shareBar(share, { ahead = null, tone = "s0" } = {}) {
  const width = (value) => Math.min(Math.max(value * 100, value > 0 ? 1 : 0), 100);
  const foreseen = ahead === null ? [] : [shape("rect", { class: "ahead", width: width(ahead), height: 8 })];
  return shape(
    "svg",
    { viewBox: "0 0 100 8", preserveAspectRatio: "none", class: `bar-line ${tone}`, "aria-hidden": "true" },
    shape("rect", { class: "track", width: 100, height: 8 }),
    ...foreseen,
    shape("rect", { class: "column", width: width(share), height: 8 }),
  );
}

/** Where a value stands among its peers: a band from p25 to p75, the median in it, the value as a dot. */
export function bandLine({ value, p25, median, p75 }) {
  const top = Math.max(value, p75, 1e-9) * 1.12;
  const x = (figure) => (Math.max(figure, 0) / top) * 196 + 2;
  return shape(
    "svg",
    { viewBox: "0 0 200 20", preserveAspectRatio: "none", class: "band s0", "aria-hidden": "true" },
    shape("rect", { class: "track", x: 0, y: 8, width: 200, height: 4 }),
    shape("rect", { class: "middle-half", x: x(p25), y: 4, width: Math.max(x(p75) - x(p25), 1), height: 12 }),
    shape("path", { class: "median", d: `M${x(median)} 3V17`, "vector-effect": "non-scaling-stroke" }),
    shape("path", { class: "dot-line", d: `M${x(value)} 10h0`, "vector-effect": "non-scaling-stroke" }),
  );
}

/** A legend's entries, each drawn as its series is. */
export function legend(series) {
  const sample = (kind) => shape("path", { class: kind === "column" ? "line block" : "line", d: "M1 4H21" });
  return series.map(({ label, kind }, index) =>
    element(
      "li",
      {},
      shape(
        "svg",
        { class: `s${index}`, viewBox: "0 0 22 8", width: 22, height: 8, "aria-hidden": "true" },
        sample(kind),
      ),
      label,
    ),
  );
}

/**
 * Draw days (or weeks, months) against values, and redraw when the box changes.
 * `series`: [{label, values (null: no figure), kind: "area" | "line" | "column"}], in the order of the legend; columns
 * stand on one another. `name(day)` and `tick(day)` write a day in full and in short. `pick(index)` narrows to a day.
 */
export function draw(box, { label, days, series, format, axis, name, tick, pick }) {
  let current = null;
  let tapped = null;
  let scale = null;
  let marker = null;
  const paint = () => {
    const { clientWidth: width, clientHeight: height } = box;
    if (!width) return;
    scale = scales(width, height, days, series);
    const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    axes(svg, scale, days, { axis, tick });
    plot(svg, scale, series);
    marker = svg.appendChild(shape("g"));
    box.replaceChildren(svg);
    if (current !== null) mark(box, marker, scale, { index: current, days, series, format, name });
  };
  const show = (index) => {
    current = index;
    box.setAttribute("aria-valuenow", index + 1);
    box.setAttribute("aria-valuetext", `${name(days[index])}: ${reading(series, index, format)}`);
    if (marker) mark(box, marker, scale, { index, days, series, format, name });
  };
  const clear = () => {
    if (current === null) return;
    current = null;
    paint();
  };
  const last = days.length - 1;
  box.tabIndex = 0;
  const attributes = {
    role: "slider",
    "aria-roledescription": "chart",
    "aria-label": `${label}. Arrow keys walk, Enter narrows the page.`,
    "aria-valuemin": 1,
    "aria-valuemax": days.length,
    "aria-valuenow": days.length,
    "aria-valuetext": `${days.length} figures, from ${name(days[0])} to ${name(days[last])}`,
  };
  for (const [attribute, value] of Object.entries(attributes)) box.setAttribute(attribute, value);
  box.onpointermove = (event) =>
    scale && show(nearest(event.clientX - box.getBoundingClientRect().left, scale, days.length));
  box.onpointerleave = clear;
  box.onblur = clear;
  box.onclick = (event) => {
    if (!scale) return;
    const index = nearest(event.clientX - box.getBoundingClientRect().left, scale, days.length);
    // A finger cannot hover: its first tap reads, its second narrows.
    if (event.pointerType !== "touch" || tapped === index) pick(index);
    else show((tapped = index));
  };
  box.onkeydown = (event) => {
    if (event.key === "Escape") clear();
    if (event.key === "Enter" && current !== null) pick(current);
    const step = KEYS[event.key];
    const from = current ?? (step > 0 ? -1 : last + 1);
    const next = { Home: 0, End: last }[event.key] ?? (step === undefined ? undefined : from + step);
    if (next === undefined) return;
    event.preventDefault();
    show(Math.min(Math.max(next, 0), last));
  };
  box.observer?.disconnect();
  box.observer = new ResizeObserver(paint);
  box.observer.observe(box);
  paint();
}

function scales(width, height, days, series) {
  const stacked = series.every(({ kind }) => kind === "column");
  const heights = stacked
    ? days.map((_, day) => series.reduce((sum, { values }) => sum + (values[day] ?? 0), 0))
    : series.flatMap(({ values }) => values.filter((value) => value !== null));
  const highest = Math.max(...heights, 0);
  const marks = ticks(highest > 0 ? highest : 1);
  const inner = width - MARGIN.left - MARGIN.right;
  const band = inner / Math.max(days.length, 1);
  return {
    width,
    height,
    marks,
    band,
    bottom: height - MARGIN.bottom,
    x: (index) =>
      stacked ? MARGIN.left + (index + 0.5) * band : MARGIN.left + (index / Math.max(days.length - 1, 1)) * inner,
    y: (value) => height - MARGIN.bottom - (value / marks.at(-1)) * (height - MARGIN.top - MARGIN.bottom),
  };
}

function axes(svg, scale, days, { axis, tick }) {
  for (const value of scale.marks) {
    const y = Math.round(scale.y(value)) + 0.5;
    svg.append(
      shape("line", { class: "grid", x1: MARGIN.left, x2: scale.width - MARGIN.right, y1: y, y2: y }),
      shape("text", { class: "axis", x: MARGIN.left - 9, y: y + 4, "text-anchor": "end" }, axis(value)),
    );
  }
  const room = Math.max(Math.floor((scale.width - MARGIN.left) / 80), 2);
  const every = Math.max(Math.ceil(days.length / room), 1);
  for (let index = days.length - 1; index >= 0; index -= every) {
    const end = index === days.length - 1 && scale.x(index) > scale.width - 30;
    const x = end ? scale.width - MARGIN.right + 4 : scale.x(index);
    if (x < MARGIN.left - 4) continue;
    svg.append(
      shape(
        "text",
        { class: "axis", x, y: scale.height - 6, "text-anchor": end ? "end" : "middle" },
        tick(days[index]),
      ),
    );
  }
}

function plot(svg, scale, series) {
  const floor = []; // by day: what already stands there
  series.forEach(({ values, kind }, order) => {
    const group = svg.appendChild(shape("g", { class: `s${order}` }));
    const covered = (day) => series.slice(order + 1).some((each) => each.values[day]);
    if (kind === "column") columns(group, scale, values, { floor, covered });
    else lines(group, scale, values, kind);
  });
}

function columns(group, scale, values, { floor, covered }) {
  const width = Math.max(Math.min(scale.band * 0.68, 34), 1);
  values.forEach((value, day) => {
    if (!value) return;
    const from = floor[day] ?? 0;
    floor[day] = from + value;
    const [foot, head] = [scale.y(from), scale.y(from + value)];
    const radius = covered(day) ? 0 : Math.max(Math.min(2.5, width / 2, foot - head), 0);
    const x = scale.x(day) - width / 2;
    // Only the upper corners are round: the column stands on its axis.
    const corners = [`q0 ${-radius} ${radius} ${-radius}`, `q${radius} 0 ${radius} ${radius}`];
    const d = `M${x} ${foot}V${head + radius}${corners[0]}h${width - 2 * radius}${corners[1]}V${foot}Z`;
    group.append(shape("path", { class: "column", d }));
  });
}

function lines(group, scale, values, kind) {
  for (const run of runs(values)) {
    const points = run.map((day) => [scale.x(day), scale.y(values[day])]);
    if (kind === "area") {
      const [first, last] = [points[0][0], points.at(-1)[0]];
      group.append(
        shape("path", { class: "area", d: `${path(points)}L${last} ${scale.bottom}L${first} ${scale.bottom}Z` }),
      );
    }
    group.append(shape("path", { class: "line", d: path(points) }));
  }
}

/** Stretches of days that have a figure: a line does not bridge what is missing. */
function runs(values) {
  const found = [];
  values.forEach((value, index) => {
    if (value === null) return;
    if (index && values[index - 1] !== null) found.at(-1).push(index);
    else found.push([index]);
  });
  return found;
}

function mark(box, marker, scale, { index, days, series, format, name }) {
  const x = scale.x(index);
  marker.replaceChildren(shape("line", { class: "cross", x1: x, x2: x, y1: MARGIN.top, y2: scale.bottom }));
  series.forEach(({ values, kind }, order) => {
    if (values[index] === null || kind === "column") return;
    marker.append(
      shape("g", { class: `s${order}` }, shape("circle", { class: "point", cx: x, cy: scale.y(values[index]), r: 4 })),
    );
  });
  const rows = series.map(({ label, values }, order) =>
    element(
      "div",
      {},
      element("span", {}, element("i", { className: `s${order}` }), label),
      element("b", {}, written(values[index], format)),
    ),
  );
  const tip = box.querySelector(".tip") ?? box.appendChild(element("div", { className: "tip", ariaHidden: "true" }));
  tip.replaceChildren(element("strong", {}, name(days[index])), ...rows);
  const left = x + 14 + tip.offsetWidth > scale.width ? x - 14 - tip.offsetWidth : x + 14;
  tip.style.transform = `translate(${Math.max(left, 0)}px, ${MARGIN.top}px)`;
}

const written = (value, format) => (value === null ? "–" : format(value));
const reading = (series, index, format) =>
  series.map(({ label, values }) => `${label} ${written(values[index], format)}`).join(", ");

function nearest(x, scale, count) {
  const step = scale.x(1) - scale.x(0);
  return Math.min(Math.max(Math.round((x - scale.x(0)) / step), 0), count - 1);
}
