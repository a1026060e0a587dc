// What all views share: the library, asking the server, words, and small parts.
import { h, render } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import htm from "htm";

export const html = htm.bind(h);
export { render, useEffect, useMemo, useRef, useState };

const TOKEN = "bench-view-token";

export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export const setToken = (token) => sessionStorage.setItem(TOKEN, token);

// Ask the server; what it refuses is an error with its one line.
export async function ask(what, fields = {}, signal) {
  const token = sessionStorage.getItem(TOKEN);
  let answer;
  try {
    answer = await fetch(`./api/${what}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) },
      body: JSON.stringify(fields),
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("the server does not answer; was `bench view` stopped?", 0);
  }
  const content = await answer.json().catch(() => ({ error: "the server gave no sense" }));
  if (!answer.ok) throw new Refused(content.error || `status ${answer.status}`, answer.status);
  return content;
}

// What is asked for again whenever the fields change; the last question counts.
export function useAnswer(what, fields, again = 0) {
  const [found, set] = useState({ waiting: true });
  const key = fields && JSON.stringify(fields);
  useEffect(() => {
    if (!fields) return undefined;
    const stop = new AbortController();
    set((before) => ({ ...before, waiting: true }));
    ask(what, fields, stop.signal).then(
      (value) => set({ value, waiting: false }),
      (error) => error.name === "AbortError" || set({ error: error.message, waiting: false }));
    return () => stop.abort();
  }, [what, key, again]);
  return found;
}

// As Python writes it, and so the report: of one decimal, what lies half way (x.25 and x.75 are the only such doubles)
// goes to the even one.
export const decimal = (value) =>
  Math.abs((4 * value) % 2) === 1 ? ((2 * Math.round(5 * value)) / 10).toFixed(1) : value.toFixed(1);
export const percent = (share, digits = 1) =>
  share === null || share === undefined ? "–" : digits === 1 ? decimal(100 * share) : (100 * share).toFixed(digits);
export const number = (value) =>
  value === null || value === undefined ? "–" : Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
export const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

export function Choice({ label, value, options, onChange, id }) {
  return html`<label class="field" for=${id}>${label}
    <select id=${id} value=${value} onChange=${(event) => onChange(event.target.value)}>
      ${options.map(([key, text]) => html`<option key=${key} value=${key} selected=${key === value}>${text}</option>`)}
    </select></label>`;
}

export const Message = ({ text }) => (text ? html`<p class="message" role="alert">${text}</p>` : null);

// Scenario, data set and condition: each narrows the next.
export function Group({ rows, group, onChange }) {
  const distinct = (values) => [...new Set(values)];
  const [scenario, dataset, condition] = group;
  const of = (...key) => rows.filter((row) => key.every((k, n) => [row.scenario, row.dataset][n] === k));
  const first = (...key) => {
    const row = of(...key).find((r) => r.condition === condition) || of(...key)[0] || rows[0];
    return [row.scenario, row.dataset, row.condition];
  };
  const pick = (values) => values.map((v) => [v, v]);
  const words = Object.fromEntries(of(scenario, dataset).map((row) => [row.condition, row.words || "(none)"]));
  return html`<${Choice} id="g-scenario" label="Scenario" value=${scenario}
      options=${pick(distinct(rows.map((r) => r.scenario)))} onChange=${(v) => onChange(first(v))} />
    <${Choice} id="g-dataset" label="Data set" value=${dataset}
      options=${pick(distinct(of(scenario).map((r) => r.dataset)))} onChange=${(v) => onChange(first(scenario, v))} />
    <${Choice} id="g-condition" label="Condition" value=${condition}
      options=${Object.entries(words)} onChange=${(v) => onChange([scenario, dataset, v])} />`;
}

// The group of the address, or the first there is.
export function groupOf(rows, params) {
  const wanted = params.g ? JSON.parse(params.g) : null;
  const there = wanted && rows.find((r) => r.scenario === wanted[0] && r.dataset === wanted[1] && r.condition === wanted[2]);
  const row = there || rows[0];
  return row ? [row.scenario, row.dataset, row.condition] : null;
}

export const methodsOf = (rows, group) =>
  rows.filter((r) => r.scenario === group[0] && r.dataset === group[1] && r.condition === group[2]).map((r) => r.method);

// Images: those that a page asks for at once are one request, and each is asked for once.
const pictures = new Map();
let waiting = [];
function fetchPictures() {
  const batches = new Map();
  for (const one of waiting) {
    const key = JSON.stringify(one.group);
    batches.set(key, [...(batches.get(key) || []), one]);
  }
  waiting = [];
  for (const [key, ones] of batches) {
    for (let start = 0; start < ones.length; start += 100) {
      const part = ones.slice(start, start + 100);
      ask("pictures", { group: JSON.parse(key), items: [...new Set(part.map((one) => one.item))] }).then(
        (found) => part.forEach((one) => one.done(found[one.item] || null)),
        () => part.forEach((one) => one.done(null)));
    }
  }
}
function picture(group, item) {
  const key = JSON.stringify([group[1], item]);
  if (!pictures.has(key)) {
    pictures.set(key, new Promise((done) => {
      if (!waiting.length) setTimeout(fetchPictures, 15);
      waiting.push({ group, item, done });
    }));
  }
  return pictures.get(key);
}

export function Picture({ group, item, about }) {
  const [content, set] = useState(undefined);
  useEffect(() => {
    let here = true;
    picture(group, item).then((found) => here && set(found));
    return () => { here = false; };
  }, [group[1], item]);
  if (!content) return html`<span class="picture none" aria-hidden="true">${content === null ? "no image" : ""}</span>`;
  return html`<img class="picture" src=${`data:image/png;base64,${content}`} alt=${about} />`;
}
