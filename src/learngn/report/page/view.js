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
      <span class="tag first" aria-hidden="true">fixed</span><span class="tag second" aria-hidden="true"></span>
      <button type="button" title="Enlarge" aria-label="Enlarge the ${spec.name} view">⤢</button></div>
      <figcaption>${this.depth > 1 ? slider : ""}</figcaption>`;
    const find = (selector) => this.figure.querySelector(selector);
    [this.canvas, this.slider, this.where, this.ticks] = ["canvas", "input", ".where", ".ticks"].map(find);
    [this.second, this.enlarge] = [find(".second"), find("button")];
    this.canvas.setAttribute(
      "aria-label",
      `${spec.name} view${spec.marks ? `, ${NAMES[spec.marks[0]]} on the left, ${NAMES[spec.marks[2]]} on top` : ""}; arrow keys change slice and swipe`,
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
    const volume = this.model.volumes[name];
    if (!volume) return null;
    return this.once(`scan ${name}`, () => {
      const slice = this.slice(volume);
      return volume.kind === "codes" ? Drawing.filled(slice, this.model.colours) : Drawing.grey(slice, this.model.greys);
    });
  }

  draw() {
    const { canvas, model } = this;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    const height = Math.max(1, Math.round((width * this.mm[1]) / this.mm[0]));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    Object.assign(this, { context, ratio, width, height });
    context.imageSmoothingQuality = "high";
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    const [first, second] = [this.scan("fixed") || this.scan(model.against), this.scan(model.against) || this.scan("fixed")];
    if (first) this.scans(first, second);
    if (COLOURS.includes(model.mode)) this.colours(model.mode);
    if (model.layers.grid && model.volumes.displacement) this.lattice();
    if (model.layers.outlines) this.outlines();
    if (model.layers.folds && model.volumes.folds) this.folds();
    if (model.mode === "swipe") this.line(model.swipe * width);
    if (model.layers.cross) this.cross();
    this.scaleBar();
    this.caption();
  }

  put(picture) {
    this.context.imageSmoothingEnabled = this.model.volumes.fixed?.kind !== "codes";
    this.context.drawImage(picture, 0, 0, this.width, this.height);
  }

  scans(first, second) {
    const { context, model, width, height } = this;
    if (model.mode === "both") {
      const slices = () => ["fixed", model.against].map((name) => this.slice(model.volumes[name]));
      return this.put(this.once(`both ${model.against}`, () => Drawing.both(...slices(), model.greys)));
    }
    this.put(first);
    if (COLOURS.includes(model.mode)) return undefined;
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
    return undefined;
  }

  colours(mode) {
    const { context, model } = this;
    const volume = model.volumes[mode];
    const picture = this.once(mode, () => {
      if (mode !== "displacement") {
        const slice = this.slice(volume);
        return Drawing.coloured(slice.columns, slice.rows, model.palettes[mode], (i) => slice.data[i] / 255);
      }
      const parts = Array.from({ length: volume.components }, (_, c) => this.slice(volume, c));
      const scale = volume.step / volume.top;
      const length = (i) => scale * Math.hypot(...parts.map((part) => part.data[i]));
      return Drawing.coloured(parts[0].columns, parts[0].rows, model.palettes.length, length);
    });
    context.globalAlpha = model.opacity;
    context.imageSmoothingEnabled = true;
    context.drawImage(picture, 0, 0, this.width, this.height);
    context.globalAlpha = 1;
  }

  // Stroke a path, given in units in which the view has the size `size`, with lines of constant width.
  stroke(path, size, colour, width) {
    const scaled = new Path2D();
    scaled.addPath(path, new DOMMatrix([this.width / size[0], 0, 0, this.height / size[1], 0, 0]));
    Object.assign(this.context, { strokeStyle: colour, lineWidth: width * this.ratio, lineJoin: "round", lineCap: "round" });
    this.context.stroke(scaled);
  }

  lattice() {
    const volume = this.model.volumes.displacement;
    const path = this.once("lattice", () => {
      const [right, down] = [this.spec.across, this.spec.down].map((axis) => {
        const slice = this.slice(volume, axis);
        return { ...slice, data: Float32Array.from(slice.data, (v) => v * volume.step) };
      });
      return Drawing.lattice(right, down, this.mm);
    });
    this.stroke(path, this.mm, "rgb(0 0 0 / 0.35)", 2);
    this.stroke(path, this.mm, "rgb(255 255 255 / 0.75)", 0.8);
  }

  outlines() {
    const { model } = this;
    const layers = COLOURS.includes(model.mode) ? ["fixed"] : ["fixed", model.against];
    for (const [order, name] of layers.entries()) {
      const volume = model.volumes[model.outlines[name]];
      if (!volume) continue;
      const paths = this.once(`outlines ${name}`, () => Drawing.outlines(this.slice(volume)));
      for (const [code, path] of paths) {
        if (model.hidden.has(code)) continue;
        if (order === 0) {
          this.stroke(path, [this.columns, this.rows], "rgb(0 0 0 / 0.5)", 3);
          this.stroke(path, [this.columns, this.rows], "#fff", layers.length > 1 ? 1.6 : 1);
        } else this.stroke(path, [this.columns, this.rows], model.css[code], 1.9);
      }
    }
  }

  folds() {
    const slice = this.once("folds", () => this.slice(this.model.volumes.folds));
    const [w, h] = [this.width / this.columns, this.height / this.rows];
    const [side, tall] = [w, h].map((n) => Math.max(n, 3 * this.ratio));
    this.context.fillStyle = this.model.palettes.fold;
    for (let r = 0, i = 0; r < this.rows; r++) {
      for (let c = 0; c < this.columns; c++, i++) {
        if (slice.data[i]) this.context.fillRect((c + 0.5) * w - side / 2, (r + 0.5) * h - tall / 2, side, tall);
      }
    }
  }

  line(x) {
    const { context, ratio, height } = this;
    context.fillStyle = "rgb(0 0 0 / 0.5)";
    context.fillRect(x - 1.5 * ratio, 0, 3 * ratio, height);
    context.fillStyle = "#fff";
    context.fillRect(x - 0.75 * ratio, 0, 1.5 * ratio, height);
    if (this.width < 270 * ratio) return; // too narrow: the text would hide the slice
    const y = height / 2;
    context.beginPath();
    context.arc(x, y, 11 * ratio, 0, 2 * Math.PI);
    context.fill();
    context.strokeStyle = "#16181d";
    context.lineWidth = 1.5 * ratio;
    context.beginPath();
    for (const way of [-1, 1]) {
      context.moveTo(x + way * 3 * ratio, y - 3.5 * ratio);
      context.lineTo(x + way * 6.5 * ratio, y);
      context.lineTo(x + way * 3 * ratio, y + 3.5 * ratio);
    }
    context.stroke();
  }

  cross() {
    const { at } = this.model;
    const x = ((at[this.spec.across] + 0.5) * this.width) / this.columns;
    const y = ((at[this.spec.down] + 0.5) * this.height) / this.rows;
    const gap = 9 * this.ratio; // distance that keeps the point visible
    const path = new Path2D(
      `M${x} 0V${y - gap}M${x} ${y + gap}V${this.height}M0 ${y}H${x - gap}M${x + gap} ${y}H${this.width}`,
    );
    this.stroke(path, [this.width, this.height], "rgb(0 0 0 / 0.35)", 2.4);
    this.stroke(path, [this.width, this.height], "rgb(120 235 225 / 0.85)", 1);
  }

  scaleBar() {
    const { context, ratio } = this;
    const length = [100, 50, 20, 10, 5, 2, 1].find((mm) => mm <= 0.3 * this.mm[0]) || 0.5;
    const width = (length / this.mm[0]) * this.width;
    const [x, y] = [10 * ratio, this.height - 10 * ratio];
    context.fillStyle = "rgb(0 0 0 / 0.55)";
    context.fillRect(x - ratio, y - ratio, width + 2 * ratio, 4 * ratio);
    context.fillStyle = "#fff";
    context.fillRect(x, y, width, 2 * ratio);
    Object.assign(context, { font: `${11 * ratio}px system-ui, sans-serif`, lineWidth: 3 * ratio, strokeStyle: "rgb(0 0 0 / 0.7)" });
    context.strokeText(`${length} mm`, x, y - 5 * ratio);
    context.fillText(`${length} mm`, x, y - 5 * ratio);
  }

  caption() {
    const { model, slider } = this;
    this.figure.classList.toggle("split", model.mode === "swipe");
    this.second.textContent = SHORT[model.against];
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

  // Return the voxel under the pointer, x, y, z of the page.
  pointAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const point = [...this.model.at];
    const inside = (fraction, n) => Math.min(n - 1, Math.max(0, Math.floor(fraction * n)));
    point[this.spec.across] = inside((event.clientX - box.left) / box.width, this.columns);
    point[this.spec.down] = inside((event.clientY - box.top) / box.height, this.rows);
    return point;
  }
}
