"use strict";
// Filters, zoom and focus. Everything else on the page works without.
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const one = (selector, within = document) => within.querySelector(selector);
const toolbar = one(".toolbar");
const MOST_OPENED = 25;
const BOX = { width: 190, height: 46, across: 130, down: 26 };

// One mesh as it is drawn: what part of it is seen, and the service it is narrowed to.
class Drawing {
  constructor(section) {
    this.section = section;
    this.svg = one("svg", section);
    this.boxes = all(".workload", section);
    this.lines = all(".edge", section).map((g) => ({
      g, a: +g.dataset.a, b: +g.dataset.b, path: one("path", g), text: one("text", g), tags: [...g.classList].slice(1),
    }));
    this.home = this.boxes.map((box) => ({ x: +box.dataset.x, y: +box.dataset.y }));
    this.at = this.home.map((place) => ({ ...place }));
    this.view = null;
    this.chosen = -1;
    this.text = "";
    this.boxes.forEach((box, i) => {
      box.tabIndex = i === 0 ? 0 : -1;
      box.addEventListener("click", () => this.moved || this.choose(i));
    });
    this.fit();
    this.listen();
  }

  listen() {
    const pointers = new Map();
    this.moved = false;
    this.svg.addEventListener("wheel", (event) => {
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        this.zoom(Math.exp(event.deltaY / 300), this.point(event));
      }
    }, { passive: false });
    this.svg.addEventListener("pointerdown", (event) => {
      pointers.set(event.pointerId, event);
      this.moved = false;
    });
    this.svg.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) { return; }
      const others = [...pointers.values()].filter((other) => other.pointerId !== event.pointerId);
      const far = Math.abs(event.clientX - before.clientX) + Math.abs(event.clientY - before.clientY);
      if (!this.moved && far < 4) { return; }
      if (!this.moved) {
        this.moved = true;
        this.svg.setPointerCapture(event.pointerId);
        this.section.classList.add("dragged");
      }
      const scale = this.scale();
      if (others.length) {
        const gap = (p) => Math.hypot(p.clientX - others[0].clientX, p.clientY - others[0].clientY) || 1;
        this.zoom(gap(before) / gap(event), this.point(others[0]));
      } else {
        this.view.x -= (event.clientX - before.clientX) / scale;
        this.view.y -= (event.clientY - before.clientY) / scale;
      }
      pointers.set(event.pointerId, event);
      this.show();
    });
    const end = (event) => {
      pointers.delete(event.pointerId);
      this.section.classList.remove("dragged");
    };
    this.svg.addEventListener("pointerup", end);
    this.svg.addEventListener("pointercancel", end);
    this.section.addEventListener("keydown", (event) => this.key(event));
    for (const button of all(".tools button", this.section)) {
      button.addEventListener("click", () => this.act(button.dataset.do));
    }
    one(".tools", this.section).hidden = false;
    new ResizeObserver(() => this.show()).observe(this.svg);
  }

  act(what) {
    const { x, y, width, height } = this.view;
    const middle = { x: x + width / 2, y: y + height / 2 };
    ({ in: () => this.zoom(1 / 1.4, middle), out: () => this.zoom(1.4, middle), fit: () => this.fit(), all: () => this.choose(-1) })[what]();
  }

  key(event) {
    const act = { "+": "in", "=": "in", "-": "out", "0": "fit", Escape: "all" }[event.key];
    if (act) {
      event.preventDefault();
      this.act(act);
      return;
    }
    const i = this.boxes.indexOf(event.target.closest(".workload"));
    if (i < 0) { return; }
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.choose(i);
    }
    const toward = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (toward) {
      event.preventDefault();
      this.step(i, toward);
    }
  }

  // To the nearest box in a direction.
  step(from, [dx, dy]) {
    let best = -1, least = Infinity;
    this.at.forEach((place, i) => {
      if (this.boxes[i].hasAttribute("hidden")) { return; }
      const [x, y] = [place.x - this.at[from].x, place.y - this.at[from].y];
      const along = x * dx + y * dy, beside = Math.abs(x * dy) + Math.abs(y * dx);
      if (along > 0 && along + 2 * beside < least) {
        least = along + 2 * beside;
        best = i;
      }
    });
    if (best < 0) { return; }
    this.boxes[from].tabIndex = -1;
    this.boxes[best].tabIndex = 0;
    this.boxes[best].focus({ preventScroll: true });
    const { x, y } = this.at[best], view = this.view;
    if (x < view.x || x + BOX.width > view.x + view.width) { view.x = x + BOX.width / 2 - view.width / 2; }
    if (y < view.y || y + BOX.height > view.y + view.height) { view.y = y + BOX.height / 2 - view.height / 2; }
    this.show();
  }

  // Pixels of the screen for each unit of the drawing.
  scale() {
    const { clientWidth, clientHeight } = this.svg;
    return Math.min((clientWidth || 1) / this.view.width, (clientHeight || 1) / this.view.height);
  }

  point(event) {
    const matrix = this.svg.getScreenCTM();
    return matrix ? new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse()) : { x: 0, y: 0 };
  }

  zoom(factor, { x, y }) {
    const width = Math.min(Math.max(this.view.width * factor, 200), this.whole.width * 3);
    const by = width / this.view.width;
    this.view = { x: x - (x - this.view.x) * by, y: y - (y - this.view.y) * by, width, height: this.view.height * by };
    this.show();
  }

  // Everything that is not hidden, or what a search has found, in the window.
  fit(found = false) {
    const fits = (box) => !box.hasAttribute("hidden") && (!found || box.classList.contains("found"));
    const seen = this.at.filter((_, i) => fits(this.boxes[i]));
    const [xs, ys] = [seen.map((place) => place.x), seen.map((place) => place.y)];
    const least = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);
    const most = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);
    const [x, y] = seen.length ? [least(xs) - 24, least(ys) - 24] : [0, 0];
    const [right, bottom] = seen.length ? [most(xs) + BOX.width + 24, most(ys) + BOX.height + 24] : [200, 100];
    this.whole = { x, y, width: right - x, height: bottom - y };
    this.view = { ...this.whole };
    if (this.chosen < 0 && !found) {
      const wanted = (this.whole.height / this.whole.width) * this.svg.clientWidth;
      this.svg.style.height = `${Math.round(Math.min(Math.max(wanted, 320), innerHeight * 0.7))}px`;
    }
    // A few boxes are not blown up to the size of the window.
    const scale = this.scale();
    if (scale > 1.3) {
      const by = scale / 1.3;
      this.view = { x: x - (this.whole.width * (by - 1)) / 2, y: y - (this.whole.height * (by - 1)) / 2, width: this.whole.width * by, height: this.whole.height * by };
    }
    this.show();
  }

  show() {
    const { x, y, width, height } = this.view;
    this.svg.setAttribute("viewBox", `${x} ${y} ${width} ${height}`);
    this.svg.classList.toggle("far", this.scale() < 0.45);
  }

  // Narrows the drawing to a service, its callers left and what it calls right; -1 shows all.
  choose(i) {
    this.chosen = i === this.chosen ? -1 : i;
    const near = new Set(), left = new Set(), right = new Set();
    if (this.chosen >= 0) {
      for (const { a, b } of this.lines) {
        if (b === this.chosen && a !== b) { left.add(a); }
        if (a === this.chosen && a !== b && !left.has(b)) { right.add(b); }
      }
      [this.chosen, ...left, ...right].forEach((other) => near.add(other));
      this.arrange([...left], [...right]);
    } else {
      this.at = this.home.map((place) => ({ ...place }));
    }
    this.boxes.forEach((box, other) => {
      box.toggleAttribute("hidden", this.chosen >= 0 && !near.has(other));
      box.classList.toggle("chosen", other === this.chosen);
      box.setAttribute("aria-pressed", String(other === this.chosen));
      box.setAttribute("transform", `translate(${this.at[other].x} ${this.at[other].y})`);
    });
    this.redraw();
    one('[data-do="all"]', this.section).hidden = this.chosen < 0;
    const said = this.chosen < 0 ? "" : `${this.resource()}: ${left.size} callers, calls ${right.size}`;
    one(".focus", this.section).textContent = said;
    apply();
    this.fit();
  }

  resource() {
    return this.chosen < 0 ? null : this.boxes[this.chosen].dataset.resource;
  }

  // Both sides in columns of about the height of a screen.
  arrange(left, right) {
    const rows = (count) => Math.max(6, Math.ceil(Math.sqrt(count * 4)));
    const side = (items, toward) => items.forEach((item, n) => {
      const most = rows(items.length), column = Math.floor(n / most), row = n % most;
      const inColumn = Math.min(most, items.length - column * most);
      const x = toward * (BOX.width + BOX.across + column * (BOX.width + 30));
      this.at[item] = { x, y: (row - (inColumn - 1) / 2) * (BOX.height + BOX.down) };
    });
    side(left, -1);
    side(right, 1);
    this.at[this.chosen] = { x: 0, y: 0 };
  }

  redraw() {
    for (const { a, b, path, text } of this.lines) {
      const [x1, y1] = [this.at[a].x + BOX.width, this.at[a].y + BOX.height / 2];
      const [x2, y2] = [this.at[b].x, this.at[b].y + BOX.height / 2];
      const swing = x2 > x1 ? (x2 - x1) / 2 : BOX.across;
      path.setAttribute("d", `M${x1} ${y1}C${x1 + swing} ${y1} ${x2 - swing} ${y2} ${x2} ${y2}`);
      text.setAttribute("x", (x1 + x2) / 2);
      text.setAttribute("y", (y1 + y2) / 2);
    }
  }

  // Shows the lines whose tags are all wanted, and marks the boxes that a search finds.
  filter(tags, text) {
    for (const { g, a, b, tags: own } of this.lines) {
      const near = this.chosen < 0 || a === this.chosen || b === this.chosen;
      g.toggleAttribute("hidden", !near || !own.every((tag) => tags.has(tag)));
    }
    let found = 0;
    for (const box of this.boxes) {
      const fits = text !== "" && box.dataset.resource.toLowerCase().includes(text);
      box.classList.toggle("found", fits);
      found += fits ? 1 : 0;
    }
    this.section.classList.toggle("searched", found > 0);
    if (text !== this.text) {
      this.text = text;
      this.fit(found > 0);
    }
    return found;
  }
}

