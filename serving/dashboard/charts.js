// Charts in SVG, drawn to the pixel width of their box. A chart takes the keyboard: arrows, Home and End walk its days,
// and what it shows there is announced; the table beside each chart holds every figure.
import { compact, longDay, tickDay } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { top: 10, right: 10, bottom: 26, left: 46 };

/** An HTML element with properties and children; text goes in as text, never as markup. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** An SVG element with attributes. */
export function shape(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

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
    { viewBox: "0 0 120 30", preserveAspectRatio: "none", class: "s0", "aria-hidden": "true" },
    shape("path", { class: "area", d: `${path(points)}L119 30L1 30Z` }),
    shape("path", { class: "line thin", d: path(points), "vector-effect": "non-scaling-stroke" }),
  );
}

/** A horizontal share from 0 to 1. */
export function shareBar(share) {
  const width = Math.max(share * 100, share > 0 ? 1 : 0);
  return shape(
    "svg",
    { viewBox: "0 0 100 8", preserveAspectRatio: "none", class: "s0", "aria-hidden": "true" },
    shape("rect", { class: "track", width: 100, height: 8 }),
    shape("rect", { class: "column", width, height: 8 }),
  );
}

/**
 * Draw days against values, and redraw when the box changes.
 * `series`: [{label, values (null: no figure), kind: "area" | "line" | "column"}], in the order of the legend.
 */
export function draw(box, { label, days, series, format, axis = compact, announce }) {
  let current = null;
  let pointAt = () => {};
  let dayAt = () => 0;
  const paint = () => {
    const width = box.clientWidth;
    const height = box.clientHeight;
    if (!width) return;
    const scale = scales(width, height, days, series);
    const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    axes(svg, scale, days, axis);
    series.forEach((each, index) => plot(svg, scale, each, index));
    const marker = shape("g");
    svg.append(marker);
    box.replaceChildren(svg);
    dayAt = (x) => nearest(x, scale, days.length);
    pointAt = (index) => mark(box, marker, scale, { index, days, series, format });
  };
  const choose = (index, { aloud = false } = {}) => {
    current = index;
    pointAt(index);
    if (aloud) announce(`${longDay(days[index])}: ${reading(series, index, format)}`);
  };
  const clear = () => {
    current = null;
    paint();
  };
  box.tabIndex = 0;
  box.setAttribute("role", "group");
  box.setAttribute("aria-roledescription", "chart");
  box.setAttribute("aria-label", `${label}. Use the arrow keys to walk the days.`);
  box.onpointermove = (event) => choose(dayAt(event.clientX - box.getBoundingClientRect().left));
  box.onpointerleave = clear;
  box.onblur = clear;
  box.onkeydown = (event) => {
    const last = days.length - 1;
    const from = current ?? (event.key === "ArrowRight" ? -1 : last + 1);
    const next = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last }[event.key];
    if (event.key === "Escape") clear();
    if (next === undefined) return;
    event.preventDefault();
    choose(Math.min(Math.max(next, 0), last), { aloud: true });
  };
  box.observer?.disconnect();
  box.observer = new ResizeObserver(paint);
  box.observer.observe(box);
  paint();
}

function scales(width, height, days, series) {
  const values = series.flatMap((each) => each.values.filter((value) => value !== null));
  const marks = ticks(Math.max(...values, 1));
  const top = marks.at(-1);
  const inner = width - MARGIN.left - MARGIN.right;
  const columns = series.some((each) => each.kind === "column");
  const band = inner / Math.max(days.length, 1);
  return {
    width,
    height,
    marks,
    band,
    bottom: height - MARGIN.bottom,
    x: (index) =>
      columns ? MARGIN.left + (index + 0.5) * band : MARGIN.left + (index / Math.max(days.length - 1, 1)) * inner,
    y: (value) => height - MARGIN.bottom - (value / top) * (height - MARGIN.top - MARGIN.bottom),
  };
}

