"use strict";
// The graph is complete without this: it adds zooming, searching and the keyboard.
(() => {
  const graph = document.getElementById("graph");
  const boxes = Array.from(graph.querySelectorAll(".box"));
  const hint = document.getElementById("hint");
  const reset = document.getElementById("reset");
  const search = document.getElementById("search");
  const found = document.getElementById("found");
  const place = (box) => {
    const start = Number(box.dataset.start);
    return { start, end: start + Number(box.dataset.width), depth: Number(box.dataset.depth) };
  };
  const places = new Map(boxes.map((box) => [box, place(box)]));
  const SLACK = 1e-8;
  const LEAST_LABEL = 3;

  // A name is cut to the characters that its box has room for; of fewer than three nobody could guess it.
  const names = new Map(boxes.map((box) => [box, box.querySelector("text").textContent]));
  const character = boxes.length ? boxes[0].querySelector("text").getComputedTextLength() / names.get(boxes[0]).length : 0;
  const label = () => {
    const wide = graph.getBoundingClientRect().width;
    if (!wide || !(character > 0)) {
      return;
    }
    for (const box of boxes) {
      const name = names.get(box);
      const room = Math.floor(((parseFloat(box.getAttribute("width")) / 100) * wide - 6) / character);
      const cut = room < LEAST_LABEL ? "" : `${name.slice(0, room - 1)}…`;
      box.querySelector("text").textContent = name.length <= room ? name : cut;
    }
  };

  const zoom = (to) => {
    const { start, end, depth } = to ? places.get(to) : { start: 0, end: 1, depth: -1 };
    const width = end - start;
    for (const box of boxes) {
      const at = places.get(box);
      const isAround = at.depth <= depth && at.start <= start + SLACK && at.end >= end - SLACK;
      const isInside = at.start >= start - SLACK && at.end <= end + SLACK && at.depth >= depth;
      box.toggleAttribute("hidden", !(isAround || isInside));
      const left = isAround ? 0 : (at.start - start) / width;
      const share = isAround ? 1 : (at.end - at.start) / width;
      box.setAttribute("x", `${100 * left}%`);
      box.setAttribute("width", `${100 * share}%`);
    }
    reset.disabled = !to;
    label();
  };

  const describe = (box) => {
    hint.textContent = box ? box.getAttribute("aria-label") : "\u00a0";
  };

  const nearest = (from, step, deeper) => {
    const at = places.get(from);
    const shown = boxes.filter((box) => !box.hasAttribute("hidden"));
    if (deeper) {
      const inside = (box) => {
        const other = places.get(box);
        const [outer, inner] = deeper > 0 ? [at, other] : [other, at];
        return other.depth === at.depth + deeper && inner.start >= outer.start - SLACK && inner.end <= outer.end + SLACK;
      };
      return shown.find(inside);
    }
    const row = shown.filter((box) => places.get(box).depth === at.depth);
    return row[row.indexOf(from) + step];
  };

  const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  graph.addEventListener("keydown", (event) => {
    const box = event.target.closest(".box");
    if (!box) {
      return;
    }
    if (event.key in KEYS) {
      const next = nearest(box, ...KEYS[event.key]);
      if (next) {
        next.focus();
      }
    } else if (event.key === "Enter" || event.key === " ") {
      zoom(box);
    } else if (event.key === "Escape") {
      zoom(null);
    } else {
      return;
    }
    event.preventDefault();
  });
  graph.addEventListener("click", (event) => zoom(event.target.closest(".box")));
  graph.addEventListener("focusin", (event) => describe(event.target.closest(".box")));
  graph.addEventListener("mouseover", (event) => describe(event.target.closest(".box")));
  reset.addEventListener("click", () => zoom(null));

  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    let count = 0;
    for (const box of boxes) {
      const isMatch = wanted !== "" && names.get(box).toLowerCase().includes(wanted);
      box.classList.toggle("match", isMatch);
      count += isMatch ? 1 : 0;
    }
    graph.classList.toggle("searching", wanted !== "");
    found.textContent = wanted === "" ? "" : `${count} found`;
  });
  document.getElementById("tools").addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("tools").hidden = false;
  addEventListener("resize", label);
  label();
  if (boxes.length) {
    boxes[0].setAttribute("tabindex", "0");
  }
})();