const groups = all("details.rule").map((group) => ({
  group,
  title: one("summary", group).textContent.toLowerCase(),
  causes: all(".cause", group),
  findings: all(".finding", group).map((card) => ({ card, text: card.textContent.toLowerCase(), ...card.dataset })),
}));
const calls = all(".calls tbody tr").map((row) => ({ row, text: row.textContent.toLowerCase(), tags: [...row.classList], ...row.dataset }));
const total = groups.reduce((sum, { findings }) => sum + findings.length, 0);
let drawings = [];
let current = 0;

function apply() {
  const wanted = new FormData(toolbar);
  const severities = new Set(wanted.getAll("severity")), tags = new Set(wanted.getAll("verdict"));
  const text = wanted.get("text").trim().toLowerCase();
  const chosen = drawings[current] ? drawings[current].resource() : null;
  let shown = 0;
  for (const { group, title, causes, findings } of groups) {
    let here = 0;
    for (const finding of findings) {
      const fits = severities.has(finding.severity) && (!chosen || finding.resource === chosen)
        && (!text || finding.text.includes(text) || title.includes(text));
      finding.card.hidden = !fits;
      here += fits ? 1 : 0;
    }
    for (const cause of causes) {
      cause.hidden = !one(".finding:not([hidden])", cause);
    }
    group.hidden = here === 0;
    if ((text || chosen) && here > 0 && here <= MOST_OPENED) { group.open = true; }
    shown += here;
  }
  let callsShown = 0;
  for (const call of calls) {
    const fits = call.tags.every((tag) => tags.has(tag)) && (!chosen || call.from === chosen || call.to === chosen)
      && (!text || call.text.includes(text));
    call.row.hidden = !fits;
    callsShown += fits ? 1 : 0;
  }
  const found = drawings.map((drawing) => drawing.filter(tags, text))[current] || 0;
  const services = text ? `${found} ${found === 1 ? "service" : "services"}, ` : "";
  one(".shown").textContent = `${services}${shown} of ${total} findings, ${callsShown} of ${calls.length} calls`;
}

