// The first view: a video and a question in, forecast and truth out.
import { blob, forecast, get, ready, Trouble } from "./api.js";
import { draw } from "./chart.js";
import { Pad } from "./draw.js";
import { Player } from "./player.js";
import * as runs from "./runs.js";
import { aboutModel, apply, dataName, onLanguage, t, toggle, verdict } from "./words.js";

const $ = (id) => document.getElementById(id);
const form = $("ask");
const still = matchMedia("(prefers-reduced-motion: reduce)");
let models = [], clips = [], pad = null, file = null, told = null, asked = null;

const player = new Player({ panels: $("panels"), scrub: $("scrub"), play: $("play"), moment: $("moment"), onFrame: chart });

function say(message) {
  $("notice").textContent = message;
  $("notice").hidden = !message;
}

const source = () => new FormData(form).get("source");

function showSource() {
  for (const part of form.querySelectorAll("[data-source]")) part.hidden = part.dataset.source !== source();
}

function take(chosen) {
  if (!chosen) return;
  file = chosen;
  $("file-name").textContent = file.name;
  form.querySelector("[value=file]").checked = true;
  showSource();
}

async function video(ask) {
  if (source() === "clip") return new File([await blob(`/v1/clips/${encodeURIComponent($("clip").value)}`)], `${$("clip").value}.npy`);
  if (source() === "draw") {
    if (!pad.placed.length) throw new Trouble(t("no_digit"));
    return pad.film(ask.past + (ask.compare ? ask.horizon : 0), ask.every);
  }
  if (!file) throw new Trouble(t("no_file"));
  return file;
}

function question() {
  return {
    model: $("model").value, past: +$("past").value, horizon: +$("horizon").value,
    compare: $("compare").value === "true", every: +$("every").value, size: $("size").value,
  };
}

async function go(byHand) {
  say("");
  player.stop();
  $("go").disabled = true;
  $("stage").setAttribute("aria-busy", "true");
  $("verdict").textContent = t("working");
  $("verdict").className = "verdict";
  try {
    const ask = question();
    const given = await video(ask);
    if (source() === "draw") ask.every = 1; // the film was drawn so
    told = await (await forecast(given, { ...ask, frames: true })).json();
    asked = { video: given, ask };
    player.load(told);
    tell();
    chart(1);
    $("downloads").hidden = false;
    if (byHand && matchMedia("(max-width: 56rem)").matches) $("stage").scrollIntoView({ behavior: still.matches ? "auto" : "smooth" });
    if (!still.matches) { player.show(0); player.start(); }
  } catch (error) {
    $("verdict").textContent = "";
    forget();
    if (!(error instanceof Trouble)) throw error;
    say(error.message);
  } finally {
    $("go").disabled = false;
    $("stage").setAttribute("aria-busy", "false");
  }
}

// What is shown of an earlier video would be taken for an answer to this one.
function forget() {
  told = asked = null;
  $("downloads").hidden = $("lead-chart").hidden = true;
  player.clear();
}

function tell() {
  if (!told) return;
  $("verdict").textContent = told.verdict ? verdict(told) : t("no_truth");
  $("verdict").className = `verdict ${worth()}`;
  $("lead-chart").hidden = !told.verdict;
  if (told.verdict) numbers();
}

function worth() {
  if (told.good === null) return "";
  if (told.good) return "good";
  return told.scores.skill.per_lead.some((skill) => skill >= 0.005) ? "mixed" : "bad";
}

const errors = () => [told.scores.mse_pixel.per_lead, told.baselines.persistence.mse_pixel.per_lead];

