"use strict";
// What is drawn over the slices of a view: outlines, masks, the deformed grid, folds, the swipe, the cross, a scale.

const Overlays = (() => {
  const MASK = "#5ad1ff";

  function outlines(view) {
    const { model } = view;
    const layers = model.sides();
    for (const name of layers) {
      const volume = model.volumes[model.outlines[name]];
      if (!volume) continue;
      const paths = view.once(`outlines ${name}`, () => Drawing.outlines(view.slice(volume)));
      for (const [code, path] of paths) {
        if (model.hidden.has(code)) continue;
        if (name === "fixed") {
          view.stroke(path, [view.columns, view.rows], "rgb(0 0 0 / 0.5)", 3);
          view.stroke(path, [view.columns, view.rows], "#fff", layers.length > 1 ? 1.6 : 1);
        } else view.stroke(path, [view.columns, view.rows], model.css[code], 1.9);
      }
    }
  }

  // Masks are dashed: white for the fixed scan, blue for the moving one.
  function masks(view) {
    const { model, context, ratio } = view;
    for (const name of model.sides()) {
      const volume = model.volumes[`${name}_mask`];
      if (!volume) continue;
      const paths = view.once(`mask ${name}`, () => Drawing.outlines(view.slice(volume)));
      for (const path of paths.values()) {
        view.stroke(path, [view.columns, view.rows], "rgb(0 0 0 / 0.5)", 3);
        // The segments of an outline are shorter than dashes: dashes are cut out by bands, in a direction that few edges have.
        context.save();
        context.beginPath();
        const step = 5 * ratio;
        const lean = 0.6 * view.height;
        for (let d = -lean; d < view.width; d += 2 * step) {
          context.moveTo(d, 0);
          context.lineTo(d + step, 0);
          context.lineTo(d + step + lean, view.height);
          context.lineTo(d + lean, view.height);
          context.closePath();
        }
        context.clip();
        view.stroke(path, [view.columns, view.rows], name === "fixed" ? "#fff" : MASK, 1.8);
        context.restore();
      }
    }
  }

  function lattice(view) {
    const volume = view.model.volumes.displacement;
    const path = view.once("lattice", () => {
      const [right, down] = [view.spec.across, view.spec.down].map((axis) => {
        const slice = view.slice(volume, axis);
        return { ...slice, data: Float32Array.from(slice.data, (v) => v * volume.step) };
      });
      return Drawing.lattice(right, down, view.mm);
    });
    view.stroke(path, view.mm, "rgb(0 0 0 / 0.35)", 2);
    view.stroke(path, view.mm, "rgb(255 255 255 / 0.75)", 0.8);
  }

  // Folds inside the body are filled, those outside are hollow.
  function folds(view) {
    const { context, ratio, box, model } = view;
    const slice = view.once("folds", () => view.slice(model.volumes.folds));
    const [w, h] = [box.w / view.columns, box.h / view.rows];
    const [side, tall] = [w, h].map((n) => Math.max(n, 3 * ratio));
    Object.assign(context, { fillStyle: model.palettes.fold, strokeStyle: model.palettes.fold, lineWidth: ratio });
    for (let r = 0, i = 0; r < view.rows; r++) {
      for (let c = 0; c < view.columns; c++, i++) {
        const place = [box.x + (c + 0.5) * w - side / 2, box.y + (r + 0.5) * h - tall / 2, side, tall];
        if (slice.data[i] > 1) context.fillRect(...place);
        else if (slice.data[i]) context.strokeRect(...place);
      }
    }
  }

  function line(view, x) {
    const { context, ratio, height } = view;
    context.fillStyle = "rgb(0 0 0 / 0.5)";
    context.fillRect(x - 1.5 * ratio, 0, 3 * ratio, height);
    context.fillStyle = "#fff";
    context.fillRect(x - 0.75 * ratio, 0, 1.5 * ratio, height);
    if (view.width < 270 * ratio) return; // too narrow: the text would hide the slice
    const y = 0.78 * height; // away from the middle of the slice, and from the letters
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

  function cross(view) {
    const [x, y] = view.placeOf(view.model.at);
    const gap = 9 * view.ratio; // distance that keeps the point visible
    const { width, height } = view;
    const path = new Path2D(`M${x} 0V${y - gap}M${x} ${y + gap}V${height}M0 ${y}H${x - gap}M${x + gap} ${y}H${width}`);
    view.line(path, "rgb(0 0 0 / 0.35)", 2.4);
    view.line(path, "rgb(120 235 225 / 0.85)", 1);
  }

  function scaleBar(view) {
    const { context, ratio } = view;
    const seen = view.mm[0] / view.model.sight.zoom;
    const length = [100, 50, 20, 10, 5, 2, 1, 0.5, 0.2].find((mm) => mm <= 0.3 * seen) || 0.1;
    const width = (length / seen) * view.width;
    const [x, y] = [10 * ratio, view.height - 10 * ratio];
    context.fillStyle = "rgb(0 0 0 / 0.55)";
    context.fillRect(x - ratio, y - ratio, width + 2 * ratio, 4 * ratio);
    context.fillStyle = "#fff";
    context.fillRect(x, y, width, 2 * ratio);
    view.text(`${length} mm`, x, y - 5 * ratio);
  }

  return { outlines, masks, lattice, folds, line, cross, scaleBar };
})();
