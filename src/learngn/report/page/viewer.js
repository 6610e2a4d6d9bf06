"use strict";
// The viewer of a pair: its views, buttons and keys.

(() => {
  const root = document.getElementById("viewer");
  const node = (id) => document.getElementById(id);
  const page = JSON.parse(node("payload").textContent);
  const COMPARED = { swipe: "Swipe", checker: "Checkerboard", both: "Overlay", flicker: "Flicker" };
  const SINGLE = { fixed: "Fixed", warped: "Registered", before: "Moving" };
  const MAPS = { displacement: "Displacement", jacobian: "Jacobian", uncertainty: "Uncertainty" };
  const AGAINST = { warped: "Registered", before: "Before" };
  const LAYERS = {
    outlines: ["Outlines", "O"], masks: ["Masks", "M"], landmarks: ["Landmarks", "L"], keypoints: ["Key points", "K"],
    grid: ["Deformed grid", "G"], folds: ["Folds", "F"], cross: ["Cross", "X"],
  }; // prettier-ignore
  const FLICKER = 250; // ms a scan: twice a second to and fro

  const model = modelOf(page);
  const views = page.views.map((spec) => new View(model, spec));
  const gestures = new Map();
  let focused = views[0];
  let tour = null;

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
    model.go(place);
    if (views.length > 1 && !model.layers.cross) {
      model.layers.cross = true;
      sync();
    }
    refresh();
  }

  function go(next) {
    next();
    model.layers.cross = views.length > 1;
    sync();
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
    focused = main;
  }

  // Controls

  const has = (name) => name in page.volumes;
  const pairs = has("fixed") && (has("warped") || has("before"));
  const grey = pairs && page.volumes.fixed.kind === "scan";
  const present = {
    outlines: page.labels.length > 0, grid: has("displacement"), folds: has("folds"), cross: views.length > 1,
    landmarks: "landmarks" in page.points, keypoints: "keypoints" in page.points,
    masks: ["fixed_mask", "before_mask", "warped_mask"].some(has),
  }; // prettier-ignore
  const known = (names, test) => Object.entries(names).filter(([name]) => test(name));
  const modes = [];
  const digit = (name, i) => `${(modes.length + i + 1) % 10}`;
  const add = (place, names, test) => modes.push(...Controls.choice(node(place), "modes", known(names, test), "radio", digit));
  add("modes", COMPARED, (name) => name === "swipe" || (name === "both" ? grey : pairs));
  add("alone", SINGLE, has);
  add("maps", MAPS, has);
  Controls.choice(node("against"), "against", known(AGAINST, (name) => has(name) || page.outlines[name]), "radio", () => "B");
  const layers = known(LAYERS, (name) => present[name]).map(([name, [text]]) => [name, text]);
  Controls.choice(node("layers"), "layers", layers, "checkbox", (name) => LAYERS[name][1]);
  node("next-fold").hidden = !present.folds;
  node("next-landmark").hidden = !present.landmarks;
  node("next-fold").addEventListener("click", () => tour && go(tour.nextFold));
  node("next-landmark").addEventListener("click", () => tour && go(tour.nextLandmark));

  const showWindows = Controls.windows(node("contrast"), model, sync);
  const showZoom = () => (node("zoom").textContent = `${Math.round(100 * model.sight.zoom)} %`);

  let flicker = 0;
  function sync() {
    for (const input of root.querySelectorAll(".toolbar input")) {
      if (input.name === "layers") input.checked = model.layers[input.value];
      else input.checked = input.value === (input.name === "modes" ? model.mode : model.against);
    }
    root.dataset.mode = model.mode;
    node("legends").innerHTML = tour ? legends(model, page) : "";
    for (const legend of node("legends").children) {
      if (legend.dataset.modes) legend.hidden = !legend.dataset.modes.split(" ").includes(model.mode);
    }
    showWindows();
    showZoom();
    clearInterval(flicker);
    if (model.mode === "flicker")
      flicker = setInterval(() => {
        model.phase = 1 - model.phase;
        refresh();
      }, FLICKER);
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

  function scaleJacobian() {
    model.wideJacobian = !model.wideJacobian;
    model.look++;
    sync();
  }
  node("legends").addEventListener("click", ({ target }) => {
    if (target.id !== "jacobian-scale") return;
    scaleJacobian();
    node("jacobian-scale").focus();
  });

  function reset() {
    model.sight = Zoom.WHOLE;
    for (const group of Object.values(model.contrast)) group.window = [...group.first];
    model.look++;
    sync();
  }

  function save() {
    const windows = [...new Set(model.sides())].map((name) => model.volumes[name]?.group).filter(Boolean);
    const lines = [
      document.title,
      [focused.spec.name, focused.where?.textContent, root.querySelector("input[name=modes]:checked")?.nextSibling.textContent,
        model.sides().map((name) => SHORT[name]).join(" | ")].filter(Boolean).join(" · "),
      [...new Set(windows)].map((name) => `${Contrast.GROUPS[name]} ${Contrast.text(model.contrast[name].window)}`).join(" · "),
    ].filter(Boolean); // prettier-ignore
    Tools.save(Tools.picture(focused, lines), `${document.title}-${focused.spec.name}-${focused.index + 1}-${model.mode}`);
  }

  const whole = Tools.whole(root, (on) => {
    node("whole").setAttribute("aria-pressed", String(on));
    node("whole").textContent = on ? "Leave full screen" : "Full screen";
    refresh();
  });
  const zoom = (way) => gestures.get(focused).zoom(way);
  const TOOLS = { "zoom-in": () => zoom(1), "zoom-out": () => zoom(-1), reset, whole, save };
  for (const [name, press] of Object.entries(TOOLS)) node(name).addEventListener("click", press);

  // Start

  arrange(views[0], false);
  for (const view of views) {
    gestures.set(view, addGestures(view, model, { refresh, cut, point, show, windowed: showWindows, zoomed: showZoom }));
    view.canvas.addEventListener("focus", () => (focused = view));
    view.slider?.addEventListener("input", () => cut(view, +view.slider.value));
    view.enlarge.addEventListener("click", () => {
      arrange(view, true);
      view.canvas.focus();
      refresh();
    });
  }

  const ACTIONS = {
    b: () => has("before") && has("warped") && (model.against = model.against === "warped" ? "before" : "warped"),
    n: () => present.folds && go(tour.nextFold),
    e: () => present.landmarks && go(tour.nextLandmark),
    j: () => has("jacobian") && scaleJacobian(),
    v: () => Controls.nextWindow(model),
    r: reset, p: save, z: whole, "+": () => zoom(1), "=": () => zoom(1), "-": () => zoom(-1),
  }; // prettier-ignore
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !tour || event.target.matches("input[type=number]")) return;
    const key = event.key.toLowerCase();
    const layer = Object.keys(LAYERS).find((name) => LAYERS[name][1].toLowerCase() === key);
    const mode = /^\d$/.test(key) && modes[(+key + 9) % 10];
    if (mode) setMode(mode);
    else if (layer && present[layer]) model.layers[layer] = !model.layers[layer];
    else if (key in ACTIONS) ACTIONS[key]();
    else return;
    sync();
  });

  node("opacity").addEventListener("input", () => {
    model.opacity = node("opacity").value / 100;
    refresh();
  });

  Volumes.load(page.volumes).then(
    (volumes) => {
      model.volumes = volumes;
      tour = tourOf(model);
      Controls.labels(node("labels"), page, model, refresh);
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
