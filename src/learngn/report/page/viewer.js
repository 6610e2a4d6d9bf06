"use strict";
// The viewer of a pair: its views, buttons and keys.

(() => {
  const root = document.getElementById("viewer");
  const node = (id) => document.getElementById(id);
  const page = JSON.parse(node("payload").textContent);
  const MODES = { swipe: "Swipe", checker: "Checkerboard", both: "Overlay", displacement: "Displacement", jacobian: "Jacobian", uncertainty: "Uncertainty" };
  const AGAINST = { warped: "Registered", before: "Before" };
  const LAYERS = { outlines: "Outlines", grid: "Deformed grid", folds: "Folds", cross: "Cross" };
  const KEYS = { outlines: "O", grid: "G", folds: "F", cross: "X" };

  const model = modelOf(page);
  const views = page.views.map((spec) => new View(model, spec));

  let waiting = false;
  function refresh() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      views.forEach((view) => view.draw());
      show(model.at);
    });
  }

  const show = (point) => (node("readout").innerHTML = readout(model, point));

  function cut(view, index) {
    model.at[view.spec.through] = Math.min(view.depth - 1, Math.max(0, index));
    refresh();
  }

  function point(place) {
    model.at = place;
    if (views.length > 1 && !model.layers.cross) {
      model.layers.cross = true;
      sync();
    }
    refresh();
  }

  // Show one view large and the others stacked beside it, or all in a row if that shows more and `asked` is not set.
  function arrange(main, asked) {
    const aspect = (view) => view.mm[0] / view.mm[1];
    const others = views.filter((view) => view !== main);
    const order = [main, ...others];
    const inverse = others.reduce((sum, view) => sum + 1 / aspect(view), 0);
    const row = order.reduce((sum, view) => sum + aspect(view), 0);
    const stacked = others.length ? aspect(main) + 1 / inverse : row;
    const shown = (ratio) => Math.min(1.6, ratio) ** 2 / ratio; // of a screen 1.6 times as wide as high
    const stack = others.length > 0 && (asked || shown(stacked) >= shown(row));
    const style = node("views").style;
    node("views").classList.toggle("stack", stack);
    style.setProperty("--ratio", stack ? stacked : row);
    style.setProperty("--main", aspect(main));
    style.setProperty("--others", inverse);
    style.setProperty("--columns", order.map((view) => `minmax(0, ${aspect(view)}fr)`).join(" "));
    ["first", "second"].forEach((name, i) => style.setProperty(`--${name}`, `${others[i] ? aspect(others[i]) : 1}fr`));
    order.forEach((view) => {
      view.figure.classList.toggle("first", view === main);
      node("views").append(view.figure);
    });
  }

  // Controls

  function choice(place, names, present, key, type) {
    const entries = Object.entries(names).filter(([name]) => present(name));
    node(place).hidden = entries.length < (type === "radio" ? 2 : 1);
    entries.forEach(([name, text], i) => {
      const label = document.createElement("label");
      const title = key(name, i);
      label.innerHTML = `<input type="${type}" name="${place}" value="${name}"><span title="key ${title}">${text}</span>`;
      label.firstChild.setAttribute("aria-keyshortcuts", title);
      node(place).append(label);
    });
    return entries.map(([name]) => name);
  }

  const has = (name) => name in page.volumes;
  const pairs = has("fixed") && (has("warped") || has("before"));
  const grey = pairs && page.volumes.fixed.kind === "scan";
  const shown = (name) => (COLOURS.includes(name) ? has(name) : name === "swipe" || (name === "both" ? grey : pairs));
  const modes = choice("modes", MODES, shown, (_, i) => `${i + 1}`, "radio");
  choice("against", AGAINST, (name) => has(name) || page.outlines[name], () => "B", "radio");
  const present = { outlines: page.labels.length > 0, grid: has("displacement"), folds: has("folds"), cross: views.length > 1 };
  choice("layers", LAYERS, (name) => present[name], (name) => KEYS[name], "checkbox");
  if (has("folds")) {
    node("layers").insertAdjacentHTML("beforeend", '<button type="button" id="next-fold" title="key N">Next fold</button>');
    node("next-fold").addEventListener("click", nextFold);
  }

  function sync() {
    for (const input of root.querySelectorAll(".toolbar input")) {
      if (input.name === "layers") input.checked = model.layers[input.value];
      else input.checked = input.value === (input.name === "modes" ? model.mode : model.against);
    }
    root.dataset.mode = model.mode;
    for (const legend of node("legends").children) legend.hidden = !legend.dataset.modes.split(" ").includes(model.mode);
    refresh();
  }

  root.querySelector(".toolbar").addEventListener("change", ({ target }) => {
    if (target.name === "modes") setMode(target.value);
    else if (target.name === "against") model.against = target.value;
    else model.layers[target.value] = target.checked;
    sync();
  });

  function setMode(mode) {
    // Colours show the magnitude of the displacement, the grid its direction.
    if (mode === "displacement" && model.mode !== mode) model.layers.grid = true;
    if (mode !== "displacement" && model.mode === "displacement") model.layers.grid = false;
    model.mode = mode;
  }

  function labels() {
    page.labels.forEach((label, i) => {
      const code = Math.min(i + 1, 255);
      const button = document.createElement("button");
      Object.assign(button, { type: "button", className: "chip" });
      button.setAttribute("aria-pressed", "true");
      button.innerHTML = `<i style="background:${label.colour}"></i>`;
      button.append(label.name);
      button.addEventListener("click", () => {
        const hide = !model.hidden.has(code);
        model.hidden[hide ? "add" : "delete"](code);
        button.setAttribute("aria-pressed", String(!hide));
        refresh();
      });
      node("labels").append(button);
    });
    if (page.labels.length) node("labels").insertAdjacentHTML("beforeend", '<span class="chip plain"><i></i>white: fixed scan</span>');
  }

  // Folds: number in every slice, and the slices with most folds, one after another

  function countFolds() {
    const { folds } = model.volumes;
    if (!folds) return;
    const [nz, ny, nx] = folds.shape;
    model.foldCounts = [nx, ny, nz].map((n) => new Array(n).fill(0));
    for (let z = 0, i = 0; z < nz; z++)
      for (let y = 0; y < ny; y++)
        for (let x = 0; x < nx; x++, i++)
          if (folds.data[i]) [x, y, z].forEach((index, axis) => model.foldCounts[axis][index]++);
  }

  let visited = 0;
  function nextFold() {
    const counts = model.foldCounts[2];
    const order = counts.map((count, z) => [count, z]).filter(([count]) => count).sort((a, b) => b[0] - a[0]);
    const z = order[visited++ % order.length][1];
    const { folds } = model.volumes;
    const [, ny, nx] = folds.shape;
    const found = [];
    for (let i = z * ny * nx; i < (z + 1) * ny * nx; i++) if (folds.data[i]) found.push([i % nx, Math.floor(i / nx) % ny]);
    const middle = [0, 1].map((a) => found.reduce((sum, p) => sum + p[a], 0) / found.length);
    const distance = (p) => Math.hypot(p[0] - middle[0], p[1] - middle[1]);
    const nearest = found.reduce((best, p) => (distance(p) < distance(best) ? p : best));
    model.at = [...nearest, z];
    model.layers.folds = true;
    model.layers.cross = views.length > 1;
    sync();
  }

  // Start

  arrange(views[0], false);
  for (const view of views) {
    addGestures(view, model, { refresh, cut, point, show });
    view.slider?.addEventListener("input", () => cut(view, +view.slider.value));
    view.enlarge.addEventListener("click", () => {
      arrange(view, true);
      view.canvas.focus();
      refresh();
    });
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    const layer = { o: "outlines", g: "grid", f: "folds", x: "cross" }[key];
    if (modes[+key - 1]) setMode(modes[+key - 1]);
    else if (key === "b" && has("before") && has("warped")) model.against = model.against === "warped" ? "before" : "warped";
    else if (key === "n" && has("folds")) nextFold();
    else if (layer && present[layer]) model.layers[layer] = !model.layers[layer];
    else return;
    sync();
  });

  for (const name of ["brightness", "contrast", "opacity"]) {
    node(name).addEventListener("input", () => {
      model.greys = Drawing.greys(+node("brightness").value, +node("contrast").value);
      model.opacity = node("opacity").value / 100;
      model.look += name !== "opacity";
      refresh();
    });
  }

  Volumes.load(page.volumes).then(
    (volumes) => {
      model.volumes = volumes;
      node("legends").innerHTML = legends(model, page);
      labels();
      countFolds();
      sync();
      const observer = new ResizeObserver(() => {
        refresh();
        views.forEach((view) => view.drawTicks());
      });
      views.forEach((view) => observer.observe(view.canvas));
      requestAnimationFrame(() => (root.dataset.state = "ready"));
    },
    (error) => {
      root.dataset.state = "failed";
      node("status").textContent = `This browser cannot unpack the pictures (${error.message}); one of 2023 or later can.`;
    },
  );
})();
