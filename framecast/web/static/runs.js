// The second view: training runs, renewed every few seconds while it is open.
import { blob, get, Trouble } from "./api.js";
import { draw } from "./chart.js";
import { dataName, t } from "./words.js";

const AGAIN = 3000; // milliseconds
const $ = (id) => document.getElementById(id);

let chosen = null, timer = null, told = null, shown = "", followed = true;

export function open() {
  renew();
  timer ??= setInterval(renew, AGAIN);
}

export function close() {
  clearInterval(timer);
  timer = null;
}

async function renew() {
  if (document.hidden) return;
  try {
    const runs = await get("/v1/runs");
    chosen ??= runs[0]?.name ?? null;
    list(runs);
    if (chosen) {
      told = await get(`/v1/runs/${encodeURIComponent(chosen)}`);
      tell();
    }
    $("run").hidden = !chosen;
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    $("runs").textContent = error.message;
  }
}

function list(runs) {
  const items = runs.map((run) => {
    const item = document.createElement("li"), button = document.createElement("button");
    const name = Object.assign(document.createElement("strong"), { textContent: run.name });
    const facts = [run.model, dataName(run.data), run.live ? t("going_on") : t("ended")].filter(Boolean).join(" · ");
    name.classList.toggle("live", run.live);
    button.type = "button";
    button.setAttribute("aria-pressed", String(run.name === chosen));
    button.append(name, Object.assign(document.createElement("small"), { textContent: facts }));
    button.onclick = () => { chosen = run.name; followed = true; shown = ""; renew(); };
    item.append(button);
    return item;
  });
  const focused = [...$("runs").querySelectorAll("button")].indexOf(document.activeElement);
  if (!runs.length) items.push(Object.assign(document.createElement("li"), { textContent: t("no_runs") }));
  $("runs").replaceChildren(...items);
  $("runs").querySelectorAll("button")[focused]?.focus();
}

const minutes = (seconds) => (seconds < 90 ? `${Math.round(seconds)} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`);

export function tell() {
  if (!told) return;
  $("run-name").textContent = told.name;
  const facts = { model: told.model, data: dataName(told.data), steps: (told.steps ?? 0).toLocaleString("en"), time: minutes(told.seconds ?? 0), best: told.best === null ? "–" : told.best.toPrecision(4) };
  $("run-facts").replaceChildren(...Object.entries(facts).filter(([, value]) => value).map(([key, value]) => {
    const pair = document.createElement("div");
    pair.append(Object.assign(document.createElement("dt"), { textContent: t(key) }), Object.assign(document.createElement("dd"), { textContent: value }));
    return pair;
  }));
  const points = (name) => told.rows.filter((row) => row[name] !== null && row.step !== null).map((row) => [row.step, row[name]]);
  draw($("loss"), { series: [{ kind: "forecast", points: points("loss") }], label: t("curve_loss"), xLabel: t("step"), zero: false });
  draw($("validation"), { series: [{ kind: "forecast", points: points("validation_mse") }], label: t("curve_validation"), xLabel: t("step"), zero: false });
  $("samples").hidden = !told.samples.length;
  if (!told.samples.length) return;
  $("sample").max = told.samples.length - 1;
  if (followed) $("sample").value = told.samples.length - 1;
  picture();
}

async function picture() {
  const step = told.samples[+$("sample").value], key = `${chosen}/${step}`;
  $("sample-step").textContent = step;
  $("sample-picture").alt = t("sample_alt", { n: step });
  if (key === shown) return;
  shown = key;
  let made;
  try {
    made = await blob(`/v1/runs/${encodeURIComponent(chosen)}/samples/${step}`);
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    if (key !== shown) return;
    $("sample-picture").removeAttribute("src"); // not that of another run; asked for again soon
    shown = "";
    return;
  }
  if (key !== shown) return;
  URL.revokeObjectURL($("sample-picture").src);
  $("sample-picture").src = URL.createObjectURL(made);
}

$("sample").addEventListener("input", () => {
  followed = +$("sample").value === +$("sample").max;
  picture();
});
