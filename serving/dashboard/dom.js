// Making elements. Text goes in as text, never as markup, and nothing is styled inline: the page's policy forbids both.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. A name in `properties` is a property where there is one, else an attribute; null is left out. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** An SVG element with attributes. */
export function shape(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** A table of rows of text or elements; the first column heads its row. A heading is a text or an element. */
export function table(caption, headings, rows) {
  const head = element(
    "tr",
    {},
    ...headings.map((heading) => (heading instanceof Node ? heading : element("th", { scope: "col" }, heading))),
  );
  const body = rows.map(([first, ...rest]) =>
    element("tr", {}, element("th", { scope: "row" }, first), ...rest.map((cell) => element("td", {}, cell))),
  );
  return element(
    "table",
    {},
    element("caption", { className: "unseen" }, caption),
    element("thead", {}, head),
    element("tbody", {}, ...body),
  );
}

/** Choices of which one is taken: radio buttons that look like one control. `options`: [[value, text]]. */
export function segments(legend, name, options, chosen, change) {
  const labels = options.map(([value, text]) => {
    const input = element("input", { type: "radio", name, value, checked: value === chosen });
    return element("label", {}, input, element("span", {}, text));
  });
  const made = element(
    "fieldset",
    { className: "segments" },
    element("legend", { className: "unseen" }, legend),
    ...labels,
  );
  made.addEventListener("change", ({ target }) => change(target.value));
  return made;
}

/** Mark `value` as the chosen one of `segments`; none of them where it is not among them. */
export function choose(fieldset, value) {
  for (const input of fieldset.querySelectorAll("input")) input.checked = input.value === value;
}
