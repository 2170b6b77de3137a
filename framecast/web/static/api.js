// All talk with the server. The token comes in the part of the address after #, which is never sent.
import { keep, kept, t } from "./words.js";

const given = new URLSearchParams(location.hash.slice(1)).get("token");
let token = given ?? kept("sessionStorage", "token");
if (given) {
  keep("sessionStorage", "token", given);
  history.replaceState(null, "", location.pathname);
}

export class Trouble extends Error {}

const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

// Requests that are refused at the same time wait for one and the same dialog.
let asking = null;

function askToken() {
  const dialog = document.getElementById("ask-token");
  asking ??= new Promise((done) => {
    const field = document.getElementById("token");
    document.getElementById("token-wrong").hidden = !token;
    field.value = "";
    dialog.onclose = () => {
      token = field.value;
      keep("sessionStorage", "token", token);
      asking = null;
      done();
    };
    dialog.showModal();
  });
  return asking;
}

async function fetched(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch {
    throw new Trouble(t("lost"));
  }
  if (answer.status === 401) {
    await askToken();
    return fetched(path, options);
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({ error: `${answer.status}` }));
  const retry = answer.headers.get("retry-after");
  throw new Trouble(answer.status === 503 && retry ? t("wait", { n: retry }) : told.error);
}

export const get = async (path) => (await fetched(path)).json();
export const blob = async (path) => (await fetched(path)).blob();

// The server answers before torch is loaded, which takes seconds.
export async function ready(onWait) {
  while (!(await get("/health")).ready) {
    onWait();
    await pause(0.3);
  }
}

export async function forecast(video, ask) {
  const form = new FormData();
  form.append("video", video, video.name ?? "drawn.npy");
  const query = new URLSearchParams(Object.entries(ask).filter(([, value]) => value !== "" && value !== null));
  return fetched(`/v1/forecast?${query}`, { method: "POST", body: form });
}
