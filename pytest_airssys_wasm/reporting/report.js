"use strict";
// Searches and filters, follows links, sorts the table, draws the plots. Text is inserted as text, never as markup.

const AT_FIRST = 100; // tests shown before "Show all" is asked for

const SVG = "http://www.w3.org/2000/svg";
function svg(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}
function html(name, className, ...children) {
  const element = document.createElement(name);
  element.className = className;
  element.append(...children);
  return element;
}

function counted(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

// -- search, and the filter of tests

const search = document.querySelector(".search-all");
const filter = document.querySelector(".filter");
const tests = Array.from(document.querySelectorAll("#test-list > details"), (element) => ({
  element,
  outcome: element.dataset.outcome,
  text: element.firstElementChild.textContent.toLowerCase(),
}));
const components = Array.from(document.querySelectorAll("details.component"), (element) => ({
  element,
  exports: Array.from(element.querySelectorAll(".export"), (row) => ({
    row,
    text: `${element.dataset.search} ${row.querySelector(".label").textContent}`.toLowerCase(),
  })),
}));
let most = AT_FIRST;

function apply() {
  const words = search.elements.text.value.toLowerCase().split(/\s+/);
  const fits = (text) => words.every((word) => text.includes(word));
  for (const { element, exports } of components) {
    for (const { row, text } of exports) row.hidden = !fits(text);
    element.hidden = exports.every(({ row }) => row.hidden);
  }
  if (!filter) return;
  const outcome = filter.elements.outcome.value;
  let found = 0;
  for (const test of tests) {
    const shown = (!outcome || test.outcome === outcome) && fits(test.text);
    if (shown) found += 1;
    test.element.hidden = !shown || found > most;
  }
  const showAll = document.getElementById("show-all");
  showAll.hidden = found <= most;
  showAll.textContent = `Show all ${found.toLocaleString("en")}`;
  const all = found.toLocaleString("en");
  filter.querySelector("output").textContent = found > most ? `${most} of ${all} shown` : `${all} shown`;
}

for (const form of [search, filter]) {
  if (!form) continue;
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    // Enter moves to the first test that was found, or else to the first component.
    const first = [...tests, ...components].find(({ element }) => !element.hidden);
    first?.element.querySelector("summary").focus();
  });
}
document.getElementById("show-all")?.addEventListener("click", () => {
  most = Infinity;
  apply();
});
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    search.elements.text.focus();
  } else if (event.key === "Escape" && event.target === search.elements.text) {
    search.elements.text.value = "";
    apply();
  }
});
apply();

// A link to a part of the page opens the sections around the part, even if the filter hides it.
function show() {
  const part = location.hash && document.getElementById(location.hash.slice(1));
  if (!part) return;
  const around = part.closest("details");
  if (part.closest("[hidden]")) {
    most = Infinity;
    search.elements.text.value = "";
    if (filter) filter.elements.outcome.value = "";
    apply();
  }
  if (around) around.open = true;
  part.scrollIntoView();
}
window.addEventListener("hashchange", show);

// In print, failures and components are expanded.
let opened = [];
window.addEventListener("beforeprint", () => {
  const closed = "details[data-outcome=failed]:not([open]), details.component:not([open])";
  opened = Array.from(document.querySelectorAll(closed));
  for (const element of opened) element.open = true;
});
window.addEventListener("afterprint", () => {
  for (const element of opened) element.open = false;
});

// -- table

