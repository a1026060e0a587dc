// One query: what each method answers and from what, and what it answers when items are left out or relabelled.
import { Choice, Group, Message, Picture, ask, groupOf, html, methodsOf, number, percent, plural, useAnswer, useEffect, useRef, useState } from "./parts.js";

const PAGE = Math.random().toString(36).slice(2);
let turn = 0;

const sure = (answer) => (answer.confidence === null ? "" : `${percent(answer.confidence, 0)} % sure`);

function Verdict({ answer, before }) {
  return html`<span class=${answer.right ? "right" : "wrong"}><span aria-hidden="true">${answer.right ? "✓" : "✗"}</span>
    <span class="unseen">${answer.right ? "right: " : "wrong: "}</span> ${before ? html`<s>${answer.answer}</s>` : html`<b>${answer.answer}</b>`}
    ${" "}<span class="soft">${sure(answer)}</span></span>`;
}

function Votes({ answer }) {
  const branches = Object.entries(answer.votes);
  if (!branches.length) {
    return html`<p class="soft">Scores: ${answer.scores.map(([name, value]) => `${name} ${number(value)}`).join(", ")}</p>`;
  }
  return branches.map(([branch, votes]) => {
    const most = Math.max(...votes.map((v) => Math.abs(v[1])), 1e-12);
    return html`<table class="votes" key=${branch}><caption>Votes of ${branch}s: ${answer.weights}</caption><tbody>
      ${votes.map(([name, weight]) => html`<tr key=${name}><th scope="row">${name}</th>
        <td><meter min="0" max=${most} value=${Math.max(0, weight)} aria-label=${`votes for ${name}`}></meter></td>
        <td class="n">${number(weight)}</td></tr>`)}</tbody></table>`;
  });
}

function Neighbour({ near, group, classes, edits, act, label }) {
  const out = edits.exclude.includes(near.item);
  const now = edits.relabel[near.item];
  const text = near.branch === "text";
  return html`<li class=${`near ${out ? "out" : ""} ${near.class === label ? "same" : ""}`}>
    ${text ? html`<span class="picture none" aria-hidden="true">text</span>`
      : html`<${Picture} group=${group} item=${near.item} about=${`item of class ${near.class}`} />`}
    <span class="name">${near.item}</span>
    <span class="class">${now ? html`<s>${near.class === now ? "" : near.class}</s> ${now}` : near.class}</span>
    <span class="soft">cos ${number(near.similarity)} · weight ${number(near.weight)}</span>
    <button type="button" aria-pressed=${out} onClick=${() => act.exclude(near.item)}
      aria-label=${out ? `Put ${near.item} back` : `Leave out ${near.item}`}>${out ? "Put back" : "Leave out"}</button>
    <select aria-label=${`Relabel ${near.item}`} value=${now || ""} disabled=${out}
      onChange=${(event) => act.relabel(near.item, event.target.value)}>
      <option value="" selected=${!now}>relabel as …</option>
      ${classes.map((name) => html`<option key=${name} value=${name} selected=${name === now}>${name}</option>`)}</select></li>`;
}

function Certificate({ kinds }) {
  const words = { remove: "removals", relabel: "relabellings", insert: "insertions" };
  const said = Object.entries(kinds).map(([kind, one]) => {
    if (one.why) return null;
    const least = one.least > one.most ? `more than ${one.most}` : `${one.exact ? "exactly" : "at least"} ${one.least}`;
    return `${least} ${words[kind]}`;
  }).filter(Boolean);
  if (said.length) return html`<p>Certified for the memory as it was: it takes ${said.join(", ")} to change this answer.</p>`;
  return html`<p class="soft">No certificate: ${kinds.remove.why}.</p>`;
}

