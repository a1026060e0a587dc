// Two methods side by side, query by query.
import { Choice, Group, Message, Picture, decimal, groupOf, html, methodsOf, percent, plural, useAnswer, useEffect } from "./parts.js";

const points = (share) => `${share >= 0 ? "+" : "−"}${decimal(Math.abs(100 * share))}`;

function Verdict({ a, b, found }) {
  const v = found.verdict;
  if (!v) return html`<p class="soft">There is no paired comparison of the two over all seeds.</p>`;
  const bounds = v.low === null ? "" : ` [${points(v.low)}, ${points(v.high)}]`;
  return html`<p class="answer">${a} less ${b}, over ${plural(v.seeds.length, "seed")}: ${points(v.difference)}${bounds} points of
    accuracy, <b>${v.verdict}</b>${v.p === null ? "" : `, p ${v.p < 0.001 ? "< 0.001" : `= ${v.p.toFixed(3)}`}`}.${" "}
    ${v.unequal && html`<span class="bad">They saw different numbers of labels (${v.unequal.join(" and ")}).</span>`}</p>`;
}

const Said = ({ said }) => html`<td class=${said.right ? "right" : "wrong"}>
  <span aria-hidden="true">${said.right ? "✓" : "✗"}</span><span class="unseen">${said.right ? "right: " : "wrong: "}</span>
  ${" "}${said.answer}<span class="bounds">${said.confidence === null ? "" : `${percent(said.confidence, 0)} % sure`}</span></td>`;

export function Pair({ state, rows, params, change, say, address }) {
  const group = groupOf(rows, params);
  const methods = methodsOf(rows, group);
  const a = methods.includes(params.a) ? params.a : methods[0];
  const b = methods.includes(params.b) && params.b !== a ? params.b : methods.find((m) => m !== a);
  const page = Number(params.page || 0);
  const which = params.which || "disagree";
  const seed = params.seed === undefined || params.seed === "" ? null : Number(params.seed);
  const found = useAnswer("pair", b ? { group, a, b, seed, which, text: params.text || "", page } : null, state.number);
  const got = found.value;
  useEffect(() => { if (got) say(`${plural(got.total, "query").replace("querys", "queries")} listed`); }, [got]);
  useEffect(() => () => say(""), []);
  const g = JSON.stringify(group);
  const among = (skip) => methods.filter((m) => m !== skip).map((m) => [m, m]);
  const names = { all: "all", disagree: "answers differ", "only a": `only ${a} right`, "only b": `only ${b} right`,
    "both wrong": "both wrong", "both right": "both right" };
  const more = got ? Math.ceil(got.total / got.size) : 0;
  return html`<form class="filters" aria-label="What is compared" onSubmit=${(event) => event.preventDefault()}>
      <${Group} rows=${rows} group=${group} onChange=${(v) => change({ g: JSON.stringify(v), page: 0, seed: "" })} />
      <${Choice} id="p-a" label="Method a" value=${a} options=${among(b)} onChange=${(v) => change({ a: v, page: 0 })} />
      <${Choice} id="p-b" label="Method b" value=${b} options=${among(a)} onChange=${(v) => change({ b: v, page: 0 })} />
      ${got && html`<${Choice} id="p-seed" label="Seed" value=${String(got.seed)} options=${got.seeds.map((s) => [String(s), String(s)])}
        onChange=${(v) => change({ seed: v, page: 0 })} />`}
      <${Choice} id="p-which" label="Queries" value=${which}
        options=${Object.entries(names).map(([k, text]) => [k, got ? `${text} (${got.counts[k]})` : text])}
        onChange=${(v) => change({ which: v, page: 0 })} />
      <label class="field" for="p-text">Query or class
        <input id="p-text" type="search" value=${params.text || ""} onInput=${(event) => change({ text: event.target.value, page: 0 })} /></label>
    </form>
    ${!b && html`<p class="soft">There is one method here; it takes two.</p>`}
    <${Message} text=${found.error} />
    ${got && !found.error && html`<${Verdict} a=${a} b=${b} found=${got} />
    <div class="scroll tall" tabindex="0" role="region" aria-label="Queries" aria-busy=${found.waiting}>
    <table><thead><tr><th scope="col">image</th><th scope="col" class="k">query</th><th scope="col">class</th>
      <th scope="col">${a}</th><th scope="col">${b}</th></tr></thead>
    <tbody>${got.rows.map((row) => html`<tr key=${`${row.episode}/${row.id}`}>
      <td><${Picture} group=${group} item=${row.id} about=${`query of class ${row.label}`} /></td>
      <th scope="row" class="k"><a href=${address("ask", { g, seed: got.seed, q: row.id, ...(row.episode === null ? {} : { session: row.episode }) })}
        aria-label=${`Ask about ${row.query}`}>${row.query}</a>${row.episode !== null && html`<span class="bounds">episode ${row.episode}</span>`}</th>
      <td>${row.label}</td><${Said} said=${row.a} /><${Said} said=${row.b} /></tr>`)}</tbody></table></div>
    ${more > 1 && html`<nav class="pager" aria-label="Pages of queries">
      <button type="button" disabled=${page === 0} onClick=${() => change({ page: page - 1 })}>Before</button>
      <span>page ${page + 1} of ${more}</span>
      <button type="button" disabled=${page + 1 >= more} onClick=${() => change({ page: page + 1 })}>After</button></nav>`}`}`;
}
