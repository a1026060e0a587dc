// The page: where one is, what the runs are doing, and the view that is open.
import { Ask } from "./ask.js";
import { Curves } from "./curves.js";
import { Leaderboard } from "./leaderboard.js";
import { Pair } from "./pair.js";
import { Progress } from "./progress.js";
import { Message, ask, html, render, setToken, useEffect, useRef, useState } from "./parts.js";

const VIEWS = {
  progress: ["Progress", Progress],
  leaderboard: ["Leaderboard", Leaderboard],
  curves: ["Curves", Curves],
  pair: ["Side by side", Pair],
  ask: ["Ask", Ask],
};
const EVERY = 2000; // milliseconds between looks

function place() {
  const [view, query] = location.hash.slice(1).split("?");
  return { view: view in VIEWS ? view : "leaderboard", params: Object.fromEntries(new URLSearchParams(query || "")) };
}

const address = (view, params = {}) => `#${view}?${new URLSearchParams(params)}`;

function Token({ done }) {
  return html`<main id="main"><h1>retrieval-bench</h1>
    <form class="filters" onSubmit=${(event) => {
      event.preventDefault();
      setToken(event.target.elements.token.value);
      done();
    }}>
      <label class="field" for="token">Token of the server (BENCH_SERVE_TOKEN)
        <input id="token" name="token" type="password" autocomplete="off" required /></label>
      <button type="submit">Go on</button>
    </form></main>`;
}

function Page() {
  const [where, setWhere] = useState(place);
  const [state, setState] = useState(null);
  const [board, setBoard] = useState(null);
  const [fault, setFault] = useState(null);
  const [said, say] = useState("");
  const title = useRef(null);
  const known = useRef("");
  const moved = useRef(false);

  useEffect(() => {
    const changed = () => { moved.current = true; setWhere(place()); };
    window.addEventListener("hashchange", changed);
    return () => window.removeEventListener("hashchange", changed);
  }, []);

  useEffect(() => {
    document.title = `${VIEWS[where.view][0]} · retrieval-bench`;
    // Who follows a link by keys or ear is where it leads; who has just come, or only filters, stays.
    if (moved.current && title.current) title.current.focus();
  }, [where.view]);

  useEffect(() => {
    let timer;
    let here = true;
    async function look() {
      let pause = EVERY;
      try {
        const now = await ask("state");
        if (!here) return;
        setFault(null);
        setState(now);
        const sign = `${now.number}/${now.waiting}`;
        if (now.number && sign !== known.current) {
          setBoard(await ask("leaderboard"));
          known.current = sign;
        }
        pause = now.reading || now.waiting ? 400 : EVERY;
      } catch (error) {
        if (error.status === 401) { setFault({ token: true }); return; }
        setFault({ text: error.message });
      }
      if (here) timer = setTimeout(look, document.hidden ? 4 * EVERY : pause);
    }
    look();
    return () => { here = false; clearTimeout(timer); };
  }, [fault && fault.token]);

  if (fault && fault.token) return html`<${Token} done=${() => setFault({})} />`;
  const [name, View] = VIEWS[where.view];
  const go = (view, params) => { location.hash = address(view, params); };
  const change = (params) => {
    history.replaceState(null, "", address(where.view, { ...where.params, ...params }));
    setWhere(place());
  };
  const rows = board ? board.rows : [];
  const going = state && state.runs.some((run) => run.left !== null && run.left !== undefined);
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); title.current.focus(); }}>Skip to the view</a>
    <header>
      <h1>retrieval-bench</h1>
      <nav aria-label="Views">
        ${Object.entries(VIEWS).map(([key, [text]]) => html`<a key=${key} href=${address(key, where.params)}
          aria-current=${key === where.view ? "page" : undefined}>${text}</a>`)}
      </nav>
      <p class="status" role="status" aria-live="polite">${said || statusText(state, going)}</p>
    </header>
    <main id="main">
      <h2 ref=${title} tabindex="-1">${name}</h2>
      <${Message} text=${fault && fault.text} />
      ${state && state.messages.map((text) => html`<${Message} key=${text} text=${text} />`)}
      ${!state ? html`<p class="soft">Asking the server …</p>`
        : where.view !== "progress" && !rows.length
        ? html`<p class="soft">${state.reading ? "The runs are being read …" : "Nothing to show yet."}</p>`
        : html`<${View} state=${state} board=${board} rows=${rows} params=${where.params} change=${change} go=${go}
            say=${say} address=${address} />`}
    </main>
    <footer>retrieval-bench ${state ? state.version : ""} · nothing here is sent anywhere but to this server</footer>`;
}

function statusText(state, going) {
  if (!state) return "";
  if (state.reading) return "reading the runs";
  if (state.waiting) return `intervals: ${state.waiting} ${state.waiting === 1 ? "table" : "tables"} to come`;
  return going ? "a run is going; this page follows it" : "up to date";
}

const root = document.getElementById("page");
root.replaceChildren();
render(html`<${Page} />`, root);
