"use strict";
// Filters the list of findings, and opens the one that the address names; everything else on the page works without.
const form = document.querySelector(".filters");
const cards = [...document.querySelectorAll(".finding")];
let chosen = null;

function apply() {
  const wanted = new FormData(form);
  const severities = new Set(wanted.getAll("severity"));
  const text = wanted.get("text").trim().toLowerCase();
  let shown = 0;
  for (const card of cards) {
    const fits = severities.has(card.dataset.severity)
      && (!wanted.get("rule") || card.dataset.rule === wanted.get("rule"))
      && (!chosen || card.dataset.resource === chosen)
      && (!text || card.textContent.toLowerCase().includes(text));
    card.hidden = !fits;
    shown += fits ? 1 : 0;
  }
  const of = chosen ? ` on ${chosen}` : "";
  document.getElementById("shown").textContent = `${shown} of ${cards.length}${of}`;
}

// `#finding-ID`, as the finding's own link has it. No element has that for its id: the browser would put the finding to
// the top, and the drawing out of sight, even where both fit.
function openNamed() {
  const named = cards.find((card) => location.hash === `#finding-${card.dataset.finding}`);
  for (const card of cards) {
    card.classList.toggle("named", card === named);
  }
  if (!named) {
    return;
  }
  named.open = true;
  if (named.hidden) {
    chosen = null;
    form.reset();
    named.hidden = false;
  }
  named.scrollIntoView({ block: "nearest" });
}

function choose(box) {
  chosen = chosen === box.dataset.resource ? null : box.dataset.resource;
  for (const other of document.querySelectorAll(".workload")) {
    other.classList.toggle("chosen", other.dataset.resource === chosen);
  }
  apply();
}

if (form) {
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => {
    chosen = null;
    document.querySelectorAll(".workload.chosen").forEach((box) => box.classList.remove("chosen"));
    setTimeout(apply);
  });
  for (const box of document.querySelectorAll(".workload")) {
    box.addEventListener("click", () => choose(box));
    box.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        choose(box);
      }
    });
  }
  apply();
  openNamed();
  window.addEventListener("hashchange", openNamed);
}
