// The leaderboard: filters, sorting, means with the report's intervals and marks.
import { Choice, html, number, percent, plural, useState } from "./parts.js";

const MOST = 500;

const value = (row, column) =>
  column.kind === "metric" ? (row.metrics[column.name] || [null])[0] : row.costs[column.name];

function Cell({ row, column }) {
  if (column.kind === "cost") return html`<td class="n">${number(row.costs[column.name])}</td>`;
  const [mean, low, high, mark] = row.metrics[column.name] || [null, null, null, null];
  const shown = column.percent ? percent : (v) => (v === null ? "–" : v.toFixed(3));
  const text = html`${shown(mean)}${mark === "open" ? html` <span title="not shown to be worse than the best">†</span>` : ""}`;
  return html`<td class="n">${mark === "best" ? html`<b>${text}</b>` : text}
    ${low !== null && html`<span class="bounds">[${shown(low)}, ${shown(high)}]</span>`}
    ${low === null && !row.complete && mean !== null && html`<span class="bounds">interval to come</span>`}</td>`;
}

export function Leaderboard({ board, rows, params, change, address }) {
  const [all, setAll] = useState(false);
  const [every, setEvery] = useState(false);
  const { scenario = "", dataset = "", condition = "", method = "", by = "", down = "1" } = params;
  const distinct = (key, among) => [["", "all"], ...[...new Map(among.map((r) => [r[key], key === "condition" ? r.words || "(none)" : r[key]]))]];
  const here = rows.filter((r) => (!scenario || r.scenario === scenario) && (!dataset || r.dataset === dataset));
  const words = method.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = here.filter((r) => (!condition || r.condition === condition) && words.every((w) => r.method.toLowerCase().includes(w)));
  const sorted = board.columns.find((column) => column.name === by);
  if (sorted) {
    const sign = down === "1" ? -1 : 1;
    shown = [...shown].sort((x, y) => {
      const [a, b] = [value(x, sorted), value(y, sorted)];
      return a === null || b === null ? (a === null) - (b === null) : sign * (a - b);
    });
  }
  const columns = board.columns.filter((column) => (every || column.main || column.name === by) && shown.some((row) => value(row, column) !== null));
  const about = [["scenario", "scenario"], ["dataset", "data set"], ["condition", "condition"]].filter(
    ([key]) => new Set(shown.map((row) => row[key])).size > 1);
  // What all conditions have in common is said once.
  const conditions = [...new Set(shown.map((row) => row.words))].map((text) => text.split(", "));
  const common = conditions.length ? conditions[0].filter((part) => conditions.every((parts) => parts.includes(part))) : [];
  const rest = (text) => text.split(", ").filter((part) => !common.includes(part)).join(", ") || "–";
  const same = [["scenario", "scenario"], ["dataset", "data set"]].filter(([key]) => shown.length && !about.some(([k]) => k === key))
    .map(([key, head]) => `${head} ${shown[0][key]}`);
  const part = all ? shown : shown.slice(0, MOST);
  const over = [...new Set(shown.map((row) => row.over).filter(Boolean))];
  const press = (column) => {
    const first = column.lower ? "0" : "1";
    change({ by: column.name, down: by !== column.name ? first : down === "1" ? "0" : "1" });
  };
  return html`<form class="filters" role="search" aria-label="Filters" onSubmit=${(event) => event.preventDefault()}>
      <${Choice} id="f-dataset" label="Data set" value=${dataset} options=${distinct("dataset", rows)}
        onChange=${(v) => change({ dataset: v, condition: "" })} />
      <${Choice} id="f-scenario" label="Scenario" value=${scenario} options=${distinct("scenario", rows)}
        onChange=${(v) => change({ scenario: v, condition: "" })} />
      <${Choice} id="f-condition" label="Condition" value=${condition} options=${distinct("condition", here)}
        onChange=${(v) => change({ condition: v })} />
      <label class="field" for="f-method">Method
        <input id="f-method" type="search" value=${method} placeholder="part of a name"
          onInput=${(event) => change({ method: event.target.value })} /></label>
      <label class="field check" for="f-every">All columns
        <input id="f-every" type="checkbox" checked=${every} onChange=${(event) => setEvery(event.target.checked)} /></label>
      <output class="soft">${plural(shown.length, "row")}</output>
    </form>
    <div class="scroll tall" tabindex="0" role="region" aria-label="Leaderboard">
    <table><thead><tr>
      <th scope="col" class="k">method</th>
      ${about.map(([key, head]) => html`<th key=${key} scope="col">${head}</th>`)}
      ${columns.map((column) => html`<th key=${column.name} scope="col" class="n"
        aria-sort=${by !== column.name ? undefined : down === "1" ? "descending" : "ascending"}>
        <button type="button" title=${column.about || undefined} onClick=${() => press(column)}>${column.head}</button></th>`)}
      <th scope="col" class="n">seeds</th><th scope="col" class="n">queries</th>
    </tr></thead>
    <tbody>${part.map((row) => html`<tr key=${[row.scenario, row.dataset, row.condition, row.method].join("\0")}>
      <th scope="row" class="k"><a href=${address("pair", { g: JSON.stringify([row.scenario, row.dataset, row.condition]), a: row.method })}
        aria-label=${`${row.method}: compare query by query`}>${row.method}</a></th>
      ${about.map(([key]) => html`<td key=${key}>${key === "condition" ? rest(row.words) : row[key]}</td>`)}
      ${columns.map((column) => html`<${Cell} key=${column.name} row=${row} column=${column} />`)}
      <td class="n">${row.seeds}</td><td class="n">${row.queries}</td>
    </tr>`)}</tbody></table></div>
    ${part.length < shown.length && html`<p><button type="button" onClick=${() => setAll(true)}>Show all ${shown.length} rows</button></p>`}
    <p class="caption">${[...same, ...common].length > 0 && html`Everywhere: ${[...same, ...common].join(", ")}. `}Means over seeds; in brackets 95 % intervals${over.length ? `, which speak for ${over.join("; ")}` : ""}, by the
      report's code. Bold: the best mean of its scenario, data set and condition; † not shown to be worse than it. A dash was not
      measured.</p>`;
}
