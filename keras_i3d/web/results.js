// Draws what was found: labels, curves along time with a cursor, segments, film and evidence.
const find = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000, HEIGHT = 40, CURVE = 30;  // units of a lane; what is below the curve is its segments
let found = null, address = null;

/** An element with attributes and children; text is put in as text. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function drawn(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** Seconds as a clock shows them: 75.5 is 1:15.50. */
function clock(seconds) {
  const hundredths = Math.round(100 * seconds);
  const minutes = Math.floor(hundredths / 6000);
  return `${minutes}:${((hundredths % 6000) / 100).toFixed(2).padStart(5, "0")}`;
}

const colour = (place) => `var(--lane-${place % 5})`;

/** Lets go of what is shown, so that its files are not asked for any more. */
export function forget() {
  found = null;
  for (const each of ["film-figure", "evidence-figure", "sums"]) find(each).hidden = true;
  for (const each of ["film", "evidence-film"]) {
    find(each).removeAttribute("src");
    find(each).load();
  }
  find("steps").replaceChildren();
}

export function show(id, name, data, about) {
  found = data;
  address = `/videos/${id}`;
  document.title = `${name}: keras_i3d`;
  find("labels-title").textContent = name;
  for (const each of ["film-stage", "evidence-stage"]) find(each).textContent = "";
  find("evidence-button").disabled = false;
  showLabels(data.record.predictions);
  showLanes(data.lanes);
  showSegments(data.segments, data.lanes);
  showChoices(data, about);
  find("facts").replaceChildren(...data.facts.map((fact) => make("li", {}, fact)));
  moveTo(0);
  find("labels-title").focus();
}

function showLabels(predictions) {
  const rows = predictions.map((each) => {
    const bar = make("i");
    bar.style.width = `${100 * each.probability}%`;
    const share = make("div", { class: "share" }, make("span", { class: "track", "aria-hidden": "true" }, bar),
      make("span", {}, percent(each.probability)));
    return make("tr", {}, make("th", { scope: "row" }, each.label), make("td", {}, share));
  });
  find("labels").tBodies[0].replaceChildren(...rows);
  find("labels").hidden = !rows.length;
  find("none").hidden = rows.length > 0;
}

function showLanes(lanes) {
  const lines = lanes.map((lane, place) => {
    const picture = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    const step = WIDTH / Math.max(lane.values.length - 1, 1);
    const points = lane.values.map((value, i) => `${(i * step).toFixed(1)},${(CURVE * (1 - value)).toFixed(2)}`);
    picture.append(drawn("path", { d: `M0,${CURVE}L${points.join("L")}L${WIDTH},${CURVE}Z` }));
    for (const each of found.segments.filter((segment) => segment.index === lane.index)) {
      const x = WIDTH * each.start / found.seconds;
      const width = Math.max(WIDTH * (each.end - each.start) / found.seconds, 1);
      picture.append(drawn("rect", { x, y: CURVE + 3, width, height: 5 }));
    }
    const element = make("div", { class: "lane" }, make("p", {}, make("span", {}, lane.label), make("span")), picture);
    element.style.setProperty("--colour", colour(place));
    return element;
  });
  find("lanes").replaceChildren(...lines, make("div", { id: "cursor" }));
  find("lanes").setAttribute("aria-label", `Probability along time of ${lanes.map((lane) => lane.label).join(", ")}`);
  find("lanes-words").textContent = "Each curve is the probability of a label, from 0 to 1, over the length of the video. "
    + "The bars below a curve are its segments, which the table lists.";
  find("moment").max = found.seconds;
}