function numbers() {
  const [mine, last] = errors();
  const row = (cells, name) => {
    const el = document.createElement("tr");
    el.append(...cells.map((text, at) => Object.assign(document.createElement(at && name === "td" ? "td" : "th"), { textContent: text, scope: name === "th" ? "col" : "row" })));
    return el;
  };
  const shown = (value) => (value === null ? "–" : value.toPrecision(3));
  const percent = (value) => (value === null ? "–" : `${Math.round(100 * value)} %`);
  $("numbers").replaceChildren(
    row([t("lead_time"), t("forecast"), t("persistence"), t("skill")], "th"),
    ...mine.map((value, i) => row([`+${i + 1}`, shown(value), shown(last[i]), percent(told.scores.skill.per_lead[i])], "td")),
  );
}

function chart(lead) {
  if (!told?.verdict) return;
  const [mine, last] = errors().map((values) => values.map((value, i) => [i + 1, value]).filter(([, value]) => value !== null));
  draw($("lead-chart").querySelector(".chart"), {
    series: [{ name: t("forecast"), kind: "forecast", points: mine }, { name: t("persistence"), kind: "persistence", points: last }],
    label: t("chart"), xLabel: t("lead_time"), cursor: lead < 1 ? null : lead,
    pick: (at) => { player.stop(); player.show(told.past + at - 1); },
  });
}

async function save(kind, button) {
  const name = button.textContent;
  button.disabled = true;
  button.textContent = t("downloading");
  try {
    const made = await (await forecast(asked.video, { ...asked.ask, format: kind })).blob();
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(made), download: `forecast.${kind}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    say(error.message);
  } finally {
    button.disabled = false;
    button.textContent = name;
  }
}

function describe(reset) {
  const model = models.find((one) => one.name === $("model").value);
  if (!model) return;
  const said = [t("parameters_past", { about: aboutModel(model), past: model.past }), model.trained_on && t("trained_on", { data: dataName(model.trained_on) }), model.paper];
  $("about").textContent = said.filter(Boolean).join(" ");
  $("past").readOnly = model.past_is_fixed;
  if (reset) [$("past").value, $("horizon").value] = [model.past, model.horizon];
}

function options(select, names, label) {
  const before = select.value;
  select.replaceChildren(...names.map((name) => Object.assign(document.createElement("option"), { value: name, textContent: label(name) })));
  if (names.includes(before)) select.value = before;
}

function view(name) {
  for (const tab of document.querySelectorAll(".tab")) {
    if (tab.dataset.view === name) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  $("forecast").hidden = name !== "forecast";
  $("training").hidden = name !== "training";
  if (name === "training") { player.stop(); runs.open(); } else { runs.close(); player.retell(); } // hidden charts have no width
}

function listen() {
  form.addEventListener("submit", (event) => { event.preventDefault(); go(true); });
  form.addEventListener("change", (event) => {
    if (event.target.name === "source") showSource();
    if (event.target === $("model")) describe(true);
    if (event.target === $("file")) take($("file").files[0]);
  });
  for (const kind of ["dragover", "drop", "dragleave"])
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      $("drop").classList.toggle("over", kind === "dragover");
      if (kind === "drop") take(event.dataTransfer.files[0]);
    });
  $("language").addEventListener("click", toggle);
  addEventListener("resize", () => { player.retell(); runs.tell(); });
  for (const tab of document.querySelectorAll(".tab")) tab.addEventListener("click", () => view(tab.dataset.view));
  for (const button of $("downloads").querySelectorAll("button")) button.addEventListener("click", () => save(button.dataset.format, button));
  onLanguage(() => {
    options($("clip"), clips, t);
    if (file) $("file-name").textContent = file.name;
    describe(false);
    player.retell();
    pad?.build();
    tell();
    runs.tell();
  });
}

async function start() {
  listen();
  apply();
  $("go").disabled = true;
  try {
    await ready(() => { $("verdict").textContent = t("starting"); });
    const digits = get("/v1/digits");
    [models, clips] = await Promise.all([get("/v1/models"), get("/v1/clips")]);
    options($("model"), models.map((model) => model.name), (name) => name);
    options($("clip"), clips, t);
    describe(true);
    document.body.dataset.ready = "yes";
    pad = new Pad($("draw"), await digits);
    await go(false);
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    say(error.message);
  }
}

start();
