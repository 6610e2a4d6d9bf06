"use strict";
// One of the orthogonal views: its canvas, its slider, and the drawing of its slices.

class View {
  constructor(model, spec) {
    Object.assign(this, { model, spec, cache: new Map() });
    const size = [...model.shape].reverse();
    [this.columns, this.rows, this.depth] = [spec.across, spec.down, spec.through].map((axis) => size[axis]);
    this.mm = [this.columns * model.spacing[spec.across], this.rows * model.spacing[spec.down]];
    this.figure = document.createElement("figure");
    this.figure.className = "view";
    this.figure.style.setProperty("--aspect", (this.mm[0] / this.mm[1]).toFixed(4));
    const marks = ["left", "right", "top", "bottom"].map((side, i) =>
      spec.marks ? `<span class="mark ${side}" aria-hidden="true">${spec.marks[i]}</span>` : "",
    );
    const slider = `<label class="slice"><span class="name">${spec.name}</span><span class="where"></span>
      <canvas class="ticks" aria-hidden="true" height="4"></canvas>
      <input type="range" min="0" max="${this.depth - 1}" step="1" aria-label="${spec.name} slice"></label>`;
    this.figure.innerHTML = `<div class="frame"><canvas class="picture" tabindex="0" role="img"></canvas>${marks.join("")}
      <span class="tag first" aria-hidden="true"></span><span class="tag second" aria-hidden="true"></span>
      <button type="button" title="Enlarge" aria-label="Enlarge the ${spec.name} view">⤢</button></div>
      <figcaption>${this.depth > 1 ? slider : ""}</figcaption>`;
    const find = (selector) => this.figure.querySelector(selector);
    [this.canvas, this.slider, this.where, this.ticks] = ["canvas", "input", ".where", ".ticks"].map(find);
    [this.first, this.second, this.enlarge] = [find(".tag.first"), find(".second"), find("button")];
    this.canvas.setAttribute(
      "aria-label",
      `${spec.name} view${spec.marks ? `, ${NAMES[spec.marks[0]]} on the left, ${NAMES[spec.marks[2]]} on top` : ""}; arrow keys change slice and swipe, plus and minus zoom`,
    );
  }

  get index() {
    return this.model.at[this.spec.through];
  }

  // Pictures that depend only on the slice are cached.
  once(name, make) {
    const key = `${name} ${this.index} ${this.model.look}`;
    if (!this.cache.has(key)) {
      if (this.cache.size > 40) this.cache.clear();
      this.cache.set(key, make());
    }
    return this.cache.get(key);
  }

  slice(volume, component = 0) {
    return Volumes.slice(volume, this.spec, this.index, this.depth, component);
  }

  scan(name) {
    const { model } = this;
    const volume = model.volumes[name];
    if (!volume) return null;
    return this.once(`scan ${name}`, () => {
      if (volume.colours) {
        const painted = { ...volume, data: volume.colours };
        return Drawing.painted([0, 1, 2].map((c) => this.slice(painted, c)), this.scaling(volume));
      }
      const slice = this.slice(volume);
      return volume.kind === "codes" ? Drawing.filled(slice, model.colours) : Drawing.grey(slice, this.scaling(volume));
    });
  }

  scaling(volume) {
    return Contrast.scaling(volume, this.model.contrast[volume.group].window);
  }

  draw() {
    const { canvas, model, spec } = this;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    const height = Math.max(1, Math.round((width * this.mm[1]) / this.mm[0]));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    Object.assign(this, { context, ratio, width, height, box: Zoom.box(model.sight, [spec.across, spec.down], width, height) });
    context.imageSmoothingQuality = "high";
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    this.scans(model.sides());
    if (COLOURS.includes(model.mode)) this.colours(model.mode);
    if (model.layers.grid && model.volumes.displacement) Overlays.lattice(this);
    if (model.layers.outlines) Overlays.outlines(this);
    if (model.layers.masks) Overlays.masks(this);
    if (model.layers.folds && model.volumes.folds) Overlays.folds(this);
    for (const kind of Object.keys(model.points || {})) if (model.layers[kind]) Points.draw(this, kind);
    if (model.mode === "swipe") Overlays.line(this, model.swipe * width);
    if (model.layers.cross) Overlays.cross(this);
    Overlays.scaleBar(this);
    this.caption();
  }

  put(picture) {
    const { x, y, w, h } = this.box;
    this.context.imageSmoothingEnabled = this.model.volumes.fixed?.kind !== "codes";
    this.context.drawImage(picture, x, y, w, h);
  }