function showSegments(segments, lanes) {
  const rows = segments.map((each) => {
    const place = lanes.findIndex((lane) => lane.index === each.index);
    const dot = make("span", { class: "dot", "aria-hidden": "true" });
    dot.style.setProperty("--colour", place < 0 ? "var(--faint)" : colour(place));
    const go = make("button", { type: "button", "aria-label": `Go to ${each.label} at ${clock(each.start)}` },
      clock(each.start));
    go.addEventListener("click", () => moveTo(each.start));
    return make("tr", {}, make("th", { scope: "row" }, dot, each.label),
      make("td", { class: "number" }, go), make("td", { class: "number" }, clock(each.end)),
      make("td", { class: "number" }, percent(each.score)));
  });
  find("segments").tBodies[0].replaceChildren(...rows);
  find("segments-scroll").hidden = !rows.length;
  find("no-segments").hidden = rows.length > 0;
  const files = { "segments.json": "JSON", "segments.csv": "CSV", "segments.srt": "SRT", "segments.vtt": "VTT",
    "labels.json": "labels of the whole as JSON" };
  const links = Object.entries(files).map(([name, words]) =>
    make("a", { href: `${address}/files/${name}`, download: "" }, words));
  find("downloads").replaceChildren(make("span", {}, "Download:"), ...links);
}

function showChoices(data, about) {
  const likely = [...new Set([...data.record.predictions, ...data.lanes].map((each) => each.index))];
  const option = (index) => make("option", { value: index }, about.labels[index]);
  const others = about.labels.map((_, index) => index).filter((index) => !likely.includes(index));
  const groups = [make("optgroup", { label: "Of this video" }, ...likely.map(option))];
  if (others.length) groups.push(make("optgroup", { label: "All others" }, ...others.map(option)));
  find("evidence-label").replaceChildren(...groups);
  find("evidence-part").textContent = "It is computed when you ask for it. Of a long video, it is that of a few seconds "
    + "around the moment that is chosen above.";
}

export function showFilm(id, data) {
  find("film-stage").textContent = "";
  const caption = find("film-caption");
  if (data.bound) {
    caption.replaceChildren(make("span", { class: "wheel", "aria-hidden": "true" }),
      "Right: optical flow. The colour is the direction in which a point moves, red to the right. White is still; "
      + `full colour is ${data.bound} pixels a frame.`);
  } else {
    caption.textContent = "The video as it was read.";
  }
  find("film").src = `${address}/files/${data.file}`;
  find("film-figure").hidden = false;
}

export function showEvidence(id, data) {
  find("evidence-film").src = `${address}/files/${data.file}?at=${Date.now()}`;  // another one of the same name
  find("evidence-figure").hidden = false;
  const part = data.whole ? "in the whole video" : `from ${clock(data.start)} to ${clock(data.end)} alone`;
  const exact = data.streams.every((each) => each.exact) ? " The sum of a map and the bias add up to the logit, but "
    + "for rounding." : "";
  find("sums-words").textContent = `${data.label} ${part}: probability ${percent(data.probability)}, logit `
    + `${data.logit.toFixed(3)}.${exact}`;
  const tiles = data.streams.map((each) => `over what the ${each.stream} network sees`).join(", then ");
  find("evidence-caption").textContent = `The frame, then the evidence ${tiles}. Orange is for the label, purple against `
    + "it; a line surrounds the strongest.";
  find("steps").replaceChildren(...data.streams.map((each) => stepsOf(each, data)));
  const rows = data.streams.map((each) => {
    const numbers = each.exact ? [each.map.toFixed(3), each.bias.toFixed(3)] : [`none: Grad-CAM at ${each.endpoint}`, ""];
    return make("tr", {}, make("th", { scope: "row" }, each.stream),
      ...[...numbers, each.logit.toFixed(3)].map((text) => make("td", { class: "number" }, text)));
  });
  if (rows.length > 1) {
    const total = make("td", { class: "number", colspan: 3 }, make("strong", {}, data.logit.toFixed(3)));
    rows.push(make("tr", {}, make("th", { scope: "row" }, "Together"), total));
  }
  find("sums").tBodies[0].replaceChildren(...rows);
  find("sums").hidden = false;
}