// `#finding-ID`, as the finding's own link has it. No element has that for its id: the browser would put the finding to
// the top, and the drawing out of sight, even where both fit.
function openNamed() {
  const named = one(`[data-finding="${CSS.escape(location.hash.replace("#finding-", ""))}"]`);
  all(".finding.named").forEach((card) => card.classList.remove("named"));
  if (!named || !location.hash.startsWith("#finding-")) { return; }
  if (named.closest("[hidden]")) { toolbar.reset(); }
  named.classList.add("named");
  for (let card = named; card; card = card.parentElement.closest("details")) {
    card.hidden = false;
    card.open = true;
  }
  named.scrollIntoView({ block: "nearest" });
}

function pick(number) {
  current = number;
  drawings.forEach((drawing, i) => { drawing.section.hidden = i !== current; });
  if (drawings[current]) { drawings[current].fit(); }
  apply();
}

let waiting = 0;
toolbar.addEventListener("input", (event) => {
  clearTimeout(waiting);
  if (event.target.name === "mesh") {
    pick(+event.target.value);
  } else {
    waiting = setTimeout(apply, event.target.name === "text" ? 120 : 0);
  }
});
toolbar.addEventListener("submit", (event) => {
  event.preventDefault();
  // Enter in the search narrows the drawing to the only service that is found.
  const drawing = drawings[current];
  apply();
  const found = drawing ? drawing.boxes.flatMap((box, i) => (box.classList.contains("found") ? [i] : [])) : [];
  if (found.length === 1 && drawing.chosen !== found[0]) { drawing.choose(found[0]); }
});
toolbar.addEventListener("reset", () => setTimeout(() => {
  const drawing = drawings[current];
  if (drawing && drawing.chosen >= 0) { drawing.choose(-1); }
  pick(0);
}));
for (const button of all(".fold button")) {
  button.addEventListener("click", () => groups.forEach(({ group }) => { group.open = button.dataset.do === "open"; }));
}
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.closest("input, select, textarea")) {
    event.preventDefault();
    one('[name="text"]').focus();
  }
});
toolbar.hidden = false;
all(".fold, .help").forEach((element) => { element.hidden = false; });
drawings = all(".drawing").map((section) => new Drawing(section));
pick(0);
openNamed();
window.addEventListener("hashchange", openNamed);