  scans([one, other = one]) {
    const { context, model, width, height } = this;
    const second = this.scan(other) || this.scan("fixed");
    const first = this.scan(one) || second;
    if (!first) return;
    if (model.mode === "both") {
      const pair = ["fixed", model.against].map((name) => model.volumes[name]);
      const make = () => Drawing.both(...pair.map((volume) => this.slice(volume)), ...pair.map((volume) => this.scaling(volume)));
      this.put(this.once(`both ${model.against}`, make));
      return;
    }
    this.put(first);
    if (model.mode !== "swipe" && model.mode !== "checker") return;
    const part = new Path2D();
    if (model.mode === "swipe") part.rect(model.swipe * width, 0, width, height);
    else {
      const field = Math.max(width, height) / 8;
      for (let y = 0, row = 0; y < height; y += field, row++)
        for (let x = row % 2 ? 0 : field; x < width; x += 2 * field) part.rect(x, y, field, field);
    }
    context.save();
    context.clip(part);
    this.put(second);
    context.restore();
  }

  colours(mode) {
    const { context, model, box } = this;
    const volume = model.volumes[mode];
    const picture = this.once(mode, () => {
      if (mode !== "displacement") {
        const slice = this.slice(volume);
        const spread = mode === "jacobian" ? volume.top / model.jacobianTop() : 1;
        const fraction = mode === "jacobian" ? (i) => 0.5 + (slice.data[i] / 255 - 0.5) * spread : (i) => slice.data[i] / 255;
        return Drawing.coloured(slice.columns, slice.rows, model.palettes[mode], fraction);
      }
      const parts = Array.from({ length: volume.components }, (_, c) => this.slice(volume, c));
      const scale = volume.step / volume.top;
      const length = (i) => scale * Math.hypot(...parts.map((part) => part.data[i]));
      return Drawing.coloured(parts[0].columns, parts[0].rows, model.palettes.length, length);
    });
    context.globalAlpha = model.opacity;
    context.imageSmoothingEnabled = true;
    context.drawImage(picture, box.x, box.y, box.w, box.h);
    context.globalAlpha = 1;
  }

  // Stroke a path, given in units in which the slice has the size `size`, with lines of constant width.
  stroke(path, size, colour, width) {
    const { x, y, w, h } = this.box;
    const scaled = new Path2D();
    scaled.addPath(path, new DOMMatrix([w / size[0], 0, 0, h / size[1], x, y]));
    this.line(scaled, colour, width);
  }

  // Stroke a path given in pixels of the canvas.
  line(path, colour, width) {
    Object.assign(this.context, { strokeStyle: colour, lineWidth: width * this.ratio, lineJoin: "round", lineCap: "round" });
    this.context.stroke(path);
  }

  text(text, x, y) {
    const { context, ratio } = this;
    Object.assign(context, { font: `${11 * ratio}px system-ui, sans-serif`, lineWidth: 3 * ratio, strokeStyle: "rgb(0 0 0 / 0.7)", fillStyle: "#fff" });
    context.strokeText(text, x, y);
    context.fillText(text, x, y);
  }

  // Return where a point (x, y, z) lies in the picture.
  placeOf(point) {
    const { box, spec } = this;
    return [box.x + ((point[spec.across] + 0.5) * box.w) / this.columns, box.y + ((point[spec.down] + 0.5) * box.h) / this.rows];
  }

  caption() {
    const { model, slider } = this;
    const [one, other] = model.sides();
    const tagged = ["swipe", "flicker", ...ALONE].includes(model.mode);
    this.first.textContent = tagged ? SHORT[one] : "";
    this.second.textContent = tagged && other ? SHORT[other] : "";
    if (!slider) return;
    slider.value = this.index;
    const [letter, mm] = model.coordinate(model.at, 2 - ["axial", "coronal", "sagittal"].indexOf(this.spec.name));
    this.where.innerHTML = `<span>${this.index + 1} / ${this.depth} · </span>${letter} ${mm} mm`;
    slider.setAttribute("aria-valuetext", `slice ${this.index + 1} of ${this.depth}, ${mm} mm ${NAMES[letter]}`);
  }

  // Mark the slices with folds along the slider.
  drawTicks() {
    const counts = this.model.foldCounts?.[this.spec.through];
    if (!this.slider) return;
    this.ticks.hidden = !counts;
    if (!counts) return;
    this.ticks.width = Math.max(1, this.ticks.clientWidth);
    const context = this.ticks.getContext("2d");
    const most = Math.max(...counts);
    const step = this.ticks.width / this.depth;
    counts.forEach((count, i) => {
      context.fillStyle = this.model.palettes.fold;
      context.globalAlpha = 0.35 + (0.65 * count) / most;
      if (count) context.fillRect(i * step, 0, Math.max(step, 2), 4);
    });
  }

  // Return the place under the pointer: in fractions of the view, and of the slice.
  fractionAt(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  sliceAt(event) {
    const { zoom, centre } = this.model.sight;
    const axes = [this.spec.across, this.spec.down];
    return this.fractionAt(event).map((fraction, i) => centre[axes[i]] + (fraction - 0.5) / zoom);
  }

  // Return the voxel under the pointer, x, y, z of the page.
  pointAt(event) {
    const point = [...this.model.at];
    const place = this.sliceAt(event);
    [this.spec.across, this.spec.down].forEach((axis, i) => {
      const n = [this.columns, this.rows][i];
      point[axis] = Math.min(n - 1, Math.max(0, Math.floor(place[i] * n)));
    });
    return point;
  }
}