function Removals({ method, question, act }) {
  const [found, set] = useState(null);
  useEffect(() => set(null), [JSON.stringify(question)]);
  const press = () => {
    set({ waiting: true });
    ask("removals", { ...question, method, slow: true, page: `${PAGE}r` }).then(
      (value) => set({ value }), (error) => set({ error: error.message }));
  };
  const value = found && found.value;
  const items = value && (value.together.length ? value.together : []);
  return html`<div class="removals">
    <button type="button" onClick=${press} disabled=${found && found.waiting}
      aria-label=${`${method}: which removals would change this answer?`}>Which removals would change this?</button>
    <${Message} text=${found && found.error} />
    <div aria-live="polite">${found && found.waiting && html`<p class="soft">Edited memories are being asked …</p>`}
    ${value && html`<${Certificate} kinds=${value.certificate} />
      ${value.alone.length > 0 && html`<p>Alone, ${plural(value.alone.length, "item")} would change it: ${value.alone.map((one) =>
        `${one.item} (to ${one.becomes})`).join(", ")}.</p>`}
      ${items.length > 1 && html`<p>Without these ${items.length}${value.fewest ? " (no fewer do)" : ""} it becomes <b>${value.becomes}</b>: ${items.join(", ")}.</p>`}
      ${!items.length && html`<p>${value.complete ? "No removal of its strongest items that was tried changes it." :
        "None was found in the time that was allowed."}</p>`}
      ${items.length > 0 && html`<button type="button" onClick=${() => act.excludeAll(items)}>Leave ${items.length === 1 ? "it" : "them"} out</button>`}
      <p class="soft">${plural(value.tried, "edited memory").replace("memorys", "memories")} asked.</p>`}</div></div>`;
}

function Method({ about, found, group, classes, edits, act, question, build }) {
  const name = about.method;
  const value = found && found.value;
  const busy = found && found.waiting;
  const list = value && edits.some ? [...value.neighbours_after,
    ...value.neighbours.filter((one) => edits.exclude.includes(one.item))] : value ? value.neighbours : [];
  return html`<section class="method" aria-label=${name} aria-busy=${busy || false}>
    <h3>${name}</h3>
    <${Message} text=${found && found.error} />
    ${about.long && !busy && html`<p><button type="button" onClick=${build}>${value ? "Build again with the edits" : "Build"} ${name}${" "}
      (about ${number(about.seconds)} s)</button></p>`}
    ${busy && html`<p class="soft">asking …</p>`}
    ${value && html`<p class="answer"><${Verdict} answer=${value.before} before=${value.after && value.after.answer !== value.before.answer} />
      ${value.after && html` → <${Verdict} answer=${value.after} /> <span class="change">${value.after.answer === value.before.answer
        ? "stays" : "changed"}</span>`}</p>
      ${value.warning && html`<p class="bad">${value.warning}</p>`}
      <${Votes} answer=${value.after || value.before} />
      <${Removals} method=${name} question=${question} act=${act} />
      ${list.length > 0 && html`<details open=${about.open}><summary>${plural(list.length, "neighbour")}</summary>
        <ol class="nears" aria-label=${`Neighbours of ${name}`}>${list.map((near) => html`<${Neighbour} key=${near.branch + near.item}
          near=${near} group=${group} classes=${classes} edits=${edits} act=${act} label=${value.label} />`)}</ol></details>`}`}
  </section>`;
}

function Edits({ edits, act }) {
  if (!edits.some) return html`<p class="soft">Leave an item out or relabel it, and every method is asked again.</p>`;
  return html`<ul class="edits" aria-label="Edits of the memory">
    ${edits.exclude.map((item) => html`<li key=${item}>without ${item} <button type="button" aria-label=${`Put ${item} back`}
      onClick=${() => act.exclude(item)}>×</button></li>`)}
    ${Object.entries(edits.relabel).map(([item, name]) => html`<li key=${item}>${item} as ${name} <button type="button"
      aria-label=${`Undo the new label of ${item}`} onClick=${() => act.relabel(item, "")}>×</button></li>`)}
    <li><button type="button" onClick=${act.clear}>Undo all</button></li></ul>`;
}

