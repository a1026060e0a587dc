"use strict";
// Sorting: the button in a column's head; a second press turns the order round. What is not a number sorts last.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement;
    const body = head.closest("table").tBodies[0];
    const column = head.cellIndex;
    const numeric = head.classList.contains("n");
    const first = numeric ? "descending" : "ascending";
    const other = numeric ? "ascending" : "descending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    for (const th of head.parentElement.cells) th.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const missing = (v) => numeric && Number.isNaN(Number(v));
    const number = (v) => (v === "inf" ? Infinity : Number(v));
    const rows = [...body.rows].sort((a, b) => {
      const x = a.cells[column].dataset.v;
      const y = b.cells[column].dataset.v;
      if (missing(x) && x !== "inf") return missing(y) && y !== "inf" ? 0 : 1;
      if (missing(y) && y !== "inf") return -1;
      if (!numeric) return sign * x.localeCompare(y, "en", { numeric: true });
      return number(x) === number(y) ? 0 : sign * (number(x) < number(y) ? -1 : 1);
    });
    body.append(...rows);
  });
}
// Filtering: a row stays if it holds every word.
for (const input of document.querySelectorAll("input[data-for]")) {
  const rows = [...document.getElementById(input.dataset.for).tBodies[0].rows];
  const count = document.querySelector(`output[data-count="${input.dataset.for}"]`);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    count.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
  });
}