function axes(svg, scale, days, axis) {
  for (const value of scale.marks) {
    const y = Math.round(scale.y(value)) + 0.5;
    svg.append(
      shape("line", { class: "grid", x1: MARGIN.left, x2: scale.width - MARGIN.right, y1: y, y2: y }),
      shape("text", { class: "axis", x: MARGIN.left - 9, y: y + 4, "text-anchor": "end" }, axis(value)),
    );
  }
  const room = Math.max(Math.floor((scale.width - MARGIN.left) / 78), 2);
  const every = Math.max(Math.ceil(days.length / room), 1);
  for (let index = days.length - 1; index >= 0; index -= every) {
    const end = index === days.length - 1 && scale.x(index) > scale.width - 26;
    const x = end ? scale.width - MARGIN.right + 4 : scale.x(index);
    const anchor = end ? "end" : "middle";
    if (x < MARGIN.left - 4) continue;
    svg.append(shape("text", { class: "axis", x, y: scale.height - 6, "text-anchor": anchor }, tickDay(days[index])));
  }
}

function plot(svg, scale, { values, kind }, index) {
  const group = shape("g", { class: `s${index}` });
  if (kind === "column") {
    const width = Math.max(Math.min(scale.band * 0.68, 34), 1);
    values.forEach((value, day) => {
      if (!value) return;
      const y = scale.y(value);
      const radius = Math.min(3, width / 2, scale.bottom - y);
      const x = scale.x(day) - width / 2;
      // Only the upper corners are round: the column stands on its axis.
      const d = `M${x} ${scale.bottom}V${y + radius}q0 ${-radius} ${radius} ${-radius}h${width - 2 * radius}q${radius} 0 ${radius} ${radius}V${scale.bottom}Z`;
      group.append(shape("path", { class: "column", d }));
    });
  } else {
    for (const run of runs(values)) {
      const points = run.map((day) => [scale.x(day), scale.y(values[day])]);
      if (kind === "area") {
        const [first, last] = [points[0][0], points.at(-1)[0]];
        group.append(shape("path", { class: "area", d: `${path(points)}L${last} ${scale.bottom}L${first} ${scale.bottom}Z` }));
      }
      group.append(shape("path", { class: kind === "area" ? "line" : "line thin", d: path(points) }));
    }
  }
  svg.append(group);
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

function mark(box, marker, scale, { index, days, series, format }) {
  const x = scale.x(index);
  marker.replaceChildren(shape("line", { class: "cross", x1: x, x2: x, y1: MARGIN.top, y2: scale.bottom }));
  series.forEach((each, order) => {
    const value = each.values[index];
    if (value === null || each.kind === "column") return;
    marker.append(shape("g", { class: `s${order}` }, shape("circle", { class: "point", cx: x, cy: scale.y(value), r: 4 })));
  });
  const rows = series.map((each, order) =>
    element(
      "div",
      {},
      element("span", {}, element("i", { className: `s${order}` }), each.label),
      element("b", {}, written(each.values[index], format)),
    ),
  );
  const tip = box.querySelector(".tip") ?? box.appendChild(element("div", { className: "tip" }));
  tip.setAttribute("aria-hidden", "true");
  tip.replaceChildren(element("strong", {}, longDay(days[index])), ...rows);
  const left = x + 14 + tip.offsetWidth > scale.width ? x - 14 - tip.offsetWidth : x + 14;
  tip.style.transform = `translate(${Math.max(left, 0)}px, ${MARGIN.top}px)`;
}

const written = (value, format) => (value === null ? "–" : format(value));
const reading = (series, index, format) =>
  series.map((each) => `${each.label} ${written(each.values[index], format)}`).join(", ");

function nearest(x, scale, count) {
  const step = scale.x(1) - scale.x(0);
  return Math.min(Math.max(Math.round((x - scale.x(0)) / step), 0), count - 1);
}

/** A table of rows; the first column heads its row. */
export function table(caption, headings, rows) {
  const head = element("tr", {}, ...headings.map((text) => element("th", { scope: "col" }, text)));
  const body = rows.map(([first, ...rest]) =>
    element("tr", {}, element("th", { scope: "row" }, first), ...rest.map((text) => element("td", {}, text))),
  );
  return element(
    "table",
    {},
    element("caption", { className: "unseen" }, caption),
    element("thead", {}, head),
    element("tbody", {}, ...body),
  );
}