export function Ask({ rows, params, change, say, address }) {
  const group = groupOf(rows, params);
  const methods = methodsOf(rows, group);
  const [exclude, setExclude] = useState([]);
  const [relabel, setRelabel] = useState({});
  const [found, setFound] = useState({});
  const input = useRef(null);
  const seed = params.seed === undefined || params.seed === "" ? null : Number(params.seed);
  const session = params.session === undefined || params.session === "" ? null : Number(params.session);
  // Which queries there are is told by any method's answers.
  const list = useAnswer("pair", { group, a: methods[0], b: methods[1] || methods[0], seed, which: params.which || "disagree" });
  const query = params.q || (list.value && list.value.rows[0] && list.value.rows[0].id) || "";
  const at = list.value ? { group, seed: seed === null ? list.value.seed : seed, session } : null;
  const scene = useAnswer("scene", at);
  const edits = { exclude, relabel, some: exclude.length + Object.keys(relabel).length > 0 };
  const question = at && { ...at, query, exclude, relabel };
  const key = JSON.stringify(question);

  const put = (method, value) => setFound((before) => ({ ...before, [method]: { ...before[method], ...value } }));
  const answerOf = (about, mine) => {
    put(about.method, { waiting: true, error: null });
    return ask("answer", { ...question, method: about.method, slow: about.slow, page: about.long ? about.method : PAGE, turn: mine }).then(
      (value) => { if (mine === turn || about.long) put(about.method, { value, waiting: false }); return value; },
      (error) => { if (error.status !== 409) put(about.method, { error: error.message, waiting: false }); });
  };
  const asked = scene.value && query && !scene.waiting;
  useEffect(() => { setExclude([]); setRelabel({}); setFound({}); }, [JSON.stringify([at, query])]);
  useEffect(() => {
    if (!asked) return;
    turn += 1;
    const mine = turn;
    const quick = scene.value.methods.filter((one) => !one.long);
    // What a long method said was of another memory.
    setFound((before) => Object.fromEntries(Object.entries(before).filter(([name]) => quick.some((one) => one.method === name))));
    const start = performance.now();
    Promise.all(quick.map((one) => answerOf(one, mine))).then((values) => {
      if (mine !== turn) return;
      const there = values.filter(Boolean);
      const changed = there.filter((one) => one.after && one.after.answer !== one.before.answer).map((one) => one.method);
      const took = `${((performance.now() - start) / 1000).toFixed(1)} s`;
      say(edits.some ? `${changed.length} of ${there.length} answers changed${changed.length ? `: ${changed.join(", ")}` : ""} (${took})`
        : `${plural(there.length, "method")} answered (${took})`);
    });
  }, [asked, key]);
  useEffect(() => () => say(""), []);

  const act = {
    exclude: (item) => {
      setRelabel(({ [item]: _, ...others }) => others);
      setExclude((before) => (before.includes(item) ? before.filter((one) => one !== item) : [...before, item]));
    },
    excludeAll: (items) => setExclude((before) => [...new Set([...before, ...items])]),
    relabel: (item, name) => setRelabel(({ [item]: _, ...others }) => (name ? { ...others, [item]: name } : others)),
    clear: () => { setExclude([]); setRelabel({}); },
  };
  const ids = list.value ? list.value.rows.map((row) => row.id) : [];
  const here = ids.indexOf(query);
  const step = (by) => change({ q: ids[(here + by + ids.length) % ids.length] });
  const label = Object.values(found).map((one) => one.value && one.value.label).find(Boolean);
  const widest = scene.value && scene.value.methods.length;
  return html`<form class="filters" aria-label="What is asked" onSubmit=${(event) => { event.preventDefault(); change({ q: input.current.value.trim() }); }}>
      <${Group} rows=${rows} group=${group} onChange=${(v) => change({ g: JSON.stringify(v), q: "", seed: "", session: "" })} />
      ${list.value && html`<${Choice} id="a-seed" label="Seed" value=${String(seed === null ? list.value.seed : seed)}
        options=${list.value.seeds.map((s) => [String(s), String(s)])} onChange=${(v) => change({ seed: v, q: "" })} />`}
      <label class="field" for="a-query">Query <input id="a-query" ref=${input} value=${query} list="a-queries" /></label>
      <datalist id="a-queries">${ids.map((id) => html`<option key=${id} value=${id} />`)}</datalist>
      <button type="submit">Ask</button>
      ${ids.length > 1 && html`<button type="button" onClick=${() => step(-1)}>Before</button>
        <button type="button" onClick=${() => step(1)}>Next</button>`}
    </form>
    <${Message} text=${list.error} /><${Message} text=${scene.error} />
    ${scene.waiting && html`<p class="soft">The episode is dealt again; the first question of a run takes some seconds …</p>`}
    ${query && html`<div class="query"><${Picture} group=${group} item=${query} about=${`the query${label ? `, of class ${label}` : ""}`} />
      <p><b>${query}</b>${label && html`<br />class <b>${label}</b>`}<br />
        <a href=${address("pair", { g: JSON.stringify(group), seed: at ? at.seed : "" })}>other queries, side by side</a></p></div>
      <${Edits} edits=${edits} act=${act} />`}
    ${scene.value && scene.value.warnings.map((line) => html`<p key=${line} class="bad">${line}</p>`)}
    ${asked && html`<div class="methods">${scene.value.methods.map((about, n) => html`<${Method} key=${about.method}
      about=${{ ...about, open: n === 0 || widest < 4 }} found=${found[about.method]} group=${group} classes=${scene.value.classes} edits=${edits}
      act=${act} question=${question} build=${() => answerOf(about, turn)} />`)}</div>
    ${Object.entries(scene.value.without).map(([name, why]) => html`<p key=${name} class="soft">${name} is not asked: ${why}.</p>`)}`}`;
}