for (const table of document.querySelectorAll("table.sortable")) {
  const titles = Array.from(table.tHead.rows[0].cells);
  titles.forEach((title, column) => {
    const button = html("button", "", ...title.childNodes);
    button.type = "button";
    title.append(button);
    if (!title.hasAttribute("aria-sort")) title.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      // Figures begin with the largest, which is what one looks for.
      const first = column === 0 ? "ascending" : "descending";
      const other = column === 0 ? "descending" : "ascending";
      const order = title.getAttribute("aria-sort") === first ? other : first;
      titles.forEach((each) => each.setAttribute("aria-sort", each === title ? order : "none"));
      const sign = order === "ascending" ? 1 : -1;
      const value = (row) => Number(row.cells[column].dataset.value);
      const compare = (a, b) => (a === b ? 0 : a < b ? -1 : 1); // two infinities have no difference
      const body = table.tBodies[0];
      body.append(...Array.from(body.rows).sort((a, b) => sign * compare(value(a), value(b))));
    });
  });
}

// -- plots

const data = JSON.parse(document.getElementById("data").textContent);

function decade(exponent) {
  const units = ["", "k", "M", "G", "T", "P", "E"];
  return 10 ** (exponent % 3) + units[Math.floor(exponent / 3)];
}

function drawAxis() {
  const { low, high } = data.axis;
  const image = svg("svg", { class: "axis", "aria-hidden": "true" });
  const step = Math.ceil((high - low) / 8);
  for (let exponent = low; exponent <= high; exponent += step) {
    const x = `${(100 * (exponent - low)) / (high - low)}%`;
    const anchor = exponent === low ? "start" : exponent === high ? "end" : "middle";
    image.append(svg("text", { x, y: "0.9rem", "text-anchor": anchor }, decade(exponent)));
  }
  return image;
}

function calls(lane) {
  return counted(lane.calls, "call");
}

function drawLane(lane) {
  const { low, high } = data.axis;
  const title = `${lane.component} ${lane.export ?? "instantiate"}: ${calls(lane)}, fuel ${lane.figure}`;
  const image = svg("svg", { class: "lane", role: "img", "aria-label": title }, svg("title", {}, title));
  image.append(svg("rect", { class: "ground", width: "100%", height: "100%" }));
  for (let exponent = low + 1; exponent < high; exponent += 1) {
    const x = `${(100 * (exponent - low)) / (high - low)}%`;
    image.append(svg("line", { class: "tick", x1: x, x2: x, y1: 0, y2: "100%" }));
  }
  const most = Math.max(...lane.bins.map((bin) => bin.ok + bin.other));
  const width = `${100 / data.bins}%`;
  for (const bin of lane.bins) {
    // One call among thousands is seen, too.
    const height = (count) => (count ? Math.max(12, (92 * count) / most) : 0);
    const x = `${(100 * bin.at) / data.bins}%`;
    const other = height(bin.other);
    const all = Math.min(92, other + height(bin.ok));
    image.append(svg("rect", { class: "used", x, width, y: `${100 - all}%`, height: `${all}%` }));
    if (other) {
      const size = { x, width, y: `${100 - other}%`, height: `${other}%` };
      image.append(svg("rect", { class: "used bad", ...size }), svg("rect", { fill: "url(#hatch)", ...size }));
    }
  }
  for (const limit of lane.limits) {
    const x = `${100 * limit}%`;
    image.append(svg("line", { class: "limit", x1: x, x2: x, y1: 0, y2: "100%" }));
  }
  return image;
}

function drawLanes(place) {
  let component = null;
  place.append(html("div", "axis-space"), drawAxis());
  for (const lane of data.lanes) {
    if (lane.component !== component) place.append(html("div", "label whole", html("strong", "", lane.component)));
    component = lane.component;
    const name = lane.export === null ? html("em", "", "instantiate") : html("code", "", lane.export);
    const figure = html("span", "meta", `${calls(lane)}, ${lane.figure}`);
    place.append(html("div", "label", name, " ", figure), drawLane(lane));
  }
  place.append(html("div", "axis-space"), drawAxis());
  const more = data.lanes_in_all - data.lanes.length;
  if (more > 0) place.append(html("p", "note whole", `Not drawn: ${counted(more, "more export")} of narrower spread.`));
}

const lanes = document.getElementById("lanes");
if (lanes) drawLanes(lanes);
show(); // when everything has its place
