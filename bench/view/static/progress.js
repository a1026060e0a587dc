// How far the runs got, and what failed.
import { duration, html, plural } from "./parts.js";

function Run({ run, time }) {
  const done = run.ok + run.skipped + run.failed;
  const ago = run.last === null ? "" : `last cell ${duration(Math.max(0, time - run.last))} ago`;
  const left = run.left === null ? "" : `, about ${duration(run.left)} left`;
  const verdict = done >= run.planned ? "finished" : run.left === null ? "not finished" : "going";
  return html`<section class="run" aria-label=${`Run ${run.name}`}>
    <h3>${run.name}</h3>
    <p><progress max=${run.planned} value=${done} aria-label=${`Cells of ${run.name}`}></progress>
      ${" "}<b>${done}</b> of ${plural(run.planned, "cell")} · ${verdict}</p>
    <ul class="facts">
      <li><b>${run.ok}</b> answered</li><li><b>${run.skipped}</b> skipped</li>
      <li class=${run.failed ? "bad" : ""}><b>${run.failed}</b> failed</li>
      <li>${ago}${left}</li><li>on ${run.device || "an unknown device"}, begun ${run.created}</li>
      <li class="file">${run.folder}</li>
    </ul>
    ${done < run.planned && run.left === null && html`<p class="soft">The same command goes on where it stopped.</p>`}
    ${run.unanswered.length > 0 && html`<details open=${run.failed > 0}><summary>${plural(run.failed, "failure")} and
      ${" "}${plural(run.skipped, "skipped cell")}</summary>
      <div class="scroll" tabindex="0" role="region" aria-label=${`Cells without answers of ${run.name}`}><table>
      <thead><tr>${["method", "what", "data set", "condition", "seed", "reason"].map((head) => html`<th scope="col">${head}</th>`)}
      </tr></thead>
      <tbody>${run.unanswered.map((row) => html`<tr key=${row.cell}>
        <th scope="row">${row.method}</th>
        <td class=${row.status === "failed" ? "bad" : ""}>${row.status}</td><td>${row.dataset}</td><td>${row.condition}</td>
        <td class="n">${row.seed}</td><td class="long">${row.error_type ? `${row.error_type}: ` : ""}${row.reason}</td>
      </tr>`)}</tbody></table></div></details>`}
  </section>`;
}

export function Progress({ state }) {
  return html`${state.runs.map((run) => html`<${Run} key=${run.folder} run=${run} time=${state.time} />`)}
    ${state.warnings.length > 0 && html`<section class="warnings" aria-label="Warnings"><h3>Before you believe a number</h3>
      <ul>${state.warnings.map((line) => html`<li key=${line}>${line}</li>`)}</ul></section>`}`;
}