/** What each step in time adds, as bars: up is for, down is against. */
function stepsOf(stream, data) {
  const high = Math.max(...stream.steps, 0), low = Math.min(...stream.steps, 0);
  const scale = (HEIGHT - 2) / Math.max(high - low, 1e-9), zero = 1 + high * scale, length = data.end - data.start;
  const picture = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const place = (seconds) => WIDTH * Math.min(Math.max((seconds - data.start) / length, 0), 1);
  stream.steps.forEach((value, i) => {
    const { times } = stream, last = times.length - 1;
    const from = i ? place((times[i - 1] + times[i]) / 2) : 0, to = i < last ? place((times[i] + times[i + 1]) / 2) : WIDTH;
    const box = { x: from, y: value < 0 ? zero : zero - value * scale, width: Math.max(to - from - 3, 1) };
    picture.append(drawn("rect", { ...box, height: Math.abs(value) * scale, class: value < 0 ? "against" : "for" }));
  });
  picture.append(drawn("line", { x1: 0, x2: WIDTH, y1: zero, y2: zero }));
  const unit = stream.exact ? " logits" : ", without a unit";
  const words = `${stream.stream}: what each of ${stream.steps.length} steps in time adds, `
    + `${Math.min(...stream.steps).toFixed(3)} to ${Math.max(...stream.steps).toFixed(3)}${unit}`;
  return make("div", { class: "steps" }, make("p", {}, words), make("div", {}, picture, make("i")));
}

function followEvidence() {
  const film = find("evidence-film");
  for (const each of find("steps").querySelectorAll("i")) {
    each.style.left = `${film.duration ? 100 * film.currentTime / film.duration : 0}%`;
  }
  if (!film.paused && !film.ended) requestAnimationFrame(followEvidence);
}

export const askedMoment = () => Number(find("moment").value);

/** Shows a moment: the cursor, the clock, the probabilities, and the film, unless it is what moved. */
function moveTo(seconds, byFilm = false) {
  if (!found) return;
  const at = Math.min(Math.max(seconds, 0), found.seconds);
  find("moment").value = at;
  find("clock").textContent = `${clock(at)} of ${clock(found.seconds)}`;
  find("cursor").style.left = `${100 * at / found.seconds}%`;
  const shares = find("lanes").querySelectorAll(".lane p span:last-child");
  const now = found.lanes.map((lane) => lane.values[Math.round(at / found.seconds * (lane.values.length - 1))]);
  now.forEach((share, place) => { shares[place].textContent = percent(share); });
  const best = now.indexOf(Math.max(...now));
  find("moment").setAttribute("aria-valuetext",
    `${at.toFixed(2)} of ${found.seconds.toFixed(2)} seconds: ${found.lanes[best].label} ${percent(now[best])}`);
  const film = find("film");
  if (!byFilm && film.readyState > 0) film.currentTime = at;
}

function follow() {
  const film = find("film");
  moveTo(film.currentTime, true);
  if (!film.paused && !film.ended) requestAnimationFrame(follow);
}

find("moment").addEventListener("input", (event) => moveTo(Number(event.target.value)));
find("film").addEventListener("play", follow);
find("film").addEventListener("loadedmetadata", () => { find("film").currentTime = askedMoment(); });
for (const kind of ["play", "seeked", "loadedmetadata"]) find("evidence-film").addEventListener(kind, followEvidence);
find("film").addEventListener("seeked", () => moveTo(find("film").currentTime, true));
for (const each of ["film", "evidence-film"]) {
  find(each).addEventListener("error", (event) => {
    if (event.target.getAttribute("src")) find(`${each === "film" ? each : "evidence"}-stage`).textContent =
      "This browser cannot play the film, which is H.264 in an .mp4.";
  });
}
for (const kind of ["pointerdown", "pointermove"]) {
  find("lanes").addEventListener(kind, (event) => {
    if (!event.buttons) return;
    const { left, width } = find("lanes").getBoundingClientRect();
    moveTo((event.clientX - left) / width * found.seconds);
  });
}
