// Sends a video, asks how far its work is, and shows what comes. Nothing is asked of any other server.
import { askedMoment, forget, show, showEvidence, showFilm } from "/results.js";

// Milliseconds between two questions: while work is under way, after it, and while the server does not answer.
const SOON = 400, LATER = 20000, LOST = 2000;
const find = (id) => document.getElementById(id);
const own = { "X-Keras-I3D": "page" };  // other sites cannot send it
let about = null, id = null, sending = null, timer = null, shown = {}, lost = false;

/** Asks the server; the answer's data, or an Error with its one line. */
async function ask(path, settings = {}) {
  let response;
  try {
    response = await fetch(path, { ...settings, headers: own });
  } catch {
    throw Object.assign(new Error("The server does not answer. Is it still running?"), { status: 0 });
  }
  const data = await response.json().catch(() => ({ error: `The server answers with status ${response.status}.` }));
  if (!response.ok) throw Object.assign(new Error(data.error), { status: response.status });
  return data;
}

function problem(text) {
  find("problem").hidden = !text;
  find("problem").textContent = text ?? "";
}

/** Which part of the page is there: "choose", "work" or "answer". */
function turnTo(part) {
  for (const each of ["choose", "work", "answer"]) find(each).hidden = each !== part;
}

function startAgain(text) {
  clearTimeout(timer);
  id = sending = null;
  lost = false;
  shown = {};
  forget();
  history.replaceState(null, "", location.pathname);
  document.title = "What happens in a video? keras_i3d";
  find("file").value = "";
  problem(text);
  turnTo("choose");
}

function stage(words, share) {
  if (find("stage").textContent !== words) find("stage").textContent = words;
  if (share === null || share === undefined) find("progress").removeAttribute("value");
  else find("progress").value = share;
}

function send(file) {
  startAgain(null);
  const limit = about ? about.limits.megabytes : Infinity;
  if (file.size > 1e6 * limit) {
    problem(`${file.name}: the file is larger than the limit of this server, ${limit} MB`);
    return;
  }
  find("work-title").textContent = file.name;
  turnTo("work");
  stage("The file is being sent", 0);
  const request = sending = new XMLHttpRequest();  // which says how much is sent, as fetch does not
  request.open("POST", `/videos?name=${encodeURIComponent(file.name)}`);
  request.setRequestHeader("X-Keras-I3D", "page");
  request.responseType = "json";
  request.upload.onprogress = (event) => { if (event.total) stage("The file is being sent", event.loaded / event.total); };
  request.onload = () => {
    if (request.status !== 201) {
      startAgain(request.response?.error ?? `The server answers with status ${request.status}.`);
      return;
    }
    sending = null;
    id = request.response.id;
    history.replaceState(null, "", `#${id}`);
    look();
  };
  request.onerror = () => startAgain("The file could not be sent. Is the server still running, and the file still there?");
  request.send(file);
}

function before(count) {
  if (count === 1) return "One other comes first";
  return count ? `${count} others come first` : "It is next";
}

/** Words on a task that is under way; null if it is not. */
function underWay(task, doing) {
  if (task?.state === "waiting") return `Waiting. ${before(task.before)}`;
  if (task?.state === "working") return task.share === null ? doing : `${doing}: ${Math.round(100 * task.share)} %`;
  return null;
}

async function look() {
  clearTimeout(timer);
  const asked = id;
  let busy = false;
  try {
    const { name, tasks } = await ask(`/videos/${asked}`);
    if (asked !== id) return;
    if (lost) problem(null);  // as after a tunnel that was cut for a moment
    lost = false;
    const { answer, film, evidence } = tasks;
    find("work-title").textContent = name;
    if (answer.state === "failed") {
      await ask(`/videos/${asked}`, { method: "DELETE" });
      startAgain(answer.error);
      return;
    }
    busy = answer.state !== "done" || [film, evidence].some((task) => ["waiting", "working"].includes(task?.state));
    if (answer.state !== "done") {
      turnTo("work");
      stage(underWay(answer, "The networks look at it"), answer.state === "working" ? answer.share : null);
    } else if (!shown.answer) {
      const data = await ask(`/videos/${asked}/answer/data`);
      if (asked !== id) return;
      shown.answer = true;
      turnTo("answer");
      show(asked, name, data, about);
    }
    if (shown.answer) await further(asked, film, evidence);
  } catch (error) {
    if (asked !== id) return;
    if (error.status === 404) {
      startAgain(error.message);
      return;
    }
    problem(error.message);
    lost = error.status !== undefined;  // else the page itself is wrong
    busy = false;
  }
  if (asked === id) timer = setTimeout(look, lost ? LOST : busy ? SOON : LATER);
}

/** What comes after the labels: the film, and the evidence that was asked for. */
async function further(asked, film, evidence) {
  if (film && !shown.film) {
    find("film-stage").textContent = underWay(film, "The film is being made") ?? film.error ?? "";
    if (film.state === "done") {
      shown.film = true;
      showFilm(asked, await ask(`/videos/${asked}/film/data`));
    }
  }
  if (evidence && shown.evidence !== false) {
    const under = underWay(evidence, "The evidence is being looked for");
    find("evidence-stage").textContent = under ?? evidence.error ?? "";
    find("evidence-button").disabled = Boolean(under);
    if (evidence.state === "done") showEvidence(asked, await ask(`/videos/${asked}/evidence/data`));
    if (!under) shown.evidence = false;  // until another one is asked for
  }
}

async function askEvidence(event) {
  event.preventDefault();
  problem(null);
  const wanted = { label: Number(find("evidence-label").value), at: askedMoment() };
  try {
    await ask(`/videos/${id}/evidence`, { method: "POST", body: JSON.stringify(wanted) });
    shown.evidence = true;
    find("evidence-button").disabled = true;
  } catch (error) {
    find("evidence-stage").textContent = error.message;
  }
  look();
}

/** Deletes the video that is here. */
async function leave() {
  const left = id;
  sending?.abort();
  startAgain(null);
  find("file").focus();
  if (left) await ask(`/videos/${left}`, { method: "DELETE" }).catch((error) => problem(error.message));
}

function takeDrops() {
  const drop = find("drop");
  for (const kind of ["dragenter", "dragover"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const files = [...event.dataTransfer.files];
    if (find("choose").hidden || !files.length) return;
    if (files.length > 1) problem("One video at a time: drop one file.");
    else send(files[0]);
  });
}

function introduce() {
  const networks = about.networks.map((each) => `${each.family} (${each.stream})`).join(" and ");
  find("about").textContent = `${networks}, ${about.labels.length} labels. The video stays on the machine that runs this `
    + "page, and is deleted afterwards.";
  find("limits").textContent = `Up to ${about.limits.megabytes} MB and ${about.limits.length}. It is deleted when you take `
    + `another one, or ${about.limits.minutes} minutes after this page is closed.`;
  find("footer").textContent = `keras_i3d ${about.version}`;
}

find("file").addEventListener("change", (event) => { if (event.target.files.length) send(event.target.files[0]); });
find("cancel").addEventListener("click", leave);
find("another").addEventListener("click", leave);
find("evidence-form").addEventListener("submit", askEvidence);
takeDrops();
try {
  about = await ask("/about");
  introduce();
  if (location.hash.length > 1) {  // the page was loaded again
    id = location.hash.slice(1);
    look();
  }
} catch (error) {
  problem(error.message);
}
