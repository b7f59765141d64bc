"use strict";
/* Shows the videos of the chosen classes; wrong.html#true=3&named=5 opens with these. Without it the page shows all. */
/* A click, Enter or space plays a video and stops it: the browser's own controls would cover one so small. */
for (const video of document.querySelectorAll("video")) {
  const mark = () => video.parentElement.classList.toggle("paused", video.paused);
  const toggle = () => (video.paused ? video.play() : video.pause());
  video.removeAttribute("controls");
  video.setAttribute("role", "button");
  video.setAttribute("aria-label", `play or stop ${video.getAttribute("aria-label")}`);
  video.tabIndex = 0;
  video.parentElement.classList.add("ours");
  video.addEventListener("click", toggle);
  video.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    toggle();
  });
  video.addEventListener("play", mark);
  video.addEventListener("pause", mark);
  mark();
}
const filters = document.getElementById("filters");
if (filters) {
  const cards = [...document.querySelectorAll("article")];
  const picks = { true: filters.elements.namedItem("true"), named: filters.elements.namedItem("named") };
  const show = () => {
    let shown = 0;
    for (const card of cards) {
      card.hidden = Object.keys(picks).some((name) => picks[name].value && picks[name].value !== card.dataset[name]);
      shown += !card.hidden;
      if (card.hidden) card.querySelectorAll("video").forEach((video) => video.pause());
    }
    filters.querySelector("output").value = `${shown} of ${cards.length} shown`;
  };
  filters.addEventListener("change", show);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", () => setTimeout(show));
  for (const button of document.querySelectorAll(".pairs button")) {
    button.addEventListener("click", () => {
      for (const name of Object.keys(picks)) picks[name].value = button.dataset[name];
      show();
      filters.scrollIntoView();
      cards.find((card) => !card.hidden).querySelector("video").focus({ preventScroll: true });
    });
  }
  const open = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    for (const name of Object.keys(picks)) picks[name].value = asked.get(name) || "";
    show();
  };
  addEventListener("hashchange", open);
  filters.hidden = false;
  open();
}
