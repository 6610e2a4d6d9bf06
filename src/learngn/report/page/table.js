"use strict";
// The table of all pairs: sorting by any column, filtering by names and conditions, and highlighting of a pair.

(() => {
  const table = document.getElementById("pairs");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.querySelectorAll("thead button")];
  const keys = heads.map((head) => head.dataset.key);
  const filter = document.getElementById("filter");
  const value = (row, column) => row.cells[column]?.dataset.v ?? "";

  function sort(column, falling) {
    const compare = (a, b) => {
      const [p, q] = [value(a, column), value(b, column)];
      if (p === "" || q === "") return (p === "") - (q === ""); // unknown values come last in both directions
      const order = column ? p - q : p.localeCompare(q, undefined, { numeric: true });
      return falling ? -order : order;
    };
    body.append(...rows.sort((a, b) => compare(a, b) || 0));
    heads.forEach((head, i) => {
      const th = head.parentElement;
      if (i === column) th.setAttribute("aria-sort", falling ? "descending" : "ascending");
      else th.removeAttribute("aria-sort");
    });
  }

  heads.forEach((head, column) =>
    head.addEventListener("click", () => sort(column, head.parentElement.getAttribute("aria-sort") === "ascending")),
  );

  // "dice<0.6" is a condition on the column with the nearest name, any other text a part of a pair's name.
  function condition(word) {
    const [, name, sign, number] = word.match(/^([a-z_ 0-9]+?)(<=|>=|<|>|=)(-?[0-9.]+)$/) || [];
    if (!name) return (row) => row.dataset.text.includes(word) || value(row, 0).toLowerCase().includes(word);
    const titles = heads.map((head) => head.textContent.toLowerCase().replace(/\s+/g, ""));
    const found = [keys.indexOf(name), titles.indexOf(name), titles.findIndex((t) => t.startsWith(name))].find((i) => i > 0);
    if (!found) return null;
    const test = { "<": (v) => v < number, ">": (v) => v > number, "<=": (v) => v <= number, ">=": (v) => v >= number, "=": (v) => v === +number }[sign];
    return (row) => value(row, found) !== "" && test(+value(row, found));
  }

  function apply() {
    const words = filter.value.toLowerCase().replace(/\s*(<=|>=|<|>|=)\s*/g, "$1").split(/\s+/).filter(Boolean);
    const tests = words.map(condition);
    filter.setCustomValidity(tests.includes(null) ? "There is no such column." : "");
    let left = 0;
    for (const row of rows) {
      row.hidden = !tests.every((test) => !test || test(row));
      left += !row.hidden;
      for (const mark of marks.get(row.dataset.pair) || []) if (mark !== row) mark.classList.toggle("out", row.hidden);
    }
    document.getElementById("count").textContent = left === rows.length ? `${left} pairs` : `${left} of ${rows.length} pairs`;
  }

  const marks = new Map();
  for (const mark of document.querySelectorAll("[data-pair]")) {
    const same = marks.get(mark.dataset.pair) || marks.set(mark.dataset.pair, []).get(mark.dataset.pair);
    same.push(mark);
  }
  let lit = null;
  function light(pair) {
    if (pair === lit) return;
    for (const mark of marks.get(lit) || []) mark.classList.remove("lit");
    for (const mark of marks.get(pair) || []) mark.classList.add("lit");
    lit = pair;
  }
  document.addEventListener("pointerover", ({ target }) => light(target.closest("[data-pair]")?.dataset.pair ?? null));
  document.addEventListener("click", ({ target }) => {
    const dot = target.closest("circle[data-pair]");
    if (!dot) return;
    light(dot.dataset.pair);
    const row = rows.find((one) => one.dataset.pair === dot.dataset.pair);
    row.scrollIntoView({ block: "center", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  });

  filter.addEventListener("input", apply);
  apply();
})();
